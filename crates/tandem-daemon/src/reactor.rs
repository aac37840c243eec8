//! The one thread that owns the cores of all modules: takes events in, hands effects out, and keeps the time.
//!
//! It shares nothing that can block: its sockets are non-blocking, its memory is locked, what it
//! hands out goes into bounded queues that are never waited for, and it writes neither files nor
//! logs. Whatever is slow happens elsewhere and comes back as an [`Input`].
//!
//! It decides nothing: it does not look at states or roles.

mod module;

use crate::config::Place;
use crate::license::Unlicensed;
use crate::networks::{self, Network};
use crate::snapshot::{Decision, Snapshot};
pub(crate) use module::ModuleParts;
use module::{CONTROL, Module, NETWORKS};
use nix::poll::{PollFd, PollFlags, ppoll};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tandem_core::{Answer, CommandId, EffectId, Event, Instant, NodeId, ServiceStop};
use tandem_host::{clock, priority};
use tandem_wire::peer::{self, PeerKey};
use tokio::sync::mpsc;

/// Inputs that may wait: far more than the links and the API can have under way.
const INPUTS_MAX: usize = 1024;
/// Outputs that may wait for the rest of the daemon. When it is that far behind, pictures and log
/// lines are dropped; an effect with an outcome counts as failed.
pub(crate) const OUTPUTS_MAX: usize = 4096;
/// Messages of each module for the control link that may wait. The core repeats itself, so old ones
/// are worthless.
pub(crate) const MESSAGES_MAX: usize = 8;
/// Inputs that are taken in one turn, so that the networks have their turn too.
const INPUTS_PER_TURN_MAX: usize = 256;
/// Effects that are carried out in one turn; the core's queue keeps the rest.
const EFFECTS_PER_TURN_MAX: usize = 1024;
/// How often a picture is handed out when nothing that people see has changed.
const PICTURE_INTERVAL: Duration = Duration::from_millis(500);
/// The same when something has: eyes and browsers need no more. What a node is now is always shown.
const PICTURE_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// The longest wait in one turn: the watchdog is fed from here.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// The shortest wait after a turn in which the core wanted to be woken in the past: a mistake
/// there must not take a whole processor.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the core of one module.
    Event(Place, Event),
    /// For the mirror of one module.
    Verify(Place, CommandId),
    /// The peer's daemon over the control link.
    Message(Vec<u8>),
    /// A sign that the thread shall end.
    End,
}

/// What goes out, in order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Of one module.
    Of(Place, ModuleOutput),
    /// For who asked.
    Answer { id: CommandId, answer: Answer },
    /// To be logged: surprising, but carried on.
    Trouble(String),
    /// The reactor is alive.
    Turned,
}

/// What goes out of one module.
#[derive(Debug)]
pub(crate) enum ModuleOutput {
    /// The newest picture.
    Picture(Box<Snapshot>),
    /// To be logged and remembered.
    Decided(Decision),
    /// Slow work on this machine.
    Work(Work),
    /// Nobody listens at the mirror's socket.
    StartMirror,
}

/// Slow work whose outcome comes back as an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    ProbeAddress(EffectId),
    HoldAddress(EffectId),
    KeepAddress(EffectId),
    DropAddress(EffectId),
    StartServices(EffectId),
    StopServices { id: EffectId, how: ServiceStop },
}

/// The way in. Clones lead to the same reactor.
#[derive(Clone)]
pub(crate) struct Inputs {
    sender: SyncSender<Input>,
    wake: Arc<OwnedFd>,
}

/// The way in to one module.
#[derive(Clone)]
pub(crate) struct ModuleInputs {
    inputs: Inputs,
    place: Place,
}

impl ModuleInputs {
    /// Hands an event over, as [`Inputs::send`] does.
    pub(crate) fn send(&self, event: Event) {
        self.inputs.send(Input::Event(self.place, event));
    }
}

impl Inputs {
    /// The way in to one module.
    pub(crate) fn of(&self, place: Place) -> ModuleInputs {
        ModuleInputs {
            inputs: self.clone(),
            place,
        }
    }

    /// Hands an input over. Waits while the reactor is [`INPUTS_MAX`] behind: events with an
    /// outcome must not be lost.
    pub(crate) fn send(&self, input: Input) {
        // The receiver is gone only when the daemon ends.
        let _ = self.sender.send(input);
        self.wake();
    }

    /// Hands an input over, unless the reactor is [`INPUTS_MAX`] behind.
    pub(crate) fn offer(&self, input: Input) -> bool {
        let taken = self.sender.try_send(input).is_ok();
        self.wake();
        taken
    }

    fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// What others may look at without asking the reactor.
#[derive(Debug)]
pub(crate) struct Shared {
    last_turn: AtomicU64,
    permit_until: AtomicU64,
    serves: AtomicBool,
    stopped: AtomicBool,
    /// The running time without a licence.
    pub(crate) unlicensed: Arc<Unlicensed>,
}

impl Shared {
    /// When the reactor had its last turn.
    pub(crate) fn last_turn(&self) -> Instant {
        Instant(self.last_turn.load(Ordering::Relaxed))
    }

    /// Until when this node may serve; the past, if it may not.
    pub(crate) fn permit_until(&self) -> Instant {
        Instant(self.permit_until.load(Ordering::Relaxed))
    }

    /// Whether the module is served here.
    pub(crate) fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }

    /// Whether nothing of the module runs here.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            last_turn: AtomicU64::new(clock::now().0),
            permit_until: AtomicU64::new(0),
            serves: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            unlicensed: Arc::default(),
        }
    }
}

/// What a reactor is made from.
pub(crate) struct Parts {
    /// In the order of the configuration.
    pub modules: Vec<ModuleParts>,
    pub wires: Wires,
    pub inputs: Receiver<Input>,
    pub wake: Arc<OwnedFd>,
}

/// What all modules share: the ways out.
pub(crate) struct Wires {
    pub peer: NodeId,
    pub key: PeerKey,
    pub networks: Vec<Network>,
    pub outputs: mpsc::Sender<Output>,
    pub messages: mpsc::Sender<Vec<u8>>,
}

impl Wires {
    /// Hands out what may be lost when the rest of the daemon is too far behind.
    fn put(&self, output: Output) {
        let _ = self.outputs.try_send(output);
    }
}

/// The ends of the ways in.
pub(crate) struct Entrance {
    pub inputs: Inputs,
    pub receiver: Receiver<Input>,
    pub wake: Arc<OwnedFd>,
}

/// Opens the ways in, before the reactor exists.
pub(crate) fn entrance() -> std::io::Result<Entrance> {
    let (sender, receiver) = sync_channel(INPUTS_MAX);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let inputs = Inputs {
        sender,
        wake: wake.clone(),
    };
    Ok(Entrance {
        inputs,
        receiver,
        wake,
    })
}

/// The thread's state.
pub(crate) struct Reactor {
    modules: Vec<Module>,
    wires: Wires,
    inputs: Receiver<Input>,
    wake: Arc<OwnedFd>,
    buffer: Vec<u8>,
    told_turn: Instant,
    ended: bool,
}

impl Reactor {
    /// Prepares; nothing is sent yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            modules,
            wires,
            inputs,
            wake,
        } = parts;
        let networks = wires.networks.len() as u8;
        let modules = modules.into_iter();
        Self {
            modules: modules.map(|parts| Module::new(parts, networks)).collect(),
            wires,
            inputs,
            wake,
            buffer: networks::buffer(),
            told_turn: Instant(0),
            ended: false,
        }
    }

    /// Runs until [`Input::End`].
    pub(crate) fn run(mut self) {
        if let Err(error) = priority::run_in_real_time() {
            let text = format!("heartbeats run without real-time priority: {error}");
            self.wires.put(Output::Trouble(text));
        }
        self.carry_out();
        while !self.ended {
            self.wait();
            self.take_networks();
            for module in &mut self.modules {
                module.take_mirror(&mut self.wires);
            }
            self.take_inputs();
            let now = clock::now();
            for module in &mut self.modules {
                module.tick(now);
            }
            self.carry_out();
            self.show(now);
        }
    }

    fn wait(&mut self) {
        let now = clock::now();
        let deadlines = self.modules.iter().map(Module::deadline);
        let deadline = deadlines.min().unwrap_or(Instant::FAR);
        let wait = deadline.since(now).clamp(WAIT_MIN, WAIT_MAX);
        let room = 1 + self.wires.networks.len() + self.modules.len();
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(room);
        fds.push(PollFd::new(self.wake.as_fd(), PollFlags::POLLIN));
        for network in &self.wires.networks {
            fds.push(PollFd::new(network.as_fd(), PollFlags::POLLIN));
        }
        for mirror in self.modules.iter().map(|module| &module.parts.mirror) {
            if let Some(fd) = mirror.as_fd() {
                let mut flags = PollFlags::POLLIN;
                flags.set(PollFlags::POLLOUT, mirror.wants_to_write());
                fds.push(PollFd::new(fd, flags));
            }
        }
        // Whatever it says: every socket is looked at afterwards.
        let _ = ppoll(&mut fds, Some(wait.into()), None);
    }

    fn take_networks(&mut self) {
        let mut networks = std::mem::take(&mut self.wires.networks);
        let mut buffer = std::mem::take(&mut self.buffer);
        for (place, network) in networks.iter_mut().enumerate() {
            network.receive(&mut buffer, |bytes| {
                self.message(NETWORKS + place, bytes);
            });
            let foreign = std::mem::take(&mut network.foreign);
            for module in &mut self.modules {
                let channel = &mut module.channels[NETWORKS + place];
                channel.unsent = network.unsent;
                channel.refused += foreign;
            }
        }
        self.wires.networks = networks;
        self.buffer = buffer;
    }

    fn take_inputs(&mut self) {
        let mut counter = [0; 8];
        // Empty or not, the queue is looked at.
        let _ = rustix::io::read(&self.wake, &mut counter);
        for _ in 0..INPUTS_PER_TURN_MAX {
            match self.inputs.try_recv() {
                Ok(Input::Event(Place(place), event)) => self.modules[place].event(event),
                Ok(Input::Verify(Place(place), id)) => {
                    self.modules[place].verify(&self.wires, id);
                }
                Ok(Input::Message(bytes)) => self.message(CONTROL, &bytes),
                Ok(Input::End) => self.ended = true,
                Err(_) => return,
            }
        }
        // The rest has its turn after the networks.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Takes a message to its module. What is for none counts as refused by all.
    fn message(&mut self, channel: usize, bytes: &[u8]) {
        let tag = peer::tag_of(bytes);
        let of = |module: &Module| Some(module.parts.tag) == tag;
        match self.modules.iter_mut().find(|module| of(module)) {
            Some(module) => module.message(&mut self.wires, channel, bytes),
            None => {
                for module in &mut self.modules {
                    module.channels[channel].refused += 1;
                }
            }
        }
    }

    fn carry_out(&mut self) {
        for module in &mut self.modules {
            module.carry_out(&mut self.wires);
        }
    }

    fn show(&mut self, now: Instant) {
        for module in &mut self.modules {
            module.show(&self.wires, now);
        }
        if now.since(self.told_turn) >= WAIT_MAX {
            self.told_turn = now;
            self.wires.put(Output::Turned);
        }
    }
}
