//! Shell command lines and scripts in a process group of their own.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

use super::cgroup::{ControlGroup, ProcessId};

/// The end of what a command complained about, kept for the reason of a failure.
const COMPLAINT_BYTES_MAX: usize = 512;

/// What the service manager told this process about itself. A service that believed it would report
/// its own readiness as the daemon's.
const MANAGER_VARIABLES: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// A command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// It could not be run.
    #[error("it cannot be run: {0}")]
    Spawn(#[source] io::Error),
    /// It ended with another status than 0, or by a signal.
    #[error("it ended with {status}{complaint}", complaint = quoted(complaint))]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last line that it wrote to its standard error.
        complaint: String,
    },
    /// It did not end in time, and was killed.
    #[error("it did not end within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

fn quoted(complaint: &str) -> String {
    if complaint.is_empty() {
        String::new()
    } else {
        format!(": \"{complaint}\"")
    }
}

/// Runs a command line to its end. Whatever it leaves behind in its group is killed.
///
/// # Errors
/// See [`ShellError`].
pub async fn run(line: &str, limit: Duration) -> Result<(), ShellError> {
    finish(shell(line), limit).await
}

/// Runs a script to its end, like [`run`].
///
/// # Errors
/// See [`ShellError`].
pub async fn run_script(script: &OsStr, limit: Duration) -> Result<(), ShellError> {
    finish(Command::new(script), limit).await
}

/// Starts a command line that may stay, as the leader of a group of its own and a member of
/// `container`. It lives on when the result is dropped, and when this process ends.
///
/// # Errors
/// It cannot be run.
pub fn spawn(line: &str, container: Option<&ControlGroup>) -> io::Result<Child> {
    let mut command = shell(line);
    prepare(&mut command, container)?;
    command.spawn()
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line);
    command
}

async fn finish(mut command: Command, limit: Duration) -> Result<(), ShellError> {
    prepare(&mut command, None).map_err(ShellError::Spawn)?;
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(ShellError::Spawn)?;
    let _group = GroupGuard(child.id());
    let stderr = child.stderr.take();
    match tokio::time::timeout(limit, outcome(&mut child, stderr)).await {
        Err(_) => Err(ShellError::Timeout(limit)),
        Ok(Err(error)) => Err(ShellError::Spawn(error)),
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, complaint))) => Err(ShellError::Failed { status, complaint }),
    }
}

/// Reads while it waits, so that a command that writes much does not block.
async fn outcome(
    child: &mut Child,
    mut stderr: Option<ChildStderr>,
) -> io::Result<(std::process::ExitStatus, String)> {
    let mut complaint = Vec::new();
    let mut buffer = [0; COMPLAINT_BYTES_MAX];
    loop {
        let Some(pipe) = stderr.as_mut() else {
            let status = child.wait().await?;
            return Ok((status, last_line(&complaint)));
        };
        tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => match read {
                Ok(0) | Err(_) => stderr = None,
                Ok(length) => {
                    complaint.extend_from_slice(&buffer[..length]);
                    let surplus = complaint.len().saturating_sub(COMPLAINT_BYTES_MAX);
                    complaint.drain(..surplus);
                }
            },
            status = child.wait() => return Ok((status?, last_line(&complaint))),
        }
    }
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end()
        .lines()
        .last()
        .unwrap_or("")
        .trim()
        .to_owned()
}

/// What every command gets: no input, the root directory, its own group, and no share in the
/// daemon's protection from the out-of-memory killer.
fn prepare(command: &mut Command, container: Option<&ControlGroup>) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .current_dir("/")
        .process_group(0);
    for ours in MANAGER_VARIABLES {
        command.env_remove(ours);
    }
    let entrance = container
        .map(|group| {
            std::fs::OpenOptions::new()
                .write(true)
                .open(group.entrance())
        })
        .transpose()?;
    let enter = move || {
        if let Some(entrance) = &entrance {
            write_all(entrance.as_raw_fd(), b"0")?;
        }
        reset_oom_score();
        Ok(())
    };
    // SAFETY: between fork and exec only `write`, `open` and `close` are called, which are safe
    // there; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

fn write_all(descriptor: libc::c_int, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the bytes are valid for their length; a wrong descriptor is an error.
    let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn reset_oom_score() {
    // SAFETY: the path is a C string; the descriptor is closed before anything else happens.
    unsafe {
        let score = libc::open(
            c"/proc/self/oom_score_adj".as_ptr(),
            libc::O_WRONLY | libc::O_CLOEXEC,
        );
        if score >= 0 {
            // Raising it needs no privilege; where it fails, it was not lowered either.
            let _ = write_all(score, b"0");
            libc::close(score);
        }
    }
}

/// Kills a group when it is dropped: at a timeout, when the caller gave up, and right after the end
/// of its leader, whose number cannot have come round again by then.
struct GroupGuard(Option<ProcessId>);

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            kill_group(group);
        }
    }
}

/// Kills every process of a group. A group that is gone is no error.
pub fn kill_group(group: ProcessId) {
    let Ok(group) = i32::try_from(group) else {
        return;
    };
    // 0 and 1 would mean the own group and every process.
    if group > 1 {
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(group),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_succeeds_or_says_how_it_failed() {
        run("true", LIMIT).await.expect("true");
        let error = run("echo first >&2; echo the disk is full >&2; exit 3", LIMIT)
            .await
            .expect_err("status 3");
        let text = error.to_string();
        assert!(
            text.contains('3') && text.contains("\"the disk is full\""),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_command_that_complains_much_does_not_block() {
        run("head -c 1000000 /dev/zero >&2", LIMIT)
            .await
            .expect("it ends");
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_with_its_group() {
        let mark = tempfile::NamedTempFile::new().expect("a file");
        let line = format!("sleep 1000 & echo $! > {0}; wait", mark.path().display());
        let began = Instant::now();
        let outcome = run(&line, Duration::from_millis(500)).await;
        assert!(
            matches!(outcome, Err(ShellError::Timeout(_))),
            "{outcome:?}"
        );
        assert!(began.elapsed() < LIMIT);
        let sleeper: u32 = std::fs::read_to_string(mark.path())
            .expect("read")
            .trim()
            .parse()
            .expect("a number");
        let gone = || super::super::process::is_doomed(sleeper);
        while !gone() {
            assert!(began.elapsed() < LIMIT, "the child of the command lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_script_that_is_not_there_cannot_be_run() {
        let outcome = run_script(OsStr::new("/nonexistent/check"), LIMIT).await;
        assert!(matches!(outcome, Err(ShellError::Spawn(_))), "{outcome:?}");
    }
}
