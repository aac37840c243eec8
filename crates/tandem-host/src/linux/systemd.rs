//! systemd over D-Bus: jobs with their results, states of units, and whether the machine goes down.
//!
//! The proxies name only what is used. Every call has a limit, because a first process that hangs
//! must not hang the node's decisions with it.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};
use zbus::OwnedObjectPath;
use zbus::export::serde::de::DeserializeOwned;

use super::cgroup::ControlGroup;

/// One answer of systemd. It answers within milliseconds, except while it reloads itself.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// How often a job is looked for while it is waited for, in case that its signal was missed (the
/// bus or systemd itself was restarted).
const JOB_POLL_PERIOD: Duration = Duration::from_secs(1);

/// systemd did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// The bus cannot be reached, or answered with an error.
    #[error("{act}")]
    Bus {
        /// What was attempted.
        act: String,
        /// Why not.
        #[source]
        source: zbus::Error,
    },
    /// There is no such unit.
    #[error("the unit {0} does not exist")]
    Missing(String),
    /// The unit is masked.
    #[error("the unit {0} is masked")]
    Masked(String),
    /// The unit file cannot be used.
    #[error("the unit {unit} cannot be loaded ({load_state})")]
    Unusable {
        /// The unit.
        unit: String,
        /// systemd's word for it: `bad-setting`, `error`.
        load_state: String,
    },
    /// The job ended without success.
    #[error("the {job} of {unit} ended with \"{result}\"")]
    Job {
        /// What was to be done.
        job: Job,
        /// The unit.
        unit: String,
        /// systemd's word for it: `failed`, `timeout`, `canceled`, `dependency`, `assert`, …
        result: String,
    },
    /// The job did not end in time.
    #[error("the {job} of {unit} did not end within {} s", limit.as_secs_f32())]
    Timeout {
        /// What was to be done.
        job: Job,
        /// The unit.
        unit: String,
        /// The limit.
        limit: Duration,
    },
}

impl SystemdError {
    /// Whether trying again cannot help: the unit is masked, missing or broken.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Masked(_) | Self::Unusable { .. } => true,
            Self::Bus { .. } | Self::Job { .. } | Self::Timeout { .. } => false,
        }
    }
}

/// What is done to a unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Job {
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
    /// It is stopped, if it runs, and started.
    Restart,
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        })
    }
}

/// A unit as systemd shows it at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitState {
    /// Its name.
    pub unit: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, …
    pub active: String,
    /// `running`, `exited`, `auto-restart`, …
    pub sub: String,
    /// What the job does that waits or runs for it: `start`, `stop`, `restart`, …
    pub job: Option<String>,
}

impl UnitState {
    /// Why nothing can be expected of this unit, if so.
    ///
    /// # Errors
    /// It is missing, masked or broken.
    pub fn check_loaded(&self) -> Result<(), SystemdError> {
        let unit = self.unit.clone();
        match self.load.as_str() {
            "loaded" | "merged" | "stub" => Ok(()),
            "not-found" => Err(SystemdError::Missing(unit)),
            "masked" => Err(SystemdError::Masked(unit)),
            other => Err(SystemdError::Unusable {
                unit,
                load_state: other.to_owned(),
            }),
        }
    }

    /// Whether it runs; reloading is running.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// Something happened to units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// A job of this unit was done.
    JobDone(String),
    /// What it was has to be asked.
    Other,
}

type ChangeStream = Pin<Box<dyn Stream<Item = Change> + Send + Sync>>;

/// Whether systemd is the first process of this machine.
#[must_use]
pub fn is_present() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Name, description, load state, active state, sub state, the unit that it follows, its object;
/// and of its job: number, type, object.
type ListedUnit = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<ListedUnit>>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn disable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
    ) -> zbus::Result<Vec<(String, String, String)>>;
    fn enable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<(String, String, String)>)>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn system_state(&self) -> zbus::Result<String>;

    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

/// A connection to systemd. Clones share it.
#[derive(Clone, Debug)]
pub struct Systemd {
    bus: zbus::Connection,
    manager: ManagerProxy<'static>,
}

impl Systemd {
    /// Connects to the system bus and subscribes to the manager's signals.
    ///
    /// # Errors
    /// There is no bus, or no systemd on it.
    pub async fn connect() -> Result<Self, SystemdError> {
        let bus = zbus::connection::Builder::system()
            .method_timeout(CALL_LIMIT)
            .build()
            .await
            .map_err(bus_error("connect to the system bus"))?;
        let manager = ManagerProxy::builder(&bus)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(bus_error("address systemd"))?;
        manager
            .subscribe()
            .await
            .map_err(bus_error("subscribe to the signals of systemd"))?;
        Ok(Self { bus, manager })
    }

    /// Whether the connection has broken. It does not come back by itself.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    /// Starts a unit and waits for its job, and that it is active then. A start limit that earlier
    /// failures have reached is reset: how often to try is not systemd's decision here.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn start(&self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        self.run(Job::Start, unit, limit).await?;
        self.expect_active(Job::Start, unit).await
    }

    /// Stops a unit and waits for its job.
    ///
    /// # Errors
    /// See [`SystemdError`]. A unit that does not exist is stopped.
    pub async fn stop(&self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        self.run(Job::Stop, unit, limit).await
    }

    /// Restarts a unit, or starts it, and waits for its job.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn restart(&self, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        self.run(Job::Restart, unit, limit).await?;
        self.expect_active(Job::Restart, unit).await
    }

    /// Whether the unit is active.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn is_active(&self, unit: &str) -> Result<bool, SystemdError> {
        Ok(self.unit(unit).await?.is_active())
    }

    /// Whether the machine is being shut down or rebooted.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn is_stopping(&self) -> Result<bool, SystemdError> {
        let state = self
            .manager
            .system_state()
            .await
            .map_err(bus_error("ask for the state of the system"))?;
        Ok(state == "stopping")
    }

    /// The state of a unit, all of the same moment. A unit that does not exist has a state too.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn unit(&self, unit: &str) -> Result<UnitState, SystemdError> {
        let listed = self
            .manager
            .list_units_by_names(&[unit])
            .await
            .map_err(|source| refused(source, unit, "ask for the state of"))?;
        let Some(listed) = listed.into_iter().next() else {
            return Err(SystemdError::Missing(unit.to_owned()));
        };
        Ok(UnitState {
            unit: listed.0,
            load: listed.2,
            active: listed.3,
            sub: listed.4,
            job: (listed.7 != 0).then_some(listed.8),
        })
    }

    /// Lets systemd read all unit files again.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn reload(&self) -> Result<(), SystemdError> {
        self.manager
            .reload()
            .await
            .map_err(bus_error("let systemd read its unit files"))
    }

    /// Lets a unit not start at boot by itself any more.
    pub(crate) async fn disable(&self, unit: &str) -> Result<(), SystemdError> {
        let outcome = self.manager.disable_unit_files(&[unit], false).await;
        outcome
            .map(drop)
            .map_err(|source| refused(source, unit, "disable"))
    }

    /// Lets a unit start at boot again.
    pub(crate) async fn enable(&self, unit: &str) -> Result<(), SystemdError> {
        let outcome = self.manager.enable_unit_files(&[unit], false, false).await;
        outcome
            .map(drop)
            .map_err(|source| refused(source, unit, "enable"))
    }

    /// Queues the stop of a unit without waiting, so that systemd does not restart what is killed.
    pub(crate) async fn queue_stop(&self, unit: &str) -> Result<(), SystemdError> {
        self.enqueue(Job::Stop, unit).await.map(|_| ())
    }

    /// Kills every process of a unit by way of systemd, for machines without the control groups of
    /// version 2.
    pub(crate) async fn kill(&self, unit: &str) -> Result<(), SystemdError> {
        self.manager
            .kill_unit(unit, "all", libc::SIGKILL)
            .await
            .map_err(|source| refused(source, unit, "kill the processes of"))
    }

    /// The control group of a unit, while it has one.
    pub(crate) async fn control_group(
        &self,
        unit: &str,
    ) -> Result<Option<ControlGroup>, SystemdError> {
        let Some(interface) = interface_with_group(unit) else {
            return Ok(None);
        };
        let group: String = self.property(unit, interface, "ControlGroup").await?;
        Ok(ControlGroup::named(&group))
    }

    /// One of the properties that every kind of unit has.
    pub(crate) async fn unit_property<T>(
        &self,
        unit: &str,
        property: &'static str,
    ) -> Result<T, SystemdError>
    where
        T: DeserializeOwned + zbus::Type,
    {
        self.property(unit, "org.freedesktop.systemd1.Unit", property)
            .await
    }

    /// One of the properties that only services have.
    pub(crate) async fn service_property<T>(
        &self,
        unit: &str,
        property: &'static str,
    ) -> Result<T, SystemdError>
    where
        T: DeserializeOwned + zbus::Type,
    {
        self.property(unit, "org.freedesktop.systemd1.Service", property)
            .await
    }

    /// Yields whenever one of the units changes, or a job of any unit ends.
    pub(crate) async fn changes(
        &self,
        units: &[&str],
    ) -> Result<impl Stream<Item = Change> + Send + Sync + Unpin + use<>, SystemdError> {
        let act = "subscribe to the changes of units";
        let mut streams: Vec<ChangeStream> = Vec::with_capacity(units.len() + 1);
        let ends = self.manager.receive_job_removed().await;
        let ends = ends.map_err(bus_error("subscribe to the ends of jobs"))?;
        streams.push(Box::pin(ends.map(|end| match end.args() {
            Ok(end) if end.result == "done" => Change::JobDone(end.unit),
            Ok(_) | Err(_) => Change::Other,
        })));
        for unit in units {
            let path = self.object_path(unit).await?;
            let rule = zbus::MatchRule::builder()
                .msg_type(zbus::message::Type::Signal)
                .sender("org.freedesktop.systemd1")
                .interface("org.freedesktop.DBus.Properties")
                .member("PropertiesChanged")
                .path(path)
                .build()
                .map_err(bus_error(act))?;
            let stream = zbus::MessageStream::for_match_rule(rule, &self.bus, None)
                .await
                .map_err(bus_error(act))?;
            streams.push(Box::pin(stream.map(|_| Change::Other)));
        }
        Ok(stream::select_all(streams))
    }

    async fn run(&self, job: Job, unit: &str, limit: Duration) -> Result<(), SystemdError> {
        let deadline = Instant::now() + limit;
        // Subscribed before the job exists, so that its end cannot be missed.
        let mut removed = self
            .manager
            .receive_job_removed()
            .await
            .map_err(bus_error("subscribe to the ends of jobs"))?;
        let path = match self.enqueue(job, unit).await {
            Ok(path) => path,
            Err(SystemdError::Missing(_)) if job == Job::Stop => return Ok(()),
            Err(error) => return Err(error),
        };
        loop {
            let poll = (Instant::now() + JOB_POLL_PERIOD).min(deadline);
            match timeout_at(poll, removed.next()).await {
                Ok(Some(signal)) => {
                    let Ok(end) = signal.args() else { continue };
                    if end.job == path {
                        return job_end(job, unit, &end.result);
                    }
                }
                Ok(None) | Err(_) => {
                    let state = self.unit(unit).await?;
                    if state.job.is_none() {
                        let done = match job {
                            Job::Stop => state.is_ended(),
                            Job::Start | Job::Restart => state.is_active(),
                        };
                        return job_end(job, unit, if done { "done" } else { "failed" });
                    }
                    if Instant::now() >= deadline {
                        return Err(SystemdError::Timeout {
                            job,
                            unit: unit.to_owned(),
                            limit,
                        });
                    }
                }
            }
        }
    }

    async fn enqueue(&self, job: Job, unit: &str) -> Result<OwnedObjectPath, SystemdError> {
        let manager = &self.manager;
        let (outcome, act) = match job {
            Job::Start | Job::Restart => {
                self.unit(unit).await?.check_loaded()?;
                // Fails for a unit that is not in memory, which then has no failures either.
                let _ = manager.reset_failed_unit(unit).await;
                match job {
                    Job::Start => (manager.start_unit(unit, "replace").await, "start"),
                    Job::Restart | Job::Stop => {
                        (manager.restart_unit(unit, "replace").await, "restart")
                    }
                }
            }
            Job::Stop => {
                // While the machine goes down, the unit has a stop job already, which waits until
                // this very daemon has ended: only a job that ignores the order comes through.
                let mode = if self.is_stopping().await? {
                    "ignore-dependencies"
                } else {
                    "replace"
                };
                (manager.stop_unit(unit, mode).await, "stop")
            }
        };
        outcome.map_err(|source| refused(source, unit, act))
    }

    async fn expect_active(&self, job: Job, unit: &str) -> Result<(), SystemdError> {
        let state = self.unit(unit).await?;
        if state.is_active() {
            return Ok(());
        }
        Err(SystemdError::Job {
            job,
            unit: unit.to_owned(),
            result: format!("done, but then it was {} ({})", state.active, state.sub),
        })
    }

    async fn object_path(&self, unit: &str) -> Result<OwnedObjectPath, SystemdError> {
        self.manager
            .load_unit(unit)
            .await
            .map_err(|source| refused(source, unit, "load"))
    }

    async fn property<T>(
        &self,
        unit: &str,
        interface: &'static str,
        property: &'static str,
    ) -> Result<T, SystemdError>
    where
        T: DeserializeOwned + zbus::Type,
    {
        let act = format!("ask for {property} of {unit}");
        let proxy: zbus::Proxy<'_> = zbus::proxy::Builder::new(&self.bus)
            .destination("org.freedesktop.systemd1")
            .path(self.object_path(unit).await?)
            .interface(interface)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(bus_error(&act))?;
        proxy.get_property(property).await.map_err(bus_error(&act))
    }
}

fn bus_error(act: &str) -> impl FnOnce(zbus::Error) -> SystemdError {
    let act = act.to_owned();
    move |source| SystemdError::Bus { act, source }
}

/// Tells the answers that have a meaning of their own from all others.
fn refused(source: zbus::Error, unit: &str, act: &str) -> SystemdError {
    if let zbus::Error::MethodError(name, _, _) = &source {
        match name.as_str() {
            "org.freedesktop.systemd1.NoSuchUnit" => return SystemdError::Missing(unit.to_owned()),
            "org.freedesktop.systemd1.UnitMasked" => return SystemdError::Masked(unit.to_owned()),
            _ => {}
        }
    }
    SystemdError::Bus {
        act: format!("{act} {unit}"),
        source,
    }
}

fn job_end(job: Job, unit: &str, result: &str) -> Result<(), SystemdError> {
    if result == "done" {
        return Ok(());
    }
    Err(SystemdError::Job {
        job,
        unit: unit.to_owned(),
        result: result.to_owned(),
    })
}

/// The interface of a kind of unit that has processes.
fn interface_with_group(unit: &str) -> Option<&'static str> {
    let (_, kind) = unit.rsplit_once('.')?;
    match kind {
        "service" => Some("org.freedesktop.systemd1.Service"),
        "scope" => Some("org.freedesktop.systemd1.Scope"),
        "slice" => Some("org.freedesktop.systemd1.Slice"),
        "socket" => Some("org.freedesktop.systemd1.Socket"),
        "mount" => Some("org.freedesktop.systemd1.Mount"),
        _ => None,
    }
}
