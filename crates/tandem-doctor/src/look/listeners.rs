//! Programs that listen on this machine: the kernel's tables of sockets, and whose they are.

use crate::facts::{Listener, Looked};
use crate::subject::Protocol;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// More than a server has; what is told must fit into a frame.
const LISTENERS_MAX: usize = 128;
/// As the kernel writes it: a TCP socket that listens.
const LISTENS: &str = "0A";

pub fn listeners() -> Looked<Vec<Listener>> {
    let tables = [
        ("/proc/net/tcp", Protocol::Tcp),
        ("/proc/net/tcp6", Protocol::Tcp),
        ("/proc/net/udp", Protocol::Udp),
        ("/proc/net/udp6", Protocol::Udp),
    ];
    let mut sockets = Vec::new();
    for (table, protocol) in tables {
        // Without IPv6 its tables are not there.
        let text = fs::read_to_string(table).unwrap_or_default();
        let found = text
            .lines()
            .skip(1)
            .filter_map(|line| parse(line, protocol));
        sockets.extend(found.map(|(port, inode)| (port, protocol, inode)));
    }
    let owners = owners();
    let mut listeners: Vec<Listener> = Vec::new();
    for (port, protocol, inode) in sockets {
        let listener = Listener {
            port,
            protocol,
            program: owners.get(&inode).cloned(),
        };
        if !listeners.contains(&listener) {
            listeners.push(listener);
        }
    }
    listeners.sort_by_key(|listener| listener.port);
    // The ports of ephemeral UDP sockets are the high ones.
    listeners.truncate(LISTENERS_MAX);
    Looked::Seen(listeners)
}

/// Port and inode of a socket that takes what comes.
fn parse(line: &str, protocol: Protocol) -> Option<(u16, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let (_, remote) = fields.get(2)?.rsplit_once(':')?;
    let takes = match protocol {
        Protocol::Tcp => *fields.get(3)? == LISTENS,
        Protocol::Udp => remote == "0000",
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = fields.get(9)?.parse().ok()?;
    takes.then_some((port, inode))
}

/// The names of the programs that have sockets, by the sockets' inodes. Others' only for root.
fn owners() -> HashMap<u64, String> {
    let mut owners = HashMap::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return owners;
    };
    for process in processes.flatten() {
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            if let Some(inode) = socket(&target) {
                let name = fs::read_to_string(process.path().join("comm"));
                owners.insert(inode, name.unwrap_or_default().trim().to_owned());
            }
        }
    }
    owners
}

/// `socket:[12345]`
fn socket(target: &Path) -> Option<u64> {
    let text = target.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_on_its_ports() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let wanted = [
            (tcp.local_addr().expect("bound").port(), Protocol::Tcp),
            (udp.local_addr().expect("bound").port(), Protocol::Udp),
        ];
        let owners = owners();
        for (port, protocol) in wanted {
            let table = match protocol {
                Protocol::Tcp => "/proc/net/tcp",
                Protocol::Udp => "/proc/net/udp",
            };
            let text = fs::read_to_string(table).expect("a kernel with sockets");
            let mut sockets = text.lines().skip(1).filter_map(|l| parse(l, protocol));
            let (_, inode) = sockets.find(|(p, _)| *p == port).expect("listed");
            assert!(owners.contains_key(&inode), "{port}");
        }
    }
}
