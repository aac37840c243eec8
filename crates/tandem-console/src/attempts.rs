//! How often somebody may try a password.
//!
//! Who fails waits, and nobody else who signed in there before. A name that signed in from an
//! address is *known* there, and waits only for the failures of that name at that address. Everybody
//! else at the address waits for the failures of all who are not known there: whoever tries many
//! passwords waits longer and longer. Many addresses that try one name make it wait wherever it is
//! not known, so nobody can lock an operator out by failing elsewhere on purpose. Nothing is ever
//! locked for good.
//!
//! Signing in forgives what failed for that name at that address, and nothing else: an own account
//! is no way to guess at others. Who guesses at a known name from where it is known makes its owner
//! wait there, since nobody can tell the two apart; elsewhere the owner does not notice.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// People mistype; from the next failure on there is a wait.
const FREE_FAILURES: u32 = 4;
/// An account under attack from many addresses: failures before strange addresses wait.
const FREE_FAILURES_OF_ACCOUNT: u32 = 20;
/// The first wait; each further failure doubles it.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// After so long without a failure all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Addresses, names, and known names at addresses, that are remembered: of each so many, the one that
/// was tried least lately makes room. A few hundred bytes each.
const REMEMBERED_MAX: usize = 8192;

/// A name's hash: what is typed as a name may be a password.
type Key = [u8; 32];

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    /// The newest failure; of a known name without one, the sign-in.
    last: Instant,
}

impl Failures {
    const fn none(last: Instant) -> Self {
        Self { count: 0, last }
    }

    fn count_one(&mut self, now: Instant) {
        if now.duration_since(self.last) >= FORGOTTEN_AFTER {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last = now;
    }

    fn wait(self, free: u32, now: Instant) -> Duration {
        let Some(beyond) = self.count.checked_sub(free) else {
            return Duration::ZERO;
        };
        let wait = WAIT_MIN.saturating_mul(1 << beyond.min(16)).min(WAIT_MAX);
        (self.last + wait).saturating_duration_since(now)
    }
}

#[derive(Default)]
struct Inner {
    /// Names that signed in from an address before, and what failed for them there since.
    known: HashMap<(IpAddr, Key), Failures>,
    /// What failed at an address for names that are not known there.
    addresses: HashMap<IpAddr, Failures>,
    /// What failed for a name, wherever.
    names: HashMap<Key, Failures>,
}

/// The counts.
#[derive(Default)]
pub struct Attempts(Mutex<Inner>);

impl Attempts {
    /// How long this address has to wait before it may try this name.
    pub fn wait(&self, address: IpAddr, name: &str, now: Instant) -> Duration {
        let (address, key) = (network(address), key(name));
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |failures: Option<&Failures>, free| {
            failures.map_or(Duration::ZERO, |failures| failures.wait(free, now))
        };
        match inner.known.get(&(address, key)) {
            Some(own) => own.wait(FREE_FAILURES, now),
            None => wait(inner.addresses.get(&address), FREE_FAILURES)
                .max(wait(inner.names.get(&key), FREE_FAILURES_OF_ACCOUNT)),
        }
    }

    /// It was wrong.
    pub fn failed(&self, address: IpAddr, name: &str, now: Instant) {
        let (address, key) = (network(address), key(name));
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.known.get_mut(&(address, key)) {
            Some(own) => own.count_one(now),
            None => place(&mut inner.addresses, address, now).count_one(now),
        }
        place(&mut inner.names, key, now).count_one(now);
    }

    /// It was right.
    pub fn succeeded(&self, address: IpAddr, name: &str, now: Instant) {
        let pair = (network(address), key(name));
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place(&mut inner.known, pair, now) = Failures::none(now);
    }
}

/// The count of this; a new one takes the place of the one that was tried least lately.
fn place<K: std::hash::Hash + Eq + Copy>(
    counts: &mut HashMap<K, Failures>,
    key: K,
    now: Instant,
) -> &mut Failures {
    if counts.len() >= REMEMBERED_MAX && !counts.contains_key(&key) {
        let oldest = counts.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            counts.remove(&oldest);
        }
    }
    counts.entry(key).or_insert(Failures::none(now))
}

fn key(name: &str) -> Key {
    *blake3::hash(name.as_bytes()).as_bytes()
}

/// What counts as one address: whoever has one IPv6 address has the 64 bits behind it.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let bits = u128::from(v6) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(bits))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_waits_longer_and_longer_and_never_for_ever() {
        let attempts = Attempts::default();
        let mut now = Instant::now();
        for _ in 0..FREE_FAILURES {
            assert_eq!(attempts.wait(address(1), "admin", now), Duration::ZERO);
            attempts.failed(address(1), "admin", now);
        }
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            let wait = attempts.wait(address(1), "admin", now);
            assert!(wait >= last && wait <= WAIT_MAX, "{wait:?} after {last:?}");
            last = wait;
            now += wait;
            assert_eq!(attempts.wait(address(1), "admin", now), Duration::ZERO);
            attempts.failed(address(1), "admin", now);
        }
        assert_eq!(last, WAIT_MAX);
        assert_eq!(
            attempts.wait(address(2), "bert", now),
            Duration::ZERO,
            "nobody else waits"
        );
    }

    #[test]
    fn an_operator_is_not_locked_out_by_the_failures_of_others() {
        let attempts = Attempts::default();
        let now = Instant::now();
        attempts.succeeded(address(1), "admin", now);
        for strange in 2..=200 {
            attempts.failed(address(strange), "admin", now);
        }
        assert!(
            attempts.wait(address(250), "admin", now) > Duration::ZERO,
            "strangers wait"
        );
        assert_eq!(attempts.wait(address(1), "admin", now), Duration::ZERO);
    }

    #[test]
    fn who_guesses_waits_and_nobody_who_signed_in_there_before() {
        let attempts = Attempts::default();
        let now = Instant::now();
        attempts.succeeded(address(1), "admin", now);
        for guess in 0..FREE_FAILURES {
            attempts.failed(address(1), &format!("mallory{guess}"), now);
        }
        let waits = |name: &str| !attempts.wait(address(1), name, now).is_zero();
        assert!(waits("mallory") && waits("bert"), "not known there");
        assert!(!waits("admin"), "known there");
    }

    #[test]
    fn who_guesses_at_a_known_name_where_it_is_known_waits_with_its_owner() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for known in ["admin", "bert"] {
            attempts.succeeded(address(1), known, now);
        }
        attempts.succeeded(address(2), "admin", now);
        for _ in 0..FREE_FAILURES {
            assert_eq!(attempts.wait(address(1), "admin", now), Duration::ZERO);
            attempts.failed(address(1), "admin", now);
        }
        let waits = |last, name: &str| !attempts.wait(address(last), name, now).is_zero();
        assert!(waits(1, "admin"));
        for (last, name) in [(2, "admin"), (1, "bert"), (1, "carla")] {
            assert!(!waits(last, name), "{name} at {last}");
        }
    }

    #[test]
    fn signing_in_forgives_the_own_failures_and_no_others() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let waits = |name: &str| !attempts.wait(address(1), name, now).is_zero();
        for round in 0..FREE_FAILURES {
            attempts.failed(address(1), "admin", now);
            attempts.succeeded(address(1), "bert", now);
            assert_eq!(waits("admin"), round + 1 == FREE_FAILURES);
        }
        for _ in 0..FREE_FAILURES {
            attempts.failed(address(1), "bert", now);
        }
        assert!(waits("bert"));
        attempts.succeeded(address(1), "bert", now);
        assert!(!waits("bert"), "who only mistyped his own is forgiven");
        assert!(waits("admin"), "what the address failed with is not");
    }

    #[test]
    fn an_hour_without_a_failure_is_forgotten() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for _ in 0..40 {
            attempts.failed(address(1), "admin", now);
        }
        let later = now + FORGOTTEN_AFTER;
        attempts.failed(address(1), "admin", later);
        assert_eq!(attempts.wait(address(1), "admin", later), Duration::ZERO);
    }

    #[test]
    fn many_addresses_and_names_do_not_fill_the_memory() {
        let attempts = Attempts::default();
        let begun = Instant::now();
        for number in 0..(REMEMBERED_MAX as u32 + 100) {
            let now = begun + Duration::from_millis(number.into());
            let address = IpAddr::from(number.to_be_bytes());
            attempts.failed(address, &number.to_string(), now);
            attempts.succeeded(address, "bert", now);
        }
        let inner = attempts.0.lock().expect("no panic");
        assert_eq!(inner.addresses.len(), REMEMBERED_MAX);
        assert_eq!(inner.names.len(), REMEMBERED_MAX);
        assert_eq!(inner.known.len(), REMEMBERED_MAX);
        let first = IpAddr::from(0_u32.to_be_bytes());
        assert!(
            !inner.addresses.contains_key(&first),
            "the oldest made room"
        );
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for last in 0..10u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
            attempts.failed(address, &last.to_string(), now);
        }
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 1, 1]);
        assert!(attempts.wait(neighbour, "x", now) > Duration::ZERO);
    }
}
