//! Running programs on the machine itself, with a limit on their time.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit status; `None`: ended by a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Outcome {
    /// The output of a program that succeeded.
    ///
    /// # Errors
    /// It did not succeed: with all that it said.
    pub fn success(self) -> Result<String> {
        if self.code == Some(0) {
            return Ok(self.stdout);
        }
        bail!(
            "status {:?}: {}{}",
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }

    /// Both outputs, as a person sees them.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `words`, at most for `limit`.
///
/// # Errors
/// The program cannot be started.
pub fn outcome<S: AsRef<str>>(words: &[S], limit: Duration) -> Result<Outcome> {
    let line = words.iter().map(AsRef::as_ref).collect::<Vec<_>>();
    let output = Command::new("timeout")
        .args(["-k", "5", &limit.as_secs().max(1).to_string()])
        .args(&line)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", line.join(" ")))?;
    Ok(Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program with words separated by spaces, which has to succeed within half a minute.
///
/// # Errors
/// It did not.
pub fn run(line: &str) -> Result<String> {
    let words = line.split_whitespace().collect::<Vec<_>>();
    outcome(&words, Duration::from_secs(30))?
        .success()
        .with_context(|| line.to_owned())
}

/// As [`run`], where failing is as good.
pub fn try_run(line: &str) -> bool {
    run(line).is_ok()
}
