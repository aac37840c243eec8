//! The configuration file: one file, equal on both nodes, per-node values under the node.
//!
//! What was typed (`raw`) and what is meant ([`Configuration`]) are two types; between them stands
//! the validation, which collects every problem and says for each where it is, and what to do.
//! Whether the machine is as the file says is asked elsewhere ([`crate::check`]).

mod canonical;
mod covered;
mod duration;
mod plan;
mod problem;
mod raw;
mod validate;

pub use canonical::{difference, digest, digest_words, fields, fields_of, fields_of_mirror, shown};
pub use covered::{cover, other_command, uncover};
pub use duration::parse_duration;
pub use plan::{Change, Directory, Fate, changes, directories, kept, removed};
pub use problem::{ConfigError, Problem};

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_console::Secret;
use tandem_console::notify::Ways;
use tandem_core::NodeId;
use tandem_wire::exclude::Exclude;

/// Console, API.
pub const HTTP_PORT: u16 = 9010;
/// Control link, pairing.
pub const CONTROL_PORT: u16 = 9011;
/// Data stream of the first module.
pub const DATA_PORT: u16 = 9012;
/// Data streams of the other modules, unless they name a port: this one and their place.
pub const DATA_PORT_FURTHER: u16 = 9100;
/// Heartbeats (UDP).
pub const HEARTBEAT_PORT: u16 = 9013;

/// The limits of this release, with a clear answer beyond them.
pub mod limits {
    use std::time::Duration;
    /// Modules in a cluster.
    pub const MODULES_MAX: usize = 32;
    /// Volumes of a module.
    pub const VOLUMES_MAX: usize = 32;
    /// Virtual addresses of a module.
    pub const ADDRESSES_MAX: usize = 8;
    /// Heartbeat networks.
    pub const NETWORKS_MAX: usize = 4;
    /// Services, and checkers, of a module: far beyond any application that one file describes.
    pub const RESOURCES_MAX: usize = 64;
    /// The shortest `takeover-after`: five heartbeats of 60 ms.
    pub const TAKEOVER_AFTER_MIN: Duration = Duration::from_millis(300);
    /// The longest.
    pub const TAKEOVER_AFTER_MAX: Duration = Duration::from_secs(300);
    /// The longest time limit and period: a day.
    pub const LIMIT_MAX: Duration = Duration::from_secs(24 * 3600);
    /// The length of a name. Modules' names become parts of unit and socket names.
    pub const NAME_BYTES_MAX: usize = 32;
    /// The size of the file in bytes. Both nodes must be able to show it to each other.
    pub const FILE_BYTES_MAX: usize = 48 << 10;
}

/// A module's place in the configuration: how the parts of one daemon name it to each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place(pub usize);

/// What the file means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// The cluster's name.
    pub cluster: String,
    /// Silence on every channel after which the standby takes over.
    pub takeover_after: Duration,
    /// A machine beside the nodes that a standby asks before it takes over from a silent primary.
    pub gateway: Option<IpAddr>,
    /// node1, node2.
    pub nodes: [Node; 2],
    /// Who is told of changes of role. No part of what both nodes must have equal: a node that tells
    /// somebody else serves just as well.
    pub notify: Ways,
    /// The protected applications.
    pub modules: Vec<Module>,
}

/// One of the two servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Any name; shown to people.
    pub name: String,
    /// For the control link and the data stream.
    pub address: IpAddr,
    /// One per heartbeat network, in the same order on both nodes.
    pub heartbeat: Vec<IpAddr>,
}

/// One protected application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Where its mirrors listen for the data stream, on either node.
    pub data_port: u16,
    /// After how much silence of the other node one that was in sync serves without it at a cold
    /// start; `None`: never by itself.
    pub start_alone_after: Option<Duration>,
    /// The node that serves whenever both can.
    pub preferred_node: Option<NodeId>,
    /// How many restarts in place within the window before the application is given up.
    pub restart_budget: u8,
    /// The window of the budget.
    pub restart_window: Duration,
    /// Where an acknowledged write is.
    pub durability: Durability,
    /// Mirrored directories.
    pub volumes: Vec<Volume>,
    /// Virtual addresses.
    pub addresses: Vec<Address>,
    /// In start order.
    pub services: Vec<Service>,
    /// What probes it.
    pub checkers: Vec<Checker>,
}

/// One mirrored directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where it is, absolute and without `.` and `..`.
    pub path: PathBuf,
    /// Which of its operations wait for the other node.
    pub wait_for_peer: WaitForPeer,
    /// What of it is not mirrored.
    pub exclude: Exclude,
}

/// Where an acknowledged write is, as long as both copies are in sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// On both disks.
    #[default]
    Disk,
    /// On this node's disk and in the other node's memory.
    Memory,
}

/// Which operations wait for the other node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WaitForPeer {
    /// What waits for a disk: `fsync` and the like.
    #[default]
    Fsync,
    /// Every write.
    Write,
}

/// A virtual address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The interface on node1 and on node2.
    pub interfaces: [String; 2],
}

/// What is started and stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ServiceKind,
    /// When it counts as started.
    pub ready: Option<Ready>,
    /// How long a start may take.
    pub start_limit: Duration,
    /// How long a stop may take before force is used.
    pub stop_limit: Duration,
}

/// What a service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceKind {
    /// A systemd unit, with its suffix.
    Unit(String),
    /// Shell command lines, in which passwords may stand.
    Commands {
        /// Starts it.
        start: Secret,
        /// Stops it.
        stop: Secret,
        /// Succeeds while it runs.
        check: Option<Secret>,
    },
}

/// How a service shows that it can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// It accepts a connection.
    Tcp(SocketAddr),
    /// The command succeeds.
    Command(Secret),
}

/// What probes the application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checker {
    /// Its name.
    pub name: String,
    /// What it looks at.
    pub probe: Probe,
    /// From the start of one probe to the start of the next.
    pub period: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Successes in a row after which it is up.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
    /// What its going down leads to.
    pub action: Action,
}

/// What a checker looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A connection is accepted.
    Tcp(SocketAddr),
    /// A program ends with status 0.
    Script(PathBuf),
    /// A systemd unit is active.
    Unit(String),
    /// A process with this name runs.
    Process(String),
}

/// What the going down of a checker leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The services are restarted in place.
    Restart,
    /// The module is stopped and started here.
    StopStart,
    /// The roles are exchanged.
    Swap,
    /// The node waits until it is up.
    Wait,
    /// The module is stopped here.
    Stop,
    /// It is only shown.
    None,
}

impl Configuration {
    /// Reads and validates the file.
    ///
    /// # Errors
    /// [`ConfigError`]: it cannot be read, or what is wrong with it, everything at once.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Validates the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        validate::parse(text).map_err(|problems| ConfigError::Invalid {
            path: path.to_owned(),
            problems,
        })
    }

    /// One of the nodes.
    #[must_use]
    pub fn node(&self, node: NodeId) -> &Node {
        match node {
            NodeId::One => &self.nodes[0],
            NodeId::Two => &self.nodes[1],
        }
    }

    /// The module of this name, or the only one.
    #[must_use]
    pub fn module(&self, name: Option<&str>) -> Option<&Module> {
        self.place(name).map(|Place(place)| &self.modules[place])
    }

    /// The place of the module of this name, or of the only one.
    #[must_use]
    pub fn place(&self, name: Option<&str>) -> Option<Place> {
        let found = |name: &str| self.modules.iter().position(|module| module.name == name);
        match name {
            Some(name) => found(name).map(Place),
            None if self.modules.len() == 1 => Some(Place(0)),
            None => None,
        }
    }

    /// All places.
    pub fn places(&self) -> impl Iterator<Item = (Place, &Module)> {
        let modules = self.modules.iter().enumerate();
        modules.map(|(place, module)| (Place(place), module))
    }
}

impl Address {
    /// The interface on a node.
    #[must_use]
    pub fn interface(&self, node: NodeId) -> &str {
        match node {
            NodeId::One => &self.interfaces[0],
            NodeId::Two => &self.interfaces[1],
        }
    }
}
