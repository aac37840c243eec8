//! The services of a module: started in order with a readiness check each, stopped in reverse,
//! watched in between.
//!
//! One task owns them and carries out one order at a time. A stop ends a start that is under way,
//! and a stop by force ends an orderly stop: whoever loses the right to serve does not wait for a
//! time limit. Between the orders the task watches; while a start or a stop is under way nothing is
//! reported as down.

mod driver;
mod orders;
mod ready;
mod watching;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_core::{ServiceFailure, ServiceStop};
use tokio::sync::{mpsc, oneshot, watch};

use driver::Driver;
use orders::{Order, Work};

/// Failures that wait to be taken. The first one starts a restart, which makes the others moot.
const FAILURES_MAX: usize = 64;

/// Orders that wait to be read. The task reads them even while it carries one out.
const ORDERS_MAX: usize = 16;

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
    /// Where the serving flag and the notes about command services are kept.
    pub runtime_dir: PathBuf,
}

impl ServicesConfig {
    /// The file that exists only while the module may serve on this node. Units refuse to start
    /// without it: the mount point alone proves nothing, because the read-only directory of a
    /// standby is a mount point too.
    #[must_use]
    pub fn serving_flag(&self) -> PathBuf {
        self.runtime_dir.join(format!("{}.serving", self.module))
    }

    /// Raises the serving flag.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn raise_serving_flag(&self) -> io::Result<()> {
        fs::create_dir_all(&self.runtime_dir)?;
        fs::write(self.serving_flag(), "")
    }

    /// Lowers the serving flag.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn lower_serving_flag(&self) -> io::Result<()> {
        match fs::remove_file(self.serving_flag()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The services of one module. Clones name the same services. When the last one is dropped, the task
/// ends and the services run on.
#[derive(Clone, Debug)]
pub struct Services {
    config: Arc<ServicesConfig>,
    orders: mpsc::Sender<Order>,
    frozen: Arc<AtomicBool>,
    paused: watch::Sender<bool>,
}

impl Services {
    /// Takes charge of the services and changes nothing. Must be called inside a tokio runtime.
    ///
    /// The receiver gets a failure when a service that was started (or adopted) goes down by
    /// itself, once until the next start.
    #[must_use]
    pub fn new(config: ServicesConfig) -> (Self, mpsc::Receiver<ServiceFailure>) {
        let (failures, receiver) = mpsc::channel(FAILURES_MAX);
        let (orders, incoming) = mpsc::channel(ORDERS_MAX);
        let config = Arc::new(config);
        let frozen = Arc::new(AtomicBool::new(false));
        let paused = watch::Sender::new(false);
        let driver = Driver::new(Arc::clone(&config), Arc::clone(&frozen), paused.clone());
        tokio::spawn(orders::carry_out(driver, incoming, failures));
        let services = Self {
            config,
            orders,
            frozen,
            paused,
        };
        (services, receiver)
    }

    /// Raises the serving flag, starts all services in order, and waits for each to be ready. What
    /// runs already is not started again. Then they are watched.
    ///
    /// # Errors
    /// The first service that could not be started. Those before it are left running. A stop that
    /// was ordered in the meantime ends the start with a failure too.
    pub async fn start(&self) -> Result<(), ServiceFailure> {
        self.order(Work::Start).await
    }

    /// Lowers the serving flag and stops all services in reverse order. Returns when no process of
    /// any is left, except such as were killed and hang in the kernel (they will never run in user
    /// space again; the end of the mount that they wait for ends them).
    ///
    /// # Errors
    /// A service that could not be ended even by force within its limit again. The others were
    /// stopped all the same.
    pub async fn stop(&self, how: ServiceStop) -> Result<(), ServiceFailure> {
        self.order(Work::Stop(how)).await
    }

    /// Stops all services in order and starts them again. A stop that is ordered in the meantime
    /// ends it with a failure, and nothing is started any more.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub async fn restart(&self) -> Result<(), ServiceFailure> {
        self.order(Work::Restart).await
    }

    /// Watches services that run already: the daemon was restarted and finds its mirror serving.
    ///
    /// # Errors
    /// The serving flag cannot be raised.
    pub async fn adopt(&self) -> Result<(), ServiceFailure> {
        self.order(Work::Adopt).await
    }

    /// Whether anything of any service runs.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn is_running(&self) -> Result<bool, ServiceFailure> {
        let (config, frozen) = (Arc::clone(&self.config), Arc::clone(&self.frozen));
        Driver::new(config, frozen, watch::Sender::new(false))
            .is_running()
            .await
    }

    /// Stops the watching until [`Self::thaw`]: while the mirror stalls, what looks dead only waits.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// Whether a service is down because somebody else stopped it on purpose, and its next start
    /// is waited for: meanwhile no checker says anything about the application.
    #[must_use]
    pub fn pauses(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    /// Watches again.
    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
    }

    async fn order(&self, work: Work) -> Result<(), ServiceFailure> {
        let (answer, outcome) = oneshot::channel();
        let ended = || ServiceFailure {
            name: self.config.module.clone(),
            reason: "the task that owns the services has ended".to_owned(),
            hopeless: false,
            requested: false,
        };
        self.orders
            .send(Order { work, answer })
            .await
            .map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}
