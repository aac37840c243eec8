//! Daemon to mirror on one node, over a Unix stream socket: a length of four bytes, little-endian,
//! then postcard. The mirror listens; a newer connection replaces the older one, so that a
//! restarted daemon finds its running mirror.

use core::fmt;
use serde::{Deserialize, Serialize};
use tandem_core::{
    Epoch, Incarnation, Instant, MirrorCommand, MirrorFault, MirrorRole, MirrorStatus, PeerCopy,
    Sequence,
};

/// The newest version of this protocol that this release speaks. The mirror keeps its binary over an
/// upgrade of the daemon, so it greets first, with its newest, and the daemon answers with the one
/// that both speak.
pub const VERSION: u16 = 1;
/// The oldest one that it still speaks; [`ToMirror::Hello`] and [`ToMirror::Quit`] are the same in
/// all of them.
pub const VERSION_MIN: u16 = 1;

/// The version that a daemon of this release speaks with a mirror, by the mirror's newest one.
#[must_use]
pub fn version_with(mirror: u16) -> Option<u16> {
    let common = VERSION.min(mirror);
    (common >= VERSION_MIN).then_some(common)
}

/// The largest message in bytes.
pub const MESSAGE_MAX: usize = 64 << 10;

/// What the daemon says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToMirror {
    /// First, once the mirror has greeted: the version that is spoken from now on.
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
    /// Begin to verify the peer's copy, or go on with it; not from the core. [`Status::verification`]
    /// says how it is getting on, [`ToDaemon::Done`]'s position which one it is.
    Verify,
}

/// What the mirror says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToDaemon {
    /// First: the newest version that the mirror speaks.
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
    /// Serving: what goes to the peer.
    pub flow: Option<Flow>,
    /// The verification that runs, or the last one of this service.
    pub verification: Option<Box<Verification>>,
}

/// How far a verification is, or what it came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Verification {
    /// Which one it is, counted in the service.
    pub number: u64,
    /// Contents that were compared, in bytes.
    pub done_bytes: u64,
    /// Of so many. Both change while the application writes.
    pub total_bytes: u64,
    /// Directories, objects and pieces of files that were not the same.
    pub differences: u64,
    /// Those of them that were sent anew, and applied.
    pub repaired: u64,
    /// Contents that were sent anew, in bytes.
    pub sent_bytes: u64,
    /// `None`: it runs.
    pub end: Option<VerificationEnd>,
}

/// How a verification ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VerificationEnd {
    /// It has seen everything.
    Complete,
    /// It has not; why, as a sentence.
    Interrupted(String),
}

/// What goes to the peer, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Handed to the connections of this service so far, in bytes.
    pub sent_bytes: u64,
    /// How long the peer takes to have a write on its disk, in microseconds, smoothed; `None`: no
    /// acknowledgement has waited for it yet.
    pub answer_us: Option<u64>,
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

impl Verification {
    /// The part that was compared, in percent; 100 only at the end.
    #[must_use]
    pub fn percent(&self) -> u64 {
        match self.end {
            Some(VerificationEnd::Complete) => 100,
            Some(VerificationEnd::Interrupted(_)) | None => {
                let percent = self.done_bytes.saturating_mul(100) / self.total_bytes.max(1);
                percent.min(99)
            }
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, percent) = (self.done_bytes, self.percent());
        match &self.end {
            None => write!(f, "{percent} % of {} bytes compared", self.total_bytes)?,
            Some(VerificationEnd::Complete) if self.differences == 0 => {
                return write!(f, "both copies are equal, {bytes} bytes compared");
            }
            Some(VerificationEnd::Complete) => write!(f, "{bytes} bytes compared")?,
            Some(VerificationEnd::Interrupted(why)) => {
                write!(f, "it did not end ({why}), {bytes} bytes compared")?;
            }
        }
        match (self.differences, self.repaired) {
            (0, _) => f.write_str(", no difference so far"),
            (1, 1) => f.write_str(", 1 difference found, repaired"),
            (found, repaired) if found == repaired => {
                write!(f, ", {found} differences found, repaired")
            }
            (found, repaired) => {
                let s = if found == 1 { "" } else { "s" };
                write!(
                    f,
                    ", {found} difference{s} found, {repaired} of them repaired so far"
                )
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_says_what_it_came_to() {
        let mut found = Verification {
            done_bytes: 500,
            total_bytes: 1000,
            ..Verification::default()
        };
        let says = |found: &Verification, text: &str| assert_eq!(found.to_string(), text);
        says(&found, "50 % of 1000 bytes compared, no difference so far");
        found.differences = 2;
        found.repaired = 1;
        let both = "50 % of 1000 bytes compared, 2 differences found, 1 of them repaired so far";
        says(&found, both);
        found.end = Some(VerificationEnd::Interrupted("the stream broke".to_owned()));
        let interrupted = "it did not end (the stream broke), 500 bytes compared, \
                           2 differences found, 1 of them repaired so far";
        says(&found, interrupted);
        found.end = Some(VerificationEnd::Complete);
        found.repaired = 2;
        says(&found, "500 bytes compared, 2 differences found, repaired");
        found.differences = 0;
        says(&found, "both copies are equal, 500 bytes compared");
        assert_eq!(found.percent(), 100);
    }
}
