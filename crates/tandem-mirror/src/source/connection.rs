//! What connections of the follower mean for the session: begun, resumed, heard, broken, given up.

use super::{
    Gate, Link, Need, Offer, Phase, QUEUE_FRAMES_MAX, Scope, Session, SessionId, Source, State,
    Terms, Ticket,
};
use crate::debt::Line;
use crate::sys;
use crate::transport::FrameSender;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::stream::{
    DebtBase, Differs, FrameHeader, Progress, Unequal, VERSION, VERSION_MIN,
};

impl Source {
    /// What to say in the hello.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let state = self.lock();
        Offer {
            generation: state.generation,
            last: state.last,
            base: match &state.session {
                Some(session) if !session.lost => Some(session.base),
                Some(_) | None => None,
            },
            debt: self.debt.base(state.last),
            gated: state.gate != Gate::Open,
        }
    }

    /// The follower wants everything compared: begins a session.
    ///
    /// Not behind a shut gate: `None`. The record says that the follower is in sync, so it may be
    /// promoted at any moment, and a copy that is half compared is one that never existed. The
    /// stall is reported at once instead; the daemon records the peer out and releases it, and the
    /// comparison begins at the next connection.
    ///
    /// With `owed`, the follower is one of those copies: only what is owed is compared, if that is
    /// still so.
    pub fn begin_compare(
        &self,
        sender: FrameSender,
        terms: Terms,
        owed: Option<DebtBase>,
    ) -> Option<u64> {
        // So that a comparison of everything knows what changed since it began.
        self.debt.begin_half(|| self.lock().last);
        let mut state = self.lock();
        if state.gate == Gate::Shut {
            let was = std::mem::replace(&mut state.outdated, true);
            drop(state);
            if !was {
                tracing::warn!("the peer's copy has to be compared: it must be recorded out first");
            }
            self.tick();
            return None;
        }
        let now = sys::now();
        state.sessions += 1;
        let id = state.sessions;
        let base = state.last;
        let mut session = Session::new(id, Phase::Comparing, terms.secret, base, now);
        if owed.is_some_and(|owed| self.debt.is_still(&owed)) {
            session.scope = Scope::Owed;
            self.debt.compare_owed(terms.comparison);
        } else {
            let line = self.line(&state);
            self.debt.compare_everything(line, terms.comparison);
        }
        state.session = Some(session);
        state.gate = Gate::Open;
        for pending in state.pending.values_mut() {
            pending.need = Need::Nothing;
        }
        self.complete.store(0, Ordering::SeqCst);
        self.session.store(id, Ordering::SeqCst);
        let link = state.set_link(sender, now);
        self.forget_congestion();
        self.advance.notify_all();
        self.settle(state);
        (self.changed)();
        Some(link)
    }

    /// The follower goes on from `from`: sends what it misses. `None` where that is not held.
    pub fn resume(&self, sender: FrameSender, from: u64) -> Option<u64> {
        let mut state = self.lock();
        let now = sys::now();
        let last = state.last;
        let session = state.session.as_mut()?;
        if session.lost || from <= session.base || from > last + 1 {
            return None;
        }
        session.sent = from - 1;
        session.moved = now;
        let phase = session.phase;
        session.phase = match phase {
            Phase::Expected => Phase::Level,
            other => other,
        };
        if phase == Phase::Expected {
            // Both copies are what they were at the beginning.
            self.debt.drop_older(self.line(&state));
        }
        let link = state.set_link(sender, now);
        self.repeat_syncs(&mut state, from);
        self.work.notify_one();
        self.advance.notify_all();
        drop(state);
        (self.changed)();
        Some(link)
    }

    pub(super) fn line(&self, state: &State) -> Line {
        Line {
            incarnation: self.incarnation,
            epoch: self.epoch(),
            generation: state.generation,
        }
    }

    /// What was sent before the connection broke may have been synced with nobody to tell it to:
    /// asks again, under new numbers.
    pub(super) fn repeat_syncs(&self, state: &mut State, from: u64) {
        let unanswered: Vec<Ticket> = state
            .pending
            .iter()
            .filter(|(_, pending)| matches!(pending.need, Need::Synced(n) if n < from))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in unanswered {
            let target = state.pending[&ticket].target;
            let need = self.need(state, &target);
            if let Some(pending) = state.pending.get_mut(&ticket) {
                pending.need = need;
            }
        }
    }

    /// A frame of the follower's came on this link.
    pub fn heard(&self, link: u64) {
        let mut state = self.lock();
        if state.link.as_ref().is_some_and(|l| l.number == link) {
            state.heard = sys::now();
        }
    }

    /// The follower says how far it is.
    pub fn progress(&self, link: u64, progress: &Progress) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.link.as_ref().is_none_or(|l| l.number != link) {
            return;
        }
        let line = self.line(state);
        let Some(session) = &mut state.session else {
            return;
        };
        if progress.applied > state.last {
            tracing::warn!(
                applied = progress.applied,
                last = state.last,
                "peer is ahead of us"
            );
            return;
        }
        if progress.applied > session.applied {
            session.applied = progress.applied;
            session.moved = sys::now();
            state.peer_applied = progress.applied;
            session.trim();
        }
        session.checkpointed = session.checkpointed.max(progress.checkpointed);
        let checkpointed = session.checkpointed;
        let level_reached = session.phase == Phase::Leveling(progress.synced);
        if level_reached {
            session.phase = Phase::Level;
            self.debt.drop_older(line);
        }
        let now = sys::now();
        for pending in state.pending.values_mut() {
            let met = match pending.need {
                Need::Nothing => false,
                Need::Synced(number) => {
                    number == progress.synced
                        || number <= checkpointed
                        || (level_reached && number < progress.synced)
                }
                Need::Applied(number) => number <= progress.applied,
                Need::Release => false,
            };
            if met {
                pending.need = Need::Nothing;
                state.flow.answer_us =
                    Some(smoothed(state.flow.answer_us, now.since(pending.since)));
            }
        }
        let roomy = session.bytes < self.limits.queue_bytes_max / 2
            && session.frames.len() < QUEUE_FRAMES_MAX / 2;
        let relieved = roomy && self.congested.swap(false, Ordering::SeqCst);
        self.advance.notify_all();
        self.settle(guard);
        if relieved {
            self.tell_room();
        }
        if level_reached {
            tracing::info!("the peer's copy is level");
            (self.changed)();
        }
    }

    /// The follower found a difference.
    pub fn differs(&self, link: u64, differs: Differs) {
        let mut state = self.lock();
        if state.link.as_ref().is_some_and(|l| l.number == link)
            && let Some(session) = &mut state.session
        {
            session.differs.push_back(differs);
            self.advance.notify_all();
        }
    }

    /// The newest version of the stream that the follower speaks.
    pub fn speaks(&self, link: u64, version: u16) {
        let mut state = self.lock();
        if let Some(link) = state.link.as_mut().filter(|l| l.number == link) {
            link.version = version.min(VERSION);
        }
    }

    /// The follower is not what a verification asked about.
    pub fn unequal(&self, link: u64, unequal: Unequal) {
        let mut state = self.lock();
        if state.link.as_ref().is_some_and(|l| l.number == link) {
            state.verifying.take(unequal);
            self.advance.notify_all();
        }
    }

    /// The connection is over.
    pub fn unlink(&self, link: u64) {
        let state = self.lock();
        if state.link.as_ref().is_some_and(|l| l.number == link) {
            self.disconnect(state);
            (self.changed)();
        }
    }

    /// Without a connection, only a session whose gate is shut is kept: a comparison starts over.
    pub(super) fn disconnect(&self, mut state: MutexGuard<'_, State>) {
        state.unlink();
        self.advance.notify_all();
        if state.gate != Gate::Shut {
            self.end_session(
                state,
                "the connection broke before the peer was known to be level",
            );
        }
    }

    /// The follower could not apply something, or ended the session: nothing of it can be resumed.
    pub fn abandon(&self, link: u64) {
        let mut state = self.lock();
        if state.link.as_ref().is_none_or(|l| l.number != link) {
            return;
        }
        state.unlink();
        if state.gate == Gate::Shut {
            // Only the daemon may go on without the peer: what waits goes on waiting.
            drop(state);
        } else {
            self.end_session(state, "the peer gave the session up");
        }
        (self.changed)();
    }

    /// The follower cannot follow what happened: everything has to be compared again. A shut gate
    /// stays shut.
    pub fn compare_again(&self, session: SessionId, reason: &str) {
        let mut state = self.lock();
        if state.session.as_ref().is_none_or(|s| s.id != session.0) {
            return;
        }
        tracing::warn!(reason, "the peer has to be compared again");
        state.unlink();
        self.advance.notify_all();
        if state.gate == Gate::Shut {
            let last = state.last;
            if let Some(session) = &mut state.session {
                session.lose_frames(last);
            }
            drop(state);
        } else {
            self.end_session(state, reason);
        }
        (self.changed)();
    }

    /// Sends a frame that is not numbered, if there is a connection.
    pub fn send_control(&self, header: FrameHeader, payload: &[u8]) {
        let sender = self.lock().link.as_ref().map(|link| link.sender.clone());
        if let Some(sender) = sender {
            // A broken connection is noticed by its reader.
            let _ = sender.send(header, payload);
        }
    }

    /// Ends a session that nobody may rely on, and what waited for it.
    pub(super) fn end_session(&self, mut state: MutexGuard<'_, State>, reason: &str) {
        debug_assert_ne!(state.gate, Gate::Shut, "only the daemon releases the peer");
        if state.session.is_some() {
            tracing::warn!(reason, "stream session ended: the peer has to be compared");
        }
        self.release_locked(&mut state);
        self.settle(state);
    }

    pub(super) fn release_locked(&self, state: &mut State) {
        state.session = None;
        state.gate = Gate::Open;
        state.unlink();
        state.stalled = false;
        state.outdated = false;
        for pending in state.pending.values_mut() {
            pending.need = Need::Nothing;
        }
        self.session.store(0, Ordering::SeqCst);
        self.complete.store(0, Ordering::SeqCst);
        self.forget_congestion();
        self.advance.notify_all();
        self.work.notify_all();
    }

    pub(super) fn forget_congestion(&self) {
        if self.congested.swap(false, Ordering::SeqCst) {
            // Called with the lock held: whoever waits looks again by itself, see `tell_room`.
            self.tell_room();
        }
    }

    pub(super) fn tell_room(&self) {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = &*room {
            room();
        }
    }
}

impl State {
    pub(super) fn set_link(&mut self, sender: FrameSender, now: Instant) -> u64 {
        self.unlink();
        self.links += 1;
        self.heard = now;
        self.said = now;
        self.link = Some(Link {
            number: self.links,
            sender,
            version: VERSION_MIN,
        });
        self.links
    }

    pub(super) fn unlink(&mut self) {
        if let Some(link) = self.link.take() {
            link.sender.close();
        }
    }
}

/// As a round trip is smoothed for TCP (RFC 6298, section 2): an eighth of each new one counts.
fn smoothed(before: Option<u64>, took: Duration) -> u64 {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    before.map_or(took, |before| before - before / 8 + took / 8)
}
