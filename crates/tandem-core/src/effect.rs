//! What is to be done. Commands are imperative; slow ones carry an [`EffectId`] and their outcome
//! comes back as an event.

use crate::ids::{ChannelId, CommandId, EffectId, Epoch, GenerationId};
use crate::message::PeerMessage;
use crate::record::Durable;
use crate::table::Row;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;

/// An output of the automaton, to be carried out in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send on one channel, or on all.
    Send {
        /// `None`: all.
        channel: Option<ChannelId>,
        /// What.
        message: Box<PeerMessage>,
    },
    /// Write the state: temporary file, fsync, rename, fsync of the directory.
    Persist {
        /// Comes back as [`crate::Event::Persisted`].
        id: EffectId,
        /// What.
        durable: Box<Durable>,
    },
    /// Tell the mirror. Sent again by the interpreter when the mirror was not connected.
    Mirror {
        /// Comes back as `MirrorDone` or `MirrorRefused`.
        id: EffectId,
        /// What.
        command: MirrorCommand,
    },
    /// The mirror's permit. Has no outcome; the newest replaces all earlier ones.
    Permit {
        /// In this epoch.
        epoch: Epoch,
        /// [`Instant::FAR`]: without end; zero: taken back, writes are parked from now on.
        until: Instant,
    },
    /// Ask the network who has the virtual address.
    ProbeAddress(EffectId),
    /// Put the address on this node, announce it, and go on refreshing its lifetime until
    /// [`Effect::DropAddress`], but never past the permit.
    HoldAddress(EffectId),
    /// The same for a daemon that was restarted, if the address is on this node still. If it is
    /// not, nothing is put there: another machine may have taken it meanwhile.
    KeepAddress(EffectId),
    /// Take the address away.
    DropAddress(EffectId),
    /// Start all services in order, each with its readiness check.
    StartServices(EffectId),
    /// Stop all services in reverse order.
    StopServices {
        /// Comes back as `ServicesStopped` or `ServicesFailed`.
        id: EffectId,
        /// How.
        how: ServiceStop,
    },
    /// Answer an operator's command.
    Answer {
        /// Which.
        id: CommandId,
        /// With what.
        answer: Answer,
    },
    /// A decision was made: to be logged, and kept for *Why*.
    Decided {
        /// The row of the transition table, if the state changed.
        row: Option<Row>,
        /// The reason as one sentence.
        because: String,
    },
    /// Somebody must look at this.
    Alarm(String),
}

/// How services are stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ServiceStop {
    /// In reverse order, each within its limit, then by force.
    Orderly,
    /// By force at once: the node has lost the right to serve.
    Force,
}

/// A command to the mirror process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MirrorCommand {
    /// Open the session of this epoch and mount. Only from `Idle` or `Sealed`.
    Serve {
        /// The epoch of the session.
        epoch: Epoch,
        /// The generation that is being written.
        generation: GenerationId,
        /// Whether acknowledgements wait for the peer from the first write on.
        gated: bool,
        /// Whether an operator wants it served whatever it is: also a copy that is
        /// [inconsistent](crate::MirrorStatus::inconsistent), which is refused otherwise.
        forced: bool,
    },
    /// Accept the stream of the peer in this epoch, and no older one.
    Follow {
        /// The epoch.
        epoch: Epoch,
        /// The generation that the peer writes.
        generation: GenerationId,
        /// Whether it first forgets, durably, what it knows of its copy: then everything is
        /// compared with what the peer has.
        forget: bool,
    },
    /// Apply everything received, sync it, accept nothing more.
    Seal,
    /// The record without the peer counts: answer without it, also what waits already.
    ReleasePeer {
        /// The epoch of the session, or a higher one, in which the session goes on: the winner of
        /// a divergence never stopped serving (R8). On disk as the highest before it is used.
        epoch: Epoch,
        /// The new generation.
        generation: GenerationId,
    },
    /// Refuse new requests, wait (bounded by the stall limit, then refused) until the peer has
    /// applied and synced everything, and say up to which number. The session stays mounted.
    Drain,
    /// End the session: close, checkpoint, abort, unmount. From any role to `Idle`.
    Close,
}

/// The answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Done.
    Done(String),
    /// Not done, and nothing was changed.
    Refused(String),
    /// Begun and failed.
    Failed(String),
    /// How far it is; more answers follow.
    Progress(String),
}
