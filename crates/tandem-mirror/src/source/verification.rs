//! The verification's side of the stream: when it may begin, what the follower answered, and how it
//! is getting on.
//!
//! It belongs to one connection: an answer that was on its way when that broke is lost, so what
//! differs would not be repaired. The session goes on without it.

use super::{Gate, Phase, SessionId, Source, State};
use std::collections::VecDeque;
use std::time::Duration;
use tandem_wire::local::Verification;
use tandem_wire::stream::{ObjectNumber, Unequal, VERSION_VERIFY};

/// Why nothing can be verified now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotVerifiable {
    /// There is nothing to verify.
    #[error("both copies have to be in sync first: the peer's is not level")]
    NotLevel,
    /// The service is about to end.
    #[error("the service is being handed over")]
    Draining,
    /// The peer is of an older release.
    #[error("the peer's release cannot verify its copy")]
    Release,
}

/// A verification that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Task {
    /// Which one.
    pub number: u64,
    /// What it verifies.
    pub session: SessionId,
    link: u64,
}

/// What came of the questions so far.
#[derive(Debug)]
pub enum Answered {
    /// Something is not the same.
    Unequal(Unequal),
    /// The follower had to make this file: it stands empty.
    Made(u16, ObjectNumber),
    /// All questions up to this number were answered, each difference before it.
    UpTo(u64),
    /// It cannot go on.
    Over(&'static str),
}

#[derive(Default)]
pub(super) struct Verifying {
    task: Option<Task>,
    runs: bool,
    unequal: VecDeque<Unequal>,
    pub(super) status: Option<Verification>,
}

impl Verifying {
    /// Bounded by the questions that are open at a time.
    pub(super) fn take(&mut self, unequal: Unequal) {
        if self.runs {
            self.unequal.push_back(unequal);
        }
    }
}

impl Source {
    /// Begins to verify the follower's copy, unless that runs already. Says which verification it
    /// is.
    ///
    /// # Errors
    /// [`NotVerifiable`]
    pub fn begin_verification(&self) -> Result<u64, NotVerifiable> {
        let mut state = self.lock();
        if let Some(task) = state.verifying.task.filter(|_| state.verifying.runs) {
            return Ok(task.number);
        }
        let task = state.verifiable()?;
        state.verifying.task = Some(task);
        state.verifying.runs = true;
        state.verifying.unequal.clear();
        if let Some(session) = &mut state.session {
            // What an interrupted one left.
            session.differs.clear();
        }
        state.verifying.status = Some(Verification {
            number: task.number,
            ..Verification::default()
        });
        self.advance.notify_all();
        drop(state);
        (self.changed)();
        Ok(task.number)
    }

    /// Waits for a verification that was not `seen`. `None`: the source has ended.
    #[must_use]
    pub fn await_verification(&self, seen: u64) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(task) = state.verifying.task
                && state.verifying.runs
                && task.number != seen
            {
                return Some(task);
            }
            state = self.wait(&self.advance, state, Duration::from_secs(1));
        }
    }

    /// What a verification has to act on: an answer; or, once the follower has applied `number`, how
    /// far it is. Waits for one of these. Not for room in the queue: an application that fills it
    /// all the time would keep the verification from its end, which adds only a few questions.
    #[must_use]
    pub fn answered(&self, task: &Task, number: u64) -> Answered {
        let mut guard = self.lock();
        loop {
            let state = &mut *guard;
            if let Some(why) = state.ends(task) {
                return Answered::Over(why);
            }
            let session = state.session.as_mut().expect("looked at just now");
            // First: what was made is asked about later, and expected to differ.
            if let Some(made) = session.differs.pop_front() {
                return Answered::Made(made.volume, made.object);
            }
            if let Some(unequal) = state.verifying.unequal.pop_front() {
                return Answered::Unequal(unequal);
            }
            if session.applied >= number {
                return Answered::UpTo(session.applied);
            }
            guard = self.wait(&self.advance, guard, Duration::from_secs(1));
        }
    }

    /// The last number that was given.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.lock().last
    }

    /// Reports how a verification is getting on.
    pub fn verified(&self, so_far: &Verification) {
        let mut state = self.lock();
        state.verifying.status = Some(so_far.clone());
    }

    /// Reports how a verification ended.
    pub fn end_verification(&self, end: Verification) {
        let mut state = self.lock();
        state.verifying.runs = false;
        state.verifying.unequal.clear();
        state.verifying.status = Some(end);
        drop(state);
        (self.changed)();
    }
}

impl State {
    fn verifiable(&self) -> Result<Task, NotVerifiable> {
        let session = self.session.as_ref().ok_or(NotVerifiable::NotLevel)?;
        let link = self.link.as_ref().ok_or(NotVerifiable::NotLevel)?;
        if session.phase != Phase::Level || self.gate == Gate::Open || session.lost {
            return Err(NotVerifiable::NotLevel);
        }
        if self.draining.is_some() {
            return Err(NotVerifiable::Draining);
        }
        if link.version < VERSION_VERIFY {
            return Err(NotVerifiable::Release);
        }
        let before = self.verifying.task.map_or(0, |task| task.number);
        Ok(Task {
            number: before + 1,
            session: SessionId(session.id),
            link: link.number,
        })
    }

    /// Why a verification cannot go on.
    fn ends(&self, task: &Task) -> Option<&'static str> {
        if self.ended {
            return Some("the service ends");
        }
        if self.draining.is_some() {
            return Some("the service is being handed over");
        }
        let session = self.session.as_ref().filter(|s| s.id == task.session.0);
        if session.is_none_or(|s| s.phase != Phase::Level || s.lost) {
            return Some("the peer is not in sync any more");
        }
        if self.link.as_ref().is_none_or(|l| l.number != task.link) {
            return Some("the stream to the peer broke");
        }
        None
    }
}
