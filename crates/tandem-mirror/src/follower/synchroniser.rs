//! Brings applied operations to the disk: two threads for the syncs of single objects, one for
//! checkpoints.
//!
//! A request is handed over only after everything before it was applied, so a later sync of the
//! same object covers every earlier request for it: those that wait are gathered into one call.
//! Checkpoints have a thread of their own, because a sync of the whole file system must not stand
//! before the fsync that a client waits for; those that wait are gathered, too. Nobody waits for
//! one, so that a long one is no sign of a disk that does not answer.
//!
//! A sync that fails is never tried again: after it the page cache shows what the disk lost. The
//! fault is the disk's, and final.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tandem_core::MirrorFault;

use super::ledger::{Ledger, Stream, lock};
use crate::applier::SyncRequest;
use crate::backing::sync_all;
use crate::roles::sentence;
use crate::standing::{self, Standing};

/// Two clients that commit at the same time do not wait for each other; more threads than that
/// only meet at the journal's lock.
const SYNC_THREADS: usize = 2;

/// A sync that the source waits for.
pub(super) struct SyncJob {
    pub(super) stream: Arc<Stream>,
    pub(super) sequence: u64,
    pub(super) request: SyncRequest,
}

/// A checkpoint that the source asked for, or a flush that keeps the final one short.
pub(super) enum Checkpoint {
    Numbered(Arc<Stream>, u64),
    Flush,
}

pub(super) struct Synchroniser {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    ledger: Arc<Ledger>,
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

/// Bounded by what the source may have outstanding: its replay buffer holds each request until it
/// was applied, and each of its clients waits for one.
#[derive(Default)]
struct Jobs {
    syncs: VecDeque<SyncJob>,
    checkpoints: Vec<Checkpoint>,
    /// Syncs and checkpoints under way.
    running: usize,
    /// Syncs under way: for these somebody waits.
    syncing: usize,
    stopped: bool,
}

impl Synchroniser {
    pub(super) fn start(ledger: &Arc<Ledger>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            jobs: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut started = Self {
            shared,
            threads: Vec::new(),
        };
        for _ in 0..SYNC_THREADS {
            let shared = Arc::clone(&started.shared);
            let builder = thread::Builder::new().name("sync".into());
            started
                .threads
                .push(builder.spawn(move || shared.sync_objects())?);
        }
        let shared = Arc::clone(&started.shared);
        let builder = thread::Builder::new().name("checkpoint".into());
        started
            .threads
            .push(builder.spawn(move || shared.sync_volumes())?);
        Ok(started)
    }

    pub(super) fn sync(&self, job: SyncJob) {
        self.shared.lock().syncs.push_back(job);
        self.shared.changed.notify_all();
    }

    pub(super) fn checkpoint(&self, checkpoint: Checkpoint) {
        self.shared.lock().checkpoints.push(checkpoint);
        self.shared.changed.notify_all();
    }

    /// Waits until nothing is left to be synced.
    pub(super) fn finish(&self) {
        let mut jobs = self.shared.lock();
        while jobs.running > 0 || !jobs.syncs.is_empty() || !jobs.checkpoints.is_empty() {
            jobs = self.shared.wait(jobs);
        }
    }
}

impl Drop for Synchroniser {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        lock(&self.jobs)
    }

    fn wait<'a>(&self, jobs: MutexGuard<'a, Jobs>) -> MutexGuard<'a, Jobs> {
        self.changed
            .wait(jobs)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_objects(&self) {
        loop {
            let mut jobs = self.lock();
            let first = loop {
                if let Some(job) = jobs.syncs.pop_front() {
                    break job;
                }
                if jobs.stopped {
                    return;
                }
                jobs = self.wait(jobs);
            };
            let gathered = gather(&mut jobs.syncs, first);
            self.begin_sync(&mut jobs);
            drop(jobs);
            self.sync_gathered(&gathered);
            self.end_sync();
        }
    }

    fn sync_gathered(&self, gathered: &[SyncJob]) {
        let newest = gathered.last().expect("gathered around one job");
        let request = &newest.request;
        let data_only = gathered.iter().all(|job| job.request.data_only);
        let outcome = match &request.descriptor {
            None => self.ledger.volumes[usize::from(request.place.volume)].sync(),
            Some(object) if data_only => rustix::fs::fdatasync(object).map_err(io::Error::from),
            Some(object) => rustix::fs::fsync(object).map_err(io::Error::from),
        };
        let stream = &newest.stream;
        match outcome {
            Ok(()) => {
                let numbers: Vec<u64> = gathered.iter().map(|job| job.sequence).collect();
                if !stream.is_broken() {
                    stream.report(&numbers);
                }
            }
            Err(error) => {
                let what = format!("sync object {}: {error}", request.place.object);
                let fault = MirrorFault::LocalDisk(what);
                self.ledger.fail(stream, newest.sequence, fault);
            }
        }
    }

    fn sync_volumes(&self) {
        loop {
            let mut jobs = self.lock();
            while jobs.checkpoints.is_empty() {
                if jobs.stopped {
                    return;
                }
                jobs = self.wait(jobs);
            }
            let gathered = std::mem::take(&mut jobs.checkpoints);
            jobs.running += 1;
            drop(jobs);
            self.checkpoint_gathered(&gathered);
            self.lock().running -= 1;
            self.changed.notify_all();
        }
    }

    fn checkpoint_gathered(&self, gathered: &[Checkpoint]) {
        let newest = gathered
            .iter()
            .rev()
            .find_map(|checkpoint| match checkpoint {
                Checkpoint::Numbered(stream, sequence) => Some((stream, *sequence)),
                Checkpoint::Flush => None,
            });
        let synced = sync_all(&self.ledger.volumes);
        let Some((stream, sequence)) = newest else {
            if let Err(error) = synced {
                // The kernel tells a failed write-back once for each descriptor: this was it.
                self.ledger.lose_disk(error.to_string());
            }
            return;
        };
        match synced {
            Ok(()) if stream.is_broken() => {}
            Ok(()) => self.record_checkpoint(stream, sequence),
            Err(error) => {
                let fault = MirrorFault::LocalDisk(error.to_string());
                self.ledger.fail(stream, sequence, fault);
            }
        }
    }

    fn record_checkpoint(&self, stream: &Stream, sequence: u64) {
        let standing = standing_of(stream, sequence, End::Open);
        match standing::record(&self.ledger.config, &self.ledger.volumes, &standing) {
            Ok(()) => {
                stream.checkpointed.fetch_max(sequence, Ordering::AcqRel);
                stream.report(&[]);
            }
            // A full disk, perhaps: what is claimed stays behind, and a drain will say so.
            Err(error) => {
                tracing::warn!(sequence, error = sentence(&error), "record the checkpoint");
            }
        }
    }

    fn begin_sync(&self, jobs: &mut Jobs) {
        jobs.running += 1;
        jobs.syncing += 1;
        if jobs.syncing == 1 {
            let now = self.ledger.now();
            self.ledger.syncing_since.store(now, Ordering::Release);
        }
    }

    fn end_sync(&self) {
        let mut jobs = self.lock();
        jobs.running -= 1;
        jobs.syncing -= 1;
        // While others run, the age counts from this end: something was completed.
        let since = match jobs.syncing {
            0 => 0,
            _ => self.ledger.now(),
        };
        self.ledger.syncing_since.store(since, Ordering::Release);
        self.changed.notify_all();
    }
}

/// Takes every waiting request of the same stream for the same object.
fn gather(syncs: &mut VecDeque<SyncJob>, first: SyncJob) -> Vec<SyncJob> {
    let place = first.request.place;
    let stream = Arc::clone(&first.stream);
    let same = |job: &SyncJob| job.request.place == place && Arc::ptr_eq(&job.stream, &stream);
    let mut gathered = vec![first];
    if syncs.iter().any(same) {
        for job in std::mem::take(syncs) {
            if same(&job) {
                gathered.push(job);
            } else {
                syncs.push_back(job);
            }
        }
    }
    gathered
}

/// Whether nothing follows what a standing describes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Clean,
    /// In the middle of the stream's comparison.
    Interrupted,
}

pub(super) fn standing_of(stream: &Stream, checkpointed: u64, end: End) -> Standing {
    Standing {
        epoch: stream.origin.epoch,
        generation: stream.origin.generation,
        stream_incarnation: stream.origin.incarnation,
        applied: stream.applied.load(Ordering::Acquire),
        checkpointed,
        clean: end == End::Clean,
        comparison: stream.comparison.filter(|_| end == End::Interrupted),
        inconsistent: !stream.level.load(Ordering::Acquire),
    }
}
