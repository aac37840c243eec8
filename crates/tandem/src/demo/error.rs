//! What can go wrong in a demonstration.
//!
//! Every variant says what was attempted on what, because the person who reads it did not write
//! the script of the show and has only the terminal.

use super::format::seconds;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a demonstration could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Ctrl-C, SIGTERM or a closed terminal.
    #[error("interrupted")]
    Interrupted,
    /// The demonstration needs root, or what an ordinary user may do elsewhere.
    #[error("the demonstration makes namespaces and mounts, and {reason}: run it as root")]
    NotRoot {
        /// Why it cannot do without.
        reason: String,
    },
    /// Another demonstration runs.
    #[error("another demonstration is running on this machine")]
    Busy,
    /// A program of the base system is missing.
    #[error("{program} is missing: install the package {package} (apt-get install {package})")]
    ToolMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A device of the kernel is missing.
    #[error("{device} is missing: {remedy}")]
    DeviceMissing {
        /// The device node.
        device: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A system call or a file failed.
    #[error("{attempt}: {source}")]
    Io {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{attempt}: {status}: {output}")]
    Command {
        /// What was attempted.
        attempt: String,
        /// How the program ended.
        status: ExitStatus,
        /// What it wrote.
        output: String,
    },
    /// Something did not happen in time.
    #[error("waited {} for {what}; {seen}", seconds(*.limit))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was there instead, as a half sentence.
        seen: String,
    },
    /// A node could not be started.
    #[error("node{number} did not start: {reason}")]
    NodeFailed {
        /// Which one.
        number: u8,
        /// Its own words.
        reason: String,
    },
    /// Remains of a demonstration could not be removed.
    #[error("{} is still {state}, after {}", .path.display(), seconds(*.limit))]
    Remains {
        /// What is left.
        path: PathBuf,
        /// In which way it is in use.
        state: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The database's answer is not a list of numbers.
    #[error("sqlite3 answered {line:?} instead of a number")]
    NotANumber {
        /// The line.
        line: String,
    },
}

/// The result of a step.
pub type Result<T> = std::result::Result<T, DemoError>;

/// Says what was attempted when an input or output operation fails.
pub trait Attempt<T> {
    /// `attempt` is a present-tense act ("read the token").
    fn attempt(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| DemoError::Io {
            attempt: attempt(),
            source,
        })
    }
}

impl<T> Attempt<T> for nix::Result<T> {
    fn attempt(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(io::Error::from).attempt(attempt)
    }
}
