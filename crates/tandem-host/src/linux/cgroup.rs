//! Control groups (version 2): the one way to find, and to end, every process that a service
//! started, whatever it did to its parent, session and environment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The number of a process.
pub type ProcessId = u32;

/// Directories below a group that are looked into. Services with delegated groups have few.
const DESCENDANTS_MAX: usize = 4096;

/// A group, which may be gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlGroup {
    dir: PathBuf,
}

impl ControlGroup {
    /// The group with this path in the hierarchy, as systemd and `/proc/PID/cgroup` name it.
    /// `None`: the hierarchy is not mounted.
    pub fn named(path: &str) -> Option<Self> {
        let relative = path.trim_start_matches('/');
        // The root holds every process of the machine: never to be taken for a service's.
        if relative.is_empty() {
            return None;
        }
        Some(Self {
            dir: hierarchy()?.join(relative),
        })
    }

    /// Makes a group below that of this process.
    pub fn create(name: &str) -> io::Result<Self> {
        let unsupported = || io::Error::from(io::ErrorKind::Unsupported);
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .ok_or_else(unsupported)?;
        let dir = hierarchy().ok_or_else(unsupported)?.join(own).join(name);
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self { dir })
    }

    /// A group that an earlier run of the daemon made.
    pub const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file into which a process writes `0` to become a member.
    pub fn entrance(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// The processes in it and below it, without zombies.
    pub fn processes(&self) -> Vec<ProcessId> {
        let mut found = Vec::new();
        let mut dirs = vec![self.dir.clone()];
        let mut seen = 0;
        while let Some(dir) = dirs.pop() {
            seen += 1;
            if seen > DESCENDANTS_MAX {
                break;
            }
            let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            found.extend(members.lines().filter_map(|line| line.parse::<u32>().ok()));
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            dirs.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
        // A process of another namespace shows as 0: it cannot be ours.
        found.retain(|&process| process != 0);
        found
    }

    /// Kills every process in it and below it at once, so that none can fork away.
    pub fn kill(&self) -> io::Result<()> {
        match fs::write(self.dir.join("cgroup.kill"), "1") {
            // A group that is gone has no process.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes it once it is empty.
    pub fn remove(&self) {
        // It stays when something still runs in it, and is used again.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where the hierarchy is mounted.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        Some(PathBuf::from(place.split(' ').nth(4)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_group_is_never_a_service() {
        assert_eq!(ControlGroup::named("/"), None);
        assert_eq!(ControlGroup::named(""), None);
    }

    #[test]
    fn a_group_that_is_gone_has_no_processes_and_is_killed_without_error() {
        let gone = ControlGroup::at(PathBuf::from("/nonexistent/group"));
        assert!(gone.processes().is_empty());
        gone.kill().expect("nothing to kill");
    }
}
