//! Watching services that were started or adopted, until one is down.
//!
//! systemd tells at once when a unit changes; commands, and units whose signal was missed, are
//! looked at every second.
//!
//! A unit that somebody else stopped on purpose has not crashed: a job of systemd's ended it. Its
//! next start is waited for, for as long as a package is half-way, else for a moment. That it was
//! masked, missing or broken by then is found at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use tandem_core::ServiceFailure;
use tokio::time::{Instant, sleep};

use super::driver::{Driver, PROBE_LIMIT, failure};
use super::{ServiceConfig, ServiceKind};
use crate::linux::systemd::{Change, UnitState};
use crate::linux::unit::Standing;
use crate::linux::{packages, shell, unit};
use crate::probe::sentence;

/// How often services are looked at that say nothing by themselves; also the fallback for those
/// that do.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The same while the next start of a unit is waited for that was stopped from outside. Between two
/// steps of an upgrade there may be less than a second.
const PAUSED_PERIOD: Duration = Duration::from_millis(200);

/// How long the next start of a unit is waited for that was stopped from outside: between the two
/// halves of somebody's stop and start, or stop and mask.
const STOPPED_PATIENCE: Duration = Duration::from_secs(5);

/// The same while a package is half-way. Longer than any upgrade that is not stuck at a question.
const PACKAGES_PATIENCE: Duration = Duration::from_secs(15 * 60);

type Changes = Pin<Box<dyn Stream<Item = Change> + Send + Sync>>;

/// What the watching remembers.
pub struct Watch {
    /// Something changed. `None`: only polling.
    changes: Option<Changes>,
    /// By the place of the service.
    seen: Vec<Seen>,
}

/// What was seen of a service since it was up last.
#[derive(Clone, Default)]
struct Seen {
    /// Since when it is neither up nor down.
    changing_since: Option<Instant>,
    /// A job of systemd's stops it, or has stopped it.
    stop_job: bool,
    /// Since when it is down by such a job.
    stopped_since: Option<Instant>,
}

impl Driver {
    /// Waits until a service is down. Never, while nothing is watched.
    pub async fn watch(&mut self) -> ServiceFailure {
        loop {
            let Some(watch) = &mut self.watch else {
                return std::future::pending().await;
            };
            let period = match watch.seen.iter().any(|seen| seen.stopped_since.is_some()) {
                true => PAUSED_PERIOD,
                false => LOOK_PERIOD,
            };
            match &mut watch.changes {
                None => sleep(period).await,
                Some(changes) => tokio::select! {
                    change = changes.next() => self.changed(change),
                    () = sleep(period) => {}
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

    pub(super) async fn begin_watch(&mut self) {
        let mut watch = Watch {
            changes: None,
            seen: vec![Seen::default(); self.config.services.len()],
        };
        watch.changes = self.subscribe().await;
        self.watch = Some(watch);
    }

    async fn subscribe(&mut self) -> Option<Changes> {
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

    fn changed(&mut self, change: Option<Change>) {
        let Some(watch) = &mut self.watch else { return };
        match change {
            None => watch.changes = None,
            Some(Change::Other) => {}
            Some(Change::JobDone(unit)) => {
                let services = self.config.services.iter().zip(&mut watch.seen);
                // A job that was done and left the unit down was its stop.
                for (_, seen) in services.filter(|(s, _)| unit_of(s) == Some(&unit)) {
                    seen.stop_job = true;
                }
            }
        }
    }

    /// Takes in what systemd said before it answered the last question.
    fn catch_up(&mut self) {
        while let Some(changes) = self.watch.as_mut().and_then(|watch| watch.changes.as_mut())
            && let Some(change) = changes.next().now_or_never()
        {
            self.changed(change);
        }
    }

    fn forget_changing(&mut self) {
        let seen = self.watch.iter_mut().flat_map(|watch| &mut watch.seen);
        seen.for_each(|seen| seen.changing_since = None);
    }

    /// Looks once at every service.
    async fn look(&mut self) -> Option<ServiceFailure> {
        let config = Arc::clone(&self.config);
        let mut paused = false;
        for (place, service) in config.services.iter().enumerate() {
            let (standing, hopeless) = match &service.kind {
                ServiceKind::Unit(unit) => match self.look_at_unit(unit).await {
                    Some(state) => {
                        self.catch_up();
                        self.watch.as_mut()?.seen[place].look_at(&state);
                        let (start, stop) = (service.start_limit, service.stop_limit);
                        let standing = unit::standing(&state, start, stop);
                        (standing, unit::is_hopeless(&state))
                    }
                    None => continue,
                },
                ServiceKind::Commands { check, .. } => {
                    (self.look_at_command(service, check.as_deref()).await, false)
                }
            };
            let seen = &mut self.watch.as_mut()?.seen[place];
            let mut requested = false;
            let reason = match standing {
                Standing::Active => {
                    *seen = Seen::default();
                    continue;
                }
                Standing::Changing(limit) => {
                    paused |= seen.stop_job;
                    let since = *seen.changing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() < limit {
                        continue;
                    }
                    format!("it was not active again within {} s", limit.as_secs_f32())
                }
                Standing::Down(reason) if seen.stop_job && !hopeless => {
                    if seen.may_come_back(&service.name) {
                        paused = true;
                        continue;
                    }
                    requested = true;
                    format!("{reason}: it was stopped from outside Tandem and not started again")
                }
                Standing::Down(reason) => reason,
            };
            self.pause(false);
            return Some(ServiceFailure {
                hopeless,
                requested,
                ..failure(service, reason)
            });
        }
        self.pause(paused);
        None
    }

    /// `None`: systemd could not be asked, which says nothing about the unit.
    async fn look_at_unit(&mut self, unit: &str) -> Option<UnitState> {
        let asked = match self.systemd().await {
            Ok(systemd) => systemd.unit(unit).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(state) => Some(state),
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
}

impl Seen {
    fn look_at(&mut self, state: &UnitState) {
        self.stop_job |= state.job.as_deref() == Some("stop");
    }

    /// Whether the next start of a unit that was stopped from outside is still waited for.
    fn may_come_back(&mut self, service: &str) -> bool {
        if self.stopped_since.is_none() {
            tracing::warn!(
                service,
                "stopped from outside Tandem: waiting for its next start"
            );
        }
        let since = *self.stopped_since.get_or_insert_with(Instant::now);
        let patience = match packages::are_changing() {
            true => PACKAGES_PATIENCE,
            false => STOPPED_PATIENCE,
        };
        since.elapsed() < patience
    }
}

fn unit_of(service: &ServiceConfig) -> Option<&str> {
    match &service.kind {
        ServiceKind::Unit(unit) => Some(unit),
        ServiceKind::Commands { .. } => None,
    }
}
