//! What a mirror does in the world: commands of the daemon, requests of the application, status.

use crate::clock::{MILLISECOND, nanoseconds};
use crate::mirror::{Busy, Frame, Mirror, Operation, Session, Source, Summary, Waiting};
use crate::network::place;
use crate::queue::{Happening, Scope, ToMirror};
use crate::world::World;
use std::rc::Rc;
use tandem_core::{
    EffectId, Event, Incarnation, MirrorCommand, MirrorFault, MirrorRole, MirrorStatus, NodeId,
    PeerCopy, Sequence,
};

impl World {
    /// The daemon starts its mirror if none runs, and connects to it.
    pub(crate) fn ensure_mirror(&mut self, node: NodeId) {
        self.mirrors += 1;
        let incarnation = self.mirrors;
        let host = &mut self.hosts[place(node)];
        if host.mirror.is_none() {
            let fault = host.volume.rolled_back.then(|| {
                MirrorFault::Volume("the volume is older than this node's own position".into())
            });
            host.mirror = Some(Mirror::new(incarnation, fault));
            self.note(node, || format!("mirror {incarnation} starts"));
            self.after(
                MILLISECOND,
                Scope::Mirror(node, incarnation),
                Happening::MirrorTick,
            );
        }
        self.mirror_connects(node);
        self.updated_joined();
    }

    /// The mirror's process is gone. The page cache stays; mounts, queue and connections do not.
    pub(crate) fn end_mirror(&mut self, node: NodeId) {
        let Some(mirror) = self.hosts[place(node)].mirror.take() else {
            return;
        };
        self.note(node, || "mirror dies".into());
        if matches!(mirror.fault, Some(MirrorFault::LocalDisk(_))) {
            // After a failed sync the page cache lies: what was not synced is gone.
            let host = &mut self.hosts[place(node)];
            host.volume.lose_power(&mut self.random);
        }
        if let Some(connection) = mirror.connection {
            self.stream_breaks(node, connection);
        }
        if mirror.serving().is_some() {
            self.truth.session_ended(node);
            self.hosts[place(node)].unmounted = self.now;
            self.services_die(node);
        }
        if let Some(daemon) = self.hosts[place(node)].daemon.as_ref() {
            let scope = Scope::Daemon(node, daemon.incarnation);
            self.after(
                MILLISECOND,
                scope,
                Happening::Outcome(Box::new(Event::MirrorLost)),
            );
        }
        self.updated_joined();
    }

    /// Stops the mirror's process with a signal, or lets it go on.
    pub(crate) fn pause_mirror(&mut self, node: NodeId, paused: bool) {
        let Some(mirror) = self.hosts[place(node)].mirror.as_mut() else {
            return;
        };
        if mirror.paused == paused {
            return;
        }
        mirror.paused = paused;
        let deferred = core::mem::take(&mut mirror.deferred);
        self.note(node, || {
            format!("mirror {}", if paused { "is stopped" } else { "goes on" })
        });
        for (scope, happening) in deferred {
            self.after(0, scope, happening);
        }
        self.updated_joined();
    }

    /// Whether the application's directory is mounted.
    pub(crate) fn serving_mirror(&self, node: NodeId) -> bool {
        self.mirror(node).is_some_and(|m| m.serving().is_some())
    }

    pub(crate) fn mirror(&self, node: NodeId) -> Option<&Mirror> {
        self.hosts[place(node)].mirror.as_ref()
    }

    pub(crate) fn mirror_mut(&mut self, node: NodeId) -> Option<&mut Mirror> {
        self.hosts[place(node)].mirror.as_mut()
    }

    /// Sends over the local socket, in order.
    pub(crate) fn tell_mirror(&mut self, node: NodeId, what: ToMirror) {
        let delay = self.random.between(MILLISECOND / 20, MILLISECOND / 2);
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let connected = host.daemon.as_ref().is_some_and(|d| d.mirror_connected);
        let Some(mirror) = host.mirror.as_ref().filter(|_| connected) else {
            return;
        };
        host.socket[0] = (host.socket[0] + 1).max(now + delay);
        let scope = Scope::Mirror(node, mirror.incarnation);
        self.queue
            .push(host.socket[0], scope, Happening::ToMirror(what));
    }

    /// Sends to the daemon over the local socket, in order.
    pub(crate) fn tell_daemon(&mut self, node: NodeId, happening: Happening) {
        let delay = self.random.between(MILLISECOND / 20, MILLISECOND / 2);
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let Some(daemon) = host.daemon.as_ref().filter(|d| d.mirror_connected) else {
            return;
        };
        host.socket[1] = (host.socket[1] + 1).max(now + delay);
        let scope = Scope::Daemon(node, daemon.incarnation);
        self.queue.push(host.socket[1], scope, happening);
    }

    /// What the mirror would report.
    pub(crate) fn mirror_status(&self, node: NodeId) -> Option<MirrorStatus> {
        let host = &self.hosts[place(node)];
        let mirror = host.mirror.as_ref()?;
        let local = host.clock.local(self.now);
        let limit = self.settings.stall_limit();
        let source = &mirror.source;
        let following = matches!(mirror.role, MirrorRole::Following { .. });
        let (position, acknowledged) = match mirror.role {
            MirrorRole::Serving { .. } => (source.position, source.applied),
            MirrorRole::Following { .. } => (mirror.follower.applied, mirror.follower.received),
            MirrorRole::Sealed { .. } | MirrorRole::Idle => {
                (host.volume.position, host.volume.position)
            }
        };
        let oldest = source.waiting.iter().map(|w| w.since).min();
        Some(MirrorStatus {
            incarnation: Incarnation(mirror.incarnation),
            role: mirror.role,
            peer: mirror.peer_copy(),
            stalled: mirror.stalled(local, limit),
            level: following && mirror.follower.level,
            lapsed: mirror.lapsed,
            permit_until: match (mirror.serving(), mirror.permit) {
                (Some(epoch), Some((of, until))) if of == epoch => until,
                _ => tandem_core::Instant(0),
            },
            fault: mirror.fault.clone(),
            position: Sequence(position),
            acknowledged: Sequence(acknowledged),
            exposure_bytes: 0,
            exposure_age: core::time::Duration::ZERO,
            completion_age: oldest.map_or(core::time::Duration::ZERO, |since| local.since(since)),
            data_bytes: host.volume.page.count(),
        })
    }

    /// Reports now.
    pub(crate) fn mirror_report(&mut self, node: NodeId) {
        let now = self.now;
        let Some(status) = self.mirror_status(node) else {
            return;
        };
        let summary = Summary {
            role: status.role,
            peer: core::mem::discriminant(&status.peer),
            flags: [status.stalled, status.level, status.lapsed],
            fault: status.fault.clone(),
        };
        if let Some(mirror) = self.mirror_mut(node) {
            mirror.reported = Some(summary);
            mirror.reported_at = now;
        }
        let event = Box::new(Event::MirrorReported(status));
        self.tell_daemon(node, Happening::Outcome(event));
    }

    /// Reports if something changed, or nothing was reported for long.
    pub(crate) fn mirror_changed(&mut self, node: NodeId) {
        let (now, interval) = (self.now, self.settings.heartbeat());
        let host = &self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_ref() else {
            return;
        };
        let local = host.clock.local(now);
        let same = mirror.reported.as_ref().is_some_and(|last| {
            let peer = core::mem::discriminant(&mirror.peer_copy());
            let level =
                matches!(mirror.role, MirrorRole::Following { .. }) && mirror.follower.level;
            let stalled = mirror.stalled(local, self.settings.stall_limit());
            last.role == mirror.role
                && last.peer == peer
                && last.flags == [stalled, level, mirror.lapsed]
                && last.fault == mirror.fault
        });
        if !same || now - mirror.reported_at >= interval {
            self.mirror_report(node);
        }
    }

    /// The mirror looks around: permit, connection, silence, status.
    pub(crate) fn mirror_tick(&mut self, node: NodeId) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        let scope = Scope::Mirror(node, mirror.incarnation);
        mirror.permitted(local);
        let limit = self.settings.stall_limit();
        let drain = mirror.source.drain.filter(|(_, _, until)| local >= *until);
        if let Some((id, _, _)) = drain {
            mirror.source.drain = None;
            mirror.source.refusing = false;
            mirror.busy = None;
            self.refuse_command(node, id, "the peer did not get level in time");
            self.next_command(node);
        }
        self.stream_tick(node);
        self.mirror_changed(node);
        let period = (nanoseconds(limit) / 5).max(10 * MILLISECOND);
        self.after(period, scope, Happening::MirrorTick);
    }

    /// A message of the daemon's.
    pub(crate) fn mirror_told(&mut self, node: NodeId, what: ToMirror) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        match what {
            ToMirror::Permit(epoch, until) => {
                mirror.take_permit(epoch, until, local);
                self.reply(node);
                self.mirror_changed(node);
            }
            ToMirror::Gossip(message) => {
                let begun = !matches!(mirror.source.session, Session::None | Session::Hello);
                let follows = matches!(mirror.role, MirrorRole::Following { .. });
                if mirror.connection.is_some() && (begun || follows) {
                    self.stream_send(node, Frame::Gossip(message));
                }
            }
            ToMirror::Command(id, command) => {
                mirror.commands.push_back((id, command.clone()));
                let draining = mirror
                    .busy
                    .as_ref()
                    .is_some_and(|b| b.command == MirrorCommand::Drain);
                let ends = matches!(
                    command,
                    MirrorCommand::Close | MirrorCommand::ReleasePeer { .. }
                );
                if draining && ends {
                    mirror.busy = None;
                    if let Some((drain, _, _)) = mirror.source.drain.take() {
                        mirror.source.refusing = false;
                        self.refuse_command(node, drain, "another command came");
                    }
                }
                self.next_command(node);
            }
        }
    }

    pub(crate) fn refuse_command(&mut self, node: NodeId, id: EffectId, reason: &str) {
        let event = Event::MirrorRefused {
            id,
            reason: reason.into(),
        };
        self.tell_daemon(node, Happening::Outcome(Box::new(event)));
    }

    fn command_done(&mut self, node: NodeId, id: EffectId, position: u64) {
        if !self.settings.done_first {
            self.mirror_changed(node);
        }
        let event = Event::MirrorDone {
            id,
            position: Sequence(position),
        };
        self.tell_daemon(node, Happening::Outcome(Box::new(event)));
        self.mirror_changed(node);
    }

    /// Begins the next command.
    pub(crate) fn next_command(&mut self, node: NodeId) {
        let unit = self.settings.unit();
        let host = &mut self.hosts[place(node)];
        let highest = host.volume.epoch;
        let local = host.clock.local(self.now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.busy.is_some() {
            return;
        }
        let Some((id, command)) = mirror.commands.pop_front() else {
            return;
        };
        let refusal = match (&command, mirror.role) {
            (MirrorCommand::Serve { epoch, .. }, MirrorRole::Idle | MirrorRole::Sealed { .. }) => {
                (epoch.0 < highest).then_some("the epoch is older than the highest one known")
            }
            (MirrorCommand::Serve { .. }, _) => Some("only an idle or sealed mirror can serve"),
            (MirrorCommand::Follow { .. }, MirrorRole::Serving { .. }) => {
                Some("a serving mirror cannot follow")
            }
            (MirrorCommand::Follow { epoch, .. }, _) => {
                (epoch.0 < highest).then_some("the epoch is older than the highest one known")
            }
            (MirrorCommand::Seal, MirrorRole::Following { .. } | MirrorRole::Sealed { .. }) => None,
            (MirrorCommand::Seal, _) => Some("nothing is followed"),
            (MirrorCommand::ReleasePeer { epoch, .. }, MirrorRole::Serving { epoch: mine, .. }) => {
                (*epoch < mine).then_some("a newer epoch is served")
            }
            (MirrorCommand::Drain, MirrorRole::Serving { .. }) => {
                (mirror.source.session != Session::Live).then_some("the peer is not level")
            }
            (MirrorCommand::ReleasePeer { .. } | MirrorCommand::Drain, _) => {
                Some("nothing is served")
            }
            (MirrorCommand::Close, _) => None,
        };
        if let Some(reason) = refusal {
            self.refuse_command(node, id, reason);
            return self.next_command(node);
        }
        let duration = match command {
            MirrorCommand::Serve { .. } => self.random.between(5 * MILLISECOND, unit / 8),
            MirrorCommand::Follow { .. } => self.random.between(MILLISECOND, unit / 20),
            MirrorCommand::Seal | MirrorCommand::Close => {
                self.random.between(2 * MILLISECOND, unit / 10)
            }
            MirrorCommand::ReleasePeer { .. } | MirrorCommand::Drain => MILLISECOND / 10,
        };
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        mirror.command_number += 1;
        let (scope, number) = (
            Scope::Mirror(node, mirror.incarnation),
            mirror.command_number,
        );
        let drains = command == MirrorCommand::Drain;
        let connection = mirror.connection;
        mirror.busy = Some(Busy { id, command });
        if drains {
            let limit = self.settings.stall_limit();
            if let Some(mirror) = self.mirror_mut(node) {
                mirror.source.refusing = true;
                mirror.source.drain = Some((id, u64::MAX, local.after(limit)));
            }
            let checkpoint = self.number(node, Operation::Checkpoint);
            if let Some(mirror) = self.mirror_mut(node) {
                mirror.source.drain = Some((id, checkpoint, local.after(limit)));
            }
            return;
        }
        let ends_session = matches!(
            self.mirror(node).and_then(|m| m.busy.as_ref()),
            Some(Busy {
                command: MirrorCommand::Seal | MirrorCommand::Close,
                ..
            })
        );
        if let Some(connection) = connection.filter(|_| ends_session) {
            self.stream_breaks(node, connection);
        }
        self.after(duration, scope, Happening::CommandEnds(number));
    }

    /// The command in hand has its effect.
    pub(crate) fn command_ends(&mut self, node: NodeId, number: u64) {
        let now = self.now;
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.command_number != number {
            return;
        }
        let Some(Busy { id, command }) = mirror.busy.take() else {
            return;
        };
        let mut position = 0;
        match command {
            MirrorCommand::Serve {
                epoch,
                generation,
                gated,
            } => {
                let first = if self.settings.numbers_begin_anew {
                    0
                } else {
                    host.volume.position
                };
                host.volume.epoch = host.volume.epoch.max(epoch.0);
                mirror.role = MirrorRole::Serving { epoch, gated };
                mirror.generation = generation;
                mirror.lapsed = false;
                mirror.permit = mirror.permit.filter(|(of, _)| *of == epoch);
                mirror.source = Source {
                    first,
                    position: first,
                    applied: first,
                    base: host.volume.base,
                    heard: local,
                    retry: now,
                    ..Source::default()
                };
                position = first;
                self.session_opens(node, epoch, generation);
                self.stream_tick(node);
            }
            MirrorCommand::Follow { epoch, .. } => {
                host.volume.epoch = host.volume.epoch.max(epoch.0);
                let raised = mirror.role != MirrorRole::Following { epoch };
                mirror.role = MirrorRole::Following { epoch };
                if matches!(mirror.fault, Some(MirrorFault::Apply(_))) {
                    mirror.fault = None;
                }
                position = mirror.follower.applied;
                let old = mirror.connection.filter(|_| raised);
                if raised {
                    mirror.follower.level = false;
                }
                if let Some(connection) = old {
                    self.stream_breaks(node, connection);
                }
            }
            MirrorCommand::Seal => {
                if let MirrorRole::Following { epoch } = mirror.role {
                    self.apply_all(node);
                    self.end_following(node);
                    if let Some(mirror) = self.mirror_mut(node) {
                        mirror.role = MirrorRole::Sealed { epoch };
                    }
                }
                position = self.hosts[place(node)].volume.position;
            }
            MirrorCommand::ReleasePeer { generation, epoch } => {
                let connection = mirror.connection;
                host.volume.epoch = host.volume.epoch.max(epoch.0);
                let raised = mirror.serving().is_some_and(|mine| mine < epoch);
                mirror.role = MirrorRole::Serving {
                    epoch,
                    gated: false,
                };
                mirror.generation = generation;
                mirror.source.level_with = None;
                mirror.source.base = None;
                mirror.source.blocked = false;
                mirror.source.provisional = false;
                mirror.source.refusing = false;
                mirror.source.drained = None;
                position = mirror.source.position;
                if let Some(connection) = connection {
                    self.stream_breaks(node, connection);
                }
                if raised {
                    self.epoch_raised(node, epoch);
                }
                self.generation_begins(node, generation);
                self.reply(node);
            }
            MirrorCommand::Drain => {}
            MirrorCommand::Close => position = self.close(node),
        }
        self.command_done(node, id, position);
        self.next_command(node);
        self.updated_joined();
    }

    fn close(&mut self, node: NodeId) -> u64 {
        let Some(mirror) = self.mirror_mut(node) else {
            return 0;
        };
        let broken = matches!(mirror.fault, Some(MirrorFault::LocalDisk(_)));
        let served = mirror.serving().is_some();
        let follows = matches!(mirror.role, MirrorRole::Following { .. });
        mirror.role = MirrorRole::Idle;
        if matches!(mirror.fault, Some(MirrorFault::Apply(_))) {
            mirror.fault = None;
        }
        if served {
            let (incarnation, position, drained) = (
                mirror.incarnation,
                mirror.source.position,
                mirror.source.drained,
            );
            mirror.source = Source::default();
            let volume = &mut self.hosts[place(node)].volume;
            volume.position = position;
            if !broken {
                volume.sync();
            }
            volume.base = drained.map(|number| (incarnation, number));
            self.truth.session_ended(node);
            self.hosts[place(node)].unmounted = self.now;
            self.services_die(node);
        } else if follows {
            self.apply_all(node);
            self.end_following(node);
        }
        self.hosts[place(node)].volume.position
    }

    /// What was received is applied and on disk; remembers a clean end.
    fn end_following(&mut self, node: NodeId) {
        let host = &mut self.hosts[place(node)];
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        host.volume.sync();
        host.volume.position = mirror.follower.applied;
        host.volume.base = mirror
            .follower
            .level
            .then_some((mirror.follower.stream, mirror.follower.applied));
        mirror.follower.queue.clear();
    }

    // The application

    /// The application writes. False if it has to wait.
    pub(crate) fn mirror_write(&mut self, node: NodeId, piece: usize) -> bool {
        let local = self.hosts[place(node)].clock.local(self.now);
        let limit = 4;
        let Some(mirror) = self.mirror_mut(node) else {
            return false;
        };
        let accepts = mirror.permitted(local)
            && !mirror.paused
            && mirror.fault.is_none()
            && !mirror.source.refusing
            && mirror.source.waiting.len() < limit;
        if !accepts {
            return false;
        }
        self.writes += 1;
        let number = self.writes;
        self.hosts[place(node)].volume.write(piece, number);
        let unlocked = self
            .settings
            .mirror_mutated(crate::mutation::Chosen::CompareWithoutLock);
        let sends = self.mirror(node).is_some_and(|m| match m.source.session {
            // From a clean start on, the numbers alone tell what the follower lacks.
            Session::None | Session::Hello => {
                m.source.level_with.is_some() || m.gated() || m.source.base.is_some()
            }
            Session::Compare { next } => piece < next || (unlocked && piece == next),
            Session::Ending(_) | Session::Levelling(_) | Session::Live => true,
        });
        if sends {
            self.number(node, Operation::Write { piece, number });
        }
        true
    }

    /// The application asks for a piece to be durable.
    pub(crate) fn mirror_sync(&mut self, node: NodeId, piece: usize) {
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(self.now);
        let snapshot = Rc::new(host.volume.page.pieces[piece].clone());
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        mirror.token += 1;
        let (token, gated) = (mirror.token, mirror.gated());
        let scope = Scope::Mirror(node, mirror.incarnation);
        mirror.source.waiting.push(Waiting {
            token,
            piece,
            snapshot,
            sequence: None,
            local: false,
            synced: false,
            peer: false,
            since: local,
        });
        if gated {
            let sequence = self.number(node, Operation::Sync { piece });
            if let Some(waiting) = self
                .mirror_mut(node)
                .and_then(|m| m.source.waiting.iter_mut().find(|w| w.token == token))
            {
                waiting.sequence = Some(sequence);
            }
        }
        let unit = self.settings.unit();
        let delay = self.random.between(MILLISECOND / 2, unit / 50);
        self.after(delay, scope, Happening::LocalSynced(token));
    }

    /// The local disk has it.
    pub(crate) fn local_synced(&mut self, node: NodeId, token: u64) {
        let host = &mut self.hosts[place(node)];
        let failed = core::mem::take(&mut host.local_fault);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        if mirror.serving().is_none() || mirror.fault.is_some() {
            return;
        }
        let Some(waiting) = mirror.source.waiting.iter_mut().find(|w| w.token == token) else {
            return;
        };
        if failed {
            mirror.fault = Some(MirrorFault::LocalDisk("a sync failed".into()));
            self.note(node, || "the local disk fails".into());
            return self.mirror_changed(node);
        }
        waiting.local = true;
        let piece = waiting.piece;
        host.volume.sync_piece(piece);
        self.reply(node);
    }

    /// Answers what may be answered: on disk where it has to be, and with a permit.
    pub(crate) fn reply(&mut self, node: NodeId) {
        let early = self
            .settings
            .mirror_mutated(crate::mutation::Chosen::EarlyAck);
        let host = &mut self.hosts[place(node)];
        let local = host.clock.local(self.now);
        let Some(mirror) = host.mirror.as_mut() else {
            return;
        };
        let gated = mirror.gated();
        let ready = |w: &Waiting| w.local && (!gated || w.peer || early);
        if mirror.fault.is_some()
            || !mirror.source.waiting.iter().any(ready)
            || !mirror.permitted(local)
        {
            return;
        }
        let (answered, waiting) = core::mem::take(&mut mirror.source.waiting)
            .into_iter()
            .partition(ready);
        mirror.source.waiting = waiting;
        let drained = mirror.source.waiting.is_empty();
        let answered: Vec<Waiting> = answered;
        for request in answered {
            self.acknowledged(node, request.piece, &request.snapshot, gated);
        }
        if drained {
            self.drain_progresses(node, None);
        }
    }

    /// A drain ends when its checkpoint is on the other disk and nothing waits.
    pub(crate) fn drain_progresses(&mut self, node: NodeId, synced: Option<u64>) {
        let Some(mirror) = self.mirror_mut(node) else {
            return;
        };
        let Some((id, checkpoint, _)) = mirror.source.drain else {
            return;
        };
        if synced == Some(checkpoint) {
            mirror.source.drained = Some(checkpoint);
        }
        if mirror.source.drained == Some(checkpoint) && mirror.source.waiting.is_empty() {
            mirror.source.drain = None;
            mirror.busy = None;
            self.command_done(node, id, checkpoint);
            self.next_command(node);
        }
    }

    /// Whether both copies show the peer as level and everything was applied.
    pub(crate) fn settled_stream(&self, source: NodeId) -> bool {
        let (Some(from), Some(to)) = (self.mirror(source), self.mirror(source.peer())) else {
            return false;
        };
        from.peer_copy() == PeerCopy::Level
            && from.connection == to.connection
            && to.listens()
            && to.follower.level
            && to.follower.stream == from.incarnation
            && to.follower.applied == from.source.position
            && to.follower.queue.is_empty()
    }
}
