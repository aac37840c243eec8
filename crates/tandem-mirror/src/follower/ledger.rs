//! What the threads of a follower share: phase, stream, session, fault, and the numbers of the
//! stream.
//!
//! Numbers are atomics of the stream they belong to, so that a late worker or sync of an older
//! stream can never move those of a newer one. Everything else is behind one mutex that is never
//! held over a system call.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tandem_core::MirrorFault;
use tandem_wire::stream::{ApplyFailed, ComparisonId, FrameHeader, FrameKind, Progress, encode};

use super::FollowerStatus;
use super::handshake::Shown;
use crate::MirrorConfig;
use crate::backing::Volume;
use crate::epochs::HighestEpoch;
use crate::standing::Inconsistent;
use crate::transport::FrameSender;

/// After an operation could not be applied, the source is kept away for this long: comparing
/// everything again at once would meet the same full disk.
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(5);
/// How many reasons are remembered as told: a full disk is noticed in two or three places in turn.
const REFUSALS_MAX: usize = 8;
/// How long a session may take to hand over what it has read already.
const SESSION_END_LIMIT: Duration = Duration::from_secs(10);

/// What the follower accepts. Phases only go forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    Following,
    Sealing,
    Sealed,
    Stopped,
}

/// The source of a stream: another one begins another stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) incarnation: u64,
    pub(super) boot_id: String,
    pub(super) epoch: u64,
    pub(super) generation: u64,
}

/// One numbered stream, over any number of connections.
pub(super) struct Stream {
    pub(super) origin: Origin,
    pub(super) received: AtomicU64,
    pub(super) applied: AtomicU64,
    pub(super) checkpointed: AtomicU64,
    /// The source said that this copy is level.
    pub(super) level: AtomicBool,
    /// Something of it was lost: nothing more of it is applied, and it is not resumed.
    pub(super) broken: AtomicBool,
    /// The comparison that it began with.
    pub(super) comparison: Option<ComparisonId>,
    /// What this copy was before that, and still is until the first number comes.
    pub(super) before: Option<Shown>,
    link: Mutex<Option<FrameSender>>,
}

impl Stream {
    pub(super) fn new(origin: Origin, at: u64) -> Self {
        Self {
            origin,
            received: AtomicU64::new(at),
            applied: AtomicU64::new(at),
            checkpointed: AtomicU64::new(at),
            level: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            comparison: None,
            before: None,
            link: Mutex::new(None),
        }
    }

    /// One that begins with a comparison.
    pub(super) fn comparing(
        origin: Origin,
        comparison: ComparisonId,
        before: Option<Shown>,
    ) -> Self {
        Self {
            comparison: Some(comparison),
            before,
            ..Self::new(origin, 0)
        }
    }

    /// Whether it began with a comparison of which nothing has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.comparison.is_some() && self.received.load(Ordering::Acquire) == 0
    }

    /// What this copy is by this stream.
    pub(super) fn shown(&self) -> Option<Shown> {
        if self.is_untouched() {
            return self.before;
        }
        let level = self.is_level();
        if self.is_broken() || !level && self.comparison.is_none() {
            return None;
        }
        Some(Shown {
            incarnation: self.origin.incarnation,
            epoch: self.origin.epoch,
            generation: self.origin.generation,
            number: self.received.load(Ordering::Acquire),
            comparison: self.comparison.filter(|_| !level),
        })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn is_level(&self) -> bool {
        self.level.load(Ordering::Acquire) && !self.is_broken()
    }

    pub(super) fn progress(&self, synced: u64) -> Progress {
        // In this order, so that a number is never said without those that it implies.
        let checkpointed = self.checkpointed.load(Ordering::Acquire);
        let applied = self.applied.load(Ordering::Acquire);
        let received = self.received.load(Ordering::Acquire);
        Progress {
            received,
            applied,
            synced,
            checkpointed,
        }
    }

    /// Tells the source how far this copy is, and which of its syncs ended.
    pub(super) fn report(&self, synced: &[u64]) {
        let numbers = if synced.is_empty() { &[0] } else { synced };
        let progress: Vec<Vec<u8>> = numbers
            .iter()
            .map(|number| encode(&self.progress(*number)))
            .collect();
        let frames: Vec<(FrameHeader, &[u8])> = progress
            .iter()
            .map(|payload| (self.header(FrameKind::Progress), payload.as_slice()))
            .collect();
        self.send(&frames);
    }

    /// Sends to whichever connection the stream has. A broken one is noticed by its session, and
    /// the source asks again on the next.
    pub(super) fn send(&self, frames: &[(FrameHeader, &[u8])]) {
        let link = lock(&self.link).clone();
        if let Some(link) = link {
            let _ = link.send_all(frames);
        }
    }

    pub(super) fn header(&self, kind: FrameKind) -> FrameHeader {
        FrameHeader::control(kind, self.origin.epoch)
    }

    pub(super) fn set_link(&self, sender: Option<FrameSender>) {
        *lock(&self.link) = sender;
    }
}

/// One connection of a stream.
pub(super) struct Session {
    pub(super) sender: FrameSender,
    pub(super) epoch: u64,
    /// When it was asked to end.
    ending: Mutex<Option<Instant>>,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Session {
    pub(super) fn new(sender: FrameSender, epoch: u64) -> Self {
        Self {
            sender,
            epoch,
            ending: Mutex::new(None),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    /// Asks it to read what is there, and end.
    pub(super) fn close(&self) {
        lock(&self.ending).get_or_insert_with(Instant::now);
        self.sender.close();
    }

    /// For how long it has been asked to end.
    pub(super) fn ending_since(&self) -> Option<Duration> {
        lock(&self.ending).map(|since| since.elapsed())
    }

    /// It hands nothing over any more.
    pub(super) fn set_ended(&self) {
        *lock(&self.ended) = true;
        self.end.notify_all();
    }

    /// Waits for that. False: it is stuck.
    pub(super) fn await_end(&self) -> bool {
        let ended = lock(&self.ended);
        let (ended, _) = self
            .end
            .wait_timeout_while(ended, SESSION_END_LIMIT, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

/// Where the owner of the follower hears of it.
pub(super) struct Channels {
    pub(super) changed: Sender<()>,
    pub(super) gossip: Sender<Vec<u8>>,
}

/// What is followed from the start.
#[derive(Clone, Debug)]
pub(super) struct Beginning {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    /// What the volumes were found to be.
    pub(super) inconsistent: Option<Inconsistent>,
}

pub(super) struct Ledger {
    pub(super) config: Arc<MirrorConfig>,
    pub(super) volumes: Arc<[Volume]>,
    pub(super) epochs: HighestEpoch,
    channels: Channels,
    /// One handshake at a time decides.
    pub(super) admission: Mutex<()>,
    state: Mutex<State>,
    clock: Instant,
    /// When the operation or sync began that is under way, on `clock`; 0: none.
    pub(super) applying_since: AtomicU64,
    pub(super) syncing_since: AtomicU64,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) session: Option<Arc<Session>>,
    fault: Option<Fault>,
    /// As the volumes' positions say.
    pub(super) inconsistent: Option<Inconsistent>,
    heard: Instant,
    stalled: bool,
    /// Why streams were refused, or could not be followed, since this copy was last level; the
    /// newest first.
    refused: VecDeque<String>,
}

struct Fault {
    what: MirrorFault,
    since: Instant,
}

impl Ledger {
    pub(super) fn new(
        config: Arc<MirrorConfig>,
        volumes: Arc<[Volume]>,
        epochs: HighestEpoch,
        channels: Channels,
        beginning: Beginning,
    ) -> Self {
        let now = Instant::now();
        Self {
            config,
            volumes,
            epochs,
            channels,
            admission: Mutex::new(()),
            state: Mutex::new(State {
                phase: Phase::Following,
                epoch: beginning.epoch,
                generation: beginning.generation,
                stream: None,
                session: None,
                fault: None,
                inconsistent: beginning.inconsistent,
                heard: now,
                stalled: false,
                refused: VecDeque::new(),
            }),
            clock: now,
            applying_since: AtomicU64::new(0),
            syncing_since: AtomicU64::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Tells the owner that something changed; it looks by itself what.
    pub(super) fn notify(&self) {
        // Full: it was told already and has not looked yet.
        let _ = self.channels.changed.try_send(());
    }

    /// Whether a refusal is another one than the last few: the source comes again five times a
    /// second.
    pub(super) fn is_news(&self, reason: &str) -> bool {
        let mut state = self.lock();
        let news = !state.refused.iter().any(|told| told == reason);
        if news {
            state.refused.truncate(REFUSALS_MAX - 1);
            state.refused.push_front(reason.to_owned());
        }
        news
    }

    /// Hands a daemon message on; dropped where nobody takes them.
    pub(super) fn hear_gossip(&self, message: Vec<u8>) {
        let _ = self.channels.gossip.try_send(message);
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = state.phase.max(phase);
        drop(state);
        self.notify();
    }

    /// Ends the session, after it handed over what the kernel has already received. One that is
    /// just being admitted is waited for. To be called when the phase admits none any more.
    pub(super) fn end_sessions(&self) {
        let admission = lock(&self.admission);
        let session = self.lock().session.clone();
        drop(admission);
        if let Some(session) = session {
            session.close();
            if !session.await_end() {
                tracing::warn!("a session did not end; what it still reads is not applied");
            }
        }
        self.notify();
    }

    pub(super) fn link(&self) -> Option<(FrameSender, u64)> {
        let state = self.lock();
        let session = state.session.as_ref()?;
        Some((session.sender.clone(), session.epoch))
    }

    /// A frame came.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        state.heard = Instant::now();
        let was = std::mem::replace(&mut state.stalled, false);
        drop(state);
        if was {
            self.notify();
        }
    }

    pub(super) fn look_at_silence(&self) {
        let mut state = self.lock();
        let stalled = state.heard.elapsed() > self.config.stall_limit;
        let was = std::mem::replace(&mut state.stalled, stalled);
        drop(state);
        if stalled != was {
            self.notify();
        }
    }

    /// Something could not be applied or synced: the stream is over, and the source is told.
    pub(super) fn fail(&self, stream: &Stream, sequence: u64, fault: MirrorFault) {
        let reason = reason(&fault).to_owned();
        let first = !stream.broken.swap(true, Ordering::AcqRel);
        self.set_fault(fault);
        if first {
            if self.is_news(&reason) {
                tracing::error!(sequence, reason, "this copy cannot follow any more");
            }
            let failed = encode(&ApplyFailed { sequence, reason });
            stream.send(&[(stream.header(FrameKind::ApplyFailed), &failed)]);
        }
        self.notify();
    }

    /// The disk failed while nothing in particular was asked of it.
    pub(super) fn lose_disk(&self, why: String) {
        let stream = self.lock().stream.clone();
        let fault = MirrorFault::LocalDisk(why);
        match stream {
            Some(stream) => {
                let applied = stream.applied.load(Ordering::Acquire);
                self.fail(&stream, applied, fault);
            }
            None => {
                self.set_fault(fault);
                self.notify();
            }
        }
    }

    fn set_fault(&self, fault: MirrorFault) {
        let mut state = self.lock();
        // A lost disk is never forgotten for something smaller.
        let lost = matches!(&state.fault, Some(f) if matches!(f.what, MirrorFault::LocalDisk(_)));
        if !lost {
            state.fault = Some(Fault {
                what: fault,
                since: Instant::now(),
            });
        }
    }

    /// The copy is level again: what could not be applied has been replaced.
    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.inconsistent = None;
        state.refused.clear();
        let healed = matches!(&state.fault, Some(f) if matches!(f.what, MirrorFault::Apply(_)));
        if healed {
            state.fault = None;
        }
    }

    /// Why no stream can be accepted now, if there is a reason on this side.
    pub(super) fn obstacle(&self) -> Option<String> {
        let state = self.lock();
        if state.phase != Phase::Following {
            return Some("this node does not follow".to_owned());
        }
        let fault = state.fault.as_ref()?;
        match &fault.what {
            MirrorFault::LocalDisk(why) | MirrorFault::Volume(why) => {
                Some(format!("the standby's disk is lost: {why}"))
            }
            MirrorFault::Apply(why) if fault.since.elapsed() < PAUSE_AFTER_FAULT => Some(format!(
                "the standby pauses for {} s after a failure: {why}",
                PAUSE_AFTER_FAULT.as_secs()
            )),
            MirrorFault::Apply(_) => None,
        }
    }

    pub(super) fn fault(&self) -> Option<MirrorFault> {
        self.lock().fault.as_ref().map(|fault| fault.what.clone())
    }

    /// The time on the ledger's clock; never zero.
    pub(super) fn now(&self) -> u64 {
        (self.clock.elapsed().as_nanos() as u64).max(1)
    }

    fn age(&self, since: &AtomicU64) -> Duration {
        match since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_nanos(self.now().saturating_sub(since)),
        }
    }

    pub(super) fn status(&self) -> FollowerStatus {
        let state = self.lock();
        let stream = state.stream.as_ref();
        let number = |of: fn(&Stream) -> &AtomicU64| {
            stream.map_or(0, |stream| of(stream).load(Ordering::Acquire))
        };
        let level = stream.is_some_and(|stream| stream.is_level());
        FollowerStatus {
            epoch: state.epoch,
            generation: state.generation,
            connected: state.session.is_some(),
            comparing: state.session.is_some() && !level,
            level,
            stalled: state.stalled,
            accepting: state.phase == Phase::Following,
            sealed: state.phase == Phase::Sealed,
            fault: state.fault.as_ref().map(|fault| fault.what.clone()),
            inconsistent: state.inconsistent.clone(),
            received: number(|stream| &stream.received),
            applied: number(|stream| &stream.applied),
            checkpointed: number(|stream| &stream.checkpointed),
            completion_age: self
                .age(&self.applying_since)
                .max(self.age(&self.syncing_since)),
        }
    }
}

pub(super) fn reason(fault: &MirrorFault) -> &str {
    match fault {
        MirrorFault::LocalDisk(why) | MirrorFault::Apply(why) | MirrorFault::Volume(why) => why,
    }
}

/// What a panicking thread leaves behind these locks is one value or the other, never half of one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
