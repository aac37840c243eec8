//! What two cores tell each other. One kind of message, which always carries everything that the
//! sender has: losing, repeating or reordering it is harmless.

use crate::ids::{CheckerId, ConfigurationDigest, Epoch, Incarnation, NodeId, Nonce, Sequence};
use crate::record::Record;
use crate::table::State;
use crate::view::{DataState, Tone};
use core::time::Duration;

/// The right to serve in `epoch`, counted from the moment at which `nonce` was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The newest nonce of the receiver that the sender counted as contact.
    pub nonce: Nonce,
    /// The epoch in which the sender accepts the receiver as the one that serves.
    pub epoch: Epoch,
}

/// What the mirror of the sender does, as far as the peer's decisions need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MirrorReport {
    /// Whether the mirror's process answers and its disk works.
    pub usable: bool,
    /// Whether it serves the application (its file system is mounted).
    pub serving: bool,
    /// Whether it follows a stream.
    pub following: bool,
    /// The last number applied (standby) or numbered (primary).
    pub position: Sequence,
}

/// One message between the cores of one module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerMessage {
    /// The sender.
    pub from: NodeId,
    /// The sender's daemon process.
    pub incarnation: Incarnation,
    /// The sender's own fresh nonce.
    pub nonce: Nonce,
    /// The newest nonce of the receiver that the sender has seen.
    pub seen: Option<Nonce>,
    /// The permit that the sender grants.
    pub grant: Option<Grant>,
    /// Whether the sender wants an answer at once (a tick, not itself an answer).
    pub answer_wanted: bool,
    /// The sender's state.
    pub state: State,
    /// The state's colour.
    pub tone: Tone,
    /// The sender's data column.
    pub data: DataState,
    /// The record on the sender's disk.
    pub record: Option<Record>,
    /// The sender's own durable proposal that is not known to count.
    pub proposal: Option<Record>,
    /// The sender, a standby, asks to be recorded out because it stops.
    pub leaving: bool,
    /// The sender, a standby, asks the one that serves to swap.
    pub swap_wanted: bool,
    /// The sender's mirror.
    pub mirror: MirrorReport,
    /// The digest of the sender's configuration.
    pub configuration: ConfigurationDigest,
    /// The time since the sender's last successful write of its state, while one is waiting.
    pub state_write_age: Duration,
    /// The time since the sender's mirror last finished something, while something is waiting.
    pub mirror_age: Duration,
    /// The content of the sender's copy in bytes, for the question at the first start.
    pub data_bytes: u64,
    /// The checker for which the sender gave the service away lately.
    pub moved_for: Option<CheckerId>,
    /// How far the receiver's resynchronisation is, as the sender, its source, knows it.
    pub resync_percent: Option<u8>,
}
