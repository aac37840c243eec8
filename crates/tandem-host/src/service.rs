//! The services of a module: started in order with a readiness check each, stopped in reverse,
//! watched in between.
//!
//! One task owns them and carries out one order at a time. A stop ends a start that is under way,
//! and a stop by force ends an orderly stop: whoever loses the right to serve does not wait for a
//! time limit. Between the orders the task watches; while a start or a stop is under way nothing is
//! reported as down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tandem_core::{ServiceFailure, ServiceStop};
use tokio::sync::mpsc;

/// Failures that wait to be taken. The first one starts a restart, which makes the others moot.
const FAILURES_MAX: usize = 64;

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceConfig {
    /// As configured; named in failures.
    pub name: String,
    /// What it is.
    pub kind: ServiceKind,
    /// When it counts as started; `None`: as soon as the start job is done.
    pub ready: Option<Ready>,
    /// How long it may take until it is ready.
    pub start_limit: Duration,
    /// How long an orderly stop may take before force is used, and then force again.
    pub stop_limit: Duration,
}

/// What a service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceKind {
    /// A systemd unit, with its suffix.
    Unit(String),
    /// Shell command lines.
    Commands {
        /// Starts it. May leave processes behind, or be the service itself and go on running.
        start: String,
        /// Stops it.
        stop: String,
        /// Succeeds while it runs. Without one, it runs while a process of `start` is left.
        check: Option<String>,
    },
}

/// How a service shows that it can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// It accepts a connection.
    Tcp(SocketAddr),
    /// The shell command line succeeds.
    Command(String),
}

/// What [`Services`] is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicesConfig {
    /// The module.
    pub module: String,
    /// Its services, in the order of their start.
    pub services: Vec<ServiceConfig>,
    /// The paths of its volumes.
    pub volumes: Vec<PathBuf>,
    /// Where the serving flag and the groups of command services are kept.
    pub runtime_dir: PathBuf,
}

/// The services of one module. Clones name the same services.
#[derive(Clone, Debug)]
pub struct Services {
    config: ServicesConfig,
}

impl Services {
    /// Takes charge of the services and changes nothing. Must be called inside a tokio runtime.
    ///
    /// The receiver gets a failure when a service that was started (or adopted) goes down by
    /// itself, once until the next start.
    #[must_use]
    pub fn new(config: ServicesConfig) -> (Self, mpsc::Receiver<ServiceFailure>) {
        let (_failures, receiver) = mpsc::channel(FAILURES_MAX);
        (Self { config }, receiver)
    }

    /// Raises the serving flag, starts all services in order, and waits for each to be ready. What
    /// runs already is not started again. Then they are watched.
    ///
    /// # Errors
    /// The first service that could not be started. Those before it are left running. A stop that
    /// was ordered in the meantime ends the start with a failure too.
    pub async fn start(&self) -> Result<(), ServiceFailure> {
        Err(self.unavailable())
    }

    /// Lowers the serving flag and stops all services in reverse order. Returns when no process of
    /// any is left.
    ///
    /// # Errors
    /// A service that could not be ended even by force within its limit again. The others were
    /// stopped all the same.
    pub async fn stop(&self, _how: ServiceStop) -> Result<(), ServiceFailure> {
        Err(self.unavailable())
    }

    /// Stops all services in order and starts them again.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub async fn restart(&self) -> Result<(), ServiceFailure> {
        Err(self.unavailable())
    }

    /// Watches services that run already: the daemon was restarted and finds its mirror serving.
    pub async fn adopt(&self) {}

    /// Whether anything of any service runs.
    pub async fn is_running(&self) -> bool {
        false
    }

    /// Stops the watching until [`Self::thaw`]: while the mirror stalls, what looks dead only waits.
    pub fn freeze(&self) {}

    /// Watches again.
    pub fn thaw(&self) {}

    fn unavailable(&self) -> ServiceFailure {
        ServiceFailure {
            name: self.config.module.clone(),
            reason: "services cannot be driven yet".to_owned(),
            hopeless: false,
        }
    }
}
