//! What happened. Events are past tense; every one is valid in every state.

use crate::ids::{ChannelId, CommandId, EffectId, Epoch, Incarnation, Sequence};
use crate::message::PeerMessage;
use crate::record::Durable;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

/// An input of the automaton.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The deadline passed.
    Ticked,
    /// An authenticated message of the peer's core arrived.
    Received {
        /// By which way.
        channel: ChannelId,
        /// What it says.
        message: Box<PeerMessage>,
    },
    /// The state of [`crate::Effect::Persist`] is on disk.
    Persisted(EffectId),
    /// The state could not be written. The interpreter has logged why.
    PersistFailed(EffectId),
    /// The mirror reported. Snapshots replace each other; each change is reported at once, and
    /// without a change at least every heartbeat interval.
    MirrorReported(MirrorStatus),
    /// A mirror command was carried out.
    MirrorDone {
        /// The command's effect.
        id: EffectId,
        /// The last number of the stream that the command brought to an end or level; for a
        /// drain: the last number that the peer has applied, too.
        position: Sequence,
    },
    /// A mirror command could not be carried out.
    MirrorRefused {
        /// The command's effect.
        id: EffectId,
        /// Why, as a sentence.
        reason: String,
    },
    /// The mirror's process or its socket is gone.
    MirrorLost,
    /// Nobody else answers for the virtual address.
    AddressFree(EffectId),
    /// Another machine answers for the virtual address.
    AddressTaken {
        /// The probe's effect.
        id: EffectId,
        /// Its hardware address, as text.
        by: String,
    },
    /// The address is on this node (or there is none to hold).
    AddressHeld(EffectId),
    /// The address is gone from this node.
    AddressDropped(EffectId),
    /// The address was to be kept and is not here: its lifetime had ended.
    AddressGone(EffectId),
    /// All services run and are ready.
    ServicesStarted(EffectId),
    /// No process of any service is left.
    ServicesStopped(EffectId),
    /// A service could not be started or stopped.
    ServicesFailed {
        /// The effect.
        id: EffectId,
        /// What failed.
        failure: ServiceFailure,
    },
    /// A running service failed, or a checker whose action is `restart` went down.
    ServiceDown(ServiceFailure),
    /// A checker with another action went down.
    CheckerDown {
        /// Which, and why.
        failure: ServiceFailure,
        /// What is to be done.
        action: CheckerAction,
    },
    /// A checker is up again.
    CheckerUp {
        /// Its name.
        name: String,
    },
    /// The carrier of this node's own links (heartbeat networks and virtual address) changed.
    LinksChanged {
        /// Whether any of them has one. Without, this node is the one cut off.
        carrier: bool,
    },
    /// The gateway that this node is told to ask answers, or does not. It can only forbid.
    GatewayChanged {
        /// Whether it answers.
        reachable: bool,
    },
    /// An operator's command.
    Commanded {
        /// Names the answer.
        id: CommandId,
        /// What is asked.
        command: Command,
    },
    /// The time without a licence is over: the module stops as a whole. Said again and again.
    LicenceEnded,
    /// The machine shuts down: give the service to the peer before the network goes.
    ShuttingDown,
}

/// Why a service is down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceFailure {
    /// The service or checker, as configured.
    pub name: String,
    /// Why, as a sentence.
    pub reason: String,
    /// Whether restarting cannot help: the unit is masked or missing.
    pub hopeless: bool,
    /// Whether somebody stopped it on purpose and did not start it again (an upgrade of its
    /// package): started again here, it counts nowhere.
    pub requested: bool,
}

/// What a checker asks for when it goes down, other than a restart in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CheckerAction {
    /// Stop this node and start it again; on a primary with a standby this is a failover.
    StopStart,
    /// Swap.
    Swap,
    /// WAIT until the checker is up.
    Wait,
    /// STOP.
    Stop,
}

/// What an operator may ask of this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// `start`: picks the role by itself.
    Start,
    /// `stop`: this node.
    Stop,
    /// `stop` of the whole module: both copies are brought level and recorded as equal, then both
    /// nodes stop.
    StopModule,
    /// `restart`: services in place.
    Restart,
    /// `stopstart`
    StopStart,
    /// `swap`
    Swap,
    /// `prim`: serve, if the record proves this copy uptodate or there is no record anywhere.
    Prim,
    /// `prim --force`: serve whatever is here.
    PrimForce,
    /// `second`: start as standby; also the decision to give up this node's side of a divergence.
    Second,
    /// `second --full-sync`: nothing is believed of this copy, all of it is compared.
    SecondFullSync,
    /// `failover on|off`
    Failover(Switch),
    /// `checkers on|off`
    Checkers(Switch),
    /// `boot on|off`
    BootStart(Switch),
}

/// A position of a switch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// What the mirror process does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MirrorRole {
    /// Neither serving nor following; the directories are read-only.
    #[default]
    Idle,
    /// Accepts and applies the stream of the peer.
    Following {
        /// In this epoch.
        epoch: Epoch,
    },
    /// Everything received is applied and synced; accepts nothing more.
    Sealed {
        /// The epoch that it followed.
        epoch: Epoch,
    },
    /// The file system is mounted for the application.
    Serving {
        /// In this epoch.
        epoch: Epoch,
        /// Whether acknowledgements wait for the peer.
        gated: bool,
    },
}

/// What a serving mirror knows of the peer's copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PeerCopy {
    /// No stream.
    #[default]
    Absent,
    /// Being compared and copied. Acknowledgements do not wait for it.
    Comparing {
        /// Bytes compared so far.
        done_bytes: u64,
        /// Bytes to compare.
        total_bytes: u64,
    },
    /// Every acknowledgement waits for it from some number on, and its disk has everything up to
    /// there (R2).
    Level,
}

/// Why a mirror cannot be used any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MirrorFault {
    /// A local write or fsync failed: this replica is lost.
    LocalDisk(String),
    /// The standby could not apply an operation.
    Apply(String),
    /// Volumes cannot be opened, compared or mounted.
    Volume(String),
}

/// A snapshot of the mirror.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MirrorStatus {
    /// The mirror's process.
    pub incarnation: Incarnation,
    /// What it does.
    pub role: MirrorRole,
    /// The peer's copy, seen by a serving mirror.
    pub peer: PeerCopy,
    /// Serving: an acknowledgement waits for longer than the stall limit, or the peer is silent
    /// for that long even though nothing waits. Following: no stream.
    pub stalled: bool,
    /// Following: the source said that this copy is level (it got the gate).
    pub level: bool,
    /// Serving: the permit has ended, writes are parked. Never taken back in this session.
    pub lapsed: bool,
    /// Serving: until when the permit lasts that the mirror holds; [`Instant::FAR`]: without end.
    pub permit_until: Instant,
    /// What is broken, if anything.
    pub fault: Option<MirrorFault>,
    /// Why this copy is nothing that the application ever had, if so: its comparison did not end,
    /// or a volume was set back to an older state. It can be followed, and served only by force.
    pub inconsistent: Option<String>,
    /// Serving: the last number given. Following: the last number applied.
    pub position: Sequence,
    /// Serving: the last number that the peer has applied. Following: the last number received.
    pub acknowledged: Sequence,
    /// Acknowledged writes that exist only here.
    pub exposure_bytes: u64,
    /// The time since the oldest of them.
    pub exposure_age: Duration,
    /// The time since something was finished, while something waits.
    pub completion_age: Duration,
    /// The size of the volumes in bytes.
    pub data_bytes: u64,
}

/// What the node starts with.
#[derive(Clone, PartialEq, Debug)]
pub struct Boot {
    /// The state on disk.
    pub durable: Durable,
    /// The mirror, if one is running already.
    pub mirror: Option<MirrorStatus>,
    /// Whether this is the first start of the daemon since the machine booted.
    pub machine_booted: bool,
    /// A random number: seeds nonces and generations.
    pub seed: u64,
}
