//! Watching services that were started or adopted, until one is down.
//!
//! systemd tells at once when a unit changes; commands, and units whose signal was missed, are
//! looked at every second.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tandem_core::ServiceFailure;
use tokio::time::{Instant, sleep};

use super::driver::{Driver, PROBE_LIMIT, failure};
use super::{ServiceConfig, ServiceKind};
use crate::linux::unit::Standing;
use crate::linux::{shell, unit};
use crate::probe::sentence;

/// How often services are looked at that say nothing by themselves; also the fallback for those
/// that do.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

type Changes = Pin<Box<dyn Stream<Item = ()> + Send + Sync>>;

/// What the watching remembers.
pub struct Watch {
    /// Something changed. `None`: only polling.
    changes: Option<Changes>,
    /// By the place of the service: since when it is neither up nor down.
    changing_since: Vec<Option<Instant>>,
}

impl Driver {
    /// Waits until a service is down. Never, while nothing is watched.
    pub async fn watch(&mut self) -> ServiceFailure {
        loop {
            let Some(watch) = &mut self.watch else {
                return std::future::pending().await;
            };
            match &mut watch.changes {
                None => sleep(LOOK_PERIOD).await,
                Some(changes) => tokio::select! {
                    change = changes.next() => if change.is_none() {
                        watch.changes = None;
                    },
                    () = sleep(LOOK_PERIOD) => {}
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
            changing_since: vec![None; self.config.services.len()],
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
                ServiceKind::Unit(unit) => match self.look_at_unit(service, unit).await {
                    Some(seen) => seen,
                    None => continue,
                },
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
}

fn unit_of(service: &ServiceConfig) -> Option<&str> {
    match &service.kind {
        ServiceKind::Unit(unit) => Some(unit),
        ServiceKind::Commands { .. } => None,
    }
}
