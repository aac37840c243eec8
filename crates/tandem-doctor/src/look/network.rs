//! Addresses, names, and the other node as it is seen from here.

use super::command;
use crate::facts::{Echo, LocalAddress, Looked, Name, PeerPort, Reach, VirtualAddress};
use crate::subject::{Protocol, Subject};
use serde::Deserialize;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tandem_host::address::{Address, AddressConfig, Occupancy};
use tandem_host::ping::Pinger;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A machine in the same network answers in far less.
const ECHO_MAX: Duration = Duration::from_secs(1);
/// Questions for a median.
const ECHOES: usize = 5;
/// Three tries of the kernel's.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// A name server that does not answer is as good as none.
const RESOLVE_MAX: Duration = Duration::from_secs(5);

/// What is seen of the network.
pub struct Network {
    pub addresses: Looked<Vec<LocalAddress>>,
    pub names: Vec<Name>,
    pub peer: Option<Echo>,
    pub gateway: Option<Echo>,
    pub peer_ports: Vec<PeerPort>,
    pub virtual_addresses: Vec<VirtualAddress>,
}

pub async fn look(subject: &Subject) -> Network {
    let addresses = addresses().await;
    let (names, peer, gateway, peer_ports, virtual_addresses) = tokio::join!(
        names(&subject.names),
        echo(subject.peer),
        echo(subject.gateway),
        peer_ports(subject),
        virtual_addresses(subject, &addresses),
    );
    Network {
        addresses,
        names,
        peer,
        gateway,
        peer_ports,
        virtual_addresses,
    }
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    addr_info: Vec<AddressInfo>,
}

#[derive(Deserialize)]
struct AddressInfo {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    dynamic: bool,
}

async fn addresses() -> Looked<Vec<LocalAddress>> {
    match command::output("ip", &["-json", "address", "show"]).await {
        Ok(text) => parse(&text),
        Err(error) => Looked::Unknown(error),
    }
}

fn parse(text: &str) -> Looked<Vec<LocalAddress>> {
    let interfaces: Vec<Interface> = match serde_json::from_str(text) {
        Ok(interfaces) => interfaces,
        Err(error) => return Looked::Unknown(format!("what ip says cannot be read: {error}")),
    };
    let mut addresses = Vec::new();
    for interface in interfaces {
        for info in interface.addr_info {
            let Ok(address) = info.local.parse() else {
                continue;
            };
            if info.scope == "global" {
                addresses.push(LocalAddress {
                    interface: interface.ifname.clone(),
                    address,
                    prefix: info.prefixlen,
                    leased: info.dynamic,
                });
            }
        }
    }
    Looked::Seen(addresses)
}

async fn names(wanted: &[(String, IpAddr)]) -> Vec<Name> {
    let mut names = Vec::new();
    for (name, wanted) in wanted {
        let found = match timeout(RESOLVE_MAX, lookup_host((name.as_str(), 0))).await {
            Ok(Ok(found)) => {
                let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                found.dedup();
                Looked::Seen(found)
            }
            // Not known, or the name server says so.
            Ok(Err(_)) => Looked::Seen(Vec::new()),
            Err(_) => Looked::Unknown("no name server answered".to_owned()),
        };
        names.push(Name {
            name: name.clone(),
            wanted: *wanted,
            found,
        });
    }
    names
}

async fn echo(address: Option<IpAddr>) -> Option<Echo> {
    let address = address?;
    let microseconds = match median(address).await {
        Ok(time) => Looked::Seen(time),
        Err(error) => Looked::Unknown(format!("it cannot be asked (ICMP): {error}")),
    };
    Some(Echo {
        address,
        microseconds,
    })
}

async fn median(address: IpAddr) -> std::io::Result<Option<u64>> {
    let mut pinger = Pinger::open(address)?;
    let mut times = Vec::new();
    for round in 0..=ECHOES {
        let asked = Instant::now();
        if !pinger.ask(ECHO_MAX).await? {
            return Ok(None);
        }
        // The first one waits for the neighbour's hardware address.
        if round > 0 {
            times.push(asked.elapsed().as_micros() as u64);
        }
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied())
}

async fn peer_ports(subject: &Subject) -> Vec<PeerPort> {
    let Some(peer) = subject.peer else {
        return Vec::new();
    };
    let mut tries = JoinSet::new();
    for port in subject.ports.iter().filter(|p| p.protocol == Protocol::Tcp) {
        let number = port.number;
        tries.spawn(async move {
            let reach = reach(SocketAddr::new(peer, number)).await;
            PeerPort { number, reach }
        });
    }
    let mut ports = tries.join_all().await;
    ports.sort_by_key(|port| port.number);
    ports
}

/// What a connection comes to. One that stands is closed at once.
async fn reach(address: SocketAddr) -> Reach {
    match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Reach::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Reach::Closed,
        Ok(Err(_)) | Err(_) => Reach::Filtered,
    }
}

async fn virtual_addresses(
    subject: &Subject,
    here: &Looked<Vec<LocalAddress>>,
) -> Vec<VirtualAddress> {
    let mut seen = Vec::new();
    for wanted in &subject.addresses {
        let is_here = here
            .seen()
            .is_some_and(|all| all.iter().any(|a| a.address == wanted.address));
        let interface_exists = Path::new("/sys/class/net").join(&wanted.interface).exists();
        let taken_by = match (is_here, interface_exists) {
            (true, _) => Looked::Seen(None),
            (false, false) => Looked::Unknown(format!("there is no {}", wanted.interface)),
            (false, true) => probe(wanted).await,
        };
        seen.push(VirtualAddress {
            address: wanted.address,
            prefix: wanted.prefix,
            interface: wanted.interface.clone(),
            interface_exists,
            here: is_here,
            taken_by,
        });
    }
    seen
}

async fn probe(wanted: &crate::subject::Address) -> Looked<Option<String>> {
    let address = Address::new(AddressConfig {
        address: wanted.address,
        prefix: wanted.prefix,
        interface: wanted.interface.clone(),
    });
    match address.probe().await {
        Ok(Occupancy::Free) => Looked::Seen(None),
        Ok(Occupancy::Taken(by)) => Looked::Seen(Some(by.to_string())),
        Err(error) => Looked::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leased_addresses_are_told_from_static_ones() {
        let text = r#"[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
            {"ifname":"eth0","addr_info":[
             {"local":"192.0.2.1","prefixlen":24,"scope":"global"},
             {"local":"192.0.2.50","prefixlen":24,"scope":"global","dynamic":true},
             {"local":"fe80::1","prefixlen":64,"scope":"link"}]}, {}]"#;
        let parsed = parse(text);
        let addresses = parsed.seen().expect("readable");
        let leased: Vec<bool> = addresses.iter().map(|address| address.leased).collect();
        assert_eq!(leased, [false, true]);
        assert!(parse("no JSON").seen().is_none());
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_closed_and_not_filtered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        assert_eq!(reach(address).await, Reach::Open);
        drop(listener);
        assert_eq!(reach(address).await, Reach::Closed);
    }
}
