//! The interpreter of a core's effects: what the real daemon does, in virtual time.

use crate::clock::{MILLISECOND, SECOND, Time, nanoseconds};
use crate::host::{ServicesState, StateDisk, failure};
use crate::network::place;
use crate::queue::{Happening, Scope, ToMirror, channels};
use crate::world::World;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use tandem_core::{
    Answer, ChannelId, Command, CommandId, Config, ConfigurationDigest, Durable, Effect, EffectId,
    Epoch, Event, InSync, Instant, MirrorCommand, Node, NodeId, PeerMessage, Record, ServiceStop,
    State, event::Boot,
};

/// The effects that one event may have. More is a loop in the core.
const EFFECTS_MAX: usize = 64;
/// The ticks that a core may want within one heartbeat interval: it looks five times at most while
/// something depends on time, and at a few exact moments. More is a busy loop.
const TICKS_MAX: u64 = 40;

/// A daemon's process.
#[derive(Debug)]
pub struct Daemon {
    /// Another process has another one.
    pub incarnation: u64,
    /// The automaton.
    pub core: Node,
    /// Stopped by a signal.
    pub paused: bool,
    /// What waits for it to go on.
    pub deferred: Vec<(Scope, Happening)>,
    /// The number of the newest tick.
    tick: u64,
    /// When it is due.
    tick_at: Option<Time>,
    /// States to be written; the first one is being written.
    pub writes: VecDeque<(EffectId, Box<Durable>)>,
    /// The write in hand does not come back.
    pub write_stuck: bool,
    /// Its socket to the mirror is open.
    pub mirror_connected: bool,
    /// Commands for a mirror that is not connected.
    held: VecDeque<(EffectId, MirrorCommand)>,
    /// Commands that the mirror was sent and has not answered.
    sent: Vec<EffectId>,
    /// The newest permit.
    permit: Option<(Epoch, Instant)>,
    /// It keeps the address alive.
    holds_address: bool,
    /// The number of the newest refresh.
    refresh: u64,
    /// The checkers watch the services.
    pub watching: bool,
    /// The number of the newest check.
    check: u64,
    /// What the core showed last.
    pub state: State,
    /// Commands without a final answer.
    pub unanswered: BTreeMap<u64, (Command, Time)>,
    /// Turns in the current interval.
    turns: (Time, u64),
    /// What its mirror reported last, for the trace.
    said: String,
}

impl World {
    /// The daemon is started, by the service manager.
    pub(crate) fn start_daemon(&mut self, node: NodeId) {
        let now = self.now;
        let seed = self.random.bits();
        let status = self.mirror_status(node);
        self.daemons += 1;
        let incarnation = self.daemons;
        let host = &mut self.hosts[place(node)];
        if host.daemon.is_some() || !host.up {
            return;
        }
        let boot = Boot {
            durable: host.durable.clone(),
            mirror: status,
            machine_booted: host.daemon_starts == 0,
            seed,
        };
        host.daemon_starts += 1;
        let found = boot.mirror.is_some();
        let serves = host.mirror.as_ref().is_some_and(|m| m.serving().is_some());
        let mut config = Config::new(node, self.settings.takeover_after);
        config.networks = self.settings.networks;
        config.digest = ConfigurationDigest(host.digest);
        config.boot_start = self.settings.boot_start;
        config.failover = self.settings.failover;
        config.service_limit = self.settings.service_limit;
        self.settings.sabotage(&mut config);
        let local = host.clock.local(now);
        let core = match catch_unwind(AssertUnwindSafe(|| Node::new(config, boot, local))) {
            Ok(core) => core,
            Err(_) => return self.violate("total", "the core panicked at its start".into()),
        };
        self.truth.daemon_started(node);
        self.hosts[place(node)].daemon = Some(Daemon {
            incarnation,
            core,
            paused: false,
            deferred: Vec::new(),
            tick: 0,
            tick_at: None,
            writes: VecDeque::new(),
            write_stuck: false,
            mirror_connected: found,
            held: VecDeque::new(),
            sent: Vec::new(),
            permit: None,
            holds_address: false,
            refresh: 0,
            watching: false,
            check: 0,
            state: State::Stop,
            unanswered: BTreeMap::new(),
            turns: (0, 0),
            said: String::new(),
        });
        self.note(node, || format!("daemon {incarnation} starts"));
        self.absorb(node);
        let scope = Scope::Daemon(node, incarnation);
        if found {
            self.mirror_report(node);
        } else {
            let delay = self.random.between(5, 100) * MILLISECOND;
            self.after(delay, scope, Happening::EnsureMirror);
        }
        if serves {
            self.watch(node);
        }
        self.updated_joined();
    }

    /// The daemon's process is gone, as by kill -9.
    pub(crate) fn end_daemon(&mut self, node: NodeId) {
        let torn = self.random.chance(500);
        let host = &mut self.hosts[place(node)];
        let Some(mut daemon) = host.daemon.take() else {
            return;
        };
        // The rename of the state in hand happened or not; never a mixture.
        let written = daemon
            .writes
            .pop_front()
            .filter(|_| torn && host.state_disk != StateDisk::Failing);
        self.note(node, || "daemon dies".into());
        if let Some((_, durable)) = written {
            self.state_written(node, *durable);
        }
        self.control = None;
        self.updated_joined();
    }

    /// Stops the daemon's process with a signal, or lets it go on.
    pub(crate) fn pause_daemon(&mut self, node: NodeId, paused: bool) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        if daemon.paused == paused {
            return;
        }
        daemon.paused = paused;
        let mut deferred = core::mem::take(&mut daemon.deferred);
        self.note(node, || {
            format!("daemon {}", if paused { "is stopped" } else { "goes on" })
        });
        // A thawed process sees its timers before its backlog or after it.
        if self.random.chance(500) {
            deferred.sort_by_key(|(_, happening)| !matches!(happening, Happening::Tick(_)));
        }
        for (scope, happening) in deferred {
            self.after(0, scope, happening);
        }
        self.updated_joined();
    }

    /// Gives an event to the core.
    pub(crate) fn feed(&mut self, node: NodeId, event: Event) {
        if self.tracing {
            self.note_event(node, &event);
        }
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(daemon) = host.daemon.as_mut() else {
            return;
        };
        let interval = self.settings.heartbeat();
        let (since, turns) = &mut daemon.turns;
        if now - *since > interval {
            (*since, *turns) = (now, 0);
        }
        // Backlogs of messages come in one instant; a core's own ticks must not.
        *turns += u64::from(event == Event::Ticked);
        if *turns > TICKS_MAX {
            return self.violate("total", format!("{node} ticks in a busy loop"));
        }
        self.statistics.turns += 1;
        let core = &mut daemon.core;
        if catch_unwind(AssertUnwindSafe(|| core.handle(local, event))).is_err() {
            return self.violate("total", format!("the core of {node} panicked"));
        }
        self.absorb(node);
    }

    /// Events in the trace; of the mirror's reports only those that say something new.
    fn note_event(&mut self, node: NodeId, event: &Event) {
        let text = match event {
            Event::Ticked | Event::Received { .. } => return,
            Event::MirrorReported(status) => {
                let text = format!(
                    "mirror: {:?}, peer {:?}{}{}{}{}",
                    status.role,
                    status.peer,
                    if status.stalled { ", stalled" } else { "" },
                    if status.level { ", level" } else { "" },
                    if status.lapsed { ", lapsed" } else { "" },
                    status
                        .fault
                        .as_ref()
                        .map_or(String::new(), |f| format!(", {f:?}")),
                );
                let said = self.hosts[place(node)]
                    .daemon
                    .as_mut()
                    .map(|d| core::mem::replace(&mut d.said, text.clone()));
                if said.as_ref() == Some(&text) {
                    return;
                }
                text
            }
            event => format!("{event:?}"),
        };
        self.note(node, || text);
    }

    /// Carries out what the core wants.
    fn absorb(&mut self, node: NodeId) {
        let mut effects = Vec::new();
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        let before = daemon.state;
        while let Some(effect) = daemon.core.poll_effect() {
            effects.push(effect);
            if effects.len() > EFFECTS_MAX {
                let last = effects.pop();
                return self.violate("total", format!("{node} has no end of effects: {last:?}"));
            }
        }
        let view = daemon.core.view();
        let after = view.state;
        daemon.state = after;
        if self.tracing && before != after {
            let text = format!("is {after} ({})", view.reason);
            self.note(node, || text);
        }
        let rows: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Decided { row, .. } => *row,
                _ => None,
            })
            .collect();
        for row in &rows {
            self.statistics.took(*row);
        }
        self.check_transitions(node, before, &rows, after);
        for effect in effects {
            self.carry_out(node, effect);
        }
        self.rearm(node);
    }

    /// Sets the clock for the core's deadline.
    pub(crate) fn rearm(&mut self, node: NodeId) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let Some(daemon) = host.daemon.as_mut() else {
            return;
        };
        let deadline = daemon.core.deadline();
        let Some(due) = host.clock.world(deadline, now) else {
            daemon.tick_at = None;
            return;
        };
        if daemon.tick_at == Some(due) {
            return;
        }
        daemon.tick_at = Some(due);
        daemon.tick += 1;
        let (scope, tick) = (Scope::Daemon(node, daemon.incarnation), daemon.tick);
        // A timer is never early, and late by what a scheduler takes.
        self.queue.push(
            due.max(now) + MILLISECOND / 20,
            scope,
            Happening::Tick(tick),
        );
    }

    /// The clock rings.
    pub(crate) fn tick(&mut self, node: NodeId, number: u64) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(daemon) = host.daemon.as_mut() else {
            return;
        };
        if daemon.tick != number {
            return;
        }
        daemon.tick_at = None;
        if daemon.core.deadline() <= local {
            self.feed(node, Event::Ticked);
        } else {
            self.rearm(node);
        }
    }

    fn carry_out(&mut self, node: NodeId, effect: Effect) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_ref() else {
            return;
        };
        let scope = Scope::Daemon(node, daemon.incarnation);
        let incarnation = daemon.incarnation;
        if self.tracing && !matches!(effect, Effect::Send { .. }) {
            let text = effect_text(&effect);
            self.note(node, || format!("  -> {text}"));
        }
        match effect {
            Effect::Send { channel, message } => self.send(node, channel, Rc::new(*message)),
            Effect::Persist { id, durable } => self.persist(node, id, durable),
            Effect::Mirror { id, command } => self.order_mirror(node, id, command),
            Effect::Permit { epoch, until } => self.permit(node, epoch, until),
            Effect::ProbeAddress(id) => {
                let unit = self.settings.unit();
                let delay = self.random.between(unit / 50, unit / 10);
                self.after(delay, scope, Happening::ProbeEnds(id));
            }
            Effect::HoldAddress(id) => {
                let delay = self.random.between(1, 10) * MILLISECOND;
                self.after(delay, scope, Happening::AddressSet(id));
            }
            Effect::DropAddress(id) => {
                if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
                    daemon.holds_address = false;
                }
                let delay = self.random.between(1, 10) * MILLISECOND;
                self.after(delay, scope, Happening::AddressRemoved(id));
            }
            Effect::StartServices(id) => {
                self.check_services_start(node);
                self.services_begin(node, Some((incarnation, id)), ServicesState::Starting);
            }
            Effect::StopServices { id, how } => {
                if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
                    daemon.watching = false;
                }
                let target = match how {
                    ServiceStop::Orderly => ServicesState::Stopping,
                    ServiceStop::Force => ServicesState::Stopped,
                };
                self.services_begin(node, Some((incarnation, id)), target);
            }
            Effect::Answer { id, answer } => self.answered(node, id, &answer),
            Effect::Decided { .. } | Effect::Alarm(_) => {}
        }
    }

    fn answered(&mut self, node: NodeId, id: CommandId, answer: &Answer) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        match answer {
            Answer::Progress(_) => {}
            Answer::Done(_) | Answer::Failed(_) => {
                daemon.unanswered.remove(&id.0);
            }
            Answer::Refused(_) => {
                daemon.unanswered.remove(&id.0);
                self.statistics.refused += 1;
            }
        }
    }

    /// An operator asks.
    pub(crate) fn command(&mut self, node: NodeId, command: Command) {
        self.commands += 1;
        let (now, number) = (self.now, self.commands);
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        if daemon.paused || self.hosts[place(node)].paused {
            return;
        }
        if command == Command::PrimForce {
            self.statistics.forced += 1;
        }
        if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
            daemon.unanswered.insert(number, (command, now));
        }
        self.feed(
            node,
            Event::Commanded {
                id: CommandId(number),
                command,
            },
        );
    }

    fn send(&mut self, node: NodeId, channel: Option<ChannelId>, message: Rc<PeerMessage>) {
        self.check_message(node, &message);
        match channel {
            Some(channel) => self.send_on(node, channel, message),
            None => {
                for channel in channels(self.settings.networks) {
                    self.send_on(node, channel, message.clone());
                }
            }
        }
    }

    fn send_on(&mut self, node: NodeId, channel: ChannelId, message: Rc<PeerMessage>) {
        let peer = node.peer();
        match channel {
            ChannelId::Network(number) => {
                let scope = self.hosts[place(peer)].scope();
                for at in self
                    .wires
                    .datagram(number, node, self.now, &mut self.random)
                    .into_iter()
                    .flatten()
                {
                    self.queue
                        .push(at, scope, Happening::Datagram(number, message.clone()));
                }
            }
            ChannelId::Control => self.send_control(node, message),
            ChannelId::Stream => self.tell_mirror(node, ToMirror::Gossip(message)),
        }
    }

    /// A message of the peer's core is here.
    pub(crate) fn receive(&mut self, node: NodeId, channel: ChannelId, message: &PeerMessage) {
        self.truth.received(node, message);
        self.feed(
            node,
            Event::Received {
                channel,
                message: Box::new(message.clone()),
            },
        );
    }

    fn persist(&mut self, node: NodeId, id: EffectId, durable: Box<Durable>) {
        self.check_generation_rule(node, &durable);
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.writes.push_back((id, durable));
        if daemon.writes.len() == 1 {
            self.write_begins(node);
        }
    }

    fn write_begins(&mut self, node: NodeId) {
        let unit = self.settings.unit();
        let host = &self.hosts[place(node)];
        let Some(daemon) = host.daemon.as_ref() else {
            return;
        };
        let scope = Scope::Daemon(node, daemon.incarnation);
        let duration = match host.state_disk {
            StateDisk::Slow => self.random.between(unit / 10, unit * 2),
            StateDisk::Sound | StateDisk::Failing | StateDisk::Hanging => {
                self.random.between(MILLISECOND / 2, unit / 60)
            }
        };
        self.after(duration, scope, Happening::PersistEnds);
    }

    /// The write in hand comes to its end.
    pub(crate) fn persist_ends(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        let disk = host.state_disk;
        let Some(daemon) = host.daemon.as_mut() else {
            return;
        };
        if disk == StateDisk::Hanging {
            daemon.write_stuck = true;
            return;
        }
        let Some((id, durable)) = daemon.writes.pop_front() else {
            return;
        };
        let more = !daemon.writes.is_empty();
        if disk == StateDisk::Failing {
            self.feed(node, Event::PersistFailed(id));
        } else {
            self.state_written(node, *durable);
            self.feed(node, Event::Persisted(id));
        }
        if more {
            self.write_begins(node);
        }
    }

    /// The disk of the state works again.
    pub(crate) fn state_disk_recovers(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        host.state_disk = StateDisk::Sound;
        if let Some(daemon) = host.daemon.as_mut()
            && core::mem::take(&mut daemon.write_stuck)
        {
            let scope = Scope::Daemon(node, daemon.incarnation);
            self.after(MILLISECOND, scope, Happening::PersistEnds);
        }
        self.updated_joined();
    }

    fn state_written(&mut self, node: NodeId, durable: Durable) {
        self.check_written(node, &durable);
        self.hosts[place(node)].durable = durable;
    }

    // The mirror

    fn order_mirror(&mut self, node: NodeId, id: EffectId, command: MirrorCommand) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        if daemon.mirror_connected {
            daemon.sent.push(id);
            self.tell_mirror(node, ToMirror::Command(id, command));
        } else {
            daemon.held.push_back((id, command));
        }
    }

    fn permit(&mut self, node: NodeId, epoch: Epoch, until: Instant) {
        self.check_permit(node, epoch, until);
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.permit = Some((epoch, until));
        self.tell_mirror(node, ToMirror::Permit(epoch, until));
    }

    /// The mirror's socket is open: what waited for it goes out.
    pub(crate) fn mirror_connects(&mut self, node: NodeId) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.mirror_connected = true;
        let (held, permit) = (core::mem::take(&mut daemon.held), daemon.permit);
        daemon.sent.extend(held.iter().map(|(id, _)| *id));
        self.mirror_report(node);
        if let Some((epoch, until)) = permit {
            self.tell_mirror(node, ToMirror::Permit(epoch, until));
        }
        for (id, command) in held {
            self.tell_mirror(node, ToMirror::Command(id, command));
        }
    }

    // The address

    /// The answer to the probe: another machine has the address, if it can be asked.
    pub(crate) fn probe_ends(&mut self, node: NodeId, id: EffectId) {
        let peer = node.peer();
        let reachable = self.wires.open_both(ChannelId::Network(0));
        let theirs = reachable && self.has_address(peer) && !self.hosts[place(peer)].paused;
        let taken = theirs || self.stranger;
        let event = if taken {
            Event::AddressTaken {
                id,
                by: format!("{peer}"),
            }
        } else {
            Event::AddressFree(id)
        };
        self.feed(node, event);
    }

    /// The address is set and kept alive.
    pub(crate) fn address_set(&mut self, node: NodeId, id: EffectId) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        let holds = core::mem::replace(&mut daemon.holds_address, true);
        if !holds {
            self.check_one_address(node);
        }
        self.refresh_address(node);
        self.feed(node, Event::AddressHeld(id));
    }

    /// The address is removed.
    pub(crate) fn address_removed(&mut self, node: NodeId, id: EffectId) {
        let host = &mut self.hosts[place(node)];
        if host.daemon.as_ref().is_some_and(|d| !d.holds_address) {
            host.address_until = None;
        }
        self.feed(node, Event::AddressDropped(id));
    }

    /// The kernel's lifetime of the address, in whole seconds.
    fn address_lifetime(&self) -> u64 {
        nanoseconds(self.settings.takeover_after * 4 / 5).div_ceil(SECOND) * SECOND
    }

    pub(crate) fn address_refresh(&mut self, node: NodeId, number: u64) {
        let current = self.hosts[place(node)]
            .daemon
            .as_ref()
            .is_some_and(|d| d.holds_address && d.refresh == number);
        if current {
            self.refresh_address(node);
        }
    }

    fn refresh_address(&mut self, node: NodeId) {
        let lifetime = self.address_lifetime();
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(daemon) = host.daemon.as_mut() else {
            return;
        };
        let end = Instant(local.0 + lifetime);
        let permit = daemon.permit.map_or(end, |(_, until)| until);
        // Whole seconds again: the kernel counts nothing smaller.
        let permitted = permit.0.saturating_sub(local.0).div_ceil(SECOND);
        if permitted > 0 {
            let until = Instant(local.0 + lifetime.min(permitted.saturating_mul(SECOND)));
            host.address_until = Some(until);
        }
        daemon.refresh += 1;
        let (scope, number) = (Scope::Daemon(node, daemon.incarnation), daemon.refresh);
        let unit = self.settings.unit();
        self.after(
            (lifetime / 4).min(unit / 4),
            scope,
            Happening::AddressRefresh(number),
        );
    }

    // Checkers

    /// The checkers begin to watch the services.
    pub(crate) fn watch(&mut self, node: NodeId) {
        let unit = self.settings.unit();
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.watching = true;
        daemon.check += 1;
        let (scope, number) = (Scope::Daemon(node, daemon.incarnation), daemon.check);
        let delay = self.random.between(unit / 20, unit / 3);
        self.after(delay, scope, Happening::Check(number));
    }

    /// They look.
    pub(crate) fn check(&mut self, node: NodeId, number: u64) {
        let host = &self.hosts[place(node)];
        let Some(daemon) = host.daemon.as_ref() else {
            return;
        };
        if daemon.check != number || !daemon.watching {
            return;
        }
        let down = host.services.state == ServicesState::Stopped;
        let masked = host.services.fault == crate::host::ServicesFault::Masked;
        if down {
            if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
                daemon.watching = false;
            }
            self.feed(node, Event::ServiceDown(failure("is down", masked)));
        } else {
            self.watch(node);
        }
    }

    /// An outcome reaches the core.
    pub(crate) fn outcome(&mut self, node: NodeId, event: Event) {
        match &event {
            Event::ServicesStarted(_) => self.watch(node),
            Event::MirrorDone { id, .. } | Event::MirrorRefused { id, .. } => {
                if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
                    daemon.sent.retain(|sent| sent != id);
                }
            }
            Event::MirrorLost => return self.mirror_lost(node),
            _ => {}
        }
        self.feed(node, event);
    }

    /// The mirror's process is gone: what it had been sent counts as refused, its permit is void,
    /// and it is started again.
    fn mirror_lost(&mut self, node: NodeId) {
        let delay = self.random.between(20, 500) * MILLISECOND;
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.mirror_connected = false;
        daemon.permit = None;
        let void = core::mem::take(&mut daemon.sent);
        let scope = Scope::Daemon(node, daemon.incarnation);
        self.after(delay, scope, Happening::EnsureMirror);
        self.feed(node, Event::MirrorLost);
        for id in void {
            let reason = "the mirror's process was lost".into();
            self.feed(node, Event::MirrorRefused { id, reason });
        }
    }
}

/// An effect in the trace; records in short.
fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Persist { id, durable } => format!(
            "Persist({}) record {}, proposal {}, {:?}",
            id.0,
            record_text(durable.record.as_ref()),
            record_text(durable.proposal.as_ref()),
            durable.wanted
        ),
        Effect::Decided { row, because } => match row {
            Some(row) => format!("{row}: {because}"),
            None => because.clone(),
        },
        effect => format!("{effect:?}"),
    }
}

/// A record in short.
#[must_use]
pub fn record_text(record: Option<&Record>) -> String {
    let Some(record) = record else {
        return "none".into();
    };
    let insync = match record.insync {
        InSync::Both => "both",
        InSync::Only(NodeId::One) => "{1}",
        InSync::Only(NodeId::Two) => "{2}",
    };
    let mark = |set: bool, word: &'static str| if set { word } else { "" };
    format!(
        "v{} e{} {} {insync} {}{}{}{}",
        record.version,
        record.epoch,
        record.holder,
        record.lineage.current,
        mark(record.clean, " clean"),
        mark(!record.confirmed, " unconfirmed"),
        mark(record.forced, " forced"),
    )
}
