//! The one thread that owns the core: takes events in, hands effects out, and keeps the time.
//!
//! It shares nothing that can block: its sockets are non-blocking, its memory is locked, what it
//! hands out goes into bounded queues that are never waited for, and it writes neither files nor
//! logs. Whatever is slow happens elsewhere and comes back as an [`Input`].
//!
//! It decides nothing: it does not look at states or roles.

use crate::mirror_link::{Heard, MirrorLink};
use crate::networks::{self, Network};
use crate::snapshot::{Channel, Decision, Snapshot};
use crate::state_writer::Write;
use nix::poll::{PollFd, PollFlags, ppoll};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tandem_core::{
    Answer, ChannelId, CommandId, Effect, EffectId, Event, Instant, Node, NodeId, PeerMessage,
    ServiceFailure, ServiceStop, State,
};
use tandem_host::{clock, priority};
use tandem_wire::peer::{self, PeerError, PeerKey};
use tokio::sync::mpsc;

/// Inputs that may wait: far more than the links and the API can have under way.
const INPUTS_MAX: usize = 1024;
/// Outputs that may wait for the rest of the daemon. When it is that far behind, pictures and log
/// lines are dropped; an effect with an outcome counts as failed.
pub(crate) const OUTPUTS_MAX: usize = 4096;
/// Messages for the control link that may wait. The core repeats itself, so old ones are worthless.
pub(crate) const MESSAGES_MAX: usize = 8;
/// Inputs that are taken in one turn, so that the networks have their turn too.
const INPUTS_PER_TURN_MAX: usize = 256;
/// Effects that are carried out in one turn; the core's queue keeps the rest.
const EFFECTS_PER_TURN_MAX: usize = 1024;
/// How often a picture is handed out when nothing that people see has changed.
const PICTURE_INTERVAL: Duration = Duration::from_millis(500);
/// The same when something has: eyes and browsers need no more.
const PICTURE_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// The longest wait in one turn: the watchdog is fed from here.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// The shortest wait after a turn in which the core wanted to be woken in the past: a mistake
/// there must not take a whole processor.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// The peer's daemon over the control link.
    Message(Vec<u8>),
    /// A sign that the thread shall end.
    End,
}

/// What goes out, in order.
#[derive(Debug)]
pub(crate) enum Output {
    /// The newest picture.
    Picture(Box<Snapshot>),
    /// To be logged and remembered.
    Decided(Decision),
    /// To be logged: surprising, but carried on.
    Trouble(String),
    /// For who asked.
    Answer { id: CommandId, answer: Answer },
    /// Slow work on this machine.
    Work(Work),
    /// Nobody listens at the mirror's socket.
    StartMirror,
    /// The reactor is alive.
    Turned,
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

impl Inputs {
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

/// What a reactor is made from.
pub(crate) struct Parts {
    pub node: Node,
    pub peer: NodeId,
    pub key: PeerKey,
    pub networks: Vec<Network>,
    pub mirror: MirrorLink,
    pub inputs: Receiver<Input>,
    pub wake: Arc<OwnedFd>,
    pub shared: Arc<Shared>,
    pub writes: SyncSender<Write>,
    pub outputs: mpsc::Sender<Output>,
    pub messages: mpsc::Sender<Vec<u8>>,
}

/// The ends of the ways in.
pub(crate) struct Entrance {
    pub inputs: Inputs,
    pub receiver: Receiver<Input>,
    pub wake: Arc<OwnedFd>,
    pub shared: Arc<Shared>,
}

/// Opens the ways in, before the reactor exists.
pub(crate) fn entrance() -> std::io::Result<Entrance> {
    let (sender, receiver) = sync_channel(INPUTS_MAX);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let inputs = Inputs {
        sender,
        wake: wake.clone(),
    };
    let shared = Arc::new(Shared {
        last_turn: AtomicU64::new(clock::now().0),
        permit_until: AtomicU64::new(0),
        serves: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
    });
    Ok(Entrance {
        inputs,
        receiver,
        wake,
        shared,
    })
}

/// The module's number in messages: its place in the configuration.
const MODULE: u16 = 0;
const CONTROL: usize = 0;
const STREAM: usize = 1;
/// Where the networks begin in the list of channels.
const NETWORKS: usize = 2;

/// The thread's state.
pub(crate) struct Reactor {
    parts: Parts,
    channels: Vec<Channel>,
    buffer: Vec<u8>,
    picture: Option<(Snapshot, Instant)>,
    told_turn: Instant,
    mirror_wanted: Instant,
    /// The events of this turn, for the history.
    inputs_told: String,
    /// That the peer's messages are of another version is said once.
    version_told: bool,
    ended: bool,
}

impl Reactor {
    /// Prepares; nothing is sent yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let mut ids = vec![ChannelId::Control, ChannelId::Stream];
        ids.extend((0..parts.networks.len() as u8).map(ChannelId::Network));
        let channels = (ids.into_iter())
            .map(|id| Channel {
                id,
                heard: None,
                received: 0,
                refused: 0,
                unsent: 0,
            })
            .collect();
        Self {
            parts,
            channels,
            buffer: networks::buffer(),
            picture: None,
            told_turn: Instant(0),
            mirror_wanted: Instant(0),
            inputs_told: "start".to_owned(),
            version_told: false,
            ended: false,
        }
    }

    /// Runs until [`Input::End`].
    pub(crate) fn run(mut self) {
        if let Err(error) = priority::run_in_real_time() {
            let text = format!("heartbeats run without real-time priority: {error}");
            self.put(Output::Trouble(text));
        }
        self.carry_out();
        while !self.ended {
            self.wait();
            self.take_networks();
            self.take_mirror();
            self.take_inputs();
            let now = clock::now();
            if self.parts.node.deadline() <= now {
                self.parts.node.handle(now, Event::Ticked);
            }
            self.carry_out();
            self.show(now);
        }
    }

    fn wait(&mut self) {
        let now = clock::now();
        let mirror = &self.parts.mirror;
        let deadline = self.parts.node.deadline().min(mirror.deadline());
        let wait = deadline.since(now).clamp(WAIT_MIN, WAIT_MAX);
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2 + self.parts.networks.len());
        fds.push(PollFd::new(self.parts.wake.as_fd(), PollFlags::POLLIN));
        for network in &self.parts.networks {
            fds.push(PollFd::new(network.as_fd(), PollFlags::POLLIN));
        }
        if let Some(fd) = mirror.as_fd() {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, mirror.wants_to_write());
            fds.push(PollFd::new(fd, flags));
        }
        // Whatever it says: every socket is looked at afterwards.
        let _ = ppoll(&mut fds, Some(wait.into()), None);
    }

    fn take_networks(&mut self) {
        let mut networks = std::mem::take(&mut self.parts.networks);
        let mut buffer = std::mem::take(&mut self.buffer);
        for (place, network) in networks.iter_mut().enumerate() {
            network.receive(&mut buffer, |bytes| {
                self.message(NETWORKS + place, bytes);
            });
            let channel = &mut self.channels[NETWORKS + place];
            channel.unsent = network.unsent;
            channel.refused += std::mem::take(&mut network.foreign);
        }
        self.parts.networks = networks;
        self.buffer = buffer;
    }

    fn take_mirror(&mut self) {
        let now = clock::now();
        let mut heard = Vec::new();
        self.parts.mirror.turn(now, &mut |what| heard.push(what));
        for what in heard {
            match what {
                Heard::Event(event) => self.event(event),
                Heard::Gossip(bytes) => self.message(STREAM, &bytes),
                Heard::Trouble(text) => self.put(Output::Trouble(text)),
            }
        }
        self.channels[STREAM].unsent = self.parts.mirror.unsent;
        if self.parts.mirror.wants_process() && now >= self.mirror_wanted {
            self.mirror_wanted = now.after(PICTURE_INTERVAL);
            self.put(Output::StartMirror);
        }
    }

    fn take_inputs(&mut self) {
        let mut counter = [0; 8];
        // Empty or not, the queue is looked at.
        let _ = rustix::io::read(&self.parts.wake, &mut counter);
        for _ in 0..INPUTS_PER_TURN_MAX {
            match self.parts.inputs.try_recv() {
                Ok(Input::Event(event)) => self.event(event),
                Ok(Input::Message(bytes)) => self.message(CONTROL, &bytes),
                Ok(Input::End) => self.ended = true,
                Err(_) => return,
            }
        }
        // The rest has its turn after the networks.
        let _ = rustix::io::write(&self.parts.wake, &1u64.to_ne_bytes());
    }

    fn message(&mut self, place: usize, bytes: &[u8]) {
        let now = clock::now();
        let decoded = peer::decode(&self.parts.key, MODULE, self.parts.peer, bytes);
        let channel = &mut self.channels[place];
        match decoded {
            Ok(message) => {
                channel.received += 1;
                channel.heard = Some(now);
                let message = Box::new(message);
                let channel = channel.id;
                self.event(Event::Received { channel, message });
            }
            // Counted and shown. Not logged one by one: a stranger could fill the disk.
            Err(error) => {
                channel.refused += 1;
                let id = channel.id;
                if matches!(error, PeerError::Version { .. }) && !self.version_told {
                    self.version_told = true;
                    let text = format!("the other node over the {id}: {error}");
                    self.put(Output::Trouble(text));
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.tell_input(&event);
        self.parts.node.handle(clock::now(), event);
    }

    /// Notes events that are not heard all the time.
    fn tell_input(&mut self, event: &Event) {
        let text = match event {
            Event::Ticked | Event::Received { .. } | Event::MirrorReported(_) => return,
            Event::Persisted(_)
            | Event::PersistFailed(_)
            | Event::MirrorDone { .. }
            | Event::MirrorRefused { .. }
            | Event::MirrorLost
            | Event::AddressFree(_)
            | Event::AddressTaken { .. }
            | Event::AddressHeld(_)
            | Event::AddressDropped(_)
            | Event::AddressGone(_)
            | Event::ServicesStarted(_)
            | Event::ServicesStopped(_)
            | Event::ServicesFailed { .. }
            | Event::ServiceDown(_)
            | Event::Commanded { .. }
            | Event::ShuttingDown => format!("{event:?}"),
        };
        /// A line of the history stays a line.
        const INPUTS_TOLD_MAX: usize = 400;
        if self.inputs_told.len() + text.len() < INPUTS_TOLD_MAX {
            if !self.inputs_told.is_empty() {
                self.inputs_told.push_str("; ");
            }
            self.inputs_told.push_str(&text);
        }
    }

    fn carry_out(&mut self) {
        for _ in 0..EFFECTS_PER_TURN_MAX {
            let Some(effect) = self.parts.node.poll_effect() else {
                break;
            };
            self.effect(effect);
        }
        self.inputs_told.clear();
    }

    fn effect(&mut self, effect: Effect) {
        let now = clock::now();
        match effect {
            Effect::Send { channel, message } => self.send(now, channel, &message),
            Effect::Persist { id, durable } => {
                let write = Write { id, durable };
                match self.parts.writes.try_send(write) {
                    Ok(()) => {}
                    Err(TrySendError::Full(write) | TrySendError::Disconnected(write)) => {
                        self.event(Event::PersistFailed(write.id));
                    }
                }
            }
            Effect::Mirror { id, command } => self.parts.mirror.command(now, id, command),
            Effect::Permit { epoch, until } => self.parts.mirror.permit(now, epoch, until),
            Effect::ProbeAddress(id) => self.work(Work::ProbeAddress(id)),
            Effect::HoldAddress(id) => self.work(Work::HoldAddress(id)),
            Effect::KeepAddress(id) => self.work(Work::KeepAddress(id)),
            Effect::DropAddress(id) => self.work(Work::DropAddress(id)),
            Effect::StartServices(id) => self.work(Work::StartServices(id)),
            Effect::StopServices { id, how } => self.work(Work::StopServices { id, how }),
            Effect::Answer { id, answer } => self.put(Output::Answer { id, answer }),
            Effect::Decided { row, because } => self.decided(Decision {
                row,
                because,
                inputs: self.inputs_told.clone(),
                alarm: false,
            }),
            Effect::Alarm(because) => self.decided(Decision {
                row: None,
                because,
                inputs: self.inputs_told.clone(),
                alarm: true,
            }),
        }
    }

    fn send(&mut self, now: Instant, channel: Option<ChannelId>, message: &PeerMessage) {
        let bytes = peer::encode(&self.parts.key, MODULE, message);
        for (place, network) in self.parts.networks.iter_mut().enumerate() {
            if channel.is_none_or(|wanted| wanted == ChannelId::Network(place as u8)) {
                network.send(&bytes);
            }
        }
        if channel.is_none_or(|wanted| wanted == ChannelId::Stream) {
            self.parts.mirror.gossip(now, &bytes);
        }
        if channel.is_none_or(|wanted| wanted == ChannelId::Control)
            && self.parts.messages.try_send(bytes).is_err()
        {
            self.channels[CONTROL].unsent += 1;
        }
    }

    fn work(&mut self, work: Work) {
        // The address must see the permit and the role that belong to this effect.
        self.share();
        if self.parts.outputs.try_send(Output::Work(work)).is_ok() {
            return;
        }
        let failure = ServiceFailure {
            name: "daemon".to_owned(),
            reason: "the daemon is too far behind to do it".to_owned(),
            hopeless: false,
        };
        let (Work::ProbeAddress(id)
        | Work::HoldAddress(id)
        | Work::KeepAddress(id)
        | Work::DropAddress(id)
        | Work::StartServices(id)
        | Work::StopServices { id, .. }) = work;
        self.event(Event::ServicesFailed { id, failure });
    }

    fn decided(&mut self, decision: Decision) {
        self.put(Output::Decided(decision));
    }

    /// Hands out what may be lost when the rest of the daemon is too far behind.
    fn put(&mut self, output: Output) {
        let _ = self.parts.outputs.try_send(output);
    }

    fn share(&self) {
        let view = self.parts.node.view();
        let shared = &self.parts.shared;
        let until = view.permit_until.unwrap_or(Instant(0));
        shared.permit_until.store(until.0, Ordering::Relaxed);
        shared.serves.store(view.state.serves(), Ordering::Relaxed);
        let stopped = view.state == State::Stop;
        shared.stopped.store(stopped, Ordering::Relaxed);
    }

    fn show(&mut self, now: Instant) {
        self.share();
        self.parts.shared.last_turn.store(now.0, Ordering::Relaxed);
        if now.since(self.told_turn) >= WAIT_MAX {
            self.told_turn = now;
            self.put(Output::Turned);
        }
        let age = self.picture.as_ref().map(|(_, at)| now.since(*at));
        if age.is_some_and(|age| age < PICTURE_INTERVAL_MIN) {
            return;
        }
        let view = self.parts.node.view();
        let mirror = self.parts.mirror.status();
        let snapshot = Snapshot::new(&view, mirror, self.channels.clone());
        let due = match &self.picture {
            Some((last, at)) => snapshot.differs(last) || now.since(*at) >= PICTURE_INTERVAL,
            None => true,
        };
        if due {
            self.picture = Some((snapshot.clone(), now));
            self.put(Output::Picture(Box::new(snapshot)));
        }
    }
}
