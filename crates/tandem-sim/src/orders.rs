//! What the daemon orders its mirror to do: one command at a time, in order; the end of a session
//! and the release of the peer interrupt a drain.

use crate::clock::MILLISECOND;
use crate::mirror::{Busy, Frame, Operation, Session, Source};
use crate::network::place;
use crate::queue::{Happening, Scope, ToMirror};
use crate::world::World;
use tandem_core::{EffectId, Event, MirrorCommand, MirrorFault, MirrorRole, NodeId, Sequence};

impl World {
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

    pub(crate) fn command_done(&mut self, node: NodeId, id: EffectId, position: u64) {
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
        let unfit = host.volume.unfit();
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
            (
                MirrorCommand::Serve { forced: false, .. },
                MirrorRole::Idle | MirrorRole::Sealed { .. },
            ) if unfit => Some("the copy was compared by half or set back"),
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
                ..
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
            MirrorCommand::Follow { epoch, forget, .. } => {
                host.volume.epoch = host.volume.epoch.max(epoch.0);
                let raised = forget || mirror.role != MirrorRole::Following { epoch };
                mirror.role = MirrorRole::Following { epoch };
                if matches!(mirror.fault, Some(MirrorFault::Apply(_))) {
                    mirror.fault = None;
                }
                position = mirror.follower.applied;
                let old = mirror.connection.filter(|_| raised);
                if raised {
                    mirror.follower.level = false;
                }
                if forget {
                    host.volume.base = None;
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
    pub(crate) fn end_following(&mut self, node: NodeId) {
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
}
