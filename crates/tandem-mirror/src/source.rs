//! The one ordered stream of a serving module: its numbers, its replay buffer, and who waits for
//! which of them.
//!
//! **Numbers.** Every effect that the follower is told gets the next number of the module's one
//! sequence, across all volumes, by being appended to the one queue. The caller holds the lock that
//! orders the effect among its neighbours (see [`crate::order`]) while it appends, so the order of
//! the queue is an order in which the effects really happened. There is no second queue: that is
//! how others reordered writes.
//!
//! **Sessions.** A session is what one follower knows: it begins with a comparison of everything
//! (or, after a clean change of roles, with two copies known to be equal), and lasts as long as
//! every number since its beginning was applied by that follower or is still in the queue. A broken
//! connection does not end one whose gate is shut; everything else that breaks does, and so does
//! the release of the peer. Without a session nothing is kept: the next one compares everything.
//!
//! **The gate.** Once it is shut, a sync is answered only after the follower has it on disk (R2,
//! R5). It is shut from the first write on where the record says that both copies are in sync, and
//! otherwise at the end of a comparison, *before* the daemon is told that the peer is level. It is
//! opened by the daemon's release alone. One exception, which needs no decision: a gate that was
//! shut at the end of a comparison whose end the daemon was never told; nobody can have relied on
//! that one.
//!
//! **What is lost by a crash.** This process killed between a local write and its append: the write
//! is only local, was not answered by a gated sync, and the next session of a new incarnation
//! compares everything. Killed between append and sending: the same. The follower killed: its
//! incarnation changes and it can only be compared, which does not begin behind a shut gate; gated
//! syncs wait until the daemon has released the peer. A sync is answered by `settle` alone, after
//! both the local sync and the peer's need are met.

mod checkpoints;
mod commands;
mod comparison;
mod connection;
mod progress;
mod queue;
mod syncs;
mod verification;

pub use self::checkpoints::Checkpoint;
pub use self::progress::Compared;
pub use self::queue::Batch;
pub use self::verification::{Answered, NotVerifiable, Task};
use crate::debt::Debt;
use crate::transport::FrameSender;
use crate::{Durability, permit::Permit, sys};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::debt::OwedFile;
use tandem_wire::local::{Fault, Flow, Peer, Resync, Verification};
use tandem_wire::stream::{ComparisonId, DebtBase, Differs, FrameHeader, ObjectNumber, WritePlace};

/// The most frames that the queue holds: small operations cost memory beyond their payload.
const QUEUE_FRAMES_MAX: usize = 64 << 10;
/// What a frame costs beside its payload, in bytes.
const FRAME_OVERHEAD: usize = 128;

/// An answer that goes out when its conditions are met.
pub type Answer = Box<dyn FnOnce() + Send>;
/// Is called, without any lock held, when something happened that others wait for.
pub type Notify = Box<dyn Fn() + Send + Sync>;

/// Names one session; [`SessionId::NONE`] where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionId(pub u64);

impl SessionId {
    /// No follower knows anything.
    pub const NONE: Self = Self(0);

    /// Whether there is one.
    #[must_use]
    pub fn exists(self) -> bool {
        self != Self::NONE
    }
}

/// Names a sync that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

/// Bounds of a source.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the queue.
    pub queue_bytes_max: usize,
    /// How long an acknowledgement may wait for the peer before that is reported.
    pub stall_limit: Duration,
    /// Where an acknowledged write is.
    pub durability: Durability,
}

/// How a source begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The epoch of the service.
    pub epoch: u64,
    /// The generation that is written.
    pub generation: u64,
    /// What is known of the peer's copy.
    pub peer: PeerAtBeginning,
    /// The last number that this copy stands for.
    pub position: u64,
    /// What the peer's copy is known to lack, against one that was what this says.
    pub debt: Option<(DebtBase, Vec<OwedFile>)>,
}

/// What is known of the peer's copy when a source begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerAtBeginning {
    /// The record says that it is not in sync: the gate is open.
    Out,
    /// The record says that it is in sync: the gate is shut from the first write on. Nobody can
    /// prove that it is equal, so it has to be recorded out, and compared.
    InSync,
    /// In sync, and this copy ended cleanly at the beginning's position. A peer that did so too
    /// goes on from there.
    Equal,
}

/// The effect of a write.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The volume.
    pub volume: u16,
    /// Where, and the time after it.
    pub place: WritePlace,
    /// Whether it repairs a difference.
    pub resync: bool,
}

/// What a sync is about.
#[derive(Clone, Copy, Debug)]
pub struct SyncTarget {
    /// The session in which the follower knows the object; another one means that it does not.
    pub session: SessionId,
    /// The volume.
    pub volume: u16,
    /// The object, or the top directory where the follower cannot know the object.
    pub object: ObjectNumber,
    /// `fdatasync`
    pub data_only: bool,
}

/// The stream of a serving mirror.
pub struct Source {
    /// The permit of this service.
    pub permit: Permit,
    /// What the follower's copy may lack.
    pub debt: Debt,
    /// The mirror process.
    pub incarnation: u64,
    epoch: AtomicU64,
    limits: Limits,
    state: Mutex<State>,
    /// The sender waits here.
    work: Condvar,
    /// The comparison and the drain wait here.
    advance: Condvar,
    session: AtomicU64,
    complete: AtomicU64,
    congested: AtomicBool,
    faulty: AtomicBool,
    changed: Notify,
    room: Mutex<Option<Notify>>,
}

struct State {
    generation: u64,
    last: u64,
    sessions: u64,
    session: Option<Session>,
    gate: Gate,
    pending: BTreeMap<Ticket, Pending>,
    tickets: u64,
    /// When the last wait ended.
    finished: Instant,
    peer_applied: u64,
    unsaved: checkpoints::Unsaved,
    link: Option<Link>,
    links: u64,
    /// When the follower was last heard; the start of the service if never.
    heard: Instant,
    said: Instant,
    ping_due: bool,
    stalled: bool,
    /// The follower has to be compared, which must not begin behind a shut gate.
    outdated: bool,
    /// The number of the checkpoint that ends this service: none is given after it.
    draining: Option<u64>,
    alone_bytes: u64,
    alone_since: Option<Instant>,
    flow: Flow,
    verifying: verification::Verifying,
    fault: Option<Fault>,
    ended: bool,
}

/// Whether acknowledgements wait for the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gate {
    Open,
    /// Shut at the end of a comparison; the daemon does not know yet.
    Provisional,
    /// Only the daemon opens it.
    Shut,
}

struct Link {
    number: u64,
    sender: FrameSender,
    /// The version of the stream that the follower speaks, too.
    version: u16,
}

struct Session {
    id: u64,
    phase: Phase,
    secret: [u8; 32],
    /// What is compared.
    scope: Scope,
    /// The number before the first frame that is held.
    base: u64,
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
    /// What of these the comparison put there.
    compared: Share,
    /// The last number that was handed to this connection.
    sent: u64,
    applied: u64,
    moved: Instant,
    checkpointed: u64,
    /// Frames were dropped that the follower did not get: only a comparison can follow.
    lost: bool,
    differs: VecDeque<Differs>,
    progress: progress::Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Begun with equal copies; the follower has not confirmed it.
    Expected,
    Comparing,
    /// Waits for the answer to the level operation with this number.
    Leveling(u64),
    Level,
}

#[derive(Clone)]
struct QueuedFrame {
    header: FrameHeader,
    payload: Arc<Vec<u8>>,
    /// Belongs to a comparison, and not to what the application did.
    compares: bool,
}

impl QueuedFrame {
    fn new(header: FrameHeader, payload: Vec<u8>) -> Self {
        Self {
            header,
            payload: Arc::new(payload),
            compares: false,
        }
    }

    /// What it takes of the queue, in bytes.
    fn bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }
}

/// A part of the queue.
#[derive(Clone, Copy, Default)]
struct Share {
    bytes: usize,
    frames: usize,
}

struct Pending {
    since: Instant,
    local: bool,
    need: Need,
    target: SyncTarget,
    answer: Option<Answer>,
}

/// What a waiting sync needs of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Nothing,
    /// The operation with this number is on the peer's disk.
    Synced(u64),
    /// The peer has applied everything up to this number.
    Applied(u64),
    /// Nothing that the peer could say: only the release of it.
    Release,
}

/// What a comparison reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All contents.
    Everything,
    /// The contents that are in the debt.
    Owed,
}

/// A piece of a session for the comparison to act on.
#[derive(Clone, Debug)]
pub enum Advance {
    /// This piece differs.
    Differs(Differs),
    /// Nothing differs that was answered so far.
    Applied(u64),
    /// The session ended.
    Ended,
}

/// What a follower says about a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The key of the hashes.
    pub secret: [u8; 32],
    /// Which comparison it is.
    pub comparison: ComparisonId,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The generation that is written.
    pub generation: u64,
    /// The last number given.
    pub last: u64,
    /// The number before the first one that can be replayed; `None`: nothing can.
    pub base: Option<u64>,
    /// Which copies lack no more than what is owed.
    pub debt: Option<DebtBase>,
    /// Whether acknowledgements wait.
    pub gated: bool,
}

/// A snapshot for the daemon.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Whether acknowledgements wait.
    pub gated: bool,
    /// The peer's copy.
    pub peer: Peer,
    /// How far its comparison is.
    pub resync: Option<Resync>,
    /// What goes to the peer.
    pub flow: Flow,
    /// How far the verification is that runs, or what the last one came to.
    pub verification: Option<Verification>,
    /// See `MirrorStatus::stalled`.
    pub stalled: bool,
    /// What is broken.
    pub fault: Option<Fault>,
    /// The generation that is written.
    pub generation: u64,
    /// The last number given.
    pub position: u64,
    /// The last number that the peer has applied.
    pub acknowledged: u64,
    /// Bytes that exist only here.
    pub exposure_bytes: u64,
    /// Since when.
    pub exposure_age: Duration,
    /// See `MirrorStatus::completion_age`.
    pub completion_age: Duration,
}

/// Why a drain did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// Nothing to drain to.
    #[error("the peer's copy is not level")]
    NotLevel,
    /// It took too long.
    #[error("the peer did not bring everything to its disk within {} ms", .0.as_millis())]
    Late(Duration),
    /// The session ended meanwhile.
    #[error("the stream to the peer ended")]
    Ended,
}

impl Source {
    /// A stream that no follower knows yet.
    #[must_use]
    pub fn new(incarnation: u64, beginning: Beginning, limits: Limits, changed: Notify) -> Self {
        let now = sys::now();
        let gated = beginning.peer != PeerAtBeginning::Out;
        let session = gated.then(|| {
            let mut session = Session::new(1, Phase::Expected, [0; 32], beginning.position, now);
            session.lost = beginning.peer == PeerAtBeginning::InSync;
            session
        });
        let id = u64::from(gated);
        let debt = Debt::new(beginning.position, beginning.debt);
        Self {
            permit: Permit::new(beginning.epoch),
            debt,
            incarnation,
            epoch: AtomicU64::new(beginning.epoch),
            limits,
            state: Mutex::new(State {
                generation: beginning.generation,
                last: beginning.position,
                sessions: id,
                session,
                gate: if gated { Gate::Shut } else { Gate::Open },
                pending: BTreeMap::new(),
                tickets: 0,
                finished: now,
                peer_applied: 0,
                unsaved: checkpoints::Unsaved::default(),
                link: None,
                links: 0,
                heard: now,
                said: now,
                ping_due: false,
                stalled: false,
                outdated: false,
                draining: None,
                alone_bytes: 0,
                alone_since: None,
                flow: Flow::default(),
                verifying: verification::Verifying::default(),
                fault: None,
                ended: false,
            }),
            work: Condvar::new(),
            advance: Condvar::new(),
            session: AtomicU64::new(id),
            complete: AtomicU64::new(id),
            congested: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
            changed,
            room: Mutex::new(None),
        }
    }

    /// All that the peer's copy may lack, against one that shows what this says.
    #[must_use]
    pub fn all_owed(&self) -> Option<(DebtBase, Vec<OwedFile>)> {
        let last = self.lock().last;
        self.debt.all(last)
    }

    /// Sets who is told that the queue has room again.
    pub fn on_room(&self, notify: Notify) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(notify);
    }

    /// The epoch of this service.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The session that is running.
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::SeqCst))
    }

    /// Whether everything that stands in the volumes is known to the follower of this session, or
    /// can be introduced to it by name.
    #[must_use]
    pub fn is_complete(&self, session: SessionId) -> bool {
        self.complete.load(Ordering::SeqCst) == session.0
    }

    /// Whether mutations should wait until the follower has caught up.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.congested.load(Ordering::SeqCst)
    }

    /// Whether this copy is lost.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.faulty.load(Ordering::SeqCst)
    }

    /// Ends everything: connection, session, threads. Answers nothing; what waited is handed back
    /// to be dropped when the mount is gone.
    pub fn end(&self) -> Vec<Answer> {
        let mut state = self.lock();
        state.ended = true;
        state.unlink();
        state.session = None;
        self.session.store(0, Ordering::SeqCst);
        self.complete.store(0, Ordering::SeqCst);
        self.work.notify_all();
        self.advance.notify_all();
        let waiting = std::mem::take(&mut state.pending);
        waiting.into_values().filter_map(|p| p.answer).collect()
    }

    /// Whether [`Self::end`] was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits, no longer than `limit`, and says whether the source has ended.
    #[must_use]
    pub fn ended_within(&self, limit: Duration) -> bool {
        let deadline = sys::now().after(limit);
        let mut state = self.lock();
        loop {
            let left = deadline.since(sys::now());
            if state.ended || left.is_zero() {
                return state.ended;
            }
            state = self.wait(&self.advance, state, left);
        }
    }

    /// Looks at the clock: stalls, silence, pings. Called every few hundredths of a second.
    pub fn tick(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = sys::now();
        let limit = self.limits.stall_limit;
        let silence = now.since(state.heard);
        let waiting = state
            .pending
            .values()
            .filter(|pending| pending.need != Need::Nothing)
            .map(|pending| now.since(pending.since))
            .max()
            .unwrap_or_default();
        let unmoved = self.is_congested()
            && state
                .session
                .as_ref()
                .is_some_and(|session| now.since(session.moved) > limit);
        let late = waiting > limit || silence > limit || unmoved || state.outdated;
        let stalled = state.gate != Gate::Open && late;
        let was = std::mem::replace(&mut state.stalled, stalled);
        if stalled && !was {
            tracing::warn!(
                waiting_ms = waiting.as_millis(),
                silence_ms = silence.as_millis(),
                "the peer stalls"
            );
        }
        // A gated session has time for the daemon's decision before its connection is given up.
        let patience = match state.gate {
            Gate::Shut => limit * 2,
            Gate::Provisional | Gate::Open => limit,
        };
        let silent = state.link.is_some() && silence > patience;
        let ping_after = limit / 5;
        if state.link.is_some() && now.since(state.said) > ping_after {
            state.ping_due = true;
            self.work.notify_one();
        }
        let stuck = state.gate == Gate::Open && unmoved;
        if stuck {
            self.end_session(
                guard,
                "the peer does not keep up and the application would wait",
            );
        } else if silent {
            tracing::warn!(
                silence_ms = silence.as_millis(),
                "connection to a silent peer closed"
            );
            self.disconnect(guard);
        } else {
            drop(guard);
        }
        if stalled != was || silent || stuck {
            (self.changed)();
        }
    }

    /// A snapshot. Telling the daemon that the peer is level shuts the gate for good.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        let mut state = self.lock();
        let now = sys::now();
        let peer = state.peer();
        if peer == Peer::Level && state.gate == Gate::Provisional {
            state.gate = Gate::Shut;
        }
        let oldest = state.pending.values().map(|pending| pending.since).min();
        let alone = state.gate == Gate::Open;
        SourceStatus {
            gated: !alone,
            peer,
            resync: state.resync(),
            flow: state.flow,
            verification: state.verifying.status.clone(),
            stalled: state.stalled,
            fault: state.fault.clone(),
            generation: state.generation,
            position: state.last,
            acknowledged: state.peer_applied,
            exposure_bytes: if alone { state.alone_bytes } else { 0 },
            exposure_age: match state.alone_since {
                Some(since) if alone => now.since(since),
                Some(_) | None => Duration::ZERO,
            },
            completion_age: match oldest {
                Some(oldest) => now.since(oldest.max(state.finished)),
                None => Duration::ZERO,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a holder leaves counters and queues that are consistent entry by entry.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        condition: &Condvar,
        guard: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        condition
            .wait_timeout(guard, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

impl State {
    fn peer(&self) -> Peer {
        let Some(session) = &self.session else {
            return Peer::Absent;
        };
        match session.phase {
            Phase::Expected => Peer::Absent,
            Phase::Comparing | Phase::Leveling(_) if self.link.is_some() => {
                let (done_bytes, total_bytes) = session.progress.bytes();
                Peer::Comparing {
                    done_bytes: done_bytes.min(total_bytes),
                    total_bytes,
                }
            }
            Phase::Comparing | Phase::Leveling(_) => Peer::Absent,
            Phase::Level => Peer::Level,
        }
    }

    fn resync(&self) -> Option<Resync> {
        let session = self.session.as_ref().filter(|_| self.link.is_some())?;
        match session.phase {
            Phase::Comparing | Phase::Leveling(_) => Some(session.progress.resync()),
            Phase::Expected | Phase::Level => None,
        }
    }
}
