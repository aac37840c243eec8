//! The log of the processes that serve, on standard error.
//!
//! Standard error is a pipe to the journal, or a file: the journal hangs, the disk is full or dead.
//! Nothing of that may hold up or end a process that serves. So lines go through a bounded queue to
//! a thread that does nothing but write them; what does not fit, or cannot be written, is counted
//! and told when the log can be written again. At the end of the process the queue is waited for,
//! not for long.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Lines that may wait: what a busy daemon says in minutes.
const LINES_MAX: usize = 4096;
/// How long the end of the process waits for the log.
const FLUSH_MAX: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Lets this process log. Once.
pub fn begin() {
    let (sender, receiver) = sync_channel(LINES_MAX);
    let writer = std::thread::Builder::new().name("log".to_owned());
    let threaded = writer.spawn(move || write_lines(&receiver, std::io::stderr()));
    if threaded.is_ok() && QUEUE.set(sender).is_ok() {
        crate::sys::at_exit(flush);
    }
    let filter = EnvFilter::try_from_env("TANDEM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Line)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false);
    // The journal has a clock of its own.
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
}

/// Where one line goes. Never fails and never waits.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let entry = Entry::Line(bytes.to_vec());
        let taken = QUEUE.get().is_some_and(|q| q.try_send(entry).is_ok());
        if !taken {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_lines(entries: &Receiver<Entry>, mut out: impl Write) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                let lost = LOST.swap(0, Ordering::Relaxed);
                let told = match lost {
                    0 => Ok(()),
                    lost => writeln!(out, " WARN {lost} lines of this log could not be written"),
                };
                if told.and_then(|()| out.write_all(&line)).is_err() {
                    LOST.fetch_add(lost + 1, Ordering::Relaxed);
                }
            }
            // Nobody waits any more: it took too long.
            Entry::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Waits until everything said before is written, but not for long.
extern "C" fn flush() {
    let (done, written) = sync_channel(1);
    if QUEUE
        .get()
        .is_some_and(|queue| queue.try_send(Entry::Flush(done)).is_ok())
    {
        // Written or not: the process ends.
        let _ = written.recv_timeout(FLUSH_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A log that cannot be written until it can.
    #[derive(Clone, Default)]
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        full: Arc<AtomicU64>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let left = self.full.load(Ordering::Relaxed);
            if left > 0 {
                self.full.store(left - 1, Ordering::Relaxed);
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            (self.written.lock().expect("no panic")).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_told() {
        let disk = Disk::default();
        disk.full.store(2, Ordering::Relaxed);
        let (sender, receiver) = sync_channel(LINES_MAX);
        for line in ["one\n", "two\n", "three\n"] {
            let line = Entry::Line(line.as_bytes().to_vec());
            assert!(sender.try_send(line).is_ok());
        }
        drop(sender);
        write_lines(&receiver, disk.clone());
        let written = disk.written.lock().expect("no panic").clone();
        let text = String::from_utf8(written).expect("text");
        assert_eq!(
            text,
            " WARN 2 lines of this log could not be written\nthree\n"
        );
    }
}
