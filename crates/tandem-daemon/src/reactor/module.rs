//! One module in the reactor: its core, its mirror's socket, its channels, and what was shown of it.

use super::{
    EFFECTS_PER_TURN_MAX, ModuleOutput, Output, PICTURE_INTERVAL, PICTURE_INTERVAL_MIN, Shared,
    Wires, Work,
};
use crate::config::Place;
use crate::mirror_link::{Heard, MirrorLink};
use crate::snapshot::{Channel, Decision, Snapshot, face};
use crate::state_writer::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use tandem_core::{
    Answer, ChannelId, Command, CommandId, Effect, Event, Instant, Node, PeerMessage,
    ServiceFailure, State,
};
use tandem_host::clock;
use tandem_wire::peer::{self, ModuleTag, PeerError};
use tokio::sync::mpsc::error::TrySendError as OutputError;

/// What is said while the mirror works with a configuration of before.
const WARNING_OF_BEFORE: &str = "this node mirrors with the configuration of before; the new one \
     counts once the module was stopped, and until then no standby that starts anew can follow: \
     tandem stop --all, then tandem start --all";

pub(super) const CONTROL: usize = 0;
pub(super) const STREAM: usize = 1;
/// Where the networks begin in the list of channels.
pub(super) const NETWORKS: usize = 2;

/// What a module in the reactor is made from.
pub(crate) struct ModuleParts {
    /// Its place in the configuration.
    pub place: Place,
    /// Its mark in messages.
    pub tag: ModuleTag,
    pub node: Node,
    pub mirror: MirrorLink,
    pub writes: SyncSender<Write>,
    pub shared: Arc<Shared>,
}

/// One module.
pub(super) struct Module {
    pub parts: ModuleParts,
    pub channels: Vec<Channel>,
    picture: Option<(Snapshot, Instant)>,
    mirror_wanted: Instant,
    /// The events of this turn, for the history.
    inputs_told: String,
    /// That the peer's messages are of another version is said once.
    version_told: bool,
}

/// Whether a command lets a stopped node run.
const fn starts(command: Command) -> bool {
    match command {
        Command::Start
        | Command::Prim
        | Command::PrimForce
        | Command::Second
        | Command::SecondFullSync => true,
        Command::Stop
        | Command::StopModule
        | Command::Restart
        | Command::StopStart
        | Command::Swap
        | Command::Failover(_)
        | Command::Checkers(_)
        | Command::BootStart(_) => false,
    }
}

impl Module {
    /// Prepares; nothing is sent yet.
    pub fn new(parts: ModuleParts, networks: u8) -> Self {
        let mut ids = vec![ChannelId::Control, ChannelId::Stream];
        ids.extend((0..networks).map(ChannelId::Network));
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
            picture: None,
            mirror_wanted: Instant(0),
            inputs_told: "start".to_owned(),
            version_told: false,
        }
    }

    /// When it wants a turn.
    pub fn deadline(&self) -> Instant {
        let mirror = self.parts.mirror.deadline();
        self.parts.node.deadline().min(mirror)
    }

    /// Lets the core look, if it wanted to by now.
    pub fn tick(&mut self, now: Instant) {
        if self.parts.node.deadline() <= now {
            self.parts.node.handle(now, Event::Ticked);
        }
    }

    /// Takes what the mirror said.
    pub fn take_mirror(&mut self, wires: &mut Wires) {
        let now = clock::now();
        let mut heard = Vec::new();
        self.parts.mirror.turn(now, &mut |what| heard.push(what));
        for what in heard {
            match what {
                Heard::Event(event) => self.event(event),
                Heard::Gossip(bytes) => self.message(wires, STREAM, &bytes),
                Heard::Answer(id, answer) => wires.put(Output::Answer { id, answer }),
                Heard::Trouble(text) => wires.put(Output::Trouble(text)),
            }
        }
        self.channels[STREAM].unsent = self.parts.mirror.unsent;
        if self.parts.mirror.wants_process() && now >= self.mirror_wanted {
            self.mirror_wanted = now.after(PICTURE_INTERVAL);
            self.put(wires, ModuleOutput::StartMirror);
        }
    }

    /// Takes a message of the peer's.
    pub fn message(&mut self, wires: &mut Wires, channel: usize, bytes: &[u8]) {
        let now = clock::now();
        let decoded = peer::decode(&wires.key, self.parts.tag, wires.peer, bytes);
        let channel = &mut self.channels[channel];
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
                    wires.put(Output::Trouble(text));
                }
            }
        }
    }

    /// Lets the mirror verify the peer's copy: the core need not know.
    pub fn verify(&mut self, wires: &Wires, id: CommandId) {
        if let Err(reason) = self.parts.mirror.verify(clock::now(), id) {
            let answer = Answer::Refused(reason.to_owned());
            wires.put(Output::Answer { id, answer });
        }
    }

    /// Hands an event to the core.
    pub fn event(&mut self, event: Event) {
        let unlicensed = &self.parts.shared.unlicensed;
        match &event {
            // Before the core leaves STOP, so that nobody sees a running module with the old count.
            Event::Commanded { command, .. }
                if starts(*command) && self.parts.node.view().state == State::Stop =>
            {
                unlicensed.begin_anew();
            }
            // Begun anew since this was sent.
            Event::LicenceEnded if !unlicensed.is_over() => return,
            _ => {}
        }
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
            | Event::CheckerDown { .. }
            | Event::CheckerUp { .. }
            | Event::LinksChanged { .. }
            | Event::GatewayChanged { .. }
            | Event::Commanded { .. }
            | Event::LicenceEnded
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

    /// Carries out what the core asks for.
    pub fn carry_out(&mut self, wires: &mut Wires) {
        for _ in 0..EFFECTS_PER_TURN_MAX {
            let Some(effect) = self.parts.node.poll_effect() else {
                break;
            };
            self.effect(wires, effect);
        }
        self.inputs_told.clear();
    }

    fn effect(&mut self, wires: &mut Wires, effect: Effect) {
        let now = clock::now();
        match effect {
            Effect::Send { channel, message } => self.send(wires, now, channel, &message),
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
            Effect::ProbeAddress(id) => self.work(wires, Work::ProbeAddress(id)),
            Effect::HoldAddress(id) => self.work(wires, Work::HoldAddress(id)),
            Effect::KeepAddress(id) => self.work(wires, Work::KeepAddress(id)),
            Effect::DropAddress(id) => self.work(wires, Work::DropAddress(id)),
            Effect::StartServices(id) => self.work(wires, Work::StartServices(id)),
            Effect::StopServices { id, how } => self.work(wires, Work::StopServices { id, how }),
            Effect::Answer { id, answer } => wires.put(Output::Answer { id, answer }),
            Effect::Decided { row, because } => {
                let decision = Decision {
                    row,
                    because,
                    inputs: self.inputs_told.clone(),
                    alarm: false,
                };
                self.put(wires, ModuleOutput::Decided(decision));
            }
            Effect::Alarm(because) => {
                let decision = Decision {
                    row: None,
                    because,
                    inputs: self.inputs_told.clone(),
                    alarm: true,
                };
                self.put(wires, ModuleOutput::Decided(decision));
            }
        }
    }

    fn send(
        &mut self,
        wires: &mut Wires,
        now: Instant,
        channel: Option<ChannelId>,
        message: &PeerMessage,
    ) {
        let bytes = peer::encode(&wires.key, self.parts.tag, message);
        for (place, network) in wires.networks.iter_mut().enumerate() {
            if channel.is_none_or(|wanted| wanted == ChannelId::Network(place as u8)) {
                network.send(&bytes);
            }
        }
        if channel.is_none_or(|wanted| wanted == ChannelId::Stream) {
            self.parts.mirror.gossip(now, &bytes);
        }
        if channel.is_none_or(|wanted| wanted == ChannelId::Control)
            && wires.messages.try_send(bytes).is_err()
        {
            self.channels[CONTROL].unsent += 1;
        }
    }

    fn work(&mut self, wires: &Wires, work: Work) {
        // The address must see the permit and the role that belong to this effect.
        self.share();
        let output = Output::Of(self.parts.place, ModuleOutput::Work(work));
        match wires.outputs.try_send(output) {
            Ok(()) => return,
            Err(OutputError::Full(_) | OutputError::Closed(_)) => {}
        }
        let failure = ServiceFailure {
            name: "daemon".to_owned(),
            reason: "the daemon is too far behind to do it".to_owned(),
            hopeless: false,
            requested: false,
        };
        let (Work::ProbeAddress(id)
        | Work::HoldAddress(id)
        | Work::KeepAddress(id)
        | Work::DropAddress(id)
        | Work::StartServices(id)
        | Work::StopServices { id, .. }) = work;
        self.event(Event::ServicesFailed { id, failure });
    }

    fn put(&self, wires: &Wires, output: ModuleOutput) {
        wires.put(Output::Of(self.parts.place, output));
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

    /// Shows what is new.
    pub fn show(&mut self, wires: &Wires, now: Instant) {
        self.share();
        self.parts.shared.last_turn.store(now.0, Ordering::Relaxed);
        let view = self.parts.node.view();
        let shown = face(view.state, view.tone, view.data);
        let recent = |(last, at): &(Snapshot, Instant)| {
            now.since(*at) < PICTURE_INTERVAL_MIN && last.face() == shown
        };
        if self.picture.as_ref().is_some_and(recent) {
            return;
        }
        let mirror = &self.parts.mirror;
        let mirrored = (mirror.status(), mirror.resync());
        let old = mirror
            .runs_old_configuration()
            .then(|| WARNING_OF_BEFORE.to_owned());
        let warning = view.warning.clone().or(old);
        let snapshot = Snapshot {
            warning,
            flow: mirror.flow(),
            verification: mirror.verification().cloned(),
            old_program: mirror.runs_old_program(),
            ..Snapshot::new(&view, mirrored, self.channels.clone())
        };
        let due = match &self.picture {
            Some((last, at)) => snapshot.differs(last) || now.since(*at) >= PICTURE_INTERVAL,
            None => true,
        };
        if due {
            self.picture = Some((snapshot.clone(), now));
            self.put(wires, ModuleOutput::Picture(Box::new(snapshot)));
        }
    }
}
