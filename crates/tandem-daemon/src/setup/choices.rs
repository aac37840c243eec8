//! What an operator chooses on node1, and the configuration file that comes out of it.

use super::{Filled, Transport};
use nix::ifaddrs::getifaddrs;
use std::net::IpAddr;
use tandem_core::NodeId;
use toml::{Table, Value};

/// The cluster's name where nobody chooses one.
pub const DEFAULT_CLUSTER: &str = "cluster1";
/// The module's.
pub const DEFAULT_MODULE: &str = "videeos";

/// What an operator chooses on node1.
#[derive(Clone, Debug)]
pub struct Choices {
    /// node2: host name or address.
    pub peer: String,
    /// The cluster's name.
    pub cluster: String,
    /// The module's name.
    pub module: String,
    /// What the application needs.
    pub application: Filled,
    /// With its prefix, as in `192.0.2.100/24`.
    pub virtual_addresses: Vec<String>,
    /// `takeover-after`, if not the preset's or the default.
    pub takeover_after: Option<String>,
    /// How browsers reach the console; chosen on both nodes.
    pub transport: Transport,
    /// Further networks: node1's address, node2's.
    pub networks: Vec<(IpAddr, IpAddr)>,
}

/// What the connection shows of one node.
pub(super) struct Place {
    pub name: String,
    pub address: IpAddr,
    pub interface: Option<String>,
}

impl Choices {
    pub(super) fn configuration(&self, one: &Place, two: &Place) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let mut cluster = Table::new();
        cluster.insert("name".to_owned(), text(&self.cluster));
        let preset = &self.application.takeover_after;
        if let Some(takeover_after) = self.takeover_after.as_ref().or(preset.as_ref()) {
            cluster.insert("takeover-after".to_owned(), text(takeover_after));
        }
        let node = |place: &Place, further: fn(&(IpAddr, IpAddr)) -> IpAddr| {
            let mut heartbeat = vec![place.address];
            heartbeat.extend(self.networks.iter().map(further));
            let heartbeat = heartbeat.iter().map(|a| text(&a.to_string())).collect();
            let mut node = Table::new();
            node.insert("name".to_owned(), text(&place.name));
            node.insert("address".to_owned(), text(&place.address.to_string()));
            node.insert("heartbeat".to_owned(), Value::Array(heartbeat));
            Value::Table(node)
        };
        let mut module = Table::new();
        module.insert("name".to_owned(), text(&self.module));
        module.extend(self.application.parts.clone());
        let addresses = self.virtual_addresses.iter().map(|address| {
            let interface = |place: &Place| place.interface.clone().unwrap_or_default();
            let mut table = Table::new();
            table.insert("address".to_owned(), text(address));
            let each = [("node1", interface(one)), ("node2", interface(two))];
            let interface = match each[0].1 == each[1].1 {
                true => text(&each[0].1),
                false => Value::Table(
                    each.map(|(k, v)| (k.to_owned(), Value::String(v)))
                        .into_iter()
                        .collect(),
                ),
            };
            table.insert("interface".to_owned(), interface);
            Value::Table(table)
        });
        module.insert("address".to_owned(), Value::Array(addresses.collect()));
        let mut all = Table::new();
        all.insert("cluster".to_owned(), Value::Table(cluster));
        all.insert("node1".to_owned(), node(one, |pair| pair.0));
        all.insert("node2".to_owned(), node(two, |pair| pair.1));
        all.insert(
            "module".to_owned(),
            Value::Array(vec![Value::Table(module)]),
        );
        let body = toml::to_string(&all).expect("plain data");
        format!("# Written by `tandem setup`; equal on both nodes.\n\n{body}")
    }
}

/// Machines of one image often have one name.
pub(super) fn told_apart(mut one: Place, mut two: Place) -> (Place, Place) {
    if one.name == two.name || one.name.is_empty() || two.name.is_empty() {
        one.name = NodeId::One.to_string();
        two.name = NodeId::Two.to_string();
    }
    (one, two)
}

pub(super) fn host_name() -> String {
    // Without /proc nothing of this runs.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // The part that people call it by.
    name.trim().split('.').next().unwrap_or_default().to_owned()
}

pub(super) fn interface_of(address: IpAddr) -> Option<String> {
    let found = getifaddrs().ok()?.find(|interface| {
        interface.address.is_some_and(|own| {
            let v4 = own.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| own.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))) == Some(address)
        })
    });
    Some(found?.interface_name)
}
