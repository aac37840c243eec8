//! What the daemon commands: going on without the peer, and draining to it.

use super::{DrainError, Gate, Phase, QueuedFrame, SessionId, Source};
use crate::{sabotage, sys};
use std::sync::atomic::Ordering;
use tandem_wire::stream::{self, FrameHeader, Operation};

impl Source {
    /// The record without the peer counts (R2): opens the gate, answers what waits, ends the
    /// session. Goes on in this epoch, which may be a higher one. Says the last number.
    pub fn release_peer(&self, epoch: u64, generation: u64) -> u64 {
        let mut state = self.lock();
        self.epoch.fetch_max(epoch, Ordering::SeqCst);
        self.permit.raise(epoch);
        state.generation = generation;
        let last = state.last;
        state.alone_bytes = 0;
        state.alone_since = None;
        self.release_locked(&mut state);
        self.settle(state);
        (self.changed)();
        last
    }

    /// Waits until the follower has everything on its disk, and says up to which number. The
    /// caller made sure that no mutation is under way or accepted.
    ///
    /// # Errors
    /// [`DrainError`]
    pub fn drain(&self, volume: u16) -> Result<u64, DrainError> {
        let mut state = self.lock();
        if sabotage::skip_drain() {
            let last = state.last;
            if let Some(session) = &mut state.session {
                session.lose_frames(last);
            }
            state.unlink();
            return Ok(last);
        }
        let level = state.gate == Gate::Shut
            && state
                .session
                .as_ref()
                .is_some_and(|s| s.phase == Phase::Level);
        if !level {
            return Err(DrainError::NotLevel);
        }
        let id = SessionId(state.sessions);
        let number = state.next_number(id).ok_or(DrainError::Ended)?;
        // Both copies end at this number: not even a number that is forgotten may follow it.
        state.draining = Some(number);
        let header = FrameHeader::operation(self.epoch(), number, volume);
        let checkpoint = stream::encode(&Operation::Checkpoint);
        self.push(state, QueuedFrame::new(header, checkpoint));
        let drained = self.await_checkpoint(id, number);
        if drained.is_err() {
            self.lock().draining = None;
        }
        drained
    }

    fn await_checkpoint(&self, id: SessionId, number: u64) -> Result<u64, DrainError> {
        let deadline = sys::now().after(self.limits.stall_limit);
        let mut state = self.lock();
        loop {
            match &state.session {
                Some(session) if session.id == id.0 => {
                    if session.checkpointed >= number {
                        return Ok(number);
                    }
                }
                Some(_) | None => return Err(DrainError::Ended),
            }
            let left = deadline.since(sys::now());
            if left.is_zero() {
                return Err(DrainError::Late(self.limits.stall_limit));
            }
            state = self.wait(&self.advance, state, left);
        }
    }
}
