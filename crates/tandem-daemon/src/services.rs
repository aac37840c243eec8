//! The services and checkers of the module, as the core orders them. The host knows how; here is
//! only the way of orders in and of outcomes back.

use crate::config;
use crate::hub::ModuleHub;
use crate::reactor::ModuleInputs;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use tandem_core::{EffectId, Event, ServiceFailure, ServiceStop};
use tandem_host::checker::{CheckerAction, CheckerChange, CheckerConfig, Checkers, Probe, Verdict};
use tandem_host::service::{Ready, ServiceConfig, ServiceKind, Services, ServicesConfig};
use tokio::sync::{mpsc, watch};

/// Orders that may wait; the core gives one or two at a time.
pub(crate) const ORDERS_MAX: usize = 64;

/// What the core asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Start(EffectId),
    Stop {
        id: EffectId,
        how: ServiceStop,
    },
    /// The mirror stalls, or not any more: what looks dead only waits.
    Freeze(bool),
}

/// What the host is told about the services of a module.
pub(crate) fn services_config(module: &config::Module, runtime_dir: &Path) -> ServicesConfig {
    let service = |service: &config::Service| ServiceConfig {
        name: service.name.clone(),
        kind: match &service.kind {
            config::ServiceKind::Unit(unit) => ServiceKind::Unit(unit.clone()),
            config::ServiceKind::Commands { start, stop, check } => ServiceKind::Commands {
                start: start.reveal().to_owned(),
                stop: stop.reveal().to_owned(),
                check: (check.as_ref()).map(|check| check.reveal().to_owned()),
            },
        },
        ready: service.ready.as_ref().map(|ready| match ready {
            config::Ready::Tcp(endpoint) => Ready::Tcp(*endpoint),
            config::Ready::Command(command) => Ready::Command(command.reveal().to_owned()),
        }),
        start_limit: service.start_limit,
        stop_limit: service.stop_limit,
    };
    ServicesConfig {
        module: module.name.clone(),
        services: module.services.iter().map(service).collect(),
        volumes: module.volumes.iter().map(|v| v.path.clone()).collect(),
        runtime_dir: runtime_dir.to_owned(),
    }
}

fn checker_config(checker: &config::Checker) -> CheckerConfig {
    CheckerConfig {
        name: checker.name.clone(),
        probe: match &checker.probe {
            config::Probe::Tcp(endpoint) => Probe::Tcp(*endpoint),
            config::Probe::Script(path) => Probe::Script(path.clone()),
            config::Probe::Unit(unit) => Probe::Unit(unit.clone()),
            config::Probe::Process(name) => Probe::Process(name.clone()),
        },
        period: checker.period,
        timeout: checker.timeout,
        rise: checker.rise,
        fall: checker.fall,
        action: match checker.action {
            config::Action::Restart => CheckerAction::Restart,
            config::Action::StopStart => CheckerAction::StopStart,
            config::Action::Swap => CheckerAction::Swap,
            config::Action::Wait => CheckerAction::Wait,
            config::Action::Stop => CheckerAction::Stop,
            config::Action::None => CheckerAction::None,
        },
    }
}

/// Running checkers, and what they say.
type Running = (Checkers, mpsc::Receiver<CheckerChange>);

/// Carries out orders for one module.
pub(crate) struct Runner {
    services: Services,
    failures: mpsc::Receiver<ServiceFailure>,
    /// What probes the services while they run.
    checkers: Vec<CheckerConfig>,
    running: Option<Running>,
    /// What the node waits for: probes in every state, else the wait would never end.
    conditions: Option<Running>,
    /// The mirror stalls.
    stalled: bool,
    /// Somebody else stopped a service on purpose.
    paused: watch::Receiver<bool>,
    /// The newest order was a start.
    wanted: bool,
    /// How many stops were ordered: one that comes while services start makes that start end.
    stops: Arc<AtomicU64>,
    inputs: ModuleInputs,
    hub: ModuleHub,
}

impl Runner {
    /// Takes charge and changes nothing. Inside a tokio runtime.
    pub(crate) fn new(
        module: &config::Module,
        runtime_dir: &Path,
        inputs: ModuleInputs,
        hub: ModuleHub,
    ) -> Self {
        let (services, failures) = Services::new(services_config(module, runtime_dir));
        let (conditions, checkers): (Vec<_>, Vec<_>) = (module.checkers.iter())
            .map(checker_config)
            .partition(|checker| checker.action == CheckerAction::Wait);
        Self {
            stalled: false,
            paused: services.pauses(),
            services,
            failures,
            checkers,
            running: None,
            conditions: (!conditions.is_empty()).then(|| Checkers::start(conditions)),
            wanted: false,
            stops: Arc::default(),
            inputs,
            hub,
        }
    }

    /// Carries out orders until there are no more.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        // Ends of starts: the checkers begin then.
        let (started_sender, mut started) = mpsc::channel(ORDERS_MAX);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Freeze(frozen)) => self.freeze(frozen),
                    Some(Order::Start(id)) => self.start(id, started_sender.clone()).await,
                    Some(Order::Stop { id, how }) => self.stop(id, how).await,
                },
                Some(()) = started.recv() => self.start_checkers().await,
                Some(failure) = self.failures.recv() => {
                    // What was stopped on purpose is only started again.
                    match failure.requested && !failure.hopeless {
                        true => tracing::warn!("service {} is down: {}", failure.name, failure.reason),
                        false => tracing::error!("service {} is down: {}", failure.name, failure.reason),
                    }
                    self.hub.services("running", Some((&failure.name, &failure.reason)));
                    self.inputs.send(Event::ServiceDown(failure));
                }
                Ok(()) = self.paused.changed() => self.freeze_checkers(),
                change = next_change(&mut self.running) => self.changed(change),
                change = next_change(&mut self.conditions) => self.changed(change),
            }
        }
    }

    fn freeze(&mut self, frozen: bool) {
        self.stalled = frozen;
        self.freeze_checkers();
        match frozen {
            true => self.services.freeze(),
            false => self.services.thaw(),
        }
    }

    fn freeze_checkers(&self) {
        let frozen = self.stalled || *self.paused.borrow();
        for (checkers, _) in self.running.iter().chain(&self.conditions) {
            match frozen {
                true => checkers.freeze(),
                false => checkers.thaw(),
            }
        }
    }

    async fn start(&mut self, id: EffectId, started: mpsc::Sender<()>) {
        self.wanted = true;
        self.stop_checkers().await;
        self.hub.services("starting", None);
        let (services, inputs, hub) =
            (self.services.clone(), self.inputs.clone(), self.hub.clone());
        let stops = Arc::clone(&self.stops);
        let stops_before = stops.load(Ordering::SeqCst);
        spawn_in_order(async move {
            let event = match services.start().await {
                Ok(()) => {
                    tracing::info!("the services run");
                    hub.services("running", None);
                    // The runner is gone only when the daemon ends.
                    let _ = started.send(()).await;
                    Event::ServicesStarted(id)
                }
                // What they are now, the stop will show.
                Err(failure) if stops.load(Ordering::SeqCst) != stops_before => {
                    tracing::info!("the start of the services ends: {}", failure.reason);
                    Event::ServicesFailed { id, failure }
                }
                Err(failure) => {
                    tracing::error!(
                        "service {} does not start: {}",
                        failure.name,
                        failure.reason
                    );
                    hub.services("stopped", Some((&failure.name, &failure.reason)));
                    Event::ServicesFailed { id, failure }
                }
            };
            inputs.send(event);
        })
        .await;
    }

    async fn stop(&mut self, id: EffectId, how: ServiceStop) {
        self.wanted = false;
        self.stops.fetch_add(1, Ordering::SeqCst);
        self.stop_checkers().await;
        self.hub.services("stopping", None);
        let (services, inputs, hub) =
            (self.services.clone(), self.inputs.clone(), self.hub.clone());
        spawn_in_order(async move {
            let event = match services.stop(how).await {
                Ok(()) => {
                    hub.services("stopped", None);
                    Event::ServicesStopped(id)
                }
                Err(failure) => {
                    tracing::error!("service {} does not stop: {}", failure.name, failure.reason);
                    hub.services("stopping", Some((&failure.name, &failure.reason)));
                    Event::ServicesFailed { id, failure }
                }
            };
            inputs.send(event);
        })
        .await;
    }

    async fn start_checkers(&mut self) {
        self.stop_checkers().await;
        if self.wanted && !self.checkers.is_empty() {
            self.running = Some(Checkers::start(self.checkers.clone()));
            self.freeze_checkers();
        }
    }

    async fn stop_checkers(&mut self) {
        if let Some((checkers, _)) = self.running.take() {
            checkers.shutdown().await;
        }
        for checker in &self.checkers {
            self.hub.checker(&checker.name, "paused", None);
        }
    }

    fn changed(&self, change: CheckerChange) {
        let CheckerChange {
            name,
            action,
            verdict,
            reason,
        } = change;
        match verdict {
            Verdict::Up => {
                tracing::info!("checker {name} is up");
                self.hub.checker(&name, "up", None);
                self.inputs.send(Event::CheckerUp { name });
                return;
            }
            Verdict::Down => {
                tracing::error!("checker {name} is down: {reason}");
                self.hub.checker(&name, "down", Some(&reason));
            }
        }
        let failure = ServiceFailure {
            name,
            reason,
            hopeless: false,
            requested: false,
        };
        let action = match action {
            CheckerAction::Restart => return self.inputs.send(Event::ServiceDown(failure)),
            CheckerAction::StopStart => tandem_core::CheckerAction::StopStart,
            CheckerAction::Swap => tandem_core::CheckerAction::Swap,
            CheckerAction::Wait => tandem_core::CheckerAction::Wait,
            CheckerAction::Stop => tandem_core::CheckerAction::Stop,
            CheckerAction::None => return,
        };
        let event = Event::CheckerDown { failure, action };
        self.inputs.send(event);
    }
}

/// The next change of the running checkers; never, if none run.
async fn next_change(running: &mut Option<Running>) -> CheckerChange {
    if let Some((_, changes)) = running
        && let Some(change) = changes.recv().await
    {
        return change;
    }
    std::future::pending().await
}

/// Lets the future begin here, so that orders reach the host in their order, and go on in a task
/// of its own, so that a later order can end it.
async fn spawn_in_order(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    if begun.is_pending() {
        tokio::spawn(work);
    }
}
