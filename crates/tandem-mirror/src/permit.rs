//! Until when mutations are accepted.
//!
//! The daemon grants a permit for one epoch until a moment, again and again. One that has ended is
//! never valid again in its session, whatever the daemon says later: between its end and the next
//! grant the peer may have served (safety.md, *Who may serve*). The clock goes on while the process
//! or the machine is stopped, so that a thawed process finds its permit ended.
//!
//! A permit does not protect acknowledged data (R5): an acknowledgement in a gated session needs the
//! peer's. It bounds writes that nobody synced.

use crate::sys;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tandem_core::Instant;

/// The permit of one session.
#[derive(Debug)]
pub struct Permit {
    epoch: AtomicU64,
    /// Nanoseconds of `CLOCK_BOOTTIME`; 0: none was granted yet.
    until: AtomicU64,
    lapsed: AtomicBool,
}

/// What a permit says now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// None was granted yet: mutations wait.
    Awaited,
    /// Mutations are accepted.
    Valid,
    /// It has ended: mutations wait for ever.
    Lapsed,
}

impl Permit {
    /// A permit of an epoch that was not granted yet.
    #[must_use]
    pub const fn new(epoch: u64) -> Self {
        Self {
            epoch: AtomicU64::new(epoch),
            until: AtomicU64::new(0),
            lapsed: AtomicBool::new(false),
        }
    }

    /// Takes a grant of the daemon's. One of another epoch is ignored; one that comes after the end
    /// of the last one ends the session's right for good, and so does one until moment zero, which
    /// takes the permit back.
    pub fn grant(&self, epoch: u64, until: Instant) {
        if epoch != self.epoch.load(Ordering::SeqCst) || self.standing() == Standing::Lapsed {
            return;
        }
        if until.0 == 0 {
            self.lapsed.store(true, Ordering::SeqCst);
        } else {
            self.until.store(until.0, Ordering::SeqCst);
        }
    }

    /// The session goes on in a higher epoch; what was granted goes on with it.
    pub fn raise(&self, epoch: u64) {
        self.epoch.fetch_max(epoch, Ordering::SeqCst);
    }

    /// What holds now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.lapsed.load(Ordering::SeqCst) {
            return Standing::Lapsed;
        }
        let until = self.until.load(Ordering::SeqCst);
        if until == 0 {
            return Standing::Awaited;
        }
        if until != Instant::FAR.0 && sys::now().0 >= until {
            self.lapsed.store(true, Ordering::SeqCst);
            return Standing::Lapsed;
        }
        Standing::Valid
    }

    /// Until when it lasts; zero if none was granted.
    #[must_use]
    pub fn until(&self) -> Instant {
        Instant(self.until.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn without_a_grant_nothing_is_permitted() {
        let permit = Permit::new(3);
        assert_eq!(permit.standing(), Standing::Awaited);
        permit.grant(2, Instant::FAR);
        assert_eq!(permit.standing(), Standing::Awaited);
        permit.grant(3, Instant::FAR);
        assert_eq!(permit.standing(), Standing::Valid);
    }

    #[test]
    fn a_permit_that_was_taken_back_does_not_come_again() {
        let permit = Permit::new(3);
        permit.grant(3, Instant::FAR);
        permit.grant(2, Instant(0));
        assert_eq!(permit.standing(), Standing::Valid);
        permit.grant(3, Instant(0));
        assert_eq!(permit.standing(), Standing::Lapsed);
        permit.grant(3, Instant::FAR);
        assert_eq!(permit.standing(), Standing::Lapsed);
    }

    #[test]
    fn a_session_in_a_higher_epoch_takes_grants_of_that_epoch_only() {
        let permit = Permit::new(3);
        permit.grant(3, Instant::FAR);
        permit.raise(5);
        assert_eq!(permit.standing(), Standing::Valid);
        permit.grant(3, Instant(0));
        assert_eq!(permit.standing(), Standing::Valid);
        permit.grant(5, Instant(0));
        assert_eq!(permit.standing(), Standing::Lapsed);
    }

    #[test]
    fn a_permit_that_ended_is_never_valid_again() {
        let permit = Permit::new(3);
        permit.grant(3, sys::now());
        // Nobody asked between the end and the next grant: it counts all the same.
        permit.grant(3, sys::now().after(Duration::from_secs(60)));
        assert_eq!(permit.standing(), Standing::Lapsed);
        permit.grant(3, Instant::FAR);
        assert_eq!(permit.standing(), Standing::Lapsed);
    }
}
