//! Checkpoints while mirrored: every now and then both disks have everything up to a number, and
//! both positions say so.
//!
//! A checkpoint is no acknowledgement: nothing waits for it, and an idle pair takes none. It keeps
//! the sync at the end of a service short, and the recorded positions close behind the stream, so
//! that a disk that was set back shows.

use super::{Gate, Phase, QueuedFrame, SessionId, Source, State};
use crate::debt::Line;
use crate::sys;
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::stream::{self, FrameHeader, Operation};

/// A change is on both disks, and recorded as such, after this time: as long as the kernel itself
/// leaves changed pages in memory (`dirty_expire_centisecs`), so that a checkpoint writes what was
/// to be written anyhow. At one a second, or every few MiB, a database's hot pages are written many
/// times as often: with 64 MiB pgbench lost a fifth.
const PERIOD: Duration = Duration::from_secs(30);
/// Or after so many bytes, where they come fast: bounds what the sync at the end of a service, for
/// which the application waits, may find unwritten.
const BYTES_MAX: u64 = 512 << 20;
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(1);

/// What changed since the last checkpoint.
#[derive(Clone, Copy, Default)]
pub(super) struct Unsaved {
    bytes: u64,
    since: Option<Instant>,
}

impl Unsaved {
    /// An effect was numbered.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.since.get_or_insert_with(sys::now);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| self.bytes >= BYTES_MAX || now.since(since) >= PERIOD)
    }
}

/// A checkpoint that was numbered.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    session: SessionId,
    /// Its number: everything before it was applied here when it was given.
    pub number: u64,
    /// The epoch of the service.
    pub epoch: u64,
    /// The generation that is written.
    pub generation: u64,
}

impl State {
    fn is_checkpoint_due(&self) -> bool {
        let level = (self.session.as_ref()).is_some_and(|s| s.phase == Phase::Level);
        let mirrored = level && self.gate == Gate::Shut && self.link.is_some();
        mirrored && self.unsaved.is_due(sys::now())
    }
}

impl Source {
    /// Waits until a checkpoint is due, and asks the follower for it. `None`: the source has ended.
    #[must_use]
    pub fn await_due_checkpoint(&self) -> Option<Checkpoint> {
        loop {
            if self.ended_within(LOOK) {
                return None;
            }
            if !self.lock().is_checkpoint_due() {
                continue;
            }
            self.debt.begin_half(|| self.lock().last);
            let mut state = self.lock();
            if !state.is_checkpoint_due() {
                continue;
            }
            let session = SessionId(state.sessions);
            let Some(number) = state.next_number(session) else {
                continue;
            };
            state.unsaved = Unsaved::default();
            let checkpoint = Checkpoint {
                session,
                number,
                epoch: self.epoch(),
                generation: state.generation,
            };
            let header = FrameHeader::operation(checkpoint.epoch, number, 0);
            let payload = stream::encode(&Operation::Checkpoint);
            self.push(state, QueuedFrame::new(header, payload));
            return Some(checkpoint);
        }
    }

    /// Waits until the follower has a checkpoint on its disk. False: its session ended.
    #[must_use]
    pub fn await_follower(&self, checkpoint: &Checkpoint) -> bool {
        let mut state = self.lock();
        loop {
            match &state.session {
                Some(session) if SessionId(session.id) == checkpoint.session => {
                    if session.checkpointed >= checkpoint.number {
                        self.debt.drop_older(Line {
                            incarnation: self.incarnation,
                            epoch: checkpoint.epoch,
                            generation: checkpoint.generation,
                        });
                        return true;
                    }
                }
                Some(_) | None => return false,
            }
            state = self.wait(&self.advance, state, LOOK);
        }
    }
}
