//! The simulated world: two machines, the wires between them, an operator, and one queue of
//! happenings in virtual time.
//!
//! Everything that happens is drawn from the seed. Nothing here reads a clock, iterates a hash map
//! or depends on addresses, so a seed is a whole history.

use crate::clock::{Time, nanoseconds};
use crate::host::Host;
use crate::mirror::Frame;
use crate::network::{Connection, Wires, place};
use crate::operator::Settling;
use crate::queue::{Happening, Queue, Scope};
use crate::random::Random;
use crate::scenario::Script;
use crate::settings::Settings;
use crate::statistics::Statistics;
use crate::truth::{Truth, Violation};
use core::time::Duration;
use std::rc::Rc;
use tandem_core::{ChannelId, Config, Event, NodeId, PeerMessage};

/// Both nodes.
pub const NODES: [NodeId; 2] = [NodeId::One, NodeId::Two];

/// The datagrams that a stopped process finds in its socket when it goes on.
const SOCKET_BACKLOG: usize = 128;
/// The happenings of one run. More is a loop somewhere.
const HAPPENINGS_MAX: u64 = 4_000_000;

/// The world.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Time,
    pub(crate) queue: Queue,
    pub(crate) random: Random,
    pub(crate) settings: Settings,
    /// The machines.
    pub hosts: [Host; 2],
    pub(crate) wires: Wires,
    pub(crate) control: Option<Connection<Rc<PeerMessage>>>,
    pub(crate) stream: Option<Connection<Frame>>,
    pub(crate) truth: Truth,
    /// What was counted.
    pub statistics: Statistics,
    /// The first finding.
    pub violation: Option<Violation>,
    pub(crate) tracing: bool,
    /// The trace, newest last.
    pub trace: Vec<String>,
    pub(crate) daemons: u64,
    pub(crate) mirrors: u64,
    pub(crate) commands: u64,
    pub(crate) writes: u64,
    /// A machine that is no node answers for the virtual address.
    pub(crate) stranger: bool,
    /// The application is quiet.
    pub(crate) quiet: bool,
    /// Since when a channel joins two healthy nodes.
    pub(crate) joined: Option<Time>,
    /// Since when each machine can be asked for the address.
    pub(crate) reachable: Option<Time>,
    /// When each machine went on after its last pause.
    pub(crate) resumed: [Option<Time>; 2],
    /// The licence ended with a pair that served, and nobody has asked for anything since.
    pub(crate) licence_ended: bool,
    pub(crate) settling: Settling,
    pub(crate) healed: bool,
    pub(crate) healed_at: Time,
    pub(crate) script: Option<Script>,
    pub(crate) finished: bool,
}

impl World {
    /// A world before anything happened.
    #[must_use]
    pub fn new(settings: Settings, tracing: bool) -> Self {
        let random = Random::new(settings.seed);
        let wires = Wires::new(settings.networks);
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            random,
            hosts: [Host::new(NodeId::One, 0), Host::new(NodeId::Two, 0)],
            wires,
            settings,
            control: None,
            stream: None,
            truth: Truth::default(),
            statistics: Statistics::default(),
            violation: None,
            tracing,
            trace: Vec::new(),
            daemons: 0,
            mirrors: 0,
            commands: 0,
            writes: 0,
            stranger: false,
            quiet: false,
            joined: None,
            reachable: None,
            resumed: [None; 2],
            licence_ended: false,
            settling: Settling::default(),
            healed: false,
            healed_at: 0,
            script: None,
            finished: false,
        };
        for host in &mut world.hosts {
            host.durable.switches.failover = world.settings.failover;
            host.durable.switches.boot_start = world.settings.boot_start;
        }
        world
    }

    /// Runs to its end.
    pub fn run(&mut self) {
        while !self.finished && self.violation.is_none() {
            let Some((at, scope, happening)) = self.queue.pop() else {
                return self.violate("liveness", "nothing happens any more".into());
            };
            self.now = self.now.max(at);
            self.statistics.happenings += 1;
            if self.statistics.happenings > HAPPENINGS_MAX {
                return self.violate("total", "the run has no end".into());
            }
            self.happen(scope, happening);
        }
    }

    /// Adds a happening after `delay`.
    pub(crate) fn after(&mut self, delay: Time, scope: Scope, happening: Happening) {
        self.queue.push(self.now + delay, scope, happening);
    }

    /// A line of the trace.
    pub(crate) fn note(&mut self, node: NodeId, line: impl FnOnce() -> String) {
        if self.tracing {
            let seconds = self.now as f64 / 1e9;
            self.trace.push(format!("{seconds:10.4} {node} {}", line()));
        }
    }

    fn happen(&mut self, scope: Scope, happening: Happening) {
        let node = match scope {
            Scope::World => return self.happen_in_world(happening),
            Scope::Host(node, _) | Scope::Daemon(node, _) | Scope::Mirror(node, _) => node,
        };
        let host = &mut self.hosts[place(node)];
        let alive = host.up
            && match scope {
                Scope::World => true,
                Scope::Host(_, boot) => host.boot == boot,
                Scope::Daemon(_, incarnation) => host
                    .daemon
                    .as_ref()
                    .is_some_and(|d| d.incarnation == incarnation),
                Scope::Mirror(_, incarnation) => host
                    .mirror
                    .as_ref()
                    .is_some_and(|m| m.incarnation == incarnation),
            };
        if !alive {
            return;
        }
        if host.paused {
            host.deferred.push((scope, happening));
            return;
        }
        if let Some((_, happening)) = self.unless_stopped(node, scope, happening) {
            self.happen_on(node, happening);
        }
    }

    /// What a stopped process is to hear waits until it goes on; anything else is given back.
    pub(crate) fn unless_stopped(
        &mut self,
        node: NodeId,
        scope: Scope,
        happening: Happening,
    ) -> Option<(Scope, Happening)> {
        let host = &mut self.hosts[place(node)];
        let to_daemon = matches!(
            happening,
            Happening::Datagram(..) | Happening::ControlFrame(..)
        ) || matches!(scope, Scope::Daemon(..));
        if let Some(daemon) = host.daemon.as_mut().filter(|d| d.paused && to_daemon) {
            let datagram = matches!(happening, Happening::Datagram(..));
            let waiting = daemon
                .deferred
                .iter()
                .filter(|(_, h)| matches!(h, Happening::Datagram(..)))
                .count();
            if !datagram || waiting < SOCKET_BACKLOG {
                daemon.deferred.push((scope, happening));
            }
            return None;
        }
        if let Some(mirror) = host.mirror.as_mut()
            && mirror.paused
            && matches!(scope, Scope::Mirror(..))
        {
            mirror.deferred.push((scope, happening));
            return None;
        }
        Some((scope, happening))
    }

    fn happen_on(&mut self, node: NodeId, happening: Happening) {
        match happening {
            Happening::Tick(number) => self.tick(node, number),
            Happening::PersistEnds => self.persist_ends(node),
            Happening::Outcome(event) => match *event {
                Event::Received { channel, message } => self.receive(node, channel, &message),
                event => self.outcome(node, event),
            },
            Happening::EnsureMirror => self.ensure_mirror(node),
            Happening::ProbeEnds(id) => self.probe_ends(node, id),
            Happening::AddressSet(id) => self.address_set(node, id),
            Happening::AddressRemoved(id) => self.address_removed(node, id),
            Happening::AddressRefresh(number) => self.address_refresh(node, number),
            Happening::Check(number) => self.check(node, number),
            Happening::Datagram(number, message) => {
                self.receive(node, ChannelId::Network(number), &message);
            }
            Happening::ControlFrame(id, message) => {
                if self.control.as_ref().is_some_and(|c| c.id == id) {
                    self.receive(node, ChannelId::Control, &message);
                }
            }
            Happening::ServicesEnd(job) => self.services_end(node, job),
            Happening::Application(course) => self.application_acts(node, course),
            Happening::StartDaemon => self.start_daemon(node),
            Happening::ToMirror(what) => self.mirror_told(node, what),
            Happening::MirrorTick => self.mirror_tick(node),
            Happening::CommandEnds(number) => self.command_ends(node, number),
            Happening::LocalSynced(token) => self.local_synced(node, token),
            Happening::CompareStep(connection) => self.compare_step(node, connection),
            Happening::StreamFrame(connection, frame) => {
                self.stream_frame(node, connection, *frame);
            }
            Happening::StreamClosed(connection) => self.stream_closed(node, connection),
            Happening::Apply => self.apply(node),
            Happening::FollowerSynced {
                connection,
                sequence,
                piece,
                level,
            } => self.follower_synced(node, connection, sequence, piece, level),
            Happening::Chaos
            | Happening::FaultEnds(_)
            | Happening::Operator
            | Happening::Settle
            | Happening::Links
            | Happening::Sample
            | Happening::Script
            | Happening::Heal => self.happen_in_world(happening),
        }
    }

    fn happen_in_world(&mut self, happening: Happening) {
        let unit = self.settings.unit();
        match happening {
            Happening::Chaos => self.chaos(),
            Happening::FaultEnds(fault) => self.fault_ends(fault),
            Happening::Operator => self.operate(),
            Happening::Settle => self.settle(),
            Happening::Links => {
                self.look_after_links();
                self.after(unit / 10, Scope::World, Happening::Links);
            }
            Happening::Sample => {
                self.sample();
                self.after(unit / 4, Scope::World, Happening::Sample);
            }
            Happening::Script => self.script_step(),
            Happening::Heal => self.heal(),
            _ => {}
        }
    }

    // Ordered connections

    pub(crate) fn send_control(&mut self, node: NodeId, message: Rc<PeerMessage>) {
        let Some(connection) = self.control.as_mut() else {
            return;
        };
        let (id, from) = (connection.id, place(node));
        let at = if connection.backlog[from].is_empty() {
            self.wires.frame(
                connection,
                ChannelId::Control,
                node,
                self.now,
                &mut self.random,
            )
        } else {
            None
        };
        match at {
            Some(at) => {
                let scope = self.hosts[place(node.peer())].scope();
                self.queue
                    .push(at, scope, Happening::ControlFrame(id, message));
            }
            None => {
                if connection.backlog[from].len() < crate::network::BACKLOG_MAX {
                    connection.backlog[from].push_back(message);
                }
            }
        }
    }

    /// Delivers what waited for an open way, breaks what waited too long, connects again.
    fn look_after_links(&mut self) {
        let limit = self.settings.unit();
        // A daemon that does not read is found out by its own keepalive.
        let reads = self
            .hosts
            .iter()
            .all(|h| !h.paused && h.daemon.as_ref().is_none_or(|d| !d.paused));
        let control_open = self.wires.open_both(ChannelId::Control) && reads;
        if let Some(control) = self.control.as_mut() {
            if control_open {
                control.cut_since = None;
            } else {
                let since = *control.cut_since.get_or_insert(self.now);
                if self.now - since > limit {
                    self.control = None;
                }
            }
        } else if control_open && self.random.chance(400) {
            let both = self.hosts.iter().all(|h| h.up && h.daemon.is_some());
            if both {
                self.control = Some(self.wires.connect());
            }
        }
        for node in NODES {
            if self.wires.open(ChannelId::Control, node)
                && let Some(control) = self.control.as_mut()
            {
                let waiting = core::mem::take(&mut control.backlog[place(node)]);
                for message in waiting {
                    self.send_control(node, message);
                }
            }
            if self.wires.open(ChannelId::Stream, node)
                && let Some(stream) = self.stream.as_mut()
            {
                let id = stream.id;
                let waiting = core::mem::take(&mut stream.backlog[place(node)]);
                if self.mirror(node).and_then(|m| m.connection) == Some(id) {
                    for frame in waiting {
                        self.stream_send(node, frame);
                    }
                }
            }
        }
    }
}

impl Settings {
    /// The core's own durations.
    fn config(&self) -> Config {
        Config::new(NodeId::One, self.takeover_after)
    }

    /// How often heartbeats go out.
    #[must_use]
    pub fn heartbeat(&self) -> Time {
        nanoseconds(self.config().heartbeat_interval())
    }

    /// How long an acknowledgement may wait for the peer.
    #[must_use]
    pub fn stall_limit(&self) -> Duration {
        self.config().stall_limit()
    }
}
