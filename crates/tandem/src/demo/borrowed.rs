//! The stage of an ordinary user: a user namespace in which this process is root over its own mounts
//! and networks, and over nothing else of this machine.
//!
//! Disks cannot be mounted there. A node's disk is then a directory in memory, and a power cut ends
//! the node's processes and takes its network away, but not what the kernel holds of its files: the
//! page cache survives. Everything is gone with the last process.

use super::error::{Attempt, DemoError, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::fs;

/// Said on the screen before the show, and at the power cut.
pub const REMARK: &str =
    "without root: a power cut ends processes here, and the page cache survives";
/// Places that the show needs for itself.
const PLACES: [&str; 2] = ["/run", "/var/lib"];

/// What keeps ordinary users from making such a stage: a switch of the kernel, what it is set to
/// then, and what to do.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off (sysctl user.max_user_namespaces=1000 allows them)",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for root only (sysctl kernel.unprivileged_userns_clone=1 allows them)",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 \
         lifts that)",
    ),
];

/// Whether this process is root over a part of the machine only.
pub fn is_borrowed() -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    !fs::read_to_string("/proc/self/uid_map").is_ok_and(whole)
}

/// Makes the namespaces, and is root in them from then on. The process has one thread yet.
pub fn enter() -> Result<()> {
    make().map_err(|error| DemoError::NotRoot {
        reason: forbidden().unwrap_or_else(|| error.to_string()),
    })
}

fn make() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    let spaces = [
        CloneFlags::CLONE_NEWUSER,
        CloneFlags::CLONE_NEWNS,
        // Only from a network of one's own another one can be made.
        CloneFlags::CLONE_NEWNET,
    ];
    unshare(spaces.into_iter().collect()).attempt(|| "make a user namespace".to_owned())?;
    // Without it the kernel allows no map of groups.
    for (file, line) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        fs::write(file, line).attempt(|| format!("write {file}"))?;
    }
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .attempt(|| "part with the mounts of this machine".to_owned())?;
    for place in PLACES {
        let kind = Some("tmpfs");
        mount(kind, place, kind, MsFlags::empty(), Some("mode=755"))
            .attempt(|| format!("mount tmpfs on {place}"))?;
    }
    Ok(())
}

fn forbidden() -> Option<String> {
    let found = SWITCHES.iter().find(|(file, forbids, _)| {
        fs::read_to_string(file).is_ok_and(|text| text.trim() == *forbids)
    });
    found.map(|(_, _, why)| (*why).to_owned())
}
