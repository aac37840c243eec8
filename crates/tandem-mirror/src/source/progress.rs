//! How far a comparison is, and how long it will take: for people, decides nothing.

use crate::sys;
use std::collections::VecDeque;
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::local::Resync;

/// How much of the past says how long the rest takes: long enough for an application that works now
/// and then.
const WINDOW: Duration = Duration::from_secs(20);
/// How often it is remembered how far it was.
const SAMPLE: Duration = Duration::from_secs(1);
/// What is said of the time that is left rests on so much at least.
const SOME_TIME: Duration = Duration::from_secs(2);

/// A comparison, seen from outside.
#[derive(Default)]
pub struct Progress {
    done_bytes: u64,
    total_bytes: u64,
    sent_bytes: u64,
    samples: VecDeque<(Instant, u64)>,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Compared, or known to be equal.
    pub done_bytes: u64,
    /// Of so many.
    pub total_bytes: u64,
    /// Contents that differed, and were sent.
    pub sent_bytes: u64,
}

impl Progress {
    /// It is so far now.
    pub fn is_at(&mut self, compared: Compared) {
        self.done_bytes = compared.done_bytes;
        self.total_bytes = compared.total_bytes;
        self.sent_bytes = compared.sent_bytes;
        self.sample(sys::now());
    }

    fn sample(&mut self, now: Instant) {
        let due = (self.samples.back()).is_none_or(|(at, _)| now.since(*at) >= SAMPLE);
        if due {
            self.samples.push_back((now, self.done_bytes));
        }
        // The one before the window stays: it may be all that there is.
        while (self.samples.get(1)).is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Compared, and of how many.
    pub const fn bytes(&self) -> (u64, u64) {
        (self.done_bytes, self.total_bytes)
    }

    /// What people are told.
    pub fn resync(&self) -> Resync {
        Resync {
            done_bytes: self.done_bytes,
            total_bytes: self.total_bytes,
            sent_bytes: self.sent_bytes,
            left_seconds: self.left(sys::now()).map(|left| left.as_secs()),
        }
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let (begun, before) = self.samples.front()?;
        let took = now.since(*begun);
        let done = self.done_bytes.saturating_sub(*before);
        if took < SOME_TIME || done == 0 {
            return None;
        }
        let left = self.total_bytes.saturating_sub(self.done_bytes);
        let seconds = u128::from(left) * took.as_millis() / u128::from(done) / 1000;
        Some(Duration::from_secs(
            u64::try_from(seconds).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_last_seconds_speed() {
        let mut progress = Progress {
            total_bytes: 1000,
            ..Progress::default()
        };
        let at = |seconds| Instant(0).after(Duration::from_secs(seconds));
        progress.sample(at(100));
        assert_eq!(progress.left(at(101)), None, "too early to tell");
        progress.done_bytes = 100;
        progress.sample(at(110));
        assert_eq!(progress.left(at(110)), Some(Duration::from_secs(90)));
        // It became ten times as fast.
        progress.done_bytes = 900;
        progress.sample(at(125));
        progress.sample(at(131));
        assert_eq!(progress.left(at(131)), Some(Duration::from_secs(2)));
        progress.done_bytes = 1000;
        assert_eq!(progress.left(at(131)), Some(Duration::ZERO));
    }
}
