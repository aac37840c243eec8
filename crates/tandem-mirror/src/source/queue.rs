//! The queue: numbers are given by appending to it, and frames stay in it until the follower has
//! applied them.

use super::progress::Progress;
use super::{
    FRAME_OVERHEAD, Gate, Phase, QUEUE_FRAMES_MAX, QueuedFrame, Scope, Session, SessionId, Share,
    Source, State, Written,
};
use crate::sys;
use crate::transport::FrameSender;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::stream::{self, FLAG_RESYNC, FrameHeader, Operation};

/// The most frames that are handed to the connection at once.
const BATCH_FRAMES_MAX: usize = 128;
/// The most bytes that are handed to the connection at once.
const BATCH_BYTES_MAX: usize = 1 << 20;

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

impl Source {
    /// Gives an operation the next number. `None` where the session is not running any more: then
    /// nothing was numbered, and a later comparison finds the effect.
    pub fn append(&self, session: SessionId, volume: u16, operation: &Operation) -> Option<u64> {
        let payload = stream::encode(operation);
        let mut state = self.lock();
        let number = state.next_number(session)?;
        let header = FrameHeader::operation(self.epoch(), number, volume);
        // These change nothing on a disk.
        if !matches!(
            operation,
            Operation::Forget { .. } | Operation::Introduce { .. }
        ) {
            state.unsaved.add(payload.len() + FRAME_OVERHEAD);
        }
        let frame = QueuedFrame {
            compares: compares(operation),
            ..QueuedFrame::new(header, payload)
        };
        self.push(state, frame);
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
        state.unsaved.add(data.len() + FRAME_OVERHEAD);
        let frame = QueuedFrame {
            compares: written.resync,
            ..QueuedFrame::new(header, data)
        };
        self.push(state, frame);
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

    pub(super) fn push(&self, mut state: MutexGuard<'_, State>, frame: QueuedFrame) {
        if state.gate == Gate::Open {
            let bytes = frame.payload.len() as u64;
            state.alone_bytes = state.alone_bytes.saturating_add(bytes);
            state.alone_since.get_or_insert_with(sys::now);
        }
        let linked = state.link.is_some();
        let gate = state.gate;
        let session = state.session.as_mut().expect("a number was given in it");
        session.hold(frame);
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
}

impl State {
    pub(super) fn next_number(&mut self, session: SessionId) -> Option<u64> {
        let current = self.session.as_ref()?;
        if current.id != session.0 || self.draining.is_some() {
            return None;
        }
        self.last += 1;
        Some(self.last)
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
            let payload = batch.frames.iter().map(|(_, payload)| payload.len() as u64);
            self.flow.sent_bytes += payload.sum::<u64>();
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
}

impl Session {
    pub(super) fn new(id: u64, phase: Phase, secret: [u8; 32], base: u64, now: Instant) -> Self {
        Self {
            id,
            phase,
            secret,
            scope: Scope::Everything,
            base,
            frames: VecDeque::new(),
            bytes: 0,
            compared: Share::default(),
            sent: base,
            applied: base,
            moved: now,
            checkpointed: 0,
            lost: false,
            differs: VecDeque::new(),
            progress: Progress::default(),
        }
    }

    /// Gives up the replay buffer: the session cannot be resumed by anybody.
    pub(super) fn lose_frames(&mut self, last: u64) {
        self.frames.clear();
        self.bytes = 0;
        self.compared = Share::default();
        self.base = last;
        self.sent = last;
        self.lost = true;
    }

    /// Keeps a frame until the follower has applied it.
    pub(super) fn hold(&mut self, frame: QueuedFrame) {
        self.bytes += frame.bytes();
        if frame.compares {
            self.compared.bytes += frame.bytes();
            self.compared.frames += 1;
        }
        self.frames.push_back(frame);
    }

    /// Drops what the follower has applied.
    pub(super) fn trim(&mut self) {
        while self.base < self.applied {
            let Some(frame) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= frame.bytes();
            if frame.compares {
                self.compared.bytes -= frame.bytes();
                self.compared.frames -= 1;
            }
            self.base += 1;
        }
    }
}

/// Whether only a comparison tells it, or a name operation that was there before it.
fn compares(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::ListDirectory { .. }
            | Operation::Describe { .. }
            | Operation::Compare { .. }
            | Operation::Hole { .. }
            | Operation::CompareEnd
    )
}
