//! Time. The world has one time; each node has a clock of its own, which starts at boot, runs a
//! little fast or slow, and stands still while its machine is paused.

use core::time::Duration;
use tandem_core::Instant;

/// World time in nanoseconds.
pub type Time = u64;

/// One millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// One second.
pub const SECOND: u64 = 1_000_000_000;

/// A duration in nanoseconds.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `CLOCK_BOOTTIME` of one node.
#[derive(Clone, Debug)]
pub struct Clock {
    base_world: Time,
    base_local: u64,
    parts_per_million: i64,
    stopped: bool,
}

impl Clock {
    /// The clock of a machine that boots now.
    #[must_use]
    pub fn boot(now: Time, parts_per_million: i64) -> Self {
        Self {
            base_world: now,
            base_local: SECOND,
            parts_per_million,
            stopped: false,
        }
    }

    /// What the clock shows.
    #[must_use]
    pub fn local(&self, now: Time) -> Instant {
        if self.stopped {
            return Instant(self.base_local);
        }
        let passed = i128::from(now - self.base_world);
        let drifted = passed + passed * i128::from(self.parts_per_million) / 1_000_000;
        Instant(self.base_local + drifted as u64)
    }

    /// When the clock will show `local`; `None` for never.
    #[must_use]
    pub fn world(&self, local: Instant, now: Time) -> Option<Time> {
        if local == Instant::FAR || self.stopped {
            return None;
        }
        let ahead = i128::from(local.0) - i128::from(self.local(now).0);
        if ahead <= 0 {
            return Some(now);
        }
        let stretched = ahead * 1_000_000 / i128::from(1_000_000 + self.parts_per_million) + 1;
        Some(now.saturating_add(u64::try_from(stretched).ok()?))
    }

    /// The machine is paused.
    pub fn stop(&mut self, now: Time) {
        self.base_local = self.local(now).0;
        self.stopped = true;
    }

    /// The machine goes on.
    pub fn go_on(&mut self, now: Time) {
        self.base_world = now;
        self.stopped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, SECOND};
    use tandem_core::Instant;

    #[test]
    fn a_paused_clock_shows_no_gap() {
        let mut clock = Clock::boot(0, 0);
        clock.stop(SECOND);
        let before = clock.local(5 * SECOND);
        clock.go_on(9 * SECOND);
        assert_eq!(clock.local(9 * SECOND), before);
        assert_eq!(clock.local(10 * SECOND), Instant(before.0 + SECOND));
    }

    #[test]
    fn a_deadline_is_never_found_too_early() {
        for rate in [-200, 0, 137] {
            let clock = Clock::boot(17, rate);
            let deadline = Instant(clock.local(1000).0 + 12_345_678);
            let world = clock.world(deadline, 1000).expect("the clock runs");
            assert!(clock.local(world) >= deadline);
        }
    }
}
