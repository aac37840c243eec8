//! What is known of the peer, and how fresh it is.
//!
//! Every message carries a new nonce of its sender and the newest one that the sender has seen of
//! the receiver. A message *counts* only if it echoes a nonce that this process sent within the
//! last `takeover_after` on this node's clock. So a datagram from yesterday, or from the backlog
//! of a process that was paused, never counts, and a one-way cut shows as silence on both sides.
//!
//! A permit ends at the *sending* time of the newest own nonce that the peer counted, plus its
//! length (R5 and "Who may serve"). The peer counted that nonce when it received it, so it cannot
//! take over before `takeover_after` from then.

use crate::config::Config;
use crate::ids::{Epoch, Incarnation, NodeId, Nonce};
use crate::message::{Grant, PeerMessage};
use crate::record::Record;
use crate::time::Instant;
use crate::voters::{Vote, Voter};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

/// How many own nonces are remembered. At most a few a heartbeat are sent, and the oldest that
/// matters is five heartbeats old.
const NONCES_MAX: usize = 256;
/// How many replaced processes of the peer are remembered.
const REPLACED_MAX: usize = 8;
/// For how many `takeover_after` a clone is believed in after it was heard last.
const CLONE_WINDOWS: u32 = 4;

/// What receiving a message asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// Old, repeated, or not from the peer.
    Ignored,
    /// Not fresh: it may be a replay. Only its nonce is answered, so that the next one can count.
    NotFresh,
    /// Fresh; counted as contact.
    Counted {
        /// The peer wants an answer at once.
        answer: bool,
    },
}

/// The state of the contact with the peer.
#[derive(Debug)]
pub struct Contact {
    node: NodeId,
    incarnation: Incarnation,
    window: Duration,
    next_nonce: Nonce,
    sent: VecDeque<(Nonce, Instant)>,
    /// The nonce to echo.
    seen: Option<Nonce>,
    /// The newest message that counted, and when it came.
    latest: Option<(Box<PeerMessage>, Instant)>,
    /// The newest message that counted and came from a healthy peer: its nonce, and when it came.
    healthy: Option<(Nonce, Instant)>,
    granted: Option<(Epoch, Instant)>,
    /// Processes of the peer that were replaced by another one, and when; newest last.
    replaced: VecDeque<(Incarnation, Instant)>,
    /// The replaced process that was found to live on last.
    revived: Option<(Incarnation, Instant)>,
    /// When a second one was found to live on as well.
    cloned: Option<Instant>,
    #[cfg(feature = "mutations")]
    mutation: Option<crate::Mutation>,
}

impl Contact {
    /// No contact yet.
    #[must_use]
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            node: config.node,
            incarnation: Incarnation(seed),
            window: config.takeover_after,
            // Leaves room to count up; a nonce of an earlier process is never met again.
            next_nonce: Nonce((seed ^ 0x5bd1_e995_9e37_79b9) >> 1),
            sent: VecDeque::new(),
            seen: None,
            latest: None,
            healthy: None,
            granted: None,
            replaced: VecDeque::new(),
            revived: None,
            cloned: None,
            #[cfg(feature = "mutations")]
            mutation: config.mutation,
        }
    }

    /// This process.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Draws the nonce of a message that is sent now.
    pub fn draw_nonce(&mut self, now: Instant) -> Nonce {
        let nonce = self.next_nonce;
        self.next_nonce = nonce.next();
        if self.sent.len() == NONCES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((nonce, now));
        nonce
    }

    /// The nonce to echo.
    #[must_use]
    pub const fn seen(&self) -> Option<Nonce> {
        self.seen
    }

    fn replaced_at(&self, incarnation: Incarnation) -> Option<usize> {
        self.replaced.iter().position(|(i, _)| *i == incarnation)
    }

    /// A process that was taken for ended answers what was sent since. One such may have been
    /// displaced by a late message of a process before it; if the one that displaced it lives on
    /// as well, the peer runs twice.
    fn revive(&mut self, now: Instant, place: usize) {
        let Some((incarnation, _)) = self.replaced.remove(place) else {
            return;
        };
        let other = |(last, at): (Incarnation, Instant)| {
            last != incarnation && now.since(at) < self.window * CLONE_WINDOWS
        };
        if self.revived.is_some_and(other) {
            self.cloned = Some(now);
        }
        self.revived = Some((incarnation, now));
    }

    /// Whether the peer runs twice: it was cloned, or restored beside the original. Two processes
    /// that both answer what this node sends now are not one that was restarted.
    #[must_use]
    pub fn is_cloned(&self, now: Instant) -> bool {
        self.cloned
            .is_some_and(|at| now.since(at) < self.window * CLONE_WINDOWS)
    }

    /// A permit in `epoch` for the newest nonce of the peer that counted. Not for one of a peer
    /// that fails: its silence is counted already.
    #[must_use]
    pub fn grant(&self, epoch: Epoch) -> Option<Grant> {
        self.healthy.map(|(nonce, _)| Grant { nonce, epoch })
    }

    fn sent_at(&self, nonce: Nonce) -> Option<Instant> {
        self.sent
            .iter()
            .rev()
            .find(|(n, _)| *n == nonce)
            .map(|(_, at)| *at)
    }

    /// Takes a message in.
    pub fn receive(&mut self, now: Instant, limit: Duration, message: Box<PeerMessage>) -> Receipt {
        if message.from != self.node.peer() {
            return Receipt::Ignored;
        }
        if let Some((latest, _)) = &self.latest
            && latest.incarnation == message.incarnation
            && message.nonce <= latest.nonce
        {
            return Receipt::Ignored;
        }
        let echoed = message.seen.and_then(|nonce| self.sent_at(nonce));
        if let Some(place) = self.replaced_at(message.incarnation) {
            // A late message of a process that has ended echoes what was sent before its end.
            let lives = echoed.is_some_and(|echoed| echoed > self.replaced[place].1);
            if !lives {
                return Receipt::Ignored;
            }
            self.revive(now, place);
        }
        let fresh = echoed.is_some_and(|at| now.since(at) < self.window)
            || mutated!(self, PermitFromArrival);
        if !fresh {
            // Another process of the peer, or a replay: its nonce is echoed so that a real sender
            // can prove itself; what counted before is not forgotten.
            self.seen = Some(message.nonce);
            return Receipt::NotFresh;
        }
        self.seen = Some(message.nonce);
        if let Some(grant) = message.grant
            && let Some(at) = self.sent_at(grant.nonce)
        {
            let at = if mutated!(self, PermitFromArrival) {
                now
            } else {
                at
            };
            let newer = match self.granted {
                None => true,
                Some((epoch, since)) => grant.epoch > epoch || (grant.epoch == epoch && at > since),
            };
            if newer {
                self.granted = Some((grant.epoch, at));
            }
        }
        let answer = message.answer_wanted;
        if message.state_write_age < limit
            && (!(message.state.serves() || message.mirror.serving)
                || message.mirror_age < self.window)
        {
            self.healthy = Some((message.nonce, now));
        }
        if let Some((latest, _)) = &self.latest
            && latest.incarnation != message.incarnation
        {
            if self.replaced.len() == REPLACED_MAX {
                self.replaced.pop_front();
            }
            self.replaced.push_back((latest.incarnation, now));
        }
        self.latest = Some((message, now));
        Receipt::Counted { answer }
    }

    /// The newest message that counted.
    #[must_use]
    pub fn latest(&self) -> Option<&PeerMessage> {
        self.latest.as_ref().map(|(message, _)| &**message)
    }

    /// When the newest message that counted came.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.latest.as_ref().map(|(_, at)| *at)
    }

    /// Whether no message at all counted for `limit`: not even one of a peer that fails.
    #[must_use]
    pub fn unheard_for(&self, now: Instant, limit: Duration) -> bool {
        self.heard().is_none_or(|at| now.since(at) >= limit)
    }

    /// Whether no healthy message counted for `limit`.
    #[must_use]
    pub fn silent_for(&self, now: Instant, limit: Duration) -> bool {
        self.healthy.is_none_or(|(_, at)| now.since(at) >= limit)
    }

    /// When the last message that counted came from a healthy peer.
    #[must_use]
    pub fn last_healthy(&self) -> Option<Instant> {
        self.healthy.map(|(_, at)| at)
    }
}

/// The peer: its messages are its answers, and every message to it carries the questions.
impl Voter for Contact {
    fn read(&self) -> Option<&Record> {
        self.latest()?.record.as_ref()
    }

    fn propose(&self, new: &Record) -> Vote {
        match self.read() {
            Some(stored) if stored.same_decision(new) => Vote::Stored,
            Some(_) | None => Vote::Unknown,
        }
    }

    /// The sending time of the newest own nonce that the peer granted in `epoch`.
    fn renew(&self, epoch: Epoch) -> Option<Instant> {
        self.granted
            .filter(|(granted, _)| *granted == epoch)
            .map(|(_, at)| at)
    }
}
