//! The comparison's side of the stream: when it has to begin, what the follower answered, and when
//! the gate is shut at its end.

use super::{
    Advance, Compared, Gate, Phase, QUEUE_FRAMES_MAX, QueuedFrame, Scope, SessionId, Source, State,
};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tandem_wire::stream::{self, FrameHeader, Operation};

impl Source {
    /// Waits until a session wants everything compared that was not `seen` yet. `None`: ended.
    #[must_use]
    pub fn await_comparison(&self, seen: SessionId) -> Option<SessionId> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(session) = &state.session
                && session.phase == Phase::Comparing
                && session.id != seen.0
            {
                return Some(SessionId(session.id));
            }
            state = self.wait(&self.advance, state, Duration::from_secs(1));
        }
    }

    /// The key of a session's hashes, and what is compared.
    #[must_use]
    pub fn terms(&self, session: SessionId) -> Option<([u8; 32], Scope)> {
        let state = self.lock();
        let current = state.session.as_ref()?;
        (current.id == session.0).then_some((current.secret, current.scope))
    }

    /// Whether an application waits for a sync.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.lock().pending.is_empty()
    }

    /// Reports how much was compared.
    pub fn compared(&self, session: SessionId, compared: Compared) {
        let mut state = self.lock();
        if let Some(current) = &mut state.session
            && current.id == session.0
        {
            current.progress.is_at(compared);
        }
    }

    /// What the comparison has to act on: a difference; or, once the follower has applied
    /// `number` and no more than a quarter of the queue is the comparison's own, how far it is.
    /// Waits for one of these. Not for what the application has in the queue: one that fills it all
    /// the time would keep the comparison from its end. Together they have no more than the queue
    /// holds, because the application may fill three quarters.
    #[must_use]
    pub fn advance(&self, session: SessionId, number: u64) -> Advance {
        let mut state = self.lock();
        loop {
            let Some(current) = state.session.as_mut().filter(|s| s.id == session.0) else {
                return Advance::Ended;
            };
            if let Some(differs) = current.differs.pop_front() {
                return Advance::Differs(differs);
            }
            let own = current.compared;
            let roomy =
                own.bytes < self.limits.queue_bytes_max / 4 && own.frames < QUEUE_FRAMES_MAX / 4;
            if current.applied >= number && roomy {
                return Advance::Applied(current.applied);
            }
            state = self.wait(&self.advance, state, Duration::from_secs(1));
        }
    }

    /// The comparison has reached everything in the volumes, so unknown objects can be introduced.
    pub fn reached_everything(&self, session: SessionId) {
        let state = self.lock();
        if state.session.as_ref().is_some_and(|s| s.id == session.0) {
            self.complete.store(session.0, Ordering::SeqCst);
        }
    }

    /// Everything is equal: shuts the gate and asks the follower to bring all to its disk (R2).
    pub fn begin_level(&self, session: SessionId) {
        // Before the number of the level operation is given.
        self.debt.begin_half(|| self.lock().last);
        let mut state = self.lock();
        if state.session.as_ref().is_none_or(|s| s.id != session.0) {
            return;
        }
        if state.gate == Gate::Open {
            state.gate = Gate::Provisional;
            state.alone_bytes = 0;
            state.alone_since = None;
        }
        self.append_level(&mut state);
        drop(state);
        (self.changed)();
    }

    pub(super) fn append_level(&self, state: &mut State) {
        state.last += 1;
        let number = state.last;
        let session = state.session.as_mut().expect("checked by the caller");
        let payload = stream::encode(&Operation::Level);
        session.phase = Phase::Leveling(number);
        let header = FrameHeader::operation(self.epoch(), number, 0);
        session.hold(QueuedFrame::new(header, payload));
        self.work.notify_one();
    }
}
