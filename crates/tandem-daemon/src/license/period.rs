//! The running time without a licence that a module has used.
//!
//! It is counted on the clock that begins with the boot and that nobody can set, and kept on disk
//! with that clock and the boot's name: a daemon that was away adds what passed meanwhile, as the
//! module ran on without it; a machine that was off adds nothing. Both nodes count, and each takes
//! over the larger number of the two, so a swap changes nothing.

use crate::files::{self, FileError, PUBLIC};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_core::Instant;

/// The time used, shared by who counts, who shows, and the reactor, which begins anew when an
/// operator starts the module from STOP.
#[derive(Debug, Default)]
pub(crate) struct Unlicensed {
    milliseconds: AtomicU64,
}

impl Unlicensed {
    /// An operator starts the module from STOP, or there is a licence.
    pub(crate) fn begin_anew(&self) {
        self.milliseconds.store(0, Ordering::SeqCst);
    }

    /// Time passed.
    pub(crate) fn add(&self, time: Duration) {
        let time = milliseconds(time);
        self.milliseconds.fetch_add(time, Ordering::SeqCst);
    }

    /// The other node has counted so much, too.
    pub(crate) fn at_least(&self, time: Duration) {
        let time = milliseconds(time);
        self.milliseconds.fetch_max(time, Ordering::SeqCst);
    }

    pub(crate) fn used(&self) -> Duration {
        Duration::from_millis(self.milliseconds.load(Ordering::SeqCst))
    }

    pub(crate) fn left(&self) -> Duration {
        super::PERIOD.saturating_sub(self.used())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.used() >= super::PERIOD
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}

/// What is on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub used: Duration,
    /// The clock when it was written, and whether the module ran then.
    pub at: Instant,
    pub boot: String,
    pub running: bool,
}

impl Kept {
    /// Reads it; a file that is missing or makes no sense counts as nothing used.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let mut field = |name: &str| {
            let (key, value) = lines.next()?.split_once(" = ")?;
            (key == name).then(|| value.to_owned())
        };
        Some(Self {
            used: Duration::from_millis(field("used-milliseconds")?.parse().ok()?),
            at: Instant(field("clock-nanoseconds")?.parse().ok()?),
            boot: field("boot")?,
            running: field("running")? == "yes",
        })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        let text = format!(
            "used-milliseconds = {}\nclock-nanoseconds = {}\nboot = {}\nrunning = {}\n",
            milliseconds(self.used),
            self.at.0,
            self.boot,
            if self.running { "yes" } else { "no" }
        );
        files::replace(path, PUBLIC, text.as_bytes())
    }

    /// What is used by now, as far as the disk says.
    pub(crate) fn used_by(&self, now: Instant, boot: &str) -> Duration {
        match self.running && self.boot == boot {
            true => self.used + now.since(self.at),
            false => self.used,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u64) -> Instant {
        Instant(0).after(HOUR * hours as u32)
    }

    #[test]
    fn the_period_ends_over_restarts_and_reboots_and_a_swap() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("unlicensed");
        let kept = |used, at, boot: &str| Kept {
            used,
            at,
            boot: boot.to_owned(),
            running: true,
        };
        // 30 hours, then the daemon is away for 5 while the module runs on.
        kept(HOUR * 30, at(40), "a").write(&path).expect("written");
        let read = Kept::read(&path).expect("just written");
        assert_eq!(read.used_by(at(45), "a"), HOUR * 35);
        // Another boot: the clock begins anew, and the time off does not count.
        assert_eq!(read.used_by(at(1), "b"), HOUR * 30);
        let unlicensed = Unlicensed::default();
        unlicensed.at_least(read.used_by(at(1), "b"));
        unlicensed.add(HOUR * 20);
        // The other node has run for longer.
        unlicensed.at_least(HOUR * 71);
        assert!(!unlicensed.is_over());
        assert_eq!(unlicensed.left(), HOUR);
        unlicensed.add(HOUR);
        assert!(unlicensed.is_over());
        // An operator starts it from STOP.
        unlicensed.begin_anew();
        assert_eq!(unlicensed.left(), super::super::PERIOD);
    }

    #[test]
    fn a_module_that_was_stopped_used_nothing_while_the_daemon_was_away() {
        let kept = Kept {
            used: HOUR,
            at: at(1),
            boot: "a".to_owned(),
            running: false,
        };
        assert_eq!(kept.used_by(at(50), "a"), HOUR);
    }

    #[test]
    fn what_makes_no_sense_counts_as_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("unlicensed");
        assert_eq!(Kept::read(&path), None);
        std::fs::write(&path, "used-milliseconds = many\n").expect("written");
        assert_eq!(Kept::read(&path), None);
    }
}
