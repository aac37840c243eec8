//! A mirror as a process: its life, its socket to the daemon, and what it reports.

use crate::clock::{MILLISECOND, nanoseconds};
use crate::mirror::{Mirror, Summary};
use crate::network::place;
use crate::queue::{Happening, Scope, ToMirror};
use crate::world::World;
use tandem_core::{Event, Incarnation, MirrorFault, MirrorRole, MirrorStatus, NodeId, Sequence};

impl World {
    /// The daemon starts its mirror if none runs, and connects to it.
    pub(crate) fn ensure_mirror(&mut self, node: NodeId) {
        self.mirrors += 1;
        let incarnation = self.mirrors;
        let host = &mut self.hosts[place(node)];
        if host.mirror.is_none() {
            host.mirror = Some(Mirror::new(incarnation));
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
        self.happens_at_last(node, deferred);
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
            inconsistent: (host.volume.unfit() && mirror.serving().is_none())
                .then(|| "compared by half or set back".into()),
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
}
