//! How often somebody may try a password.
//!
//! Two counts, because there are two attacks. One address that tries many passwords waits longer
//! and longer. Many addresses that try one account make *strange* addresses wait for that account;
//! an address from which its owner signed in before does not wait, so nobody can lock an operator
//! out by failing on purpose. Nothing is ever locked for good.
//!
//! Whoever gets in has the failures of his address forgiven, if all of them were at his own name: an
//! own account is no way to guess at others.

use crate::accounts::Name;
use std::collections::{HashMap, HashSet};
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
/// Addresses, and names, that are remembered; the oldest makes room. A few hundred bytes each.
const REMEMBERED_MAX: usize = 8192;

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// The name that was tried, unless it was more than one. Its hash: what is typed as a name may
    /// be a password.
    only: Option<[u8; 32]>,
}

impl Failures {
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
    addresses: HashMap<IpAddr, Failures>,
    names: HashMap<[u8; 32], Failures>,
    known: HashSet<(IpAddr, [u8; 32])>,
}

/// The counts.
#[derive(Default)]
pub struct Attempts(Mutex<Inner>);

impl Attempts {
    /// How long this address has to wait before it may try this name.
    pub fn wait(&self, address: IpAddr, name: &str, now: Instant) -> Duration {
        let address = network(address);
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = inner.addresses.get(&address);
        let of_address = of_address.map_or(Duration::ZERO, |f| f.wait(FREE_FAILURES, now));
        let key = key(name);
        if inner.known.contains(&(address, key)) {
            return of_address;
        }
        let of_name = inner.names.get(&key);
        let of_name = of_name.map_or(Duration::ZERO, |f| f.wait(FREE_FAILURES_OF_ACCOUNT, now));
        of_address.max(of_name)
    }

    /// It was wrong.
    pub fn failed(&self, address: IpAddr, name: &str, now: Instant) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(name);
        count(&mut inner.addresses, network(address), key, now);
        count(&mut inner.names, key, key, now);
    }

    /// It was right.
    pub fn succeeded(&self, address: IpAddr, name: &Name) {
        let address = network(address);
        let key = key(name.as_str());
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (inner.addresses.get(&address)).is_some_and(|failures| failures.only == Some(key)) {
            inner.addresses.remove(&address);
        }
        if inner.known.len() >= REMEMBERED_MAX {
            inner.known.clear();
        }
        inner.known.insert((address, key));
    }
}

fn count<K: std::hash::Hash + Eq + Copy>(
    counts: &mut HashMap<K, Failures>,
    key: K,
    name: [u8; 32],
    now: Instant,
) {
    if counts.len() >= REMEMBERED_MAX && !counts.contains_key(&key) {
        counts.retain(|_, failures| now.duration_since(failures.last) < FORGOTTEN_AFTER);
        let oldest = counts.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(oldest) = oldest.map(|(key, _)| *key)
            && counts.len() >= REMEMBERED_MAX
        {
            counts.remove(&oldest);
        }
    }
    let fresh = Failures {
        count: 0,
        last: now,
        only: Some(name),
    };
    let failures = counts.entry(key).or_insert(fresh);
    if now.duration_since(failures.last) >= FORGOTTEN_AFTER {
        *failures = fresh;
    }
    failures.count = failures.count.saturating_add(1);
    failures.only = failures.only.filter(|only| *only == name);
    failures.last = now;
}

fn key(name: &str) -> [u8; 32] {
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
        let admin = Name::parse("admin").expect("a name");
        attempts.succeeded(address(1), &admin);
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
    fn an_own_account_does_not_buy_guesses_at_another_one() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let bert = Name::parse("bert").expect("a name");
        for round in 0..FREE_FAILURES {
            attempts.failed(address(1), "admin", now);
            // Also where the operator's own browser is, behind the same address.
            attempts.succeeded(address(1), &bert);
            let waits = !attempts.wait(address(1), "admin", now).is_zero();
            assert_eq!(waits, round + 1 == FREE_FAILURES);
        }
        for _ in 0..FREE_FAILURES {
            attempts.failed(address(2), "bert", now);
        }
        attempts.succeeded(address(2), &bert);
        let wait = attempts.wait(address(2), "bert", now);
        assert!(wait.is_zero(), "who only mistyped his own is forgiven");
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for number in 0..(REMEMBERED_MAX as u32 + 500) {
            attempts.failed(IpAddr::from(number.to_be_bytes()), "admin", now);
        }
        let inner = attempts.0.lock().expect("no panic");
        assert!(inner.addresses.len() <= REMEMBERED_MAX);
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
