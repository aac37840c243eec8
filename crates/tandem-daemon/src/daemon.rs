//! Puts the daemon of one node together and runs it.
//!
//! The order of the start is that of urgency: a daemon that was killed must be heard again before
//! anybody misses it, so the first heartbeat leaves before anything slow begins. The end is the
//! other way round: a daemon that is stopped leaves mirror and application as they are, unless the
//! machine itself is going down.

use crate::accounts;
use crate::addresses::{self, Keeper};
use crate::carrier::Links;
use crate::commands::Commands;
use crate::config::{self, ConfigError, Configuration, HTTP_PORT, Module, Place};
use crate::configure::Configure;
use crate::configure::console as configuring;
use crate::doctor;
use crate::gateway;
use crate::halves::{HEARD_MAX, Halves, Heard};
use crate::herald::Herald;
use crate::http::{self, Api};
use crate::https::console::Https;
use crate::hub::{Hub, ModuleHub};
use crate::identity::{self, Identity, IdentityError};
use crate::jobs::Jobs;
use crate::license;
use crate::link::{self, Link, Outgoing};
use crate::machine::Machine;
use crate::mirror_link::MirrorLink;
use crate::mirror_process::{MirrorProcess, Starter};
use crate::networks::{Network, NetworkError};
use crate::observer;
use crate::reactor::{
    self, Entrance, Input, Inputs, ModuleOutput, ModuleParts, Output, Reactor, Wires, Work,
};
use crate::services::{self, Runner, services_config};
use crate::setup::page::page_closed;
use crate::snapshot::Decision;
use crate::state_writer;
use crate::volumes;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tandem_console::Console;
use tandem_console::notify::Notifier;
use tandem_core::event::Boot;
use tandem_core::{Answer, Config, Durable, Event, MirrorStatus, Node};
use tandem_host::address::{Address, AddressConfig};
use tandem_host::setup::{self, SetUp};
use tandem_host::state::{StateError, StateFile};
use tandem_host::systemd::{self, Systemd};
use tandem_host::{clock, memory};
use tandem_wire::durable::{DurableError, Owner, decode};
use tandem_wire::peer::{ModuleTag, PeerKey};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a running mirror may take to show itself before the core starts without its report.
const ADOPTION_MAX: Duration = Duration::from_millis(60);
/// Commands of the peer's that may wait.
const COMMANDS_MAX: usize = 16;
/// How often the end of the module is looked for while the machine shuts down.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(50);
/// How long the service manager waits from then on, each time, before it kills the daemon. Much
/// longer than one look: the machine is busy with its shutdown.
const SHUTDOWN_EXTENSION_USEC: u32 = 30_000_000;

/// Where a daemon finds its files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file.
    pub config: PathBuf,
    /// Identity, token, state.
    pub state_dir: PathBuf,
    /// Sockets; empty after a boot.
    pub runtime_dir: PathBuf,
}

/// Why a daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The other node has not joined.
    #[error(
        "the other node has not joined yet: run `tandem cluster invite`, and there what it says"
    )]
    NoPeer,
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is in the state file.
    #[error("read the state of module {module}")]
    Durable {
        /// Whose.
        module: String,
        /// Why not.
        #[source]
        source: DurableError,
    },
    /// A heartbeat network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The runtime directory.
    #[error("use the runtime directory {}", path.display())]
    RuntimeDirectory {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The clock.
    #[error(transparent)]
    Clock(#[from] clock::ClockError),
    /// Threads, signals.
    #[error("start the threads of the daemon")]
    Threads(#[source] io::Error),
}

/// The directory of a module's state file.
#[must_use]
pub fn module_state_dir(state_dir: &Path, module: &str) -> PathBuf {
    state_dir.join("modules").join(module)
}

/// The socket of a module's mirror.
#[must_use]
pub fn mirror_socket(runtime_dir: &Path, module: &str) -> PathBuf {
    runtime_dir.join(format!("{module}.mirror.sock"))
}

/// The socket of the daemon's API.
#[must_use]
pub fn local_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("tandem.sock")
}

/// The settings of one module's core, as the configuration and the identity have them.
#[must_use]
pub fn core_config(configuration: &Configuration, module: &Module, identity: &Identity) -> Config {
    let limit = (module.services.iter())
        .map(|service| service.start_limit.max(service.stop_limit))
        .max();
    let mut config = Config::new(identity.node, configuration.takeover_after);
    config.networks = configuration.node(identity.node).heartbeat.len() as u8;
    config.digest = config::digest(&config::fields_of(configuration, module));
    config.service_limit = limit.unwrap_or(config.service_limit);
    config.start_alone_after = module.start_alone_after;
    config.preferred = module.preferred_node;
    config.restart_budget = module.restart_budget;
    config.restart_window = module.restart_window;
    config
}

/// What the mirrors of both nodes must have equal.
#[must_use]
pub fn mirror_digest(configuration: &Configuration, module: &Module) -> u64 {
    config::digest(&config::fields_of_mirror(configuration, module)).0
}

/// What is to follow the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing.
    Told,
    /// The same again: another configuration is in place.
    Again,
}

/// Runs the daemon of this node until it is told to end.
///
/// # Errors
/// [`DaemonError`]: it could not start.
pub fn run(settings: &Settings) -> Result<Ended, DaemonError> {
    let configuration = Arc::new(Configuration::read(&settings.config)?);
    let identity = Arc::new(Identity::read(&settings.state_dir)?);
    let peer_der = identity.peer_der.clone().ok_or(DaemonError::NoPeer)?;
    let token = identity::read_token(&settings.state_dir)?;
    create_runtime_dir(&settings.runtime_dir)?;
    let stored = open_states(&configuration, &identity, &settings.state_dir)?;
    if let Err(error) = memory::lock_memory() {
        tracing::warn!("{}", crate::report(&error));
    }
    let networks = open_networks(&configuration, &identity)?;
    let machine_booted = clock::machine_booted_marker(&settings.runtime_dir)?;
    let incarnation = u64::from_le_bytes(identity::random()?);
    let mut links: Vec<MirrorLink> = (configuration.modules.iter())
        .map(|module| {
            let socket = mirror_socket(&settings.runtime_dir, &module.name);
            let digest = mirror_digest(&configuration, module);
            MirrorLink::new(socket, &module.name, digest, incarnation)
        })
        .collect();
    let mirrors = adopt(&mut links);

    let Entrance {
        inputs,
        receiver,
        wake,
    } = reactor::entrance().map_err(DaemonError::Threads)?;
    let mut modules = Vec::with_capacity(links.len());
    let found = stored.into_iter().zip(links.into_iter().zip(mirrors));
    for ((place, module), (stored, (link, mirror))) in configuration.places().zip(found) {
        let boot = Boot {
            durable: stored.durable,
            mirror,
            machine_booted,
            seed: u64::from_le_bytes(identity::random()?),
        };
        let core = core_config(&configuration, module, &identity);
        let node = Node::new(core, boot, clock::now());
        let (writes, _) = state_writer::start(stored.file, stored.owner, inputs.of(place))
            .map_err(DaemonError::Threads)?;
        modules.push(ModuleParts {
            place,
            tag: ModuleTag::new(&module.name),
            node,
            mirror: link,
            writes,
            shared: Arc::default(),
        });
    }
    let shared = modules.iter().map(|module| module.shared.clone()).collect();
    let (outputs, outputs_receiver) = mpsc::channel(reactor::OUTPUTS_MAX);
    let messages_max = reactor::MESSAGES_MAX * modules.len();
    let (messages, messages_receiver) = mpsc::channel(messages_max);
    let reactor = Reactor::new(reactor::Parts {
        modules,
        wires: Wires {
            peer: identity.node.peer(),
            key: PeerKey::new(&identity.cluster, &identity.secret),
            networks,
            outputs,
            messages,
        },
        inputs: receiver,
        wake,
    });
    let thread = std::thread::Builder::new()
        .name("reactor".to_owned())
        .spawn(move || reactor.run())
        .map_err(DaemonError::Threads)?;

    // From here on the node is heard; what follows may take its time.
    let rest = Rest {
        settings: settings.clone(),
        configuration,
        identity,
        peer_der,
        token,
        incarnation,
        inputs: inputs.clone(),
        shared,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DaemonError::Threads)?;
    let ended = runtime.block_on(rest.run(outputs_receiver, messages_receiver));
    // Nothing here may hold up the end: mirror and application go on by themselves.
    runtime.shutdown_background();
    inputs.offer(Input::End);
    if thread.join().is_err() {
        tracing::error!("the reactor ended by a panic");
    }
    ended.map_err(DaemonError::Threads)
}

fn create_runtime_dir(path: &Path) -> Result<(), DaemonError> {
    std::fs::create_dir_all(path).map_err(|source| DaemonError::RuntimeDirectory {
        path: path.to_owned(),
        source,
    })
}

/// The state of one module.
struct Stored {
    file: StateFile,
    owner: Owner,
    durable: Durable,
}

fn open_states(
    configuration: &Configuration,
    identity: &Identity,
    state_dir: &Path,
) -> Result<Vec<Stored>, DaemonError> {
    let open = |module: &Module| {
        let file = StateFile::open(&module_state_dir(state_dir, &module.name))?;
        let owner = Owner {
            node: identity.node.number(),
            module: module.name.clone(),
        };
        let durable = read_state(&file, &owner)?;
        Ok(Stored {
            file,
            owner,
            durable,
        })
    };
    configuration.modules.iter().map(open).collect()
}

fn read_state(state: &StateFile, owner: &Owner) -> Result<Durable, DaemonError> {
    match state.read()? {
        None => Ok(Durable::default()),
        Some(bytes) => decode(owner, &bytes).map_err(|source| DaemonError::Durable {
            module: owner.module.clone(),
            source,
        }),
    }
}

/// Finds the mirrors that run already, all at once: their daemon is missed already.
fn adopt(links: &mut [MirrorLink]) -> Vec<Option<MirrorStatus>> {
    std::thread::scope(|scope| {
        let ask = |link| scope.spawn(|| MirrorLink::adopt(link, ADOPTION_MAX));
        let asked: Vec<_> = links.iter_mut().map(ask).collect();
        let answers = asked.into_iter();
        answers
            .map(|thread| thread.join().expect("asking a mirror does not panic"))
            .collect()
    })
}

fn open_networks(
    configuration: &Configuration,
    identity: &Identity,
) -> Result<Vec<Network>, DaemonError> {
    let own = &configuration.node(identity.node).heartbeat;
    let peers = &configuration.node(identity.node.peer()).heartbeat;
    let pairs = own.iter().zip(peers);
    Ok(pairs
        .map(|(own, peer)| Network::open(*own, *peer))
        .collect::<Result<_, _>>()?)
}

/// Everything but the reactor.
struct Rest {
    settings: Settings,
    configuration: Arc<Configuration>,
    identity: Arc<Identity>,
    peer_der: Vec<u8>,
    token: String,
    incarnation: u64,
    inputs: Inputs,
    /// In the order of the modules.
    shared: Vec<Arc<reactor::Shared>>,
}

impl Rest {
    async fn run(
        self,
        outputs: mpsc::Receiver<Output>,
        messages: mpsc::Receiver<Vec<u8>>,
    ) -> io::Result<Ended> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let node = self.identity.node;
        let hub = Hub::new(self.configuration.clone(), node, self.incarnation);
        let jobs = Jobs::new(hub.clone(), self.incarnation);
        let (frames, frames_receiver) = mpsc::channel(link::FRAMES_MAX);
        let commands = Commands {
            configuration: self.configuration.clone(),
            node,
            hub: hub.clone(),
            jobs: jobs.clone(),
            inputs: self.inputs.clone(),
            doctor: Arc::new(doctor::subject(
                &self.configuration,
                Some(node),
                &self.settings,
            )),
            configure: Configure::new(
                self.settings.clone(),
                self.configuration.clone(),
                hub.clone(),
            ),
            frames,
        };
        let configure = commands.configure.clone();
        let outgoing = Outgoing {
            messages,
            frames: frames_receiver,
        };
        // None of these ends; one that does has met a mistake, and a daemon without it is worse
        // than one that is restarted.
        let mut tasks = JoinSet::new();
        let console = Console::open(&self.settings.state_dir, &self.token);
        let console = console.map_err(io::Error::other)?;
        let (from_peer, accounts) = mpsc::channel(1);
        let halves = Halves::new(hub.clone(), commands.frames.clone());
        let (support, heard) = mpsc::channel(HEARD_MAX);
        self.start_links(&mut tasks, outgoing, &commands, (from_peer, support));
        tasks.spawn(halves.clone().run(self.settings.clone(), heard));
        tasks.spawn(accounts::run(console.clone(), commands.clone(), accounts));
        self.start_api(&mut tasks, &commands, console, halves)?;
        self.prevent_starts();
        tasks.spawn(self.watch_license(&hub).run());
        if let Some(gateway) = self.configuration.gateway {
            let (after, inputs) = (self.configuration.takeover_after, self.inputs.clone());
            let modules = self.configuration.modules.len();
            tasks.spawn(gateway::watch(gateway, after, inputs, modules));
        }
        tasks.spawn(volumes::watch(self.configuration.clone(), hub.clone()));
        let notifier = Notifier::start(&self.configuration.notify);
        let places = self.configuration.places();
        let hands =
            places.map(|(place, _)| self.start_hands(&mut tasks, &hub, place, notifier.clone()));
        let desk = Desk {
            jobs,
            commands,
            hands: hands.collect(),
            ready: false,
        };
        tasks.spawn(desk.run(outputs));
        tracing::info!("tandem {} runs as {node}", crate::RELEASE);

        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
            () = configure.wanted() => {
                tracing::info!("the daemon starts anew with another configuration");
                return Ok(Ended::Again);
            }
            Some(ended) = tasks.join_next() => {
                let why = ended.err().map_or("it ended".to_owned(), |error| error.to_string());
                return Err(io::Error::other(format!("a part of the daemon: {why}")));
            }
        }
        // The manager's socket may be gone; it makes no difference any more.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        if machine_stops().await {
            self.give_up_service().await;
        }
        tracing::info!("the daemon ends; mirror and application go on");
        Ok(Ended::Told)
    }

    fn start_links(
        &self,
        tasks: &mut JoinSet<()>,
        outgoing: Outgoing,
        commands: &Commands,
        (accounts, support): (mpsc::Sender<Vec<u8>>, mpsc::Sender<Heard>),
    ) {
        let (from_peer, mut from_peer_receiver) = mpsc::channel(COMMANDS_MAX);
        let link = Link {
            identity: self.identity.clone(),
            peer_der: self.peer_der.clone(),
            configuration: self.configuration.clone(),
            incarnation: self.incarnation,
            inputs: self.inputs.clone(),
            hub: commands.hub.clone(),
            jobs: commands.jobs.clone(),
            commands: from_peer,
            accounts,
            support,
        };
        tasks.spawn(link.clone().speak(outgoing));
        tasks.spawn(link.listen());
        let commands = commands.clone();
        tasks.spawn(async move {
            while let Some((number, request)) = from_peer_receiver.recv().await {
                commands.accept(number, request);
            }
        });
    }

    fn start_api(
        &self,
        tasks: &mut JoinSet<()>,
        commands: &Commands,
        console: Arc<Console>,
        halves: Halves,
    ) -> io::Result<()> {
        let state_dir = &self.settings.state_dir;
        let past = observer::open(state_dir);
        tasks.spawn(observer::run(commands.hub.clone(), past.clone()));
        let own = self.configuration.node(self.identity.node);
        let https = Https::open(state_dir, own, commands.hub.clone()).map_err(io::Error::other)?;
        let tls = https.answering();
        let machine = Machine::new(
            self.configuration.clone(),
            self.identity.node,
            self.settings.clone(),
            &self.token,
            console.clone(),
            halves,
            https,
        );
        // One that a daemon before this one began.
        tokio::spawn(configuring::note_end(machine.clone()));
        let api = Api::new(commands.clone(), console, past, machine);
        let everywhere = match own.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            // Takes IPv4 too.
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let everywhere = SocketAddr::new(everywhere, HTTP_PORT);
        if tls.borrow().is_none() {
            tracing::warn!(
                "the console is served over HTTP: passwords can be read on the network \
                 (`tandem console https` changes that)"
            );
        }
        let tcp = api.clone();
        let settings = self.settings.clone();
        tasks.spawn(async move {
            page_closed(&settings).await;
            tcp.serve_tcp(everywhere, tls).await;
        });
        // Before the daemon says that it is ready: the next command line may come at once.
        let listener = http::listen_local(&local_socket(&self.settings.runtime_dir))?;
        tasks.spawn(api.serve_local(listener));
        Ok(())
    }

    /// Who counts the time without a licence.
    fn watch_license(&self, hub: &Hub) -> license::watch::Watch {
        let unlicensed = self.shared.iter().map(|shared| shared.unlicensed.clone());
        let unlicensed: Vec<_> = unlicensed.collect();
        for ((place, _), unlicensed) in self.configuration.places().zip(&unlicensed) {
            hub.of(place).count_unlicensed(unlicensed.clone());
        }
        license::watch::Watch {
            configuration: self.configuration.clone(),
            state_dir: self.settings.state_dir.clone(),
            cluster: self.identity.cluster.clone(),
            hub: hub.clone(),
            inputs: self.inputs.clone(),
            unlicensed,
        }
    }

    /// Units of the modules must not run on the plain directory: their drop-ins say so.
    fn prevent_starts(&self) {
        if !systemd::is_present() {
            return;
        }
        for module in &self.configuration.modules {
            let set_up = SetUp::new(services_config(module, &self.settings.runtime_dir));
            tokio::spawn(async move {
                if let Err(error) = set_up.install_dropins(setup::Place::Persistent).await {
                    tracing::error!(
                        "the units of the application may start on the plain directory: {}",
                        crate::report(&error)
                    );
                }
            });
        }
    }

    fn start_hands(
        &self,
        tasks: &mut JoinSet<()>,
        hub: &Hub,
        place: Place,
        notifier: Notifier,
    ) -> Hands {
        let module = &self.configuration.modules[place.0];
        let address = |address: &config::Address| {
            Address::new(AddressConfig {
                address: address.address,
                prefix: address.prefix,
                interface: address.interface(self.identity.node).to_owned(),
            })
        };
        let keeper = Keeper {
            addresses: module.addresses.iter().map(address).collect(),
            takeover_after: self.configuration.takeover_after,
            shared: self.shared[place.0].clone(),
            inputs: self.inputs.of(place),
            hub: hub.of(place),
        };
        let (addresses, orders) = mpsc::channel(addresses::ORDERS_MAX);
        tasks.spawn(keeper.run(orders));
        let runtime_dir = &self.settings.runtime_dir;
        let inputs = self.inputs.of(place);
        let runner = Runner::new(module, runtime_dir, inputs, hub.of(place));
        let (services, orders) = mpsc::channel(services::ORDERS_MAX);
        tasks.spawn(runner.run(orders));
        let links = Links::new(&self.configuration, module, self.identity.node);
        tasks.spawn(links.watch(self.inputs.of(place)));
        let process = MirrorProcess {
            module: module.name.clone(),
            config: self.settings.config.clone(),
            state_dir: self.settings.state_dir.clone(),
            runtime_dir: runtime_dir.clone(),
        };
        Hands {
            module: module.name.clone(),
            hub: hub.of(place),
            herald: Herald::new(&self.configuration, self.identity.node, place, notifier),
            addresses,
            services,
            starter: Starter::new(process),
            stalled: false,
        }
    }

    /// The machine shuts down: the peer gets the service before the network goes. Bounded by the
    /// limits of the services, twice (by force the second time), and the handing over.
    async fn give_up_service(&self) {
        tracing::info!("the machine shuts down: giving the service to the other node");
        let modules = self.configuration.places();
        let limits = modules.map(|(place, module)| {
            self.inputs.of(place).send(Event::ShuttingDown);
            core_config(&self.configuration, module, &self.identity).service_limit
        });
        let limit = limits.max().unwrap_or_default();
        let end = limit * 2 + Duration::from_secs(15);
        let gone = timeout(end, async {
            while !self.shared.iter().all(|shared| shared.stopped()) {
                // However long the services may take: this is under way. Nobody to tell is fine.
                let extend = sd_notify::NotifyState::ExtendTimeoutUsec(SHUTDOWN_EXTENSION_USEC);
                let _ = sd_notify::notify(&[extend]);
                sleep(SHUTDOWN_LOOK).await;
            }
        });
        if gone.await.is_err() {
            tracing::error!("not everything stopped before the machine does");
        }
    }
}

/// Whether the machine itself is going down, as far as systemd says.
async fn machine_stops() -> bool {
    /// systemd answers within milliseconds, or is not there any more.
    const ANSWER_MAX: Duration = Duration::from_secs(3);
    if !systemd::is_present() {
        return false;
    }
    let asked = timeout(ANSWER_MAX, async {
        match Systemd::connect().await {
            Ok(systemd) => systemd.is_stopping().await,
            Err(error) => Err(error),
        }
    });
    match asked.await {
        Ok(Ok(stopping)) => stopping,
        Ok(Err(error)) => {
            tracing::warn!(
                "ask systemd whether the machine stops: {}",
                crate::report(&error)
            );
            false
        }
        Err(_) => false,
    }
}

/// One module's part of the desk: the ways to those who do its slow work.
struct Hands {
    module: String,
    hub: ModuleHub,
    herald: Herald,
    addresses: mpsc::Sender<addresses::Order>,
    services: mpsc::Sender<services::Order>,
    starter: Starter,
    stalled: bool,
}

/// Takes what the reactor hands out to where it belongs, in order.
struct Desk {
    jobs: Jobs,
    commands: Commands,
    /// In the order of the modules.
    hands: Vec<Hands>,
    ready: bool,
}

impl Desk {
    /// Until the reactor ends.
    async fn run(mut self, mut outputs: mpsc::Receiver<Output>) {
        while let Some(output) = outputs.recv().await {
            match output {
                Output::Answer { id, answer } => self.answer(id, answer),
                Output::Of(place, output) => self.hands[place.0].take(output).await,
                Output::Trouble(text) => tracing::warn!("{text}"),
                Output::Turned => self.alive(),
            }
        }
    }

    fn answer(&self, id: tandem_core::CommandId, answer: Answer) {
        let told = self.jobs.answered(id, answer);
        self.commands.tell_peer(told);
    }

    /// The reactor turned, and this task too: both are alive.
    fn alive(&mut self) {
        use sd_notify::NotifyState;
        let states = match std::mem::replace(&mut self.ready, true) {
            true => [NotifyState::Watchdog].as_slice(),
            false => [NotifyState::Ready, NotifyState::Watchdog].as_slice(),
        };
        // Without a manager there is nobody to tell.
        let _ = sd_notify::notify(states);
    }
}

impl Hands {
    async fn take(&mut self, output: ModuleOutput) {
        match output {
            ModuleOutput::Picture(snapshot) => {
                if snapshot.mirror.is_some() {
                    self.starter.found();
                }
                let stalled = snapshot.mirror.as_ref().is_some_and(|m| m.stalled);
                if stalled != self.stalled {
                    self.stalled = stalled;
                    self.service(services::Order::Freeze(stalled)).await;
                }
                self.herald.see(&snapshot);
                self.hub.picture(*snapshot);
            }
            ModuleOutput::Decided(decision) => self.decided(&decision),
            ModuleOutput::Work(work) => self.work(work).await,
            ModuleOutput::StartMirror => self.starter.missing(),
        }
    }

    fn decided(&self, decision: &Decision) {
        let Decision {
            row,
            because,
            inputs,
            alarm,
        } = decision;
        let module = &self.module;
        match (alarm, row) {
            (true, _) => tracing::error!(module, inputs, "{because}"),
            (false, Some(row)) => tracing::info!(module, row = row.0, inputs, "{because}"),
            (false, None) => tracing::info!(module, inputs, "{because}"),
        }
        self.herald.decided(decision);
        self.hub.decided(decision);
    }

    async fn work(&self, work: Work) {
        match work {
            Work::ProbeAddress(id) => self.address(addresses::Order::Probe(id)).await,
            Work::HoldAddress(id) => self.address(addresses::Order::Hold(id)).await,
            Work::KeepAddress(id) => self.address(addresses::Order::Keep(id)).await,
            Work::DropAddress(id) => self.address(addresses::Order::Drop(id)).await,
            Work::StartServices(id) => self.service(services::Order::Start(id)).await,
            Work::StopServices { id, how } => {
                self.service(services::Order::Stop { id, how }).await;
            }
        }
    }

    async fn address(&self, order: addresses::Order) {
        // The keeper is gone only when the daemon ends.
        let _ = self.addresses.send(order).await;
    }

    async fn service(&self, order: services::Order) {
        // The runner is gone only when the daemon ends.
        let _ = self.services.send(order).await;
    }
}
