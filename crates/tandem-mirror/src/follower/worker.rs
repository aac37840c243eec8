//! The one thread that applies: takes work from the inbox in order, and reports how far it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tandem_core::MirrorFault;
use tandem_wire::stream::{Differs, FrameHeader, FrameKind, Unequal, encode};

use super::FollowerError;
use super::inbox::{Beginning, Inbox, Work};
use super::ledger::{Ledger, Stream, reason};
use super::synchroniser::{Checkpoint, End, SyncJob, Synchroniser, standing_of};
use crate::applier::{ApplyError, Outcome, Replica};
use crate::backing::sync_all;
use crate::before;
use crate::roles::sentence;
use crate::standing::{self, Inconsistent, Standing};

/// Progress is reported at least this often while a batch is applied: it is what the source's
/// replay buffer is freed by.
const REPORT_EVERY: Duration = Duration::from_millis(5);
/// While comparing, the disk is kept busy after this many bytes written, so that the sync at the
/// end, for which the application waits, finds little. A level copy takes checkpoints.
const FLUSH_BYTES: u64 = 32 << 20;
/// Deferred times are set this often, also when nothing comes: a standby that only waits shows the
/// times of its primary.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    ledger: Arc<Ledger>,
    inbox: Arc<Inbox>,
    synchroniser: Synchroniser,
    replica: Replica,
    stream: Option<Arc<Stream>>,
    /// A comparison was begun of which nothing has come.
    uncompared: bool,
    /// Nothing is applied any more, whatever a session that does not end still brings.
    sealed: bool,
    reported: Instant,
    settled: Instant,
    unflushed_bytes: u64,
}

impl Worker {
    pub(super) fn new(
        ledger: &Arc<Ledger>,
        inbox: &Arc<Inbox>,
        synchroniser: Synchroniser,
    ) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            inbox: Arc::clone(inbox),
            synchroniser,
            replica: Replica::new(&ledger.volumes),
            stream: None,
            uncompared: false,
            sealed: false,
            reported: Instant::now(),
            settled: Instant::now(),
            unflushed_bytes: 0,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let (batch, bytes) = self.inbox.take(SETTLE_EVERY);
            self.mark_busy();
            let mut numbered = false;
            for work in batch {
                match work {
                    Work::Begin(stream, beginning) => self.begin(stream, beginning),
                    Work::Operation { sequence, .. } => {
                        numbered = true;
                        self.apply_next(sequence, work);
                    }
                    Work::Write(ref frame) => {
                        numbered = true;
                        self.apply_next(frame.header.sequence.get(), work);
                    }
                    Work::End => self.settle(),
                    Work::Seal(reply) => self.seal(&reply),
                    Work::Stop => return,
                }
            }
            if self.settled.elapsed() >= SETTLE_EVERY {
                self.settle();
                self.settled = Instant::now();
            }
            self.inbox.done(bytes);
            self.ledger.applying_since.store(0, Ordering::Release);
            if numbered {
                self.report();
            }
        }
    }

    fn mark_busy(&self) {
        let now = self.ledger.now();
        self.ledger.applying_since.store(now, Ordering::Release);
    }

    fn begin(&mut self, stream: Arc<Stream>, beginning: Beginning) {
        if self.sealed {
            return;
        }
        self.unflushed_bytes = 0;
        self.uncompared = matches!(beginning, Beginning::Compare(_));
        let begun = match beginning {
            Beginning::Resumed => Ok(()),
            Beginning::Equal => self.replica.begin_equal(),
            Beginning::Compare(secret) => self.replica.begin_compare(secret),
        };
        self.stream = Some(Arc::clone(&stream));
        match begun {
            Ok(()) => stream.report(&[]),
            Err(error) => self.ledger.fail(&stream, 0, fault_of(&error)),
        }
    }

    fn apply_next(&mut self, sequence: u64, work: Work) {
        let Some(stream) = self.stream.clone().filter(|stream| !stream.is_broken()) else {
            // After a failure nothing of the stream is applied any more.
            return;
        };
        if self.sealed {
            return;
        }
        if std::mem::take(&mut self.uncompared)
            && let Err(fault) = self.begin_to_mix(&stream)
        {
            return self.ledger.fail(&stream, sequence, fault);
        }
        match self.apply(&stream, sequence, work) {
            Ok(()) => stream.applied.store(sequence, Ordering::Release),
            Err(fault) => return self.ledger.fail(&stream, sequence, fault),
        }
        if self.reported.elapsed() > REPORT_EVERY {
            self.report();
            // A long batch goes on, but it is not one long operation.
            self.mark_busy();
        }
    }

    /// The first change of a comparison follows: until its end this copy is a mixture of two points
    /// in time, also after a crash.
    fn begin_to_mix(&self, stream: &Stream) -> Result<(), MirrorFault> {
        // A checkpoint of the stream before would say otherwise.
        self.synchroniser.finish();
        let (config, volumes) = (&self.ledger.config, &self.ledger.volumes);
        for volume in volumes.iter().filter(|v| standing::is_new(config, v)) {
            let kept =
                before::keep(volume).map_err(|error| MirrorFault::Apply(sentence(&error)))?;
            if let Some(kept) = kept {
                tracing::info!(
                    volume = volume.name,
                    kept = %kept.display(),
                    "what stood here before the first synchronisation was kept"
                );
            }
        }
        let standing = standing_of(stream, 0, End::Open);
        standing::record(config, volumes, &standing).map_err(|error| {
            MirrorFault::Apply(format!("record a comparison: {}", sentence(&error)))
        })?;
        let volume = volumes.first().map(|volume| volume.name.clone());
        self.ledger.lock().inconsistent =
            volume.map(|volume| Inconsistent::HalfCompared { volume });
        Ok(())
    }

    fn apply(
        &mut self,
        stream: &Arc<Stream>,
        sequence: u64,
        work: Work,
    ) -> Result<(), MirrorFault> {
        let outcome = match work {
            Work::Operation {
                volume, operation, ..
            } => {
                let outcome = self.replica.apply(volume, &operation);
                if outcome.is_err() {
                    // With the reason that is logged next, this is all there is to know; a
                    // listing can be long.
                    let shown: String = format!("{operation:?}").chars().take(1000).collect();
                    tracing::warn!(sequence, volume, shown, "this cannot be applied");
                }
                outcome
            }
            Work::Write(frame) => {
                self.unflushed_bytes += frame.payload.len() as u64;
                self.replica.write(&frame.header, &frame.payload)
            }
            Work::Begin(..) | Work::End | Work::Seal(_) | Work::Stop => Ok(Outcome::Applied),
        };
        match outcome.map_err(|error| fault_of(&error))? {
            Outcome::Applied => {
                if self.unflushed_bytes > FLUSH_BYTES && !stream.is_level() {
                    self.unflushed_bytes = 0;
                    self.synchroniser.checkpoint(Checkpoint::Flush);
                }
                Ok(())
            }
            Outcome::Sync(request) => {
                // A fast disk's answer must not come before the word that it was applied.
                stream.applied.store(sequence, Ordering::Release);
                let stream = Arc::clone(stream);
                self.synchroniser.sync(SyncJob {
                    stream,
                    sequence,
                    request,
                });
                Ok(())
            }
            Outcome::Checkpoint => {
                self.set_deferred_times()?;
                let checkpoint = Checkpoint::Numbered(Arc::clone(stream), sequence);
                self.synchroniser.checkpoint(checkpoint);
                Ok(())
            }
            Outcome::Differs(differs) => {
                tell(stream, &differs);
                Ok(())
            }
            Outcome::Unequal(difference) => {
                let unequal = Unequal {
                    sequence,
                    what: difference.what,
                    blocks: difference.blocks,
                };
                let header = stream.header(FrameKind::Unequal);
                stream.send(&[(header, encode(&unequal).as_slice())]);
                Ok(())
            }
            Outcome::CompareEnd => {
                self.set_deferred_times()?;
                self.sync_everything()
            }
            Outcome::Level => self.level(stream, sequence),
        }
    }

    /// Everything is brought to the disk; from here on this copy is level.
    fn level(&mut self, stream: &Stream, sequence: u64) -> Result<(), MirrorFault> {
        self.set_deferred_times()?;
        self.sync_everything()?;
        stream.applied.store(sequence, Ordering::Release);
        let standing = Standing {
            inconsistent: false,
            ..standing_of(stream, sequence, End::Open)
        };
        standing::record(&self.ledger.config, &self.ledger.volumes, &standing).map_err(
            |error| MirrorFault::Apply(format!("record the level position: {}", sentence(&error))),
        )?;
        self.replica.end_compare();
        stream.checkpointed.fetch_max(sequence, Ordering::AcqRel);
        stream.level.store(true, Ordering::Release);
        self.ledger.heal();
        tracing::info!(sequence, "this copy is level");
        stream.report(&[sequence]);
        self.ledger.notify();
        Ok(())
    }

    fn sync_everything(&self) -> Result<(), MirrorFault> {
        sync_all(&self.ledger.volumes).map_err(|error| MirrorFault::LocalDisk(error.to_string()))
    }

    fn set_deferred_times(&mut self) -> Result<(), MirrorFault> {
        self.replica
            .set_deferred_times()
            .map_err(|error| fault_of(&error))
    }

    /// Nothing is left half done: the connection is over, or it went on for a while.
    fn settle(&mut self) {
        let Some(stream) = self.stream.clone().filter(|stream| !stream.is_broken()) else {
            return;
        };
        if let Err(fault) = self.set_deferred_times() {
            let applied = stream.applied.load(Ordering::Acquire);
            self.ledger.fail(&stream, applied, fault);
        }
    }

    fn seal(&mut self, reply: &Sender<Result<u64, FollowerError>>) {
        self.settle();
        self.sealed = true;
        self.synchroniser.finish();
        // The asker may have given up; the copy is sealed all the same.
        let _ = reply.send(self.complete());
    }

    fn complete(&self) -> Result<u64, FollowerError> {
        let incomplete = FollowerError::Incomplete;
        if let Some(fault @ MirrorFault::LocalDisk(_)) = self.ledger.fault() {
            return Err(incomplete(reason(&fault).to_owned()));
        }
        if let Err(error) = sync_all(&self.ledger.volumes) {
            self.ledger.lose_disk(error.to_string());
            return Err(incomplete(error.to_string()));
        }
        let Some(stream) = &self.stream else {
            // Nothing came: what the volumes recorded stands.
            let found = standing::found(&self.ledger.config, &self.ledger.volumes);
            return Ok(found.standing.unwrap_or_default().applied);
        };
        if stream.is_broken() {
            let fault = self.ledger.fault();
            let why = fault.as_ref().map_or("its stream was unusable", reason);
            return Err(incomplete(why.to_owned()));
        }
        let applied = stream.applied.load(Ordering::Acquire);
        if stream.is_untouched() {
            return self.leave_untouched(stream);
        }
        let end = match stream.is_level() {
            true => End::Clean,
            false => End::Interrupted,
        };
        let standing = standing_of(stream, applied, end);
        standing::record(&self.ledger.config, &self.ledger.volumes, &standing)?;
        stream.checkpointed.fetch_max(applied, Ordering::AcqRel);
        Ok(applied)
    }

    /// A comparison was agreed on and never came: this copy is what it was before.
    fn leave_untouched(&self, stream: &Stream) -> Result<u64, FollowerError> {
        let (config, volumes) = (&self.ledger.config, &self.ledger.volumes);
        let Some(before) = stream.before else {
            let found = standing::found(config, volumes);
            return Ok(found.standing.unwrap_or_default().applied);
        };
        let standing = Standing {
            epoch: before.epoch,
            generation: before.generation,
            stream_incarnation: before.incarnation,
            applied: before.number,
            checkpointed: before.number,
            clean: before.comparison.is_none(),
            comparison: before.comparison,
            inconsistent: self.ledger.lock().inconsistent.is_some(),
        };
        standing::record(config, volumes, &standing)?;
        Ok(before.number)
    }

    fn report(&mut self) {
        self.reported = Instant::now();
        if let Some(stream) = self.stream.as_ref().filter(|stream| !stream.is_broken()) {
            stream.report(&[]);
        }
    }
}

fn tell(stream: &Stream, differs: &[Differs]) {
    let payloads: Vec<Vec<u8>> = differs.iter().map(encode).collect();
    let frames: Vec<(FrameHeader, &[u8])> = payloads
        .iter()
        .map(|payload| (stream.header(FrameKind::Differs), payload.as_slice()))
        .collect();
    stream.send(&frames);
}

fn fault_of(error: &ApplyError) -> MirrorFault {
    let why = error.to_string();
    if error.is_disk() {
        MirrorFault::LocalDisk(why)
    } else {
        MirrorFault::Apply(why)
    }
}
