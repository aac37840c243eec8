//! The one queue of the world: happenings ordered by time, then by the order of their making.

use crate::clock::Time;
use crate::content::Bits;
use crate::faults::Fault;
use crate::mirror::Frame;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use tandem_core::{ChannelId, EffectId, Epoch, Event, Instant, MirrorCommand, NodeId, PeerMessage};

/// Whose life a happening depends on. What belongs to a dead one is dropped, to a paused one kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's.
    World,
    /// The machine's, from one boot to the next.
    Host(NodeId, u64),
    /// The daemon's process.
    Daemon(NodeId, u64),
    /// The mirror's process.
    Mirror(NodeId, u64),
}

/// What a daemon sends to its mirror.
#[derive(Clone, Debug)]
pub enum ToMirror {
    /// A command and its effect.
    Command(EffectId, MirrorCommand),
    /// The permit.
    Permit(Epoch, Instant),
    /// A message for the other daemon, by the stream.
    Gossip(Rc<PeerMessage>),
}

/// What may happen.
#[derive(Clone, Debug)]
pub enum Happening {
    // Daemon
    /// The core's deadline; only the newest number counts.
    Tick(u64),
    /// The write at the head of the daemon's queue ends.
    PersistEnds,
    /// An outcome for the core.
    Outcome(Box<Event>),
    /// The daemon's mirror should run.
    EnsureMirror,
    /// A probe's answer is in.
    ProbeEnds(EffectId),
    /// The address is set.
    AddressSet(EffectId),
    /// The address is removed.
    AddressRemoved(EffectId),
    /// The address' lifetime is refreshed; only the newest number counts.
    AddressRefresh(u64),
    /// The checkers look; only the newest number counts.
    Check(u64),
    // Host
    /// A datagram arrives.
    Datagram(u8, Rc<PeerMessage>),
    /// A message of the control link arrives.
    ControlFrame(u64, Rc<PeerMessage>),
    /// The services' job ends; only the newest number counts.
    ServicesEnd(u64),
    /// The application acts; only the newest number counts.
    Application(u64),
    /// The daemon is started.
    StartDaemon,
    // Mirror
    /// From the daemon.
    ToMirror(ToMirror),
    /// The mirror looks around.
    MirrorTick,
    /// The command in hand ends; only the newest number counts.
    CommandEnds(u64),
    /// A local sync for a waiting request is finished.
    LocalSynced(u64),
    /// The next piece is compared, in this session.
    CompareStep(u64),
    /// A frame of this connection arrives.
    StreamFrame(u64, Box<Frame>),
    /// The other end of this connection is gone.
    StreamClosed(u64),
    /// The follower applies what it received.
    Apply,
    /// The follower has synced for this number, in this session.
    FollowerSynced {
        /// The connection.
        connection: u64,
        /// The number.
        sequence: u64,
        /// The piece, or everything.
        piece: Option<usize>,
        /// Whether this was the level operation.
        level: bool,
    },
    // World
    /// A random fault is chosen.
    Chaos,
    /// A fault ends.
    FaultEnds(Fault),
    /// The random operator acts.
    Operator,
    /// The settling operator acts.
    Settle,
    /// Links are looked after.
    Links,
    /// Checkers look at both nodes.
    Sample,
    /// A step of a directed scenario.
    Script,
    /// The chaos ends.
    Heal,
}

/// A snapshot of a piece.
pub type Snapshot = Rc<Bits>;

#[derive(Debug)]
struct Entry {
    at: Time,
    order: u64,
    scope: Scope,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// Reversed: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Queue {
    /// Adds a happening.
    pub fn push(&mut self, at: Time, scope: Scope, happening: Happening) {
        self.order += 1;
        self.heap.push(Entry {
            at,
            order: self.order,
            scope,
            happening,
        });
    }

    /// The next happening.
    pub fn pop(&mut self) -> Option<(Time, Scope, Happening)> {
        self.heap
            .pop()
            .map(|entry| (entry.at, entry.scope, entry.happening))
    }
}

/// The channels of a cluster with this many heartbeat networks.
pub fn channels(networks: u8) -> impl Iterator<Item = ChannelId> {
    (0..networks)
        .map(ChannelId::Network)
        .chain([ChannelId::Control, ChannelId::Stream])
}
