//! What was received and is not yet applied: one bounded queue, in the order of the stream.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use tandem_wire::stream::Operation;

use super::FollowerError;
use super::ledger::Stream;
use crate::transport::Frame;

/// What an entry costs beside its payload, in bytes: small operations count by this.
const ENTRY_BYTES: usize = 128;
/// How many entries are handed out at once, so that progress is reported often enough.
const BATCH_MAX: usize = 256;

/// What the worker is to do.
pub(super) enum Work {
    /// The stream begins: what follows belongs to it.
    Begin(Arc<Stream>, Beginning),
    /// The next numbered operation.
    Operation {
        sequence: u64,
        volume: u16,
        operation: Box<Operation>,
    },
    /// The next numbered write.
    Write(Frame),
    /// The connection is over.
    End,
    /// See [`super::Follower::seal`].
    Seal(Sender<Result<u64, FollowerError>>),
    /// The worker ends.
    Stop,
}

/// What is known at the beginning of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning {
    /// The same stream on another connection.
    Resumed,
    /// Both copies are equal; objects are introduced anew.
    Equal,
    /// Nothing: everything is compared with hashes of this key.
    Compare([u8; 32]),
}

pub(super) struct Inbox {
    bytes_max: usize,
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    queue: VecDeque<(Work, usize)>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            entries: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Appends an entry of the stream, waiting while there is no room. The worker makes room for
    /// as long as it lives, also by throwing away what cannot be applied any more.
    pub(super) fn push(&self, work: Work, payload_bytes: usize) {
        let bytes = payload_bytes + ENTRY_BYTES;
        let mut entries = self.lock();
        while entries.bytes + bytes > self.bytes_max && entries.bytes > 0 {
            entries = self.wait(entries);
        }
        entries.bytes += bytes;
        entries.queue.push_back((work, bytes));
        self.changed.notify_all();
    }

    /// Appends a command, which is always accepted: there are few.
    pub(super) fn push_command(&self, work: Work) {
        self.lock().queue.push_back((work, 0));
        self.changed.notify_all();
    }

    /// Waits for entries, at most for `limit`, and takes some of them. Their bytes count until
    /// [`Self::done`].
    pub(super) fn take(&self, limit: Duration) -> (Vec<Work>, usize) {
        let mut entries = self.lock();
        if entries.queue.is_empty() {
            let waited = (self.changed)
                .wait_timeout_while(entries, limit, |entries| entries.queue.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            entries = waited.0;
        }
        let many = entries.queue.len().min(BATCH_MAX);
        let mut bytes = 0;
        let taken = entries.queue.drain(..many).map(|(work, size)| {
            bytes += size;
            work
        });
        let taken = taken.collect();
        (taken, bytes)
    }

    /// What was taken is applied: makes room.
    pub(super) fn done(&self, bytes: usize) {
        self.lock().bytes -= bytes;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing between taking and returning this lock can leave the queue half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, entries: MutexGuard<'a, Entries>) -> MutexGuard<'a, Entries> {
        self.changed
            .wait(entries)
            .unwrap_or_else(PoisonError::into_inner)
    }
}
