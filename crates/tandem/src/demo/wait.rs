//! Bounded waiting, and programs with a bound.
//!
//! Everything in the show that waits comes through here, so that each wait has a limit, ends when
//! somebody presses Ctrl-C, and says what it waited for.

use super::error::{Attempt, DemoError, Result};
use super::linux;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at: short against every duration that the show measures.
pub const POLL: Duration = Duration::from_millis(20);
/// The bound of a small program of the base system, on a machine under load.
pub const PROGRAM_LIMIT: Duration = Duration::from_secs(30);

/// Looks until `condition` is there; its error is what is seen instead.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        let seen = match condition() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if linux::interrupted() {
            return Err(DemoError::Interrupted);
        }
        if begin.elapsed() >= limit {
            return Err(DemoError::TimedOut {
                what: what.to_owned(),
                limit,
                seen,
            });
        }
        thread::sleep(POLL);
    }
}

/// Lets the show run on for a while.
pub fn pause(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    loop {
        if linux::interrupted() {
            return Err(DemoError::Interrupted);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(POLL));
    }
}

/// A program that runs to its end.
pub struct Program {
    attempt: String,
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

impl Program {
    /// `attempt` says what the program is for ("make the file system of node1").
    pub fn new(attempt: impl Into<String>, program: &str) -> Self {
        Self {
            attempt: attempt.into(),
            command: Command::new(program),
            input: Vec::new(),
            limit: PROGRAM_LIMIT,
        }
    }

    /// Adds arguments.
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        self.command.args(args);
        self
    }

    /// Gives it something to read.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Gives it another bound than [`PROGRAM_LIMIT`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and gives what it wrote to standard output.
    ///
    /// # Errors
    /// It cannot be started, ends with a status other than 0, or takes too long (it is killed).
    pub fn run(mut self) -> Result<String> {
        let (status, output, complaint) = self.finish()?;
        if status.success() {
            return Ok(output);
        }
        let said = [complaint.trim(), output.trim()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" · ");
        Err(DemoError::Command {
            attempt: self.attempt,
            status,
            output: said,
        })
    }

    fn finish(&mut self) -> Result<(ExitStatus, String, String)> {
        let mut child = self
            .command
            // A Ctrl-C in the terminal is for the show alone, which then ends its programs.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .attempt(|| self.attempt.clone())?;
        let output = gather(child.stdout.take());
        let complaint = gather(child.stderr.take());
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input says so by its status.
            let _ = stdin.write_all(&self.input);
        }
        let status = until(&self.attempt, self.limit, || ended(&mut child));
        if status.is_err() {
            // The whole group, because nsenter forks. What is gone already needs no killing.
            let group = Pid::from_raw(child.id().cast_signed());
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
        }
        let text = |gathered: thread::JoinHandle<Vec<u8>>| {
            let bytes = gathered.join().expect("a reader of a pipe does not panic");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (output, complaint) = (text(output), text(complaint));
        let status = status.map_err(|error| match error {
            DemoError::TimedOut { what, limit, .. } => DemoError::TimedOut {
                what,
                limit,
                seen: format!("so far it said: {} {}", output.trim(), complaint.trim()),
            },
            other => other,
        })?;
        Ok((status, output, complaint))
    }
}

/// How `child` ended, if it did.
pub fn ended(child: &mut Child) -> std::result::Result<ExitStatus, String> {
    match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it is still running".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_fails_says_what_it_waited_for_and_what_it_saw() {
        let error = until::<()>("the moon", Duration::ZERO, || Err("only clouds".to_owned()))
            .expect_err("the condition never holds");
        assert_eq!(error.to_string(), "waited 0 ms for the moon; only clouds");
    }

    #[test]
    fn a_program_gives_its_output_and_reads_its_input() {
        let output = Program::new("copy", "cat")
            .input("line\n")
            .run()
            .expect("cat copies");
        assert_eq!(output, "line\n");
    }

    #[test]
    fn a_program_that_fails_is_reported_with_its_own_words() {
        let error = Program::new("complain", "sh")
            .args(["-c", "echo no >&2; exit 3"])
            .run()
            .expect_err("status 3");
        let text = error.to_string();
        assert!(text.contains("complain") && text.contains("no"), "{text}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let begin = Instant::now();
        let error = Program::new("sleep", "sleep")
            .args(["60"])
            .limit(Duration::from_millis(100))
            .run()
            .expect_err("too long");
        assert!(matches!(error, DemoError::TimedOut { .. }), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
