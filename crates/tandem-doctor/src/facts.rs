//! What was seen on one machine. Facts travel between releases: fields are added, never renamed,
//! and what is missing counts as not looked at.

use crate::subject::Protocol;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// Something that was seen, or why it could not be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Looked<T> {
    /// It was seen.
    Seen(T),
    /// It could not be looked at, as a sentence.
    Unknown(String),
}

impl<T> Default for Looked<T> {
    fn default() -> Self {
        Self::Unknown("that node's release does not look at it".to_owned())
    }
}

impl<T> Looked<T> {
    /// What was seen.
    pub const fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) => Some(seen),
            Self::Unknown(_) => None,
        }
    }
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Looked<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(seen) => Self::Seen(seen),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Everything seen on one machine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// 1 or 2, if that is known.
    pub node: Option<u8>,
    /// Tandem's release.
    pub release: String,
    /// The wall clock when the looking ended, in milliseconds since 1970.
    pub wall_clock_ms: u64,
    /// The operating system.
    pub system: Looked<System>,
    /// How the clock is kept.
    pub clock: Looked<Clock>,
    /// The addresses of this machine.
    pub addresses: Looked<Vec<LocalAddress>>,
    /// This node's addresses as the configuration has them.
    pub own: Vec<IpAddr>,
    /// What the nodes' names stand for here.
    pub names: Vec<Name>,
    /// The other node, asked from here.
    pub peer: Option<Echo>,
    /// The gateway, asked from here.
    pub gateway: Option<Echo>,
    /// The other node's ports, tried from here.
    pub peer_ports: Vec<PeerPort>,
    /// Programs that listen on this machine.
    pub listeners: Looked<Vec<Listener>>,
    /// The accounts of this machine.
    pub accounts: Looked<Vec<Account>>,
    /// The mirrored directories.
    pub volumes: Vec<VolumeFacts>,
    /// Free space where the state is kept.
    pub state_free_bytes: Looked<u64>,
    /// Database packages that are installed.
    pub packages: Looked<Vec<Package>>,
    /// Settings of databases that decide whether a commit is on disk.
    pub settings: Vec<Setting>,
    /// The application's units.
    pub units: Vec<Unit>,
    /// The checkers' scripts.
    pub scripts: Vec<Script>,
    /// The kernel's file systems in user space.
    pub fuse: Looked<Fuse>,
    /// The last second of the console's certificate since 1970; none: it has no HTTPS.
    pub certificate_ends: Looked<Option<u64>>,
    /// Mandatory access control.
    pub confinement: Looked<Confinement>,
    /// The virtual addresses.
    pub virtual_addresses: Vec<VirtualAddress>,
}

/// The operating system.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct System {
    /// `debian`
    pub id: String,
    /// `12`
    pub version: String,
    /// `6.1.0-18-amd64`
    pub kernel: String,
    /// `x86_64`
    pub architecture: String,
}

/// How the clock is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// By a time server.
    Synchronised,
    /// By nobody.
    Unsynchronised,
    /// A container's clock is its host's.
    Host,
}

/// An address of this machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LocalAddress {
    /// Where.
    pub interface: String,
    /// Which.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Whether it was leased, and may change.
    pub leased: bool,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The address that it should stand for.
    pub wanted: IpAddr,
    /// What this machine says.
    pub found: Looked<Vec<IpAddr>>,
}

/// A machine that was asked (ICMP echo).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Echo {
    /// Which.
    pub address: IpAddr,
    /// The median time to an answer in microseconds; none: it did not answer.
    pub microseconds: Looked<Option<u64>>,
}

/// A port of the other node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerPort {
    /// Its number.
    pub number: u16,
    /// What came of a connection.
    pub reach: Reach,
}

/// What came of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Somebody listens.
    Open,
    /// Nobody listens, and the machine says so.
    Closed,
    /// Nothing came back, or something in between refused.
    Filtered,
}

/// A program that listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The program's name, if this user may know it.
    pub program: Option<String>,
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

/// A mirrored directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeFacts {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Who owns it; none: it is not there.
    pub owner: Option<(u32, u32)>,
    /// The type of the file system that it lies on.
    pub file_system: Looked<String>,
    /// The options of that file system's mount.
    pub options: Vec<String>,
    /// What is free there.
    pub free_bytes: Looked<u64>,
    /// The version of a PostgreSQL database in it.
    pub postgresql: Option<String>,
    /// Whether Tandem has it mounted for the application.
    pub served: bool,
    /// Programs that can write to it past the mirror.
    pub writers: Looked<Vec<String>>,
}

/// An installed package.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A setting of a database.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Where it stands.
    pub file: PathBuf,
    /// Its name.
    pub key: String,
    /// What it is set to.
    pub value: String,
}

/// A unit of the application.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// As systemd says: `loaded`, `not-found`, `masked`.
    pub load: Looked<String>,
    /// As systemd says: `enabled`, `disabled`, `static`.
    pub at_boot: String,
}

/// A script of a checker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Script {
    /// Where it is.
    pub path: PathBuf,
    /// Its mode, if it is a file.
    pub mode: Option<u32>,
    /// Whether its file system forbids programs.
    pub noexec: bool,
}

/// The kernel's file systems in user space.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fuse {
    /// Whether `/dev/fuse` is there.
    pub device: bool,
    /// The shorter of the kernel's time limits for a request, if there is one.
    pub request_seconds_max: Option<u64>,
}

/// Mandatory access control.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Confinement {
    /// Whether SELinux enforces.
    pub selinux: bool,
    /// The profiles that AppArmor enforces.
    pub apparmor: Vec<String>,
}

/// A virtual address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// The interface that shall have it.
    pub interface: String,
    /// Whether this machine has that interface.
    pub interface_exists: bool,
    /// Whether this machine has the address.
    pub here: bool,
    /// The hardware address that answers for it, if any does.
    pub taken_by: Looked<Option<String>>,
}
