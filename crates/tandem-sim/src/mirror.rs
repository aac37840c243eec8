//! A model of the mirror, after the contract between its two halves: what it has written, synced and
//! acknowledged, its ordered stream to the follower, gate, stall, drain, seal and release, and its
//! permit.
//!
//! It deliberately has no policy: like the real one it does what the daemon says and reports. Files,
//! names and objects are left out; a piece stands for a file (see [`crate::content`]).

use crate::clock::Time;
use crate::queue::{Happening, Scope, Snapshot};
use std::collections::VecDeque;
use std::rc::Rc;
use tandem_core::{
    EffectId, Epoch, GenerationId, Instant, MirrorCommand, MirrorFault, MirrorRole, PeerCopy,
    PeerMessage,
};

/// The operations that a broken stream keeps for a replay.
pub const REPLAY_MAX: usize = 120;

/// A numbered operation of the stream.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A write.
    Write {
        /// Where.
        piece: usize,
        /// Which.
        number: u64,
    },
    /// Sync a piece and say so.
    Sync {
        /// Which.
        piece: usize,
    },
    /// Sync everything and say so.
    Checkpoint,
    /// Resynchronisation: the piece is exactly this.
    Piece {
        /// Which.
        piece: usize,
        /// What it holds.
        bits: Snapshot,
    },
    /// Resynchronisation: all pieces were compared.
    CompareEnd,
    /// Every acknowledgement waits from here on; sync everything and say so.
    Level {
        /// What is being written.
        generation: GenerationId,
    },
}

/// How a session goes on after both hellos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Where it broke.
    Replay,
    /// From the common end of the last term, which both brought to disk.
    Clean,
    /// With a comparison of everything.
    Compare,
}

/// What travels on the stream.
#[derive(Clone, Debug)]
pub enum Frame {
    /// The source opens.
    Hello {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The follower answers.
    Accept {
        /// Its process.
        incarnation: u64,
        /// Whose numbers it has.
        stream: u64,
        /// The last number that it received.
        received: u64,
        /// Whether it was level on that stream.
        level: bool,
        /// Where the last term ended cleanly.
        base: Option<(u64, u64)>,
    },
    /// The follower refuses.
    Refuse,
    /// The source begins.
    Begin {
        /// How.
        start: Start,
        /// Its process, which names the numbers.
        stream: u64,
        /// The last number given so far.
        position: u64,
    },
    /// A numbered operation.
    Operation(u64, Operation),
    /// How far the follower is.
    Progress {
        /// Applied up to here.
        applied: u64,
        /// This number is on disk.
        synced: Option<u64>,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// A message of the daemon's.
    Gossip(Rc<PeerMessage>),
}

/// A request of the application that waits for its acknowledgement.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Names its local sync.
    pub token: u64,
    /// What is synced.
    pub piece: usize,
    /// What the piece held when it was asked.
    pub snapshot: Snapshot,
    /// Its number in the stream, if it was numbered.
    pub sequence: Option<u64>,
    /// On disk here.
    pub local: bool,
    /// Its number is on disk there.
    pub synced: bool,
    /// On disk there, with everything before it.
    pub peer: bool,
    /// Since when.
    pub since: Instant,
}

/// How far a source is with its follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Session {
    /// No connection.
    #[default]
    None,
    /// Hello was sent.
    Hello,
    /// Pieces below `next` are known to the follower.
    Compare {
        /// The next piece.
        next: usize,
    },
    /// This number ends the comparison.
    Ending(u64),
    /// The gate is on and this number makes the follower level.
    Levelling(u64),
    /// The follower has everything.
    Live,
}

/// The serving half.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The number before the first one of this session.
    pub first: u64,
    /// The last number given.
    pub position: u64,
    /// Operations that the follower may not have applied.
    pub buffer: VecDeque<(u64, Operation)>,
    /// The session.
    pub session: Session,
    /// The follower's process, once it was level in this term.
    pub level_with: Option<u64>,
    /// The last number applied by the follower.
    pub applied: u64,
    /// What waits.
    pub waiting: Vec<Waiting>,
    /// When the follower was last heard.
    pub heard: Instant,
    /// When the connection was opened.
    pub connected: Instant,
    /// When a connection may be tried again.
    pub retry: Time,
    /// A drain under way: effect, checkpoint, deadline.
    pub drain: Option<(EffectId, u64, Instant)>,
    /// New requests are refused: drained or draining.
    pub refusing: bool,
    /// The end of the drain.
    pub drained: Option<u64>,
    /// The gate was shut by this session and nobody relies on it yet: it opens with the session.
    pub provisional: bool,
    /// The peer has to be compared, which a shut gate forbids: its copy is a member of insync, and
    /// would be a mixture of two points in time for a while. It has to be released first.
    pub blocked: bool,
    /// For a mutation: the next piece as it was one step ago.
    pub stale: Option<Snapshot>,
    /// The clean end from which this term started.
    pub base: Option<(u64, u64)>,
}

/// The following half.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// Whose numbers these are.
    pub stream: u64,
    /// Received up to here.
    pub received: u64,
    /// Applied up to here.
    pub applied: u64,
    /// Received and not applied.
    pub queue: VecDeque<(u64, Operation)>,
    /// The level operation was executed on this stream.
    pub level: bool,
    /// When the source was last heard.
    pub heard: Instant,
    /// An [`Happening::Apply`] is on its way.
    pub applying: bool,
}

/// The parts of a status whose change is reported at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// The role.
    pub role: MirrorRole,
    /// The peer's copy, without its progress.
    pub peer: core::mem::Discriminant<PeerCopy>,
    /// Stalled, level, lapsed.
    pub flags: [bool; 3],
    /// Broken.
    pub fault: Option<MirrorFault>,
}

/// The command in hand.
#[derive(Clone, Debug)]
pub struct Busy {
    /// Its effect.
    pub id: EffectId,
    /// What.
    pub command: MirrorCommand,
}

/// The mirror's process.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Another process has another one.
    pub incarnation: u64,
    /// Stopped by a signal.
    pub paused: bool,
    /// What waits for it to go on.
    pub deferred: Vec<(Scope, Happening)>,
    /// What it does.
    pub role: MirrorRole,
    /// What it writes.
    pub generation: GenerationId,
    /// Commands that wait.
    pub commands: VecDeque<(EffectId, MirrorCommand)>,
    /// The command in hand.
    pub busy: Option<Busy>,
    /// The number of the command in hand.
    pub command_number: u64,
    /// The newest permit.
    pub permit: Option<(Epoch, Instant)>,
    /// The permit of this session ended once.
    pub lapsed: bool,
    /// What is broken.
    pub fault: Option<MirrorFault>,
    /// The connection to the other mirror.
    pub connection: Option<u64>,
    /// The serving half.
    pub source: Source,
    /// The following half.
    pub follower: Follower,
    /// What was last reported.
    pub reported: Option<Summary>,
    /// And when.
    pub reported_at: Time,
    /// Names local syncs.
    pub token: u64,
}

impl Mirror {
    /// A process that starts.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            paused: false,
            deferred: Vec::new(),
            role: MirrorRole::Idle,
            generation: GenerationId(0),
            commands: VecDeque::new(),
            busy: None,
            command_number: 0,
            permit: None,
            lapsed: false,
            fault: None,
            connection: None,
            source: Source::default(),
            follower: Follower::default(),
            reported: None,
            reported_at: 0,
            token: 0,
        }
    }

    /// The epoch in which it serves.
    #[must_use]
    pub fn serving(&self) -> Option<Epoch> {
        match self.role {
            MirrorRole::Serving { epoch, .. } => Some(epoch),
            MirrorRole::Idle | MirrorRole::Following { .. } | MirrorRole::Sealed { .. } => None,
        }
    }

    /// Whether acknowledgements wait for the peer.
    #[must_use]
    pub fn gated(&self) -> bool {
        matches!(self.role, MirrorRole::Serving { gated: true, .. })
    }

    /// Whether the permit is valid now. One that ended is never valid again in this session.
    pub fn permitted(&mut self, local: Instant) -> bool {
        let Some(epoch) = self.serving() else {
            return false;
        };
        if self.lapsed {
            return false;
        }
        match self.permit {
            Some((of, until)) if of == epoch => {
                if local < until {
                    true
                } else {
                    self.lapsed = true;
                    false
                }
            }
            Some(_) | None => false,
        }
    }

    /// Takes a permit. Asking first whether the old one ended finds a lapse across a pause.
    pub fn take_permit(&mut self, epoch: Epoch, until: Instant, local: Instant) {
        self.permitted(local);
        self.permit = Some((epoch, until));
    }

    /// Whether an acknowledgement waits too long, or the peer is silent for too long.
    #[must_use]
    pub fn stalled(&self, local: Instant, limit: core::time::Duration) -> bool {
        match self.role {
            MirrorRole::Serving { gated, .. } => {
                let waits = |since: Instant| local.since(since) > limit;
                gated
                    && (self.source.blocked
                        || waits(self.source.heard)
                        || self.source.waiting.iter().any(|w| waits(w.since)))
            }
            MirrorRole::Following { .. } => self.connection.is_none(),
            MirrorRole::Idle | MirrorRole::Sealed { .. } => false,
        }
    }

    /// The peer's copy as the serving half sees it.
    #[must_use]
    pub fn peer_copy(&self) -> PeerCopy {
        if self.serving().is_none() || self.connection.is_none() {
            return PeerCopy::Absent;
        }
        let total_bytes = 100;
        match self.source.session {
            Session::None | Session::Hello => PeerCopy::Absent,
            Session::Compare { next } => PeerCopy::Comparing {
                done_bytes: (next * 20) as u64,
                total_bytes,
            },
            Session::Ending(_) | Session::Levelling(_) => PeerCopy::Comparing {
                done_bytes: 99,
                total_bytes,
            },
            Session::Live => PeerCopy::Level,
        }
    }

    /// Gives `operation` the next number and keeps it for a replay.
    pub fn number(&mut self, operation: Operation) -> u64 {
        self.source.position += 1;
        let sequence = self.source.position;
        self.source.buffer.push_back((sequence, operation));
        // While the stream runs the follower trims; only a broken one overflows.
        if self.source.buffer.len() > REPLAY_MAX && self.connection.is_none() {
            self.source.buffer.pop_front();
        }
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::Mirror;
    use tandem_core::{Epoch, Instant, MirrorRole};

    #[test]
    fn a_permit_that_ended_is_never_valid_again_in_its_session() {
        let mut mirror = Mirror::new(1);
        mirror.role = MirrorRole::Serving {
            epoch: Epoch(3),
            gated: true,
        };
        assert!(!mirror.permitted(Instant(5)), "no permit yet");
        mirror.take_permit(Epoch(3), Instant(10), Instant(5));
        assert!(mirror.permitted(Instant(9)));
        mirror.take_permit(Epoch(3), Instant(30), Instant(20));
        assert!(!mirror.permitted(Instant(21)));
        assert!(mirror.lapsed);
    }
}
