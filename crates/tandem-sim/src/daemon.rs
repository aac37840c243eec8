//! The interpreter of a core's effects: what the real daemon does, in virtual time.

use crate::clock::{MILLISECOND, Time};
use crate::host::StateDisk;
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::world::World;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tandem_core::{
    Command, Config, ConfigurationDigest, Durable, Effect, EffectId, Epoch, Event, Instant,
    MirrorCommand, Node, NodeId, State, event::Boot,
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
    pub(crate) tick: u64,
    /// When it is due.
    pub(crate) tick_at: Option<Time>,
    /// States to be written; the first one is being written.
    pub writes: VecDeque<(EffectId, Box<Durable>)>,
    /// The write in hand does not come back.
    pub write_stuck: bool,
    /// Its socket to the mirror is open.
    pub mirror_connected: bool,
    /// Commands for a mirror that is not connected.
    pub(crate) held: VecDeque<(EffectId, MirrorCommand)>,
    /// Commands that the mirror was sent and has not answered.
    pub(crate) sent: Vec<EffectId>,
    /// The newest permit.
    pub(crate) permit: Option<(Epoch, Instant)>,
    /// It keeps the address alive.
    pub(crate) holds_address: bool,
    /// It found its mirror serving when it started.
    pub(crate) found_serving: bool,
    /// The newest order about the address.
    pub(crate) address_order: Option<EffectId>,
    /// The number of the newest refresh.
    pub(crate) refresh: u64,
    /// The checkers watch the services.
    pub watching: bool,
    /// The number of the newest check.
    pub(crate) check: u64,
    /// What the core showed last.
    pub state: State,
    /// Commands without a final answer.
    pub unanswered: BTreeMap<u64, (Command, Time)>,
    /// Turns in the current interval.
    pub(crate) turns: (Time, u64),
    /// What its mirror reported last, for the trace.
    pub(crate) said: String,
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
        config.start_alone_after = self.settings.start_alone_after;
        config.preferred = self.settings.preferred;
        config.service_limit = self.settings.service_limit;
        self.settings.sabotage(&mut config);
        let local = host.clock.local(now);
        let core = match catch_unwind(AssertUnwindSafe(|| Node::new(config, boot, local))) {
            Ok(core) => core,
            Err(_) => return self.violate("total", "the core panicked at its start".into()),
        };
        self.truth.daemon_started(node);
        // The new process is told later.
        self.licence_ended = false;
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
            found_serving: serves,
            address_order: None,
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
        self.tell_surroundings(node);
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
        self.happens_at_last(node, deferred);
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

    /// Carries out what the core wants.
    pub(crate) fn absorb(&mut self, node: NodeId) {
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
        self.check_licence_end(node, before, after);
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
}
