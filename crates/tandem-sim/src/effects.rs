//! How a core's effects are carried out, and how their outcomes come back.

use crate::clock::{MILLISECOND, SECOND, nanoseconds};
use crate::host::{ServicesState, StateDisk, failure};
use crate::network::place;
use crate::queue::{Happening, Scope, ToMirror, channels};
use crate::trace::effect_text;
use crate::world::World;
use std::collections::VecDeque;
use std::rc::Rc;
use tandem_core::{
    Answer, ChannelId, Command, CommandId, Durable, Effect, EffectId, Epoch, Event, Instant,
    MirrorCommand, NodeId, PeerMessage, ServiceFailure, ServiceStop,
};

impl World {
    pub(crate) fn carry_out(&mut self, node: NodeId, effect: Effect) {
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
                self.address_ordered(node, id);
                let unit = self.settings.unit();
                let delay = self.random.between(unit / 50, unit / 10);
                self.after(delay, scope, Happening::ProbeEnds(id));
            }
            Effect::HoldAddress(id) => {
                self.check_address_asked_for(node);
                self.address_ordered(node, id);
                let delay = self.random.between(1, 10) * MILLISECOND;
                self.after(delay, scope, Happening::AddressSet(id));
            }
            Effect::KeepAddress(id) => {
                self.address_ordered(node, id);
                if self.has_address(node) {
                    let delay = self.random.between(1, 10) * MILLISECOND;
                    self.after(delay, scope, Happening::AddressSet(id));
                } else {
                    let gone = Box::new(Event::AddressGone(id));
                    self.after(MILLISECOND, scope, Happening::Outcome(gone));
                }
            }
            Effect::DropAddress(id) => {
                self.address_ordered(node, id);
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

    pub(crate) fn answered(&mut self, node: NodeId, id: CommandId, answer: &Answer) {
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        let asked = daemon.unanswered.get(&id.0).map(|(command, _)| *command);
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
        if asked == Some(Command::SecondFullSync) {
            self.full_sync_answered(node, answer);
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
        self.licence_ended = false;
        if command == Command::PrimForce {
            self.statistics.forced += 1;
        }
        if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
            daemon.unanswered.insert(number, (command, now));
        }
        if command == Command::SecondFullSync {
            self.full_sync_asked(node);
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

    pub(crate) fn state_written(&mut self, node: NodeId, durable: Durable) {
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
            // What was to begin is not wanted any more, and the next process must not begin it.
            let closes = command == MirrorCommand::Close;
            let void = if closes {
                core::mem::take(&mut daemon.held)
            } else {
                VecDeque::new()
            };
            daemon.held.push_back((id, command));
            let scope = Scope::Daemon(node, daemon.incarnation);
            for (id, _) in void {
                let reason = "the session was closed before the mirror could be told".into();
                let refused = Event::MirrorRefused { id, reason };
                self.after(
                    MILLISECOND / 20,
                    scope,
                    Happening::Outcome(Box::new(refused)),
                );
            }
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

    /// The newest order ends what an older one was doing, without an outcome.
    fn address_ordered(&mut self, node: NodeId, id: EffectId) {
        if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
            daemon.address_order = Some(id);
        }
    }

    fn address_order_stands(&self, node: NodeId, id: EffectId) -> bool {
        let daemon = self.hosts[place(node)].daemon.as_ref();
        daemon.is_some_and(|d| d.address_order == Some(id))
    }

    /// The answer to the probe: another machine has the address, if it can be asked.
    pub(crate) fn probe_ends(&mut self, node: NodeId, id: EffectId) {
        if !self.address_order_stands(node, id) {
            return;
        }
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
        if !self.address_order_stands(node, id) {
            return;
        }
        let Some(daemon) = self.hosts[place(node)].daemon.as_mut() else {
            return;
        };
        daemon.holds_address = true;
        if !self.has_address(node) {
            self.check_one_address(node);
        }
        self.refresh_address(node);
        self.feed(node, Event::AddressHeld(id));
    }

    /// The address is removed.
    pub(crate) fn address_removed(&mut self, node: NodeId, id: EffectId) {
        if !self.address_order_stands(node, id) {
            return;
        }
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
        // As the daemon renews it: by what its core shows, whatever the mirror was told.
        let view = daemon.core.view();
        let permit = view.permit_until.filter(|_| view.state.serves());
        let permit = permit.unwrap_or(Instant(0));
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
        let requested = host.services.requested;
        if down {
            if let Some(daemon) = self.hosts[place(node)].daemon.as_mut() {
                daemon.watching = false;
            }
            let failure = ServiceFailure {
                requested,
                ..failure("is down", masked)
            };
            self.feed(node, Event::ServiceDown(failure));
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
