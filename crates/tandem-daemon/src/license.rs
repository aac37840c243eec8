//! The licence: a signed file, the same on both nodes, bound to the cluster.
//!
//! Without a valid one a module runs for [`PERIOD`] of running time since an operator's start from
//! STOP; then its core is told, and stops it cleanly on both nodes. A licence is no matter of
//! safety: whatever is wrong with it, no data is in danger, and nothing is stopped at once.
//!
//! - `file`: the format, signatures, and why a licence is refused
//! - `date`: days
//! - `period`: the running time that was used, over restarts and without the wall clock
//! - `watch`: the task that counts, warns and tells the core
//! - `console`: what the page is told, and putting a licence in place from there

pub(crate) mod console;
mod date;
mod file;
mod period;
pub(crate) mod watch;

pub use date::Date;
pub use file::{Keys, License, Refusal, Signer, TEST_SEED};
pub(crate) use period::Unlicensed;

use crate::files::{self, FileError, PUBLIC};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a module runs without a licence: from an operator's start from STOP, three days.
pub const PERIOD: Duration = Duration::from_secs(72 * 3600);
/// More than a licence has.
const BYTES_MAX: usize = 4096;

/// The file of this node.
#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("license")
}

/// The newest wall clock that was seen here: one that is set back makes no licence younger.
fn clock_path(state_dir: &Path) -> PathBuf {
    state_dir.join("license-clock")
}

/// Whose the licence of this node is, valid or not.
pub(crate) fn licensee(state_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path(state_dir)).ok()?;
    let named = text
        .lines()
        .find_map(|line| line.strip_prefix("licensee = "));
    named.map(str::to_owned)
}

/// What this node has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// None.
    Missing,
    /// A valid one.
    Valid(License),
    /// One that does not count.
    Refused(Refusal),
}

impl Standing {
    /// As one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Missing => "there is no licence".to_owned(),
            Self::Valid(license) => format!(
                "licensed to {}, {}",
                license.licensee,
                match license.expires {
                    Some(date) => format!("until {date}"),
                    None => "without end".to_owned(),
                }
            ),
            Self::Refused(refusal) => format!("the licence does not count: {refusal}"),
        }
    }
}

/// Looks at the licence of this node.
#[must_use]
pub fn standing(state_dir: &Path, cluster: &str) -> Standing {
    let bytes = match std::fs::read(path(state_dir)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Standing::Missing,
        Err(_) => return Standing::Refused(Refusal::Malformed("it cannot be read")),
    };
    match verify(&bytes, cluster, today(state_dir)) {
        Ok(license) => Standing::Valid(license),
        Err(refusal) => Standing::Refused(refusal),
    }
}

/// Checks what a file contains.
///
/// # Errors
/// [`Refusal`]
pub fn verify(bytes: &[u8], cluster: &str, today: Date) -> Result<License, Refusal> {
    if bytes.len() > BYTES_MAX {
        return Err(Refusal::Malformed("it is too long"));
    }
    License::verify(bytes, &Keys::of_this_build(), cluster, today)
}

/// Puts a licence in place. Whoever does that has looked at the clock.
///
/// # Errors
/// [`FileError`]
pub fn install(state_dir: &Path, bytes: &[u8]) -> Result<(), FileError> {
    files::remove(&clock_path(state_dir))?;
    files::replace(&path(state_dir), PUBLIC, bytes)
}

/// Today, and never earlier than what was seen here before.
#[must_use]
pub fn today(state_dir: &Path) -> Date {
    let seen = std::fs::read_to_string(clock_path(state_dir)).unwrap_or_default();
    let seen = seen.trim().parse().unwrap_or(0);
    Date::of_unix_seconds(unix_seconds().max(seen))
}

/// Remembers the wall clock, if it shows a newer hour than any before.
fn remember_clock(state_dir: &Path) -> Result<(), FileError> {
    let path = clock_path(state_dir);
    let seen = std::fs::read_to_string(&path).unwrap_or_default();
    let now = unix_seconds();
    let hour = |seconds: u64| seconds / 3600;
    if (seen.trim().parse::<u64>()).is_ok_and(|seen| hour(seen) >= hour(now)) {
        return Ok(());
    }
    files::replace(&path, PUBLIC, format!("{now}\n").as_bytes())
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(cluster: &str) -> Vec<u8> {
        let signer = Signer::from_seed(TEST_SEED).expect("a seed");
        let license = License {
            cluster: cluster.to_owned(),
            licensee: "Example".to_owned(),
            issued: Date::parse("2026-01-01").expect("a day"),
            expires: Date::parse("2090-01-01"),
        };
        signer.sign(&license).into_bytes()
    }

    #[test]
    fn a_node_knows_whether_it_is_licensed_and_a_clock_that_is_set_back_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path();
        assert_eq!(standing(state, "c1"), Standing::Missing);
        install(state, &signed("c1")).expect("installed");
        assert!(matches!(standing(state, "c1"), Standing::Valid(_)));
        let other = standing(state, "c2");
        assert!(matches!(
            other,
            Standing::Refused(Refusal::OtherCluster { .. })
        ));
        // This machine has been in the year 2100 before: now it only says that it is not.
        std::fs::write(clock_path(state), "4102444800\n").expect("written");
        remember_clock(state).expect("kept");
        let late = standing(state, "c1");
        assert!(
            matches!(late, Standing::Refused(Refusal::Expired { .. })),
            "{late:?}"
        );
    }
}
