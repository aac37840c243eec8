//! Two operators: one who asks for anything at any time, and one who wants the pair to serve.

use crate::clock::{SECOND, Time};
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::settings::Profile;
use crate::world::{NODES, World};
use tandem_core::{Command, DataState, NodeId, State, Switch, Tone};

/// What the settling operator remembers.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    begun: Time,
    paired: Option<Time>,
    /// Rounds without anybody serving.
    dark: u32,
    /// Rounds with a node that serves and is not ready, or waits without a change.
    stuck: u32,
    /// The random part has begun already.
    pub(crate) opened: bool,
}

impl Settling {
    /// From the beginning, now.
    pub(crate) fn restart(&mut self, now: Time) {
        *self = Self {
            begun: now,
            opened: true,
            ..Self::default()
        };
    }
}

/// What a node shows.
#[derive(Clone, Copy, Debug)]
struct Seen {
    state: State,
    tone: Tone,
    data: DataState,
    recorded: bool,
}

impl World {
    fn seen(&self, node: NodeId) -> Option<Seen> {
        let daemon = self.hosts[place(node)].daemon.as_ref()?;
        let view = daemon.core.view();
        Some(Seen {
            state: view.state,
            tone: view.tone,
            data: view.data,
            recorded: view.record.is_some(),
        })
    }

    /// The node that serves, as the states show it, if the pair is as it should be.
    pub(crate) fn paired(&self) -> Option<NodeId> {
        NODES.into_iter().find(|node| {
            let (Some(one), Some(other)) = (self.seen(*node), self.seen(node.peer())) else {
                return false;
            };
            let good = |s: Seen| s.tone == Tone::Ready && s.data == DataState::Uptodate;
            one.state == State::Prim && other.state == State::Second && good(one) && good(other)
        })
    }

    /// The operator who asks for anything.
    pub(crate) fn operate(&mut self) {
        if self.healed {
            return;
        }
        let unit = self.settings.unit();
        let busy = matches!(
            self.settings.profile,
            Profile::Operator | Profile::Chaos | Profile::Calm
        );
        if busy && self.random.chance(15) {
            self.end_licence();
        }
        let node = self.random.pick(&NODES);
        if self.runs(node)
            && let Some(seen) = self.seen(node)
        {
            let command = self.draw_command(seen, busy);
            // Who forces a machine that was set back beside the other one has been warned.
            let set_back = self.hosts[place(node)].volume.set_back && self.runs(node.peer());
            let command = command.filter(|c| *c != Command::PrimForce || !set_back);
            if let Some(command) = command {
                self.note(node, || format!("-------- operator: {command:?}"));
                self.command(node, command);
            }
        }
        let pause = if busy {
            self.random.between(unit / 2, unit * 5)
        } else {
            self.random.between(unit, unit * 4)
        };
        self.after(pause, Scope::World, Happening::Operator);
    }

    fn draw_command(&mut self, seen: Seen, busy: bool) -> Option<Command> {
        let forced = self.settings.profile != Profile::Calm && self.random.chance(40);
        match seen.state {
            State::Stop if self.random.chance(700) => Some(Command::Start),
            State::Stop | State::Wait if forced => Some(Command::PrimForce),
            State::Wait if seen.data == DataState::Diverged && self.random.chance(500) => {
                Some(Command::Second)
            }
            State::Wait if self.random.chance(300) => Some(Command::Prim),
            State::Stop | State::Wait | State::Alone | State::Prim | State::Second if !busy => None,
            State::Stop | State::Wait | State::Alone | State::Prim | State::Second => {
                Some(self.random.pick(&[
                    Command::Start,
                    Command::Stop,
                    Command::StopModule,
                    Command::Restart,
                    Command::StopStart,
                    Command::Swap,
                    Command::Swap,
                    Command::Swap,
                    Command::Prim,
                    Command::Second,
                    Command::SecondFullSync,
                    Command::Failover(Switch::Off),
                    Command::Failover(Switch::On),
                    Command::Checkers(Switch::Off),
                    Command::Checkers(Switch::On),
                    Command::BootStart(Switch::On),
                ]))
            }
        }
    }

    /// What somebody switched off is switched on again. True if something was asked.
    fn switch_on(&mut self) -> bool {
        let wanted = self.settings.failover;
        for node in NODES {
            let daemon = self.hosts[place(node)].daemon.as_ref();
            let Some(switches) = daemon.map(|d| d.core.view().switches) else {
                continue;
            };
            if !switches.checkers && self.runs(node) {
                self.ask(node, Command::Checkers(Switch::On));
                return true;
            }
            if wanted && !switches.failover && self.runs(node) {
                self.ask(node, Command::Failover(Switch::On));
                return true;
            }
        }
        false
    }

    /// The operator who wants the pair to serve looks, and does what the product advises.
    pub(crate) fn settle(&mut self) {
        let unit = self.settings.unit();
        let now = self.now;
        if let Some(primary) = self.paired() {
            let since = *self.settling.paired.get_or_insert(now);
            if !self.settling.opened {
                return self.open_chaos();
            }
            if now - since > unit * 2 {
                self.quiet = true;
            }
            if now - since > unit * 3 && self.settled_stream(primary) {
                return self.finish(primary);
            }
        } else {
            self.settling.paired = None;
            self.quiet = false;
            self.advance_pair();
        }
        // Every wait of the core and of its services fits in here several times.
        let bound = unit * 120 + 200 * SECOND;
        if now - self.settling.begun > bound {
            let states: Vec<String> = NODES
                .into_iter()
                .map(|node| match self.hosts[place(node)].daemon.as_ref() {
                    Some(daemon) => {
                        let view = daemon.core.view();
                        format!(
                            "{node} {} {:?} {:?} ({})",
                            view.state, view.tone, view.data, view.reason
                        )
                    }
                    None => format!("{node} without a daemon"),
                })
                .collect();
            return self.violate("liveness", states.join("; "));
        }
        self.after(unit, Scope::World, Happening::Settle);
    }

    /// The pair serves for the first time: now anything may happen.
    fn open_chaos(&mut self) {
        self.settling.opened = true;
        for node in NODES {
            self.keep_machine(node);
        }
        let unit = self.settings.unit();
        let chaos = self.settings.chaos;
        if self.script.is_some() {
            return self.after(0, Scope::World, Happening::Script);
        }
        self.after(unit / 2, Scope::World, Happening::Chaos);
        self.after(unit, Scope::World, Happening::Operator);
        self.after(chaos, Scope::World, Happening::Heal);
    }

    fn finish(&mut self, primary: NodeId) {
        let (mine, theirs) = (
            &self.hosts[place(primary)].volume.page,
            &self.hosts[place(primary.peer())].volume.page,
        );
        let equal = mine == theirs;
        let line = self.truth.term(primary).map(|t| t.generation);
        let lost = line
            .and_then(|g| self.truth.required(g))
            .and_then(|required| required.first_not_in(mine));
        if !equal {
            self.violate(
                "level-means-equal",
                "the pair is settled and its copies differ".into(),
            );
        }
        if let Some(lost) = lost {
            self.violate("nothing-lost", format!("{lost:?} is missing at the end"));
        }
        self.sample();
        self.finished = true;
    }

    fn advance_pair(&mut self) {
        let [Some(one), Some(two)] = [self.seen(NodeId::One), self.seen(NodeId::Two)] else {
            return;
        };
        if self.switch_on() {
            return;
        }
        let seen = [one, two];
        let serving = NODES.into_iter().find(|n| seen[place(*n)].state.serves());
        for node in NODES {
            if seen[place(node)].state == State::Stop && self.runs(node) {
                return self.ask(node, Command::Start);
            }
        }
        match serving {
            Some(primary) => {
                self.settling.dark = 0;
                let other = seen[place(primary.peer())];
                let ready = seen[place(primary)].tone == Tone::Ready;
                if other.data == DataState::Diverged {
                    return self.ask(primary.peer(), Command::Second);
                }
                self.settling.stuck += 1;
                if self.settling.stuck.is_multiple_of(20) {
                    // What hangs is stopped; the next rounds start it.
                    let node = if ready { primary.peer() } else { primary };
                    self.ask(node, Command::Stop);
                }
            }
            None => {
                self.settling.stuck = 0;
                self.settling.dark += 1;
                let dark = self.settling.dark;
                if dark < 4 {
                    return;
                }
                let first = self.random.pick(&NODES);
                if !one.recorded && !two.recorded {
                    return self.ask(first, Command::Prim);
                }
                let node = if dark.is_multiple_of(2) {
                    NodeId::One
                } else {
                    NodeId::Two
                };
                if dark < 20 {
                    self.ask(node, Command::Prim);
                } else if dark < 24 {
                    self.ask(node, Command::Stop);
                } else if dark > 30 && self.may_need_force(seen) {
                    self.ask(node, Command::PrimForce);
                }
            }
        }
    }

    /// A volume that went back in time may be the only one in sync, and copies that have parted are
    /// settled by nobody else: an operator has to choose.
    fn may_need_force(&self, seen: [Seen; 2]) -> bool {
        self.hosts
            .iter()
            .any(|h| h.volume.rolled_back || h.volume.set_back)
            || seen.iter().any(|s| s.data == DataState::Inconsistent)
            || seen.iter().any(|s| s.data == DataState::Diverged)
    }

    fn ask(&mut self, node: NodeId, command: Command) {
        if self.runs(node) {
            self.note(node, || format!("-------- operator: {command:?}"));
            self.command(node, command);
        }
    }
}
