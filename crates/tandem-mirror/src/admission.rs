//! Whether a mutation may begin, and whether its answer may go out.
//!
//! A mutation that may not begin now is *parked*: kept as a closure and tried again when the permit
//! is granted or the queue has room, in the order of arrival. The threads that read requests never
//! wait, so that reads, and the release of the peer, go on. One that may never begin (permit ended,
//! copy lost) stays parked until the session is aborted, and is then dropped: an error would make
//! databases panic, and an answer would be a lie (safety.md, *Lapsed means park*).
//!
//! What is parked is bounded by the kernel: one request per thread of the application, and a fixed
//! number of requests in the background.

use crate::permit::Standing;
use crate::source::Source;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// How often parked mutations are looked at without being woken: a guard against a lost wake-up,
/// and the moment at which a permit is noticed that ended by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a mutation may still be under way when the service is closed. A healthy disk needs
/// milliseconds; a dead one never returns.
pub const QUIET_LIMIT: Duration = Duration::from_secs(2);

/// What a mutation is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Go on.
    Accepted,
    /// The service is being handed over: answer with an error.
    Refused,
}

type Job = Box<dyn FnOnce(Verdict) + Send>;
type Reply = Box<dyn FnOnce() + Send>;

enum State {
    Open,
    Waiting,
    Refusing,
}

/// The door of one service.
pub struct Admission {
    source: Arc<Source>,
    refusing: AtomicBool,
    /// Held for reading by each mutation while it is carried out.
    running: RwLock<()>,
    parked: Mutex<Parked>,
    wake: Condvar,
}

#[derive(Default)]
struct Parked {
    jobs: VecDeque<Job>,
    replies: Vec<Reply>,
    ended: bool,
}

/// A mutation did not end in time: the disk does not answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a write has not returned from the disk for {} s", QUIET_LIMIT.as_secs())]
pub struct NotQuiet;

impl Admission {
    /// The door of a service; [`Self::run`] has to be called by a thread of its own.
    #[must_use]
    pub fn new(source: Arc<Source>) -> Arc<Self> {
        Arc::new(Self {
            source,
            refusing: AtomicBool::new(false),
            running: RwLock::new(()),
            parked: Mutex::default(),
            wake: Condvar::new(),
        })
    }

    /// Carries out a mutation now, or later, or never.
    pub fn enter(&self, job: impl FnOnce(Verdict) + Send + 'static) {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        match self.state() {
            State::Open => job(Verdict::Accepted),
            State::Refusing => job(Verdict::Refused),
            State::Waiting => {
                drop(running);
                self.parked().jobs.push_back(Box::new(job));
                self.wake.notify_all();
            }
        }
    }

    /// Lets a mutation begin at once, for as long as the guard is held, or not at all.
    #[must_use]
    pub fn begin(&self) -> Option<Running<'_>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        matches!(self.state(), State::Open).then_some(Running(running))
    }

    /// Lets an answer go out if the permit still holds.
    pub fn answer(&self, reply: impl FnOnce() + Send + 'static) {
        match self.source.permit.standing() {
            Standing::Valid => reply(),
            Standing::Awaited | Standing::Lapsed => self.keep(reply),
        }
    }

    /// Keeps a request without an answer until the session has been aborted.
    pub fn keep(&self, reply: impl FnOnce() + Send + 'static) {
        self.parked().replies.push(Box::new(reply));
    }

    fn state(&self) -> State {
        if self.refusing.load(Ordering::SeqCst) {
            return State::Refusing;
        }
        let permitted = self.source.permit.standing() == Standing::Valid;
        if permitted && !self.source.is_faulty() && !self.source.is_congested() {
            State::Open
        } else {
            State::Waiting
        }
    }

    /// Looks again at what is parked: a permit was granted, or the queue has room.
    pub fn wake(&self) {
        // The lock makes sure that the other side is either before its look or asleep.
        drop(self.parked());
        self.wake.notify_all();
    }

    /// Refuses mutations from now on, and waits until none is under way.
    ///
    /// # Errors
    /// [`NotQuiet`]: refused they are all the same.
    pub fn refuse(&self) -> Result<(), NotQuiet> {
        self.refusing.store(true, Ordering::SeqCst);
        self.wake();
        self.await_quiet()
    }

    /// Accepts mutations again.
    pub fn reopen(&self) {
        self.refusing.store(false, Ordering::SeqCst);
        self.wake();
    }

    fn await_quiet(&self) -> Result<(), NotQuiet> {
        let begin = std::time::Instant::now();
        loop {
            if self.running.try_write().is_ok() {
                return Ok(());
            }
            if begin.elapsed() > QUIET_LIMIT {
                return Err(NotQuiet);
            }
            // A lock with a deadline does not exist in the standard library.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends [`Self::run`] and hands back what is still parked, to be dropped after the abort.
    ///
    /// # Errors
    /// [`NotQuiet`]: something is still under way.
    pub fn end(&self) -> Result<Remains, NotQuiet> {
        let mut parked = self.parked();
        parked.ended = true;
        let remains = Remains {
            _jobs: std::mem::take(&mut parked.jobs),
            _replies: std::mem::take(&mut parked.replies),
        };
        drop(parked);
        self.wake.notify_all();
        self.refusing.store(true, Ordering::SeqCst);
        self.await_quiet().map(|()| remains)
    }

    /// Carries out parked mutations when they may begin. Returns after [`Self::end`].
    pub fn run(&self) {
        let mut parked = self.parked();
        loop {
            if parked.ended {
                return;
            }
            let waits = parked.jobs.is_empty() || matches!(self.state(), State::Waiting);
            if !waits && let Some(job) = parked.jobs.pop_front() {
                drop(parked);
                self.retry(job);
                parked = self.parked();
                continue;
            }
            parked = self
                .wake
                .wait_timeout(parked, LOOK_AGAIN)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn retry(&self, job: Job) {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        match self.state() {
            State::Open => job(Verdict::Accepted),
            State::Refusing => job(Verdict::Refused),
            State::Waiting => {
                drop(running);
                self.parked().jobs.push_front(job);
            }
        }
    }

    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mutation is under way.
pub struct Running<'a>(#[expect(dead_code, reason = "held, not used")] RwLockReadGuard<'a, ()>);

/// What never got an answer. Dropping it answers the requests with an error, which nobody hears
/// once the session is aborted.
pub struct Remains {
    _jobs: VecDeque<Job>,
    _replies: Vec<Reply>,
}
