//! The steps of starting, stopping and watching. Which unit or command does what is known here; who
//! orders what, and when, is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tandem_core::{ServiceFailure, ServiceStop};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::orders::Work;
use super::{Ready, ServiceConfig, ServiceKind, ServicesConfig};
use crate::linux::cgroup::ControlGroup;
use crate::linux::command::CommandProcesses;
use crate::linux::remains::Ending;
use crate::linux::systemd::{Systemd, SystemdError};
use crate::linux::unit::Standing;
use crate::linux::{shell, unit};
use crate::probe::{self, sentence};

/// How often it is tried whether a started service is ready.
const READY_PERIOD: Duration = Duration::from_millis(200);

/// One try of readiness, and one run of a check command. Longer is no answer.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// How often services are looked at that say nothing by themselves; also the fallback for those
/// that do.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Drives the services of one module.
pub struct Driver {
    config: Arc<ServicesConfig>,
    frozen: Arc<AtomicBool>,
    systemd: Option<Systemd>,
    /// By the place of the service: the control group that its unit had when it was last seen. By
    /// this it can be killed even while systemd does not answer.
    groups: Vec<Option<ControlGroup>>,
    watch: Option<Watch>,
}

/// What the watching remembers.
struct Watch {
    /// Something changed. `None`: only polling.
    changes: Option<Pin<Box<dyn Stream<Item = ()> + Send + Sync>>>,
    /// By the place of the service: since when it is neither up nor down.
    changing_since: Vec<Option<Instant>>,
}

impl Driver {
    pub fn new(config: Arc<ServicesConfig>, frozen: Arc<AtomicBool>) -> Self {
        Self {
            groups: vec![None; config.services.len()],
            config,
            frozen,
            systemd: None,
            watch: None,
        }
    }

    pub fn module(&self) -> &str {
        &self.config.module
    }

    /// Carries out an order. When it is dropped half-way, the next order finds what is there.
    pub async fn perform(&mut self, work: Work) -> Result<(), ServiceFailure> {
        self.watch = None;
        match work {
            Work::Start => self.start().await,
            Work::Restart => {
                self.stop(ServiceStop::Orderly).await?;
                self.start().await
            }
            Work::Adopt => self.adopt().await,
            Work::Stop(how) => self.stop(how).await,
        }
    }

    async fn start(&mut self) -> Result<(), ServiceFailure> {
        self.raise_flag()?;
        let config = Arc::clone(&self.config);
        for (place, service) in config.services.iter().enumerate() {
            tracing::info!(service = service.name, "starting");
            self.start_one(place, service).await?;
            tracing::info!(service = service.name, "started and ready");
        }
        self.begin_watch().await;
        Ok(())
    }

    async fn adopt(&mut self) -> Result<(), ServiceFailure> {
        self.raise_flag()?;
        let config = Arc::clone(&self.config);
        for (place, service) in config.services.iter().enumerate() {
            if let ServiceKind::Unit(unit) = &service.kind {
                self.remember_group(place, unit).await;
            }
        }
        self.begin_watch().await;
        Ok(())
    }

    async fn stop(&mut self, how: ServiceStop) -> Result<(), ServiceFailure> {
        // First the flag, so that nothing starts behind our back.
        if let Err(error) = self.config.lower_serving_flag() {
            tracing::error!(module = self.module(), %error, "the serving flag cannot be lowered: units may still be started");
        }
        if how == ServiceStop::Force {
            self.kill_known_groups();
        }
        let config = Arc::clone(&self.config);
        let mut first_failure = None;
        for (place, service) in config.services.iter().enumerate().rev() {
            tracing::info!(service = service.name, ?how, "stopping");
            match self.stop_one(place, service, how).await {
                Ok(()) => tracing::info!(service = service.name, "stopped"),
                Err(failure) => {
                    tracing::error!(
                        service = service.name,
                        reason = failure.reason,
                        "not stopped"
                    );
                    first_failure.get_or_insert(failure);
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    pub async fn is_running(&mut self) -> Result<bool, ServiceFailure> {
        let config = Arc::clone(&self.config);
        for service in &config.services {
            let running = match &service.kind {
                ServiceKind::Unit(unit) => {
                    let systemd = self.systemd().await.map_err(|e| of_systemd(service, &e))?;
                    let state = systemd.unit(unit).await;
                    !state.map_err(|e| of_systemd(service, &e))?.is_ended()
                }
                ServiceKind::Commands { check, .. } => {
                    self.has_processes(service)
                        || match check {
                            Some(check) => shell::run(check, PROBE_LIMIT).await.is_ok(),
                            None => false,
                        }
                }
            };
            if running {
                return Ok(true);
            }
        }
        Ok(false)
    }

    // ---- start -------------------------------------------------------------------------------

    async fn start_one(
        &mut self,
        place: usize,
        service: &ServiceConfig,
    ) -> Result<(), ServiceFailure> {
        let deadline = Instant::now() + service.start_limit;
        match &service.kind {
            ServiceKind::Unit(unit) => self.start_unit(place, service, unit, deadline).await,
            ServiceKind::Commands { start, check, .. } => {
                let ready = match (&service.ready, check) {
                    (Some(ready), _) => Some(ready.clone()),
                    (None, Some(check)) => Some(Ready::Command(check.clone())),
                    (None, None) => None,
                };
                self.start_command(service, start, ready.as_ref(), deadline)
                    .await
            }
        }
    }

    async fn start_unit(
        &mut self,
        place: usize,
        service: &ServiceConfig,
        unit: &str,
        deadline: Instant,
    ) -> Result<(), ServiceFailure> {
        let systemd = self.systemd().await.map_err(|e| of_systemd(service, &e))?;
        let started = systemd.start(unit, service.start_limit).await;
        self.remember_group(place, unit).await;
        started.map_err(|e| of_systemd(service, &e))?;
        let Some(ready) = &service.ready else {
            return Ok(());
        };
        loop {
            let Err(reason) = is_ready(ready, deadline).await else {
                return Ok(());
            };
            let state = systemd
                .unit(unit)
                .await
                .map_err(|e| of_systemd(service, &e))?;
            let standing = unit::standing(&state, service.start_limit, service.stop_limit);
            if let Standing::Down(reason) = standing {
                return Err(failure(service, format!("{reason} before it was ready")));
            }
            wait_for_next_try(service, &reason, deadline).await?;
        }
    }

    async fn start_command(
        &self,
        service: &ServiceConfig,
        line: &str,
        ready: Option<&Ready>,
        deadline: Instant,
    ) -> Result<(), ServiceFailure> {
        let processes = self.processes_of(service);
        if self.has_processes(service) {
            tracing::info!(service = service.name, "runs already");
        } else {
            let mut child = processes
                .spawn(line)
                .map_err(|e| failure(service, format!("its start command cannot be run: {e}")))?;
            if ready.is_none() {
                return await_start_command(service, &mut child, deadline, &processes).await;
            }
            // From here on the command may be the service itself. When it is dropped it lives on,
            // and is waited for by the runtime.
            return await_ready(service, child, ready, deadline).await;
        }
        match ready {
            Some(ready) => poll_ready(service, ready, deadline).await,
            None => Ok(()),
        }
    }

    // ---- stop --------------------------------------------------------------------------------

    /// Kills all services at once, by what is known of them, before anybody is asked: systemd may
    /// hang, and each service that is ended properly costs time.
    fn kill_known_groups(&self) {
        for group in self.groups.iter().flatten() {
            if let Err(error) = group.kill() {
                tracing::warn!(group = %group.dir().display(), %error, "not killed at once");
            }
        }
        for service in &self.config.services {
            if let ServiceKind::Commands { .. } = service.kind
                && let Some(remains) = self.processes_of(service).remains()
            {
                remains.kill();
            }
        }
    }

    async fn stop_one(
        &mut self,
        place: usize,
        service: &ServiceConfig,
        how: ServiceStop,
    ) -> Result<(), ServiceFailure> {
        let ending = match &service.kind {
            ServiceKind::Unit(unit) => self.stop_unit(place, service, unit, how).await?,
            ServiceKind::Commands { stop, check, .. } => {
                self.stop_command(service, stop, check.as_deref(), how)
                    .await?
            }
        };
        match ending {
            Ending::Gone => Ok(()),
            Ending::Doomed(processes) => {
                tracing::warn!(
                    service = service.name,
                    ?processes,
                    "killed processes wait in the kernel; they do nothing any more"
                );
                Ok(())
            }
            Ending::Alive(processes) => {
                let limit = service.stop_limit.as_secs_f32();
                let reason = format!(
                    "it could not be ended within {limit} s; processes left: {processes:?}"
                );
                Err(failure(service, reason))
            }
        }
    }

    async fn stop_unit(
        &mut self,
        place: usize,
        service: &ServiceConfig,
        unit: &str,
        how: ServiceStop,
    ) -> Result<Ending, ServiceFailure> {
        let systemd = self.systemd().await.map_err(|e| of_systemd(service, &e))?;
        self.remember_group(place, unit).await;
        let group = self.groups[place].clone();
        let ending = match how {
            ServiceStop::Orderly => unit::stop(&systemd, unit, group, service.stop_limit).await,
            ServiceStop::Force => unit::force(&systemd, unit, group, service.stop_limit).await,
        };
        ending.map_err(|e| of_systemd(service, &e))
    }

    async fn stop_command(
        &self,
        service: &ServiceConfig,
        line: &str,
        check: Option<&str>,
        how: ServiceStop,
    ) -> Result<Ending, ServiceFailure> {
        let processes = self.processes_of(service);
        let remains = processes.remains().unwrap_or_default();
        let deadline = Instant::now() + service.stop_limit;
        let mut ending = Ending::Gone;
        match how {
            ServiceStop::Orderly => {
                // A stop command that fails because nothing runs is no failure: what counts is what
                // is left.
                if let Err(error) = shell::run(line, service.stop_limit).await {
                    tracing::warn!(service = service.name, %error, "its stop command failed");
                }
                if !remains.wait_until_gone(deadline).await {
                    tracing::warn!(service = service.name, "it is ended by force");
                    ending = remains.end(service.stop_limit).await;
                }
            }
            ServiceStop::Force => {
                ending = remains.end(service.stop_limit).await;
                // What does not live in processes of ours (a container, say) only its own command
                // can end.
                if let Some(check) = check
                    && shell::run(check, PROBE_LIMIT).await.is_ok()
                    && let Err(error) = shell::run(line, service.stop_limit).await
                {
                    tracing::warn!(service = service.name, %error, "its stop command failed");
                }
            }
        }
        processes.forget_if_gone();
        if let Some(check) = check
            && shell::run(check, PROBE_LIMIT).await.is_ok()
        {
            let reason = "its check command still succeeds after the stop".to_owned();
            return Err(failure(service, reason));
        }
        Ok(ending)
    }

    // ---- watch -------------------------------------------------------------------------------

    /// Waits until a service is down. Never, while nothing is watched.
    pub async fn watch(&mut self) -> ServiceFailure {
        loop {
            let Some(watch) = &mut self.watch else {
                return std::future::pending().await;
            };
            match &mut watch.changes {
                None => sleep(WATCH_PERIOD).await,
                Some(changes) => tokio::select! {
                    change = changes.next() => if change.is_none() {
                        watch.changes = None;
                    },
                    () = sleep(WATCH_PERIOD) => {}
                },
            }
            if self.frozen.load(Ordering::Relaxed) {
                self.forget_changing();
                continue;
            }
            if let Some(failure) = self.look().await {
                self.watch = None;
                return failure;
            }
        }
    }

    async fn begin_watch(&mut self) {
        let mut watch = Watch {
            changes: None,
            changing_since: vec![None; self.config.services.len()],
        };
        watch.changes = self.subscribe().await;
        self.watch = Some(watch);
    }

    async fn subscribe(&mut self) -> Option<Pin<Box<dyn Stream<Item = ()> + Send + Sync>>> {
        let config = Arc::clone(&self.config);
        let units: Vec<&str> = config.services.iter().filter_map(unit_of).collect();
        if units.is_empty() {
            return None;
        }
        let systemd = self.systemd().await.ok()?;
        match systemd.changes(&units).await {
            Ok(changes) => Some(Box::pin(changes)),
            Err(error) => {
                tracing::warn!(error = sentence(&error), "units are only polled");
                None
            }
        }
    }

    fn forget_changing(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.changing_since.fill(None);
        }
    }

    /// Looks once at every service.
    async fn look(&mut self) -> Option<ServiceFailure> {
        let config = Arc::clone(&self.config);
        for (place, service) in config.services.iter().enumerate() {
            let (standing, hopeless) = match &service.kind {
                ServiceKind::Unit(unit) => self.look_at_unit(service, unit).await?,
                ServiceKind::Commands { check, .. } => {
                    (self.look_at_command(service, check.as_deref()).await, false)
                }
            };
            let since = &mut self.watch.as_mut()?.changing_since[place];
            let reason = match standing {
                Standing::Active => {
                    *since = None;
                    continue;
                }
                Standing::Changing(limit) => {
                    let since = *since.get_or_insert_with(Instant::now);
                    if since.elapsed() < limit {
                        continue;
                    }
                    format!("it was not active again within {} s", limit.as_secs_f32())
                }
                Standing::Down(reason) => reason,
            };
            return Some(ServiceFailure {
                hopeless,
                ..failure(service, reason)
            });
        }
        None
    }

    /// `None`: systemd could not be asked, which says nothing about the unit.
    async fn look_at_unit(
        &mut self,
        service: &ServiceConfig,
        unit: &str,
    ) -> Option<(Standing, bool)> {
        let asked = match self.systemd().await {
            Ok(systemd) => systemd.unit(unit).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(state) => {
                let standing = unit::standing(&state, service.start_limit, service.stop_limit);
                Some((standing, unit::is_hopeless(&state)))
            }
            Err(error) => {
                tracing::warn!(unit, error = sentence(&error), "the unit cannot be watched");
                self.systemd = None;
                None
            }
        }
    }

    async fn look_at_command(&self, service: &ServiceConfig, check: Option<&str>) -> Standing {
        let Some(check) = check else {
            // Without a note, the start left no process that could be watched.
            let ended = self
                .processes_of(service)
                .remains()
                .is_some_and(|remains| remains.processes().is_empty());
            return if ended {
                Standing::Down("no process of it is left".to_owned())
            } else {
                Standing::Active
            };
        };
        match shell::run(check, PROBE_LIMIT).await {
            Ok(()) => Standing::Active,
            Err(error) => Standing::Down(format!("its check command failed: {error}")),
        }
    }

    // ---- small things ------------------------------------------------------------------------

    fn raise_flag(&self) -> Result<(), ServiceFailure> {
        self.config
            .raise_serving_flag()
            .map_err(|error| ServiceFailure {
                name: self.config.module.clone(),
                reason: format!("the serving flag cannot be raised: {error}"),
                hopeless: false,
            })
    }

    fn processes_of(&self, service: &ServiceConfig) -> CommandProcesses {
        CommandProcesses::new(&self.config.module, &service.name, &self.config.runtime_dir)
    }

    fn has_processes(&self, service: &ServiceConfig) -> bool {
        self.processes_of(service)
            .remains()
            .is_some_and(|remains| !remains.processes().is_empty())
    }

    async fn remember_group(&mut self, place: usize, unit: &str) {
        if let Ok(systemd) = self.systemd().await
            && let Ok(Some(group)) = systemd.control_group(unit).await
        {
            self.groups[place] = Some(group);
        }
    }

    /// The connection to systemd, made when it is first needed.
    async fn systemd(&mut self) -> Result<Systemd, SystemdError> {
        if let Some(systemd) = &self.systemd
            && !systemd.is_closed()
        {
            return Ok(systemd.clone());
        }
        let systemd = Systemd::connect().await?;
        self.systemd = Some(systemd.clone());
        Ok(systemd)
    }
}

fn unit_of(service: &ServiceConfig) -> Option<&str> {
    match &service.kind {
        ServiceKind::Unit(unit) => Some(unit),
        ServiceKind::Commands { .. } => None,
    }
}

fn failure(service: &ServiceConfig, reason: String) -> ServiceFailure {
    ServiceFailure {
        name: service.name.clone(),
        reason,
        hopeless: false,
    }
}

fn of_systemd(service: &ServiceConfig, error: &SystemdError) -> ServiceFailure {
    ServiceFailure {
        hopeless: error.is_hopeless(),
        ..failure(service, sentence(error))
    }
}

/// Waits for the end of a start command that nothing else tells about.
async fn await_start_command(
    service: &ServiceConfig,
    child: &mut Child,
    deadline: Instant,
    processes: &CommandProcesses,
) -> Result<(), ServiceFailure> {
    let ended = tokio::time::timeout_at(deadline, child.wait()).await;
    // What is left now is the service. When nothing is left, there is nothing to watch.
    processes.forget_if_gone();
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failure(
            service,
            format!("its start command ended with {status}"),
        )),
        Ok(Err(error)) => Err(failure(
            service,
            format!("its start command was lost: {error}"),
        )),
        Err(_) => Err(failure(
            service,
            "its start command did not end within the start limit (one that is the service itself \
             needs `ready` or `check`)"
                .to_owned(),
        )),
    }
}

/// Waits until a service is ready whose start command may go on running.
async fn await_ready(
    service: &ServiceConfig,
    mut child: Child,
    ready: Option<&Ready>,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    let Some(ready) = ready else {
        return Ok(());
    };
    let mut polling = std::pin::pin!(poll_ready(service, ready, deadline));
    tokio::select! {
        outcome = &mut polling => return outcome,
        status = child.wait() => match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(failure(service, format!("its start command ended with {status}"))),
            Err(error) => return Err(failure(service, format!("its start command was lost: {error}"))),
        },
    }
    polling.await
}

async fn poll_ready(
    service: &ServiceConfig,
    ready: &Ready,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    loop {
        let Err(reason) = is_ready(ready, deadline).await else {
            return Ok(());
        };
        wait_for_next_try(service, &reason, deadline).await?;
    }
}

async fn is_ready(ready: &Ready, deadline: Instant) -> Result<(), String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = PROBE_LIMIT.min(left).max(READY_PERIOD);
    match ready {
        Ready::Tcp(address) => probe::tcp(*address, limit).await,
        Ready::Command(line) => shell::run(line, limit)
            .await
            .map_err(|error| format!("its readiness command failed: {error}")),
    }
}

async fn wait_for_next_try(
    service: &ServiceConfig,
    reason: &str,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    if Instant::now() >= deadline {
        let limit = service.start_limit.as_secs_f32();
        return Err(failure(
            service,
            format!("it was not ready within {limit} s: {reason}"),
        ));
    }
    sleep(READY_PERIOD).await;
    Ok(())
}
