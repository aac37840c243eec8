//! Whether a package manager of this machine is in the middle of a change: what it stops meanwhile,
//! it means to start again.
//!
//! Its locks alone do not say so. Debian's unattended upgrades keep them for as long as the whole list
//! takes, and a service that was stopped for the first package of it would stay away until the last
//! one is done. They go package by package, so between two of these steps none is half-way.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::lock;

/// The files that dpkg and what drives it lock while they change something.
const DPKG_LOCKS: [&str; 2] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"];

/// The same of rpm.
const RPM_LOCKS: [&str; 2] = ["/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"];

/// Where dpkg keeps what is installed.
const DPKG: &str = "/var/lib/dpkg";

/// Whether one is. What cannot be looked at is not.
pub fn are_changing() -> bool {
    // A list that cannot be read leaves what the locks say.
    any_locked(&RPM_LOCKS)
        || any_locked(&DPKG_LOCKS) && is_half_way(Path::new(DPKG)).unwrap_or(true)
}

fn any_locked(paths: &[&str]) -> bool {
    paths
        .iter()
        .any(|path| File::open(path).is_ok_and(|file| lock::is_locked(&file).unwrap_or(false)))
}

/// Whether a package is neither as before nor as it will be. While dpkg runs it notes each step in a
/// file of its own, which goes into its list at the end.
fn is_half_way(dpkg: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dpkg.join("updates"))? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            return Ok(true);
        }
    }
    // Names of people in it need not be UTF-8.
    let list = fs::read(dpkg.join("status"))?;
    let mut lines = list.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.starts_with(b"Status: ") && !is_whole(line)))
}

/// Whether this is the line of a package that nothing is being done with.
fn is_whole(line: &[u8]) -> bool {
    [" installed", " config-files", " not-installed"]
        .iter()
        .any(|end| line.ends_with(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_half_way_from_its_first_step_until_it_is_configured() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dpkg = directory.path();
        let half_way = || is_half_way(dpkg).expect("it can be read");
        let status = |text: &str| fs::write(dpkg.join("status"), text).expect("written");
        assert!(is_half_way(dpkg).is_err(), "no dpkg at all");
        fs::create_dir(dpkg.join("updates")).expect("made");
        let whole = "Package: a\nStatus: install ok installed\n\n\
                     Package: b\nStatus: deinstall ok config-files\n";
        status(whole);
        assert!(!half_way());
        for state in ["half-configured", "unpacked", "triggers-pending"] {
            status(&format!(
                "{whole}\nPackage: c\nStatus: install ok {state}\n"
            ));
            assert!(half_way(), "{state}");
        }
        status(whole);
        fs::write(dpkg.join("updates/tmp.i"), "").expect("written");
        assert!(!half_way(), "a file that dpkg has prepared");
        fs::write(dpkg.join("updates/0001"), "").expect("written");
        assert!(half_way(), "dpkg runs");
    }
}
