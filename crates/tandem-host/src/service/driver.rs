//! The steps of starting and stopping. Which unit or command does what is known here; who orders
//! what, and when, is not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tandem_core::{ServiceFailure, ServiceStop};
use tokio::sync::watch;
use tokio::time::Instant;

use super::orders::Work;
use super::ready;
use super::watching::Watch;
use super::{Ready, ServiceConfig, ServiceKind, ServicesConfig};
use crate::linux::cgroup::ControlGroup;
use crate::linux::command::CommandProcesses;
use crate::linux::remains::Ending;
use crate::linux::systemd::{Systemd, SystemdError};
use crate::linux::unit::Standing;
use crate::linux::{shell, unit};
use crate::probe::sentence;

/// One try of readiness, and one run of a check command. Longer is no answer.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Drives the services of one module.
pub struct Driver {
    pub(super) config: Arc<ServicesConfig>,
    pub(super) frozen: Arc<AtomicBool>,
    pub(super) systemd: Option<Systemd>,
    /// By the place of the service: the control group that its unit had when it was last seen. By
    /// this it can be killed even while systemd does not answer.
    groups: Vec<Option<ControlGroup>>,
    pub(super) watch: Option<Watch>,
    paused: watch::Sender<bool>,
}

impl Driver {
    pub fn new(
        config: Arc<ServicesConfig>,
        frozen: Arc<AtomicBool>,
        paused: watch::Sender<bool>,
    ) -> Self {
        Self {
            groups: vec![None; config.services.len()],
            config,
            frozen,
            systemd: None,
            watch: None,
            paused,
        }
    }

    /// Tells whether a service is down because somebody else stopped it.
    pub(super) fn pause(&self, paused: bool) {
        self.paused
            .send_if_modified(|old| std::mem::replace(old, paused) != paused);
    }

    pub fn module(&self) -> &str {
        &self.config.module
    }

    /// Carries out an order. When it is dropped half-way, the next order finds what is there.
    pub async fn perform(&mut self, work: Work) -> Result<(), ServiceFailure> {
        self.watch = None;
        self.pause(false);
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
                Err(failure) if first_failure.is_none() => first_failure = Some(failure),
                // Only one can be handed on.
                Err(failure) => tracing::error!(
                    service = service.name,
                    reason = failure.reason,
                    "not stopped"
                ),
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
        while let Err(reason) = ready::is_ready(ready, deadline).await {
            let state = systemd
                .unit(unit)
                .await
                .map_err(|e| of_systemd(service, &e))?;
            let standing = unit::standing(&state, service.start_limit, service.stop_limit);
            if let Standing::Down(reason) = standing {
                return Err(failure(service, format!("{reason} before it was ready")));
            }
            ready::wait_for_next_try(service, &reason, deadline).await?;
        }
        Ok(())
    }

    async fn start_command(
        &self,
        service: &ServiceConfig,
        line: &str,
        ready: Option<&Ready>,
        deadline: Instant,
    ) -> Result<(), ServiceFailure> {
        if self.has_processes(service) {
            tracing::info!(service = service.name, "runs already");
            return match ready {
                Some(ready) => ready::poll(service, ready, deadline).await,
                None => Ok(()),
            };
        }
        let processes = self.processes_of(service);
        let command = processes
            .spawn(line)
            .map_err(|e| failure(service, format!("its start command cannot be run: {e}")))?;
        match ready {
            Some(ready) => ready::beside_start_command(service, ready, command, deadline).await,
            None => ready::by_start_command(service, command, &processes, deadline).await,
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

    // ---- small things ------------------------------------------------------------------------

    fn raise_flag(&self) -> Result<(), ServiceFailure> {
        self.config
            .raise_serving_flag()
            .map_err(|error| ServiceFailure {
                name: self.config.module.clone(),
                reason: format!("the serving flag cannot be raised: {error}"),
                hopeless: false,
                requested: false,
            })
    }

    pub(super) fn processes_of(&self, service: &ServiceConfig) -> CommandProcesses {
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
    pub(super) async fn systemd(&mut self) -> Result<Systemd, SystemdError> {
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

/// A failure that may pass.
pub fn failure(service: &ServiceConfig, reason: String) -> ServiceFailure {
    ServiceFailure {
        name: service.name.clone(),
        reason,
        hopeless: false,
        requested: false,
    }
}

fn of_systemd(service: &ServiceConfig, error: &SystemdError) -> ServiceFailure {
    ServiceFailure {
        hopeless: error.is_hopeless(),
        ..failure(service, sentence(error))
    }
}
