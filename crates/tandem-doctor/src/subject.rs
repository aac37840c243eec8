//! What is to be looked at on one machine, as its configuration says. Before set-up most of it is
//! empty, and what does not depend on it is looked at all the same.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    /// 1 or 2, if that is known.
    pub node: Option<u8>,
    /// The names of both nodes, and the addresses that they stand for.
    pub names: Vec<(String, IpAddr)>,
    /// This node's addresses: for the links, and of each heartbeat network.
    pub own: Vec<IpAddr>,
    /// Where the other node is.
    pub peer: Option<IpAddr>,
    /// The gateway that is asked before a takeover.
    pub gateway: Option<IpAddr>,
    /// The ports that are used here, and asked for there.
    pub ports: Vec<Port>,
    /// The mirrored directories.
    pub volumes: Vec<Volume>,
    /// The virtual addresses.
    pub addresses: Vec<Address>,
    /// The application's units.
    pub units: Vec<String>,
    /// The checkers' scripts.
    pub scripts: Vec<PathBuf>,
    /// For how long an acknowledgement may wait for the peer.
    pub stall_limit: Option<Duration>,
    /// The console's certificate for HTTPS, if it has one.
    pub certificate: PathBuf,
    /// Where the state is kept.
    pub state_dir: PathBuf,
}

/// A port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Of which protocol.
    pub protocol: Protocol,
    /// For what it is used.
    pub purpose: &'static str,
}

/// Of which protocol a port is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As people write it after a port.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A mirrored directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A virtual address on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The interface.
    pub interface: String,
}
