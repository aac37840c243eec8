//! Daemon to mirror on one node, over a Unix stream socket: a length of four bytes, little-endian,
//! then postcard. The mirror listens; a newer connection replaces the older one, so that a
//! restarted daemon finds its running mirror.

use serde::{Deserialize, Serialize};
use tandem_core::{
    Epoch, GenerationId, Incarnation, Instant, MirrorCommand, MirrorFault, MirrorRole,
    MirrorStatus, PeerCopy, Sequence,
};

/// The version of this protocol. The mirror keeps its binary over an upgrade of the daemon.
pub const VERSION: u16 = 1;
/// The largest message in bytes.
pub const MESSAGE_MAX: usize = 64 << 10;

/// What the daemon says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToMirror {
    /// First.
    Hello { version: u16, module: String },
    /// Carry out; answered by [`ToDaemon::Done`] or [`ToDaemon::Refused`] with the same id.
    Command { id: u64, command: Command },
    /// The permit of an epoch, in nanoseconds of `CLOCK_BOOTTIME`; `u64::MAX`: without end.
    Permit { epoch: u64, until: u64 },
    /// Send this daemon message over the data stream, if there is one.
    Gossip(Vec<u8>),
    /// End the process; refused while serving.
    Quit,
}

/// [`MirrorCommand`] in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// See [`MirrorCommand::Serve`].
    Serve {
        epoch: u64,
        generation: u64,
        gated: bool,
        forced: bool,
    },
    /// See [`MirrorCommand::Follow`].
    Follow {
        epoch: u64,
        generation: u64,
        forget: bool,
    },
    /// See [`MirrorCommand::Seal`].
    Seal,
    /// See [`MirrorCommand::ReleasePeer`].
    ReleasePeer { epoch: u64, generation: u64 },
    /// See [`MirrorCommand::Drain`].
    Drain,
    /// See [`MirrorCommand::Close`].
    Close,
}

/// What the mirror says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToDaemon {
    /// First.
    Hello {
        version: u16,
        module: String,
        incarnation: u64,
        /// The digest of the configuration that the process was started with: an idle one that has
        /// another one than its daemon is replaced.
        configuration: u64,
    },
    /// A snapshot; sent at each change and at least every 100 ms.
    Status(Status),
    /// A command was carried out.
    Done { id: u64, position: u64 },
    /// A command could not be carried out.
    Refused { id: u64, reason: String },
    /// A message of the peer's daemon came over the data stream.
    Gossip(Vec<u8>),
}

/// [`MirrorStatus`] in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    pub incarnation: u64,
    pub role: Role,
    pub peer: Peer,
    pub stalled: bool,
    pub level: bool,
    pub lapsed: bool,
    pub permit_until: u64,
    pub fault: Option<Fault>,
    pub inconsistent: Option<String>,
    pub position: u64,
    pub acknowledged: u64,
    pub exposure_bytes: u64,
    pub exposure_age_ms: u64,
    pub completion_age_ms: u64,
    pub data_bytes: u64,
    /// While the peer is being compared.
    pub resync: Option<Resync>,
}

/// How far a comparison is, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Resync {
    /// Compared, or known to be equal.
    pub done_bytes: u64,
    /// Of so many. Both change while the application writes.
    pub total_bytes: u64,
    /// Contents that differed, and were sent.
    pub sent_bytes: u64,
    /// At the speed of the last seconds; unknown at the beginning and while nothing moves.
    pub left_seconds: Option<u64>,
}

/// [`MirrorRole`] in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Role {
    #[default]
    Idle,
    Following {
        epoch: u64,
    },
    Sealed {
        epoch: u64,
    },
    Serving {
        epoch: u64,
        gated: bool,
    },
}

/// [`PeerCopy`] in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Peer {
    #[default]
    Absent,
    Comparing {
        done_bytes: u64,
        total_bytes: u64,
    },
    Level,
}

/// [`MirrorFault`] in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    LocalDisk(String),
    Apply(String),
    Volume(String),
}

impl From<MirrorCommand> for Command {
    fn from(command: MirrorCommand) -> Self {
        match command {
            MirrorCommand::Serve {
                epoch,
                generation,
                gated,
                forced,
            } => Self::Serve {
                epoch: epoch.0,
                generation: generation.0,
                gated,
                forced,
            },
            MirrorCommand::Follow {
                epoch,
                generation,
                forget,
            } => Self::Follow {
                epoch: epoch.0,
                generation: generation.0,
                forget,
            },
            MirrorCommand::Seal => Self::Seal,
            MirrorCommand::ReleasePeer { epoch, generation } => Self::ReleasePeer {
                epoch: epoch.0,
                generation: generation.0,
            },
            MirrorCommand::Drain => Self::Drain,
            MirrorCommand::Close => Self::Close,
        }
    }
}

impl From<Command> for MirrorCommand {
    fn from(command: Command) -> Self {
        match command {
            Command::Serve {
                epoch,
                generation,
                gated,
                forced,
            } => Self::Serve {
                epoch: Epoch(epoch),
                generation: GenerationId(generation),
                gated,
                forced,
            },
            Command::Follow {
                epoch,
                generation,
                forget,
            } => Self::Follow {
                epoch: Epoch(epoch),
                generation: GenerationId(generation),
                forget,
            },
            Command::Seal => Self::Seal,
            Command::ReleasePeer { epoch, generation } => Self::ReleasePeer {
                epoch: Epoch(epoch),
                generation: GenerationId(generation),
            },
            Command::Drain => Self::Drain,
            Command::Close => Self::Close,
        }
    }
}

impl From<Status> for MirrorStatus {
    fn from(status: Status) -> Self {
        Self {
            incarnation: Incarnation(status.incarnation),
            role: match status.role {
                Role::Idle => MirrorRole::Idle,
                Role::Following { epoch } => MirrorRole::Following {
                    epoch: Epoch(epoch),
                },
                Role::Sealed { epoch } => MirrorRole::Sealed {
                    epoch: Epoch(epoch),
                },
                Role::Serving { epoch, gated } => MirrorRole::Serving {
                    epoch: Epoch(epoch),
                    gated,
                },
            },
            peer: match status.peer {
                Peer::Absent => PeerCopy::Absent,
                Peer::Comparing {
                    done_bytes,
                    total_bytes,
                } => PeerCopy::Comparing {
                    done_bytes,
                    total_bytes,
                },
                Peer::Level => PeerCopy::Level,
            },
            stalled: status.stalled,
            level: status.level,
            lapsed: status.lapsed,
            permit_until: Instant(status.permit_until),
            fault: status.fault.map(|fault| match fault {
                Fault::LocalDisk(text) => MirrorFault::LocalDisk(text),
                Fault::Apply(text) => MirrorFault::Apply(text),
                Fault::Volume(text) => MirrorFault::Volume(text),
            }),
            inconsistent: status.inconsistent,
            position: Sequence(status.position),
            acknowledged: Sequence(status.acknowledged),
            exposure_bytes: status.exposure_bytes,
            exposure_age: core::time::Duration::from_millis(status.exposure_age_ms),
            completion_age: core::time::Duration::from_millis(status.completion_age_ms),
            data_bytes: status.data_bytes,
        }
    }
}
