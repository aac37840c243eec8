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
//! connection does not end it; a follower that forgot, a full queue without a gate, and the release
//! of the peer do. Without a session nothing is kept: the next one compares everything.
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
//! incarnation changes, replay is refused by it, everything is compared while gated syncs wait. A
//! sync is answered at [`Source::settle`] only, after both `local` and the peer's need are met.

use crate::transport::FrameSender;
use crate::{permit::Permit, sys};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::local::{Fault, Peer};
use tandem_wire::stream::{
    self, Differs, FLAG_RESYNC, FrameHeader, ObjectNumber, Operation, Progress, ROOT_OBJECT,
    WritePlace,
};

/// The most frames that the queue holds: small operations cost memory beyond their payload.
const QUEUE_FRAMES_MAX: usize = 64 << 10;
/// What a frame costs beside its payload, in bytes.
const FRAME_OVERHEAD: usize = 128;
/// The most frames that are handed to the connection at once.
const BATCH_FRAMES_MAX: usize = 128;
/// The most bytes that are handed to the connection at once.
const BATCH_BYTES_MAX: usize = 1 << 20;

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
}

/// How a source begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The epoch of the service.
    pub epoch: u64,
    /// The generation that is written.
    pub generation: u64,
    /// What is known of the peer's copy.
    pub peer: PeerAtBeginning,
    /// The last number that this copy stands for.
    pub position: u64,
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
}

struct Session {
    id: u64,
    phase: Phase,
    secret: [u8; 32],
    /// The number before the first frame that is held.
    base: u64,
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
    /// The last number that was handed to this connection.
    sent: u64,
    applied: u64,
    moved: Instant,
    checkpointed: u64,
    /// Frames were dropped that the follower did not get: only a comparison can follow.
    lost: bool,
    differs: VecDeque<Differs>,
    done_bytes: u64,
    total_bytes: u64,
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
    /// The peer is level.
    Level,
}

/// A piece of a session for the comparison to act on.
#[derive(Clone, Copy, Debug)]
pub enum Advance {
    /// This piece differs.
    Differs(Differs),
    /// Nothing differs that was answered so far.
    Applied(u64),
    /// The session ended.
    Ended,
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
        Self {
            permit: Permit::new(beginning.epoch),
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

    /// Sets who is told that the queue has room again.
    pub fn on_room(&self, notify: Notify) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(notify);
    }

    /// The epoch of this service.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    // ---- what operations ask, without a lock

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

    // ---- numbering

    /// Gives an operation the next number. `None` where the session is not running any more: then
    /// nothing was numbered, and a later comparison finds the effect.
    pub fn append(&self, session: SessionId, volume: u16, operation: &Operation) -> Option<u64> {
        let payload = stream::encode(operation);
        let mut state = self.lock();
        let number = state.next_number(session)?;
        let header = FrameHeader::operation(self.epoch(), number, volume);
        self.push(state, header, payload);
        Some(number)
    }

    /// Gives a write the next number; as [`Self::append`].
    pub fn append_write(
        &self,
        session: SessionId,
        written: &Written,
        data: Vec<u8>,
    ) -> Option<u64> {
        let mut state = self.lock();
        let number = state.next_number(session)?;
        let mut header = FrameHeader::write(self.epoch(), number, written.volume, written.place);
        header
            .flags
            .set(if written.resync { FLAG_RESYNC } else { 0 });
        self.push(state, header, data);
        Some(number)
    }

    /// Counts a mutation that nobody is told.
    pub fn count_alone(&self, bytes: u64) {
        let mut state = self.lock();
        if state.session.is_none() {
            state.last += 1;
        }
        if state.gate == Gate::Open {
            state.alone_bytes = state.alone_bytes.saturating_add(bytes);
            state.alone_since.get_or_insert_with(sys::now);
        }
    }

    fn push(&self, mut state: MutexGuard<'_, State>, header: FrameHeader, payload: Vec<u8>) {
        if state.gate == Gate::Open {
            let bytes = payload.len() as u64;
            state.alone_bytes = state.alone_bytes.saturating_add(bytes);
            state.alone_since.get_or_insert_with(sys::now);
        }
        let linked = state.link.is_some();
        let gate = state.gate;
        let session = state.session.as_mut().expect("a number was given in it");
        session.bytes += payload.len() + FRAME_OVERHEAD;
        session.frames.push_back(QueuedFrame {
            header,
            payload: Arc::new(payload),
        });
        let congested = session.bytes > self.limits.queue_bytes_max / 4 * 3
            || session.frames.len() > QUEUE_FRAMES_MAX / 4 * 3;
        if congested && !linked && gate == Gate::Open {
            // Nobody reads and nobody relies on it: the application must not wait.
            self.end_session(state, "the peer was away for longer than the queue reaches");
            return;
        }
        if congested {
            self.congested.store(true, Ordering::SeqCst);
        }
        if linked {
            self.work.notify_one();
        }
    }

    // ---- syncs and their answers

    /// Registers a sync: numbers it where acknowledgements wait for the peer. `answer` is called
    /// when both the caller has reported [`Self::local_done`] and the peer's part is done.
    pub fn begin_sync(&self, target: SyncTarget, answer: Answer) -> Ticket {
        let mut state = self.lock();
        let need = self.need(&mut state, &target);
        self.register(state, target, need, answer)
    }

    fn register(
        &self,
        mut state: MutexGuard<'_, State>,
        target: SyncTarget,
        need: Need,
        answer: Answer,
    ) -> Ticket {
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        let pending = Pending {
            since: sys::now(),
            local: false,
            need,
            target,
            answer: Some(answer),
        };
        state.pending.insert(ticket, pending);
        ticket
    }

    /// What a sync needs of the peer, sending the request for it.
    fn need(&self, state: &mut State, target: &SyncTarget) -> Need {
        if state.gate == Gate::Open || sabotage::early_ack() {
            return Need::Nothing;
        }
        let Some(session) = &state.session else {
            // Cannot be: a shut gate has a session. Waiting is the safe answer.
            return Need::Level;
        };
        match session.phase {
            Phase::Comparing => Need::Level,
            Phase::Expected | Phase::Leveling(_) | Phase::Level => {
                if let Some(number) = state.draining {
                    // Nothing changed since that checkpoint.
                    let done = session.checkpointed >= number;
                    return if done {
                        Need::Nothing
                    } else {
                        Need::Synced(number)
                    };
                }
                let known = target.session == SessionId(session.id);
                let object = if known { target.object } else { ROOT_OBJECT };
                Need::Synced(self.append_sync(state, target, object))
            }
        }
    }

    fn append_sync(&self, state: &mut State, target: &SyncTarget, object: ObjectNumber) -> u64 {
        state.last += 1;
        let number = state.last;
        let payload = stream::encode(&Operation::Sync {
            object,
            data_only: target.data_only,
        });
        let session = state.session.as_mut().expect("checked by the caller");
        session.bytes += payload.len() + FRAME_OVERHEAD;
        session.frames.push_back(QueuedFrame {
            header: FrameHeader::operation(self.epoch(), number, target.volume),
            payload: Arc::new(payload),
        });
        if state.link.is_some() {
            self.work.notify_one();
        }
        number
    }

    /// The local part of a sync succeeded.
    pub fn local_done(&self, ticket: Ticket) {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get_mut(&ticket) {
            pending.local = true;
        }
        self.settle(state);
    }

    /// Answers every sync whose conditions are met.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        let met: Vec<Ticket> = state
            .pending
            .iter()
            .filter(|(_, pending)| pending.local && pending.need == Need::Nothing)
            .map(|(ticket, _)| *ticket)
            .collect();
        if met.is_empty() {
            return;
        }
        state.finished = sys::now();
        let answers: Vec<Answer> = met
            .iter()
            .filter_map(|ticket| state.pending.remove(ticket)?.answer)
            .collect();
        drop(state);
        for answer in answers {
            answer();
        }
    }

    /// A local write or sync failed: this copy is lost. What waits goes on waiting, and no further
    /// mutation is accepted: the page cache lies after a failed sync.
    pub fn fail(&self, fault: Fault) {
        self.faulty.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        let first = state.fault.is_none();
        if first {
            state.fault = Some(fault.clone());
        }
        drop(state);
        (self.changed)();
        if first {
            // Last: the log may lie on the same disk.
            tracing::error!(?fault, "this copy is lost: no write is accepted any more");
        }
    }

    // ---- the connection

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
            gated: state.gate != Gate::Open,
        }
    }

    /// The follower wants everything compared: begins a session.
    ///
    /// Not behind a shut gate: `None`. The record says that the follower is in sync, so it may be
    /// promoted at any moment, and a copy that is half compared is one that never existed. The
    /// stall is reported at once instead; the daemon records the peer out and releases it, and the
    /// comparison begins at the next connection.
    pub fn begin_compare(&self, sender: FrameSender, secret: [u8; 32]) -> Option<u64> {
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
        state.session = Some(Session::new(id, Phase::Comparing, secret, base, now));
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
        let link = state.set_link(sender, now);
        self.repeat_syncs(&mut state, from);
        self.work.notify_one();
        self.advance.notify_all();
        drop(state);
        (self.changed)();
        Some(link)
    }

    /// What was sent before the connection broke may have been synced with nobody to tell it to:
    /// asks again, under new numbers.
    fn repeat_syncs(&self, state: &mut State, from: u64) {
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
        let leveling = matches!(
            state.session.as_ref().map(|session| session.phase),
            Some(Phase::Leveling(number)) if number < from
        );
        if leveling {
            self.append_level(state);
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
        }
        for pending in state.pending.values_mut() {
            let met = match pending.need {
                Need::Nothing => false,
                Need::Synced(number) => {
                    number == progress.synced
                        || number <= checkpointed
                        || (level_reached && number < progress.synced)
                }
                Need::Level => level_reached,
            };
            if met {
                pending.need = Need::Nothing;
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

    /// The connection is over.
    pub fn unlink(&self, link: u64) {
        let state = self.lock();
        if state.link.as_ref().is_some_and(|l| l.number == link) {
            self.disconnect(state);
            (self.changed)();
        }
    }

    /// Without a connection, only a session whose gate is shut is kept, and of that only what can
    /// be resumed: a comparison always starts over.
    fn disconnect(&self, mut state: MutexGuard<'_, State>) {
        state.unlink();
        self.advance.notify_all();
        if state.gate != Gate::Shut {
            self.end_session(
                state,
                "the connection broke before the peer was known to be level",
            );
            return;
        }
        let last = state.last;
        if let Some(session) = &mut state.session
            && session.phase == Phase::Comparing
        {
            session.lose_frames(last);
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
        tracing::warn!(reason, "everything will be compared again");
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
    fn end_session(&self, mut state: MutexGuard<'_, State>, reason: &str) {
        debug_assert_ne!(state.gate, Gate::Shut, "only the daemon releases the peer");
        if state.session.is_some() {
            tracing::warn!(
                reason,
                "stream session ended: everything will be compared again"
            );
        }
        self.release_locked(&mut state);
        self.settle(state);
    }

    fn release_locked(&self, state: &mut State) {
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

    fn forget_congestion(&self) {
        if self.congested.swap(false, Ordering::SeqCst) {
            // Called with the lock held: whoever waits looks again by itself, see `tell_room`.
            self.tell_room();
        }
    }

    fn tell_room(&self) {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = &*room {
            room();
        }
    }

    // ---- commands of the daemon

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
        self.push(state, header, stream::encode(&Operation::Checkpoint));
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

    // ---- time

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

    // ---- the sender's side

    /// Waits for frames to send, at most `limit`. `None`: the source has ended.
    pub fn take_batch(&self, limit: Duration) -> Option<Batch> {
        let deadline = sys::now().after(limit);
        let mut guard = self.lock();
        loop {
            let state = &mut *guard;
            if state.ended {
                return None;
            }
            if let Some(batch) = state.batch(self.epoch()) {
                return Some(batch);
            }
            let left = deadline.since(sys::now());
            if left.is_zero() {
                return Some(Batch::default());
            }
            guard = self.wait(&self.work, guard, left);
        }
    }

    // ---- the comparison's side

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

    /// The key of a session's hashes.
    #[must_use]
    pub fn secret(&self, session: SessionId) -> Option<[u8; 32]> {
        let state = self.lock();
        let current = state.session.as_ref()?;
        (current.id == session.0).then_some(current.secret)
    }

    /// Reports how much was compared.
    pub fn compared(&self, session: SessionId, done_bytes: u64, total_bytes: u64) {
        let mut state = self.lock();
        if let Some(current) = &mut state.session
            && current.id == session.0
        {
            current.done_bytes = done_bytes;
            current.total_bytes = total_bytes;
        }
    }

    /// What the comparison has to act on: a difference; or, once the follower has applied
    /// `number` and the queue has room, how far it is. Waits for one of these.
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
            let roomy = current.bytes < self.limits.queue_bytes_max / 4;
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

    fn append_level(&self, state: &mut State) {
        state.last += 1;
        let number = state.last;
        let session = state.session.as_mut().expect("checked by the caller");
        let payload = stream::encode(&Operation::Level);
        session.phase = Phase::Leveling(number);
        session.bytes += payload.len() + FRAME_OVERHEAD;
        session.frames.push_back(QueuedFrame {
            header: FrameHeader::operation(self.epoch(), number, 0),
            payload: Arc::new(payload),
        });
        self.work.notify_one();
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

/// Frames for the connection.
#[derive(Default)]
pub struct Batch {
    /// The connection.
    pub link: u64,
    /// Its sending half, if there is something to send.
    pub sender: Option<FrameSender>,
    /// The frames in order.
    pub frames: Vec<(FrameHeader, Arc<Vec<u8>>)>,
}

impl State {
    fn next_number(&mut self, session: SessionId) -> Option<u64> {
        let current = self.session.as_ref()?;
        if current.id != session.0 || self.draining.is_some() {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    fn set_link(&mut self, sender: FrameSender, now: Instant) -> u64 {
        self.unlink();
        self.links += 1;
        self.heard = now;
        self.said = now;
        self.link = Some(Link {
            number: self.links,
            sender,
        });
        self.links
    }

    fn unlink(&mut self) {
        if let Some(link) = self.link.take() {
            link.sender.close();
        }
    }

    fn batch(&mut self, epoch: u64) -> Option<Batch> {
        let link = self.link.as_ref()?;
        let mut batch = Batch {
            link: link.number,
            sender: Some(link.sender.clone()),
            frames: Vec::new(),
        };
        if let Some(session) = &mut self.session {
            let mut bytes = 0;
            session.sent = session.sent.max(session.base);
            let begin = (session.sent - session.base) as usize;
            for frame in session.frames.iter().skip(begin).take(BATCH_FRAMES_MAX) {
                bytes += frame.payload.len();
                if bytes > BATCH_BYTES_MAX && !batch.frames.is_empty() {
                    break;
                }
                batch.frames.push((frame.header, frame.payload.clone()));
            }
            session.sent += batch.frames.len() as u64;
        }
        if self.ping_due && batch.frames.is_empty() {
            let ping = FrameHeader::control(stream::FrameKind::Ping, epoch);
            batch.frames.push((ping, Arc::new(Vec::new())));
        }
        if batch.frames.is_empty() {
            return None;
        }
        self.ping_due = false;
        self.said = sys::now();
        Some(batch)
    }

    fn peer(&self) -> Peer {
        let Some(session) = &self.session else {
            return Peer::Absent;
        };
        match session.phase {
            Phase::Expected => Peer::Absent,
            Phase::Comparing | Phase::Leveling(_) if self.link.is_some() => Peer::Comparing {
                done_bytes: session.done_bytes.min(session.total_bytes),
                total_bytes: session.total_bytes,
            },
            Phase::Comparing | Phase::Leveling(_) => Peer::Absent,
            Phase::Level => Peer::Level,
        }
    }
}

impl Session {
    fn new(id: u64, phase: Phase, secret: [u8; 32], base: u64, now: Instant) -> Self {
        Self {
            id,
            phase,
            secret,
            base,
            frames: VecDeque::new(),
            bytes: 0,
            sent: base,
            applied: base,
            moved: now,
            checkpointed: 0,
            lost: false,
            differs: VecDeque::new(),
            done_bytes: 0,
            total_bytes: 0,
        }
    }

    /// Gives up the replay buffer: the session cannot be resumed by anybody.
    fn lose_frames(&mut self, last: u64) {
        self.frames.clear();
        self.bytes = 0;
        self.base = last;
        self.sent = last;
        self.lost = true;
    }

    /// Drops what the follower has applied.
    fn trim(&mut self) {
        while self.base < self.applied {
            let Some(frame) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= frame.payload.len() + FRAME_OVERHEAD;
            self.base += 1;
        }
    }
}

/// Deliberate defects, for the lab and the demo only: chosen by `TANDEM_SABOTAGE`, and not part of
/// a build without the feature.
pub mod sabotage {
    use std::time::Duration;

    /// Syncs are answered before the peer has them, and frames leave late.
    #[must_use]
    pub fn early_ack() -> bool {
        chosen("early-ack")
    }

    /// A drain waits for nothing and drops what is queued.
    #[must_use]
    pub fn skip_drain() -> bool {
        chosen("skip-drain")
    }

    /// How long frames are held back.
    #[must_use]
    pub fn hold_back() -> Option<Duration> {
        // skip-drain needs something that is still queued when the drain comes.
        (early_ack() || skip_drain()).then_some(Duration::from_millis(200))
    }

    #[cfg(feature = "sabotage")]
    fn chosen(name: &str) -> bool {
        use std::sync::OnceLock;
        static CHOSEN: OnceLock<String> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| std::env::var("TANDEM_SABOTAGE").unwrap_or_default());
        chosen == name
    }

    #[cfg(not(feature = "sabotage"))]
    const fn chosen(_name: &str) -> bool {
        false
    }
}
