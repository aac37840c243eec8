//! The operating system, its clock, and what of the kernel the mirror needs.

use super::command;
use crate::facts::{Clock, Confinement, Fuse, Looked, System};
use std::fs;
use std::path::Path;

pub fn system() -> Looked<System> {
    let release = match fs::read_to_string("/etc/os-release") {
        Ok(text) => text,
        Err(error) => return Looked::Unknown(format!("/etc/os-release: {error}")),
    };
    let uname = rustix::system::uname();
    Looked::Seen(System {
        id: value(&release, "ID"),
        version: value(&release, "VERSION_ID"),
        kernel: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
    })
}

fn value(text: &str, key: &str) -> String {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let found = lines.find(|(name, _)| *name == key);
    found.map_or(String::new(), |(_, value)| {
        value.trim_matches('"').to_owned()
    })
}

pub async fn clock() -> Looked<Clock> {
    // systemd leaves this in every container that it knows to be one.
    if Path::new("/run/systemd/container").exists() {
        return Looked::Seen(Clock::Host);
    }
    let arguments = ["show", "--property=NTPSynchronized", "--value"];
    match command::output("timedatectl", &arguments).await {
        Ok(text) if text.trim() == "yes" => Looked::Seen(Clock::Synchronised),
        Ok(text) if text.trim() == "no" => Looked::Seen(Clock::Unsynchronised),
        Ok(text) => Looked::Unknown(format!("timedatectl says {:?}", text.trim())),
        Err(error) => Looked::Unknown(error),
    }
}

pub fn fuse() -> Fuse {
    let limit = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/fs/fuse").join(name)).ok()?;
        let seconds: u64 = text.trim().parse().ok()?;
        (seconds > 0).then_some(seconds)
    };
    let limits = [
        limit("default_request_timeout"),
        limit("max_request_timeout"),
    ];
    Fuse {
        device: Path::new("/dev/fuse").exists(),
        request_seconds_max: limits.into_iter().flatten().min(),
    }
}

pub fn confinement() -> Confinement {
    let enforces = fs::read_to_string("/sys/fs/selinux/enforce");
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let profiles = profiles.unwrap_or_default();
    let enforced = profiles
        .lines()
        .filter_map(|line| line.strip_suffix(" (enforce)"));
    Confinement {
        selinux: enforces.is_ok_and(|text| text.trim() == "1"),
        apparmor: enforced.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release_are_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n";
        assert_eq!(value(text, "ID"), "debian");
        assert_eq!(value(text, "VERSION_ID"), "12");
        assert_eq!(value(text, "MISSING"), "");
    }

    #[test]
    fn this_machine_has_a_kernel() {
        let system = system();
        let system = system.seen().expect("every distribution has os-release");
        assert!(system.kernel.contains('.'));
    }
}
