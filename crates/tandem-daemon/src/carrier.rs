//! Whether this node's own links have a carrier: a node whose links are all dead is the one that is
//! cut off, and must not go on as if the other one were.
//!
//! The kernel is asked again and again, which misses nothing and needs no subscription to recover. A
//! link that cannot be looked at counts as alive: only what is known to be dead isolates a node.

use crate::config::{Configuration, Module};
use crate::reactor::ModuleInputs;
use nix::ifaddrs::getifaddrs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use tandem_core::{Event, NodeId};
use tokio::time::{MissedTickBehavior, interval};

/// How often the links are looked at: well within the shortest stall limit that people configure,
/// and a handful of small reads.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// The links of one module on this node.
pub(crate) struct Links {
    heartbeat: Vec<IpAddr>,
    /// The interfaces of the virtual addresses.
    interfaces: Vec<String>,
}

impl Links {
    /// Those of the configuration.
    pub(crate) fn new(configuration: &Configuration, module: &Module, node: NodeId) -> Self {
        let addresses = module.addresses.iter();
        Self {
            heartbeat: configuration.node(node).heartbeat.clone(),
            interfaces: addresses.map(|a| a.interface(node).to_owned()).collect(),
        }
    }

    /// Tells the core of each change, for ever.
    pub(crate) async fn watch(self, inputs: ModuleInputs) {
        let mut looks = interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What the core takes for granted until it is told.
        let mut told = true;
        loop {
            looks.tick().await;
            let carrier = self.have_carrier(Path::new("/sys/class/net"));
            if carrier != told {
                told = carrier;
                match carrier {
                    true => tracing::info!("a link of this node has a carrier again"),
                    false => tracing::warn!("no link of this node has a carrier"),
                }
                inputs.send(Event::LinksChanged { carrier });
            }
        }
    }

    fn have_carrier(&self, net: &Path) -> bool {
        let own = interfaces_of(&self.heartbeat);
        // An address that is on no interface, or several nodes on one machine: nothing is known.
        let Some(mut interfaces) = own else {
            return true;
        };
        // Nor without a virtual address: clients come by links that the file does not name, and a
        // single cable between the nodes ends with the other node.
        if self.interfaces.is_empty() {
            return true;
        }
        interfaces.extend(self.interfaces.iter().cloned());
        interfaces.iter().any(|name| has_carrier(net, name))
    }
}

/// The interfaces that have these addresses; `None`, if one is nowhere.
fn interfaces_of(addresses: &[IpAddr]) -> Option<Vec<String>> {
    let listed: Vec<_> = getifaddrs().ok()?.collect();
    let interface_of = |address: &IpAddr| {
        let found = listed.iter().find(|interface| {
            let Some(own) = &interface.address else {
                return false;
            };
            let v4 = own.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| own.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))) == Some(*address)
        });
        found.map(|interface| interface.interface_name.clone())
    };
    addresses.iter().map(interface_of).collect()
}

fn has_carrier(net: &Path, interface: &str) -> bool {
    let directory = net.join(interface);
    match std::fs::read_to_string(directory.join("carrier")) {
        Ok(carrier) => carrier.trim() != "0",
        // An interface that was switched off does not tell, and has none.
        Err(_) => !directory.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_dead_isolates_a_node() {
        let net = tempfile::tempdir().expect("a temporary directory");
        for (name, carrier) in [("alive", Some("1")), ("dead", Some("0")), ("off", None)] {
            let directory = net.path().join(name);
            std::fs::create_dir(&directory).expect("a temporary directory");
            if let Some(carrier) = carrier {
                std::fs::write(directory.join("carrier"), carrier).expect("a temporary directory");
            }
        }
        assert!(has_carrier(net.path(), "alive"));
        assert!(!has_carrier(net.path(), "dead"));
        assert!(!has_carrier(net.path(), "off"));
        assert!(has_carrier(net.path(), "gone"));
        let nowhere = Links {
            heartbeat: vec!["192.0.2.77".parse().expect("an address")],
            interfaces: vec!["dead".to_owned()],
        };
        assert!(nowhere.have_carrier(net.path()));
        let here = Links {
            heartbeat: Vec::new(),
            interfaces: vec!["dead".to_owned()],
        };
        assert!(!here.have_carrier(net.path()));
        let without_address = Links {
            heartbeat: vec!["127.0.0.1".parse().expect("an address")],
            interfaces: Vec::new(),
        };
        assert!(without_address.have_carrier(net.path()));
    }
}
