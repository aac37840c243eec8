//! Checkers: what probes the application from outside, with rise and fall.
//!
//! A checker that cannot run is down. What a change leads to is decided elsewhere; the configured
//! action is only carried along.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

/// Changes that wait to be taken.
const CHANGES_MAX: usize = 64;

/// One checker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckerConfig {
    /// As configured; named in changes.
    pub name: String,
    /// What it looks at.
    pub probe: Probe,
    /// From the start of one probe to the start of the next.
    pub period: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Successes in a row after which it is up.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
    /// What its going down leads to.
    pub action: CheckerAction,
}

/// What a checker looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A systemd unit is active.
    Unit(String),
    /// A process with this name (as in `/proc/PID/comm`) runs.
    Process(String),
    /// A connection is accepted.
    Tcp(SocketAddr),
    /// The script ends with status 0.
    Script(PathBuf),
}

/// What the going down of a checker leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CheckerAction {
    /// Services are restarted in place.
    Restart,
    /// The node stops and starts the module.
    StopStart,
    /// The roles are exchanged.
    Swap,
    /// The node waits.
    Wait,
    /// The node stops the module.
    Stop,
    /// It is only shown.
    #[default]
    None,
}

/// What a checker says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// `rise` probes in a row succeeded.
    Up,
    /// `fall` probes in a row failed.
    Down,
}

/// A checker changed its verdict. The first verdict is a change too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckerChange {
    /// The checker.
    pub name: String,
    /// What is configured for its going down.
    pub action: CheckerAction,
    /// The new verdict.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub reason: String,
}

/// The running checkers of a module.
#[derive(Debug)]
pub struct Checkers {}

impl Checkers {
    /// Starts all checkers. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(_checkers: Vec<CheckerConfig>) -> (Self, mpsc::Receiver<CheckerChange>) {
        let (_changes, receiver) = mpsc::channel(CHANGES_MAX);
        (Self {}, receiver)
    }

    /// Keeps all verdicts as they are until [`Self::thaw`]: the mirror stalls, or services are
    /// being started.
    pub fn freeze(&self) {}

    /// Probes again, with counts from the beginning.
    pub fn thaw(&self) {}

    /// Ends all checkers and waits for them.
    pub async fn shutdown(self) {}
}
