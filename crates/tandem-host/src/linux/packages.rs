//! Whether a package manager of this machine is at work: what it stops, it means to start again.

use std::fs::File;

use super::lock;

/// The files that package managers lock while they change something.
const LOCKS: [&str; 4] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/rpm/.rpm.lock",
    "/usr/lib/sysimage/rpm/.rpm.lock",
];

/// Whether one is at work. What cannot be looked at is not.
pub fn are_changing() -> bool {
    LOCKS
        .iter()
        .any(|path| File::open(path).is_ok_and(|file| lock::is_locked(&file).unwrap_or(false)))
}
