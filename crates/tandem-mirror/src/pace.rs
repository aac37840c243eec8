//! How fast a comparison goes while the application works.
//!
//! It shares disk, processor and locks with the application, and none of these can be asked how
//! busy it is for whom. So it goes by what it sees: if the application changed something since the
//! last look, or waits for a sync, the comparison rests four times as long as it has just worked. At
//! a fifth of the time it slows the application little, whatever the disk, and still ends.

use crate::source::Source;
use std::time::{Duration, Instant};

/// So much work is done in one go: shorter ones would be mostly rests, which the kernel rounds up.
const WORK: Duration = Duration::from_millis(2);
/// How many times as long it rests.
const REST: u32 = 4;
/// The longest rest: after a piece that a slow disk took long for, the next is not put off for ever.
const REST_MAX: Duration = Duration::from_millis(500);

/// Work and rest of one comparison.
pub struct Pace {
    worked: Duration,
    effects: u64,
}

impl Pace {
    /// At the beginning of a comparison.
    pub fn new(source: &Source) -> Self {
        Self {
            worked: Duration::ZERO,
            effects: source.debt.effects(),
        }
    }

    /// Counts work that was begun then.
    pub fn worked(&mut self, begun: Instant) {
        self.worked += begun.elapsed();
    }

    /// Rests if it has to. To be called without a lock.
    pub fn rest(&mut self, source: &Source) {
        if self.worked < WORK {
            return;
        }
        let worked = std::mem::take(&mut self.worked);
        let effects = source.debt.effects();
        let was = std::mem::replace(&mut self.effects, effects);
        if effects != was || source.is_awaited() {
            let _ = source.ended_within((worked * REST).min(REST_MAX));
        }
    }
}
