//! Processes as `/proc` shows them.

use std::fs;

use super::cgroup::ProcessId;

/// Bit of SIGKILL in the masks of `/proc/PID/status`.
const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);

/// Whether a process with this name (its first 15 bytes count, as in `/proc/PID/comm`) runs.
pub fn is_named_running(name: &str) -> bool {
    let name = &name.as_bytes()[..name.len().min(15)];
    all().into_iter().any(|process| {
        let comm = fs::read(format!("/proc/{process}/comm")).unwrap_or_default();
        comm.strip_suffix(b"\n").unwrap_or(&comm) == name
            && Stat::of(process).is_some_and(|s| !s.zombie)
    })
}

/// The processes of a process group, without zombies.
pub fn of_group(group: ProcessId) -> Vec<ProcessId> {
    all()
        .into_iter()
        .filter(|&process| Stat::of(process).is_some_and(|s| s.group == group && !s.zombie))
        .collect()
}

/// When the process started, in clock ticks since boot. With its number this names a process.
pub fn start_time(process: ProcessId) -> Option<u64> {
    Stat::of(process).map(|stat| stat.start_time)
}

/// Whether a process was killed and none of its threads will run in user space again. It may still
/// wait in the kernel, for a disk or a mirror that does not answer.
pub fn is_doomed(process: ProcessId) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else {
            return true;
        };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        if field("State:").is_some_and(|state| state.trim_start().starts_with(['Z', 'X'])) {
            return true;
        }
        ["SigPnd:", "ShdPnd:"].iter().any(|name| {
            field(name)
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask & SIGKILL_BIT != 0)
        })
    })
}

fn all() -> Vec<ProcessId> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

struct Stat {
    zombie: bool,
    group: ProcessId,
    start_time: u64,
}

impl Stat {
    fn of(process: ProcessId) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold blanks and parentheses; the last one ends it.
        let (_, after_name) = text.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let start_time = fields.nth(16)?.parse().ok()?;
        Some(Self {
            zombie: matches!(state, "Z" | "X"),
            group,
            start_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_fields() {
        let text = "42 (a) (b) S 1 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1 1\n";
        let stat = Stat::parse(text).expect("it is well formed");
        assert!(!stat.zombie);
        assert_eq!((stat.group, stat.start_time), (40, 777));
    }

    #[test]
    fn this_process_is_found_and_not_doomed() {
        let own = std::process::id();
        assert!(start_time(own).is_some());
        assert!(!is_doomed(own));
    }
}
