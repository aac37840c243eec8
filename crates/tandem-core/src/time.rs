//! Time as it is passed in: nanoseconds of `CLOCK_BOOTTIME`, which goes on while the machine sleeps.

use core::time::Duration;

/// A moment, in nanoseconds since the boot of this node. Never compared between nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than anything that happens (584 years).
    pub const FAR: Self = Self(u64::MAX);

    /// This moment plus `duration`, or [`Self::FAR`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
