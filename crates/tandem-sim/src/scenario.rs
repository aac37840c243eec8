//! Directed scenarios: what random runs seldom hit, in a few steps each. They start from a pair
//! that serves; A is its primary, B its standby. Afterwards the settling operator takes over, as
//! after every run.

use crate::clock::{MILLISECOND, Time, nanoseconds};
use crate::faults::Fault;
use crate::host::{ServicesFault, ServicesState, StateDisk};
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::settings::Settings;
use crate::world::{NODES, World};
use tandem_core::{CheckerAction, Command, DataState, NodeId, PeerCopy, State, Switch, Tone};

/// One step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Do this.
    Do(fn(&mut World, NodeId)),
    /// Nothing for so many tenths of `takeover-after`.
    Pause(u64),
    /// Until this is so, at most so many `takeover-after`; it must come.
    Expect(fn(&World, NodeId) -> bool, u64),
    /// Until this is so, at most so many `takeover-after`; it may not come.
    Await(fn(&World, NodeId) -> bool, u64),
    /// Until this is so; it must come within this time, which is promised to users.
    Promised(fn(&World, NodeId) -> bool, fn(&Settings) -> Time),
}

/// A scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    steps: &'static [Step],
}

/// A scenario under way.
#[derive(Debug)]
pub struct Script {
    scenario: &'static Scenario,
    at: usize,
    since: u64,
    primary: Option<NodeId>,
}

impl Script {
    /// From its first step.
    #[must_use]
    pub const fn new(scenario: &'static Scenario) -> Self {
        Self {
            scenario,
            at: 0,
            since: 0,
            primary: None,
        }
    }
}

/// The scenario of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|s| s.name == name)
}

fn state(world: &World, node: NodeId) -> Option<State> {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .map(|d| d.core.view().state)
}

fn ready(world: &World, node: NodeId) -> bool {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .is_some_and(|d| d.core.view().tone == Tone::Ready)
}

fn uptodate(world: &World, node: NodeId) -> bool {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .is_some_and(|d| d.core.view().data == DataState::Uptodate)
}

/// Whether the node says what an operator may do.
fn advised(world: &World, node: NodeId) -> bool {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .is_some_and(|d| d.core.view().advice.is_some())
}

fn stopped_services(world: &World, node: NodeId) -> bool {
    world.hosts[place(node)].services.state == ServicesState::Stopped
}

/// Whether the record on the node's disk says that both copies were brought level.
fn clean(world: &World, node: NodeId) -> bool {
    let record = world.hosts[place(node)].durable.record.as_ref();
    record.is_some_and(|r| r.clean)
}

/// The restarts in place of the budget that are used up.
fn restarts(world: &World, node: NodeId) -> u8 {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .map_or(0, |d| d.core.view().restarts_used)
}

/// An upgrade of the application's package stops its unit and forgets to start it again.
fn stopped_on_purpose(world: &mut World, node: NodeId) {
    world.hosts[place(node)].services.requested = true;
    world.services_die(node);
}

/// Whether the node shows a divergence, with what each side has.
fn diverged(world: &World, node: NodeId) -> bool {
    world.hosts[place(node)]
        .daemon
        .as_ref()
        .is_some_and(|d| d.core.view().divergence.is_some())
}

fn is(world: &World, node: NodeId, wanted: State) -> bool {
    state(world, node) == Some(wanted) && ready(world, node)
}

fn pair(world: &World, primary: NodeId) -> bool {
    is(world, primary, State::Prim)
        && is(world, primary.peer(), State::Second)
        && uptodate(world, primary.peer())
}

fn fault(world: &mut World, fault: Fault, tenths: u64) {
    let unit = world.settings.unit();
    world.fault_begins(fault, unit * tenths / 10);
}

const LONG: u64 = 60;

/// The longest time that writes wait for a standby that died: the stall limit, the look at which
/// the model's mirror notices it, one write of the state, and what passes between processes.
fn stall_and_record(settings: &Settings) -> Time {
    let stall = nanoseconds(settings.stall_limit());
    stall + stall / 5 + settings.unit() / 60 + 20 * MILLISECOND
}

/// The longest break while a killed mirror is replaced: the new process, three writes of the state
/// (one by the peer), the mount, the start of the services, and what passes between processes.
fn mirror_replaced(settings: &Settings) -> Time {
    let unit = settings.unit();
    let process = 500 * MILLISECOND;
    process + 3 * unit / 60 + unit / 8 + settings.service_time + 100 * MILLISECOND
}

/// Whether the mirror answers without the peer.
fn answers_alone(world: &World, node: NodeId) -> bool {
    world
        .mirror(node)
        .is_some_and(|m| m.serving().is_some() && !m.gated())
}

/// All scenarios.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "swap-and-swap-back",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Swap)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
            Step::Do(|w, a| w.command(a, Command::Swap)),
            Step::Expect(pair, LONG),
        ],
    },
    Scenario {
        name: "stop-and-start-the-standby",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Pause(20),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(pair, LONG),
        ],
    },
    Scenario {
        name: "stop-and-start-the-primary",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Stop)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "stop-the-module-and-start-it",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::StopModule)),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
            Step::Await(|w, a| state(w, a.peer()) == Some(State::Stop), LONG),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "stop-the-module-under-a-cut-stream",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::CutStream([true; 2]), 20)),
            Step::Pause(1),
            Step::Do(|w, a| w.command(a, Command::StopModule)),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG * 10),
            Step::Pause(30),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "stop-the-module-and-start-the-other-node-first",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::StopModule)),
            Step::Expect(
                |w, a| [a, a.peer()].map(|n| state(w, n)) == [Some(State::Stop); 2],
                LONG,
            ),
            // The stopped node's daemon votes.
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "what-served-alone-serves-again-after-a-cold-start",
        steps: &[
            Step::Do(|w, a| {
                w.command(a, Command::BootStart(Switch::On));
                fault(w, Fault::PowerCut(a.peer()), 600);
            }),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 20)),
            Step::Expect(|w, a| !ready(w, a), 5),
            Step::Expect(|w, a| is(w, a, State::Alone), 20),
        ],
    },
    Scenario {
        name: "give-the-service-to-a-node-that-stops",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Stop)),
            Step::Pause(1),
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG * 10),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Expect(|w, a| is(w, a, State::Alone) || advised(w, a), LONG),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "failover-is-off",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Failover(Switch::Off))),
            Step::Pause(3),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 150)),
            Step::Expect(|w, a| state(w, a.peer()) == Some(State::Wait), LONG),
            Step::Pause(60),
            Step::Expect(|w, a| state(w, a.peer()) == Some(State::Wait), 0),
            Step::Expect(|w, a| w.hosts[place(a)].daemon.is_some(), LONG),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "checkers-are-off",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Checkers(Switch::Off))),
            Step::Pause(3),
            Step::Do(|w, a| w.services_die(a)),
            Step::Pause(40),
            Step::Expect(
                |w, a| stopped_services(w, a) && state(w, a) == Some(State::Prim),
                0,
            ),
            Step::Do(|w, a| w.command(a, Command::Checkers(Switch::On))),
            Step::Expect(|w, a| !stopped_services(w, a) && pair(w, a), LONG),
        ],
    },
    Scenario {
        name: "boot-start-is-on",
        steps: &[
            Step::Do(|w, a| {
                for node in [a, a.peer()] {
                    w.command(node, Command::BootStart(Switch::On));
                }
            }),
            Step::Pause(3),
            Step::Do(|w, _| fault(w, Fault::PowerCutBoth, 20)),
            Step::Expect(|w, a| !ready(w, a), 5),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "boot-start-is-off",
        steps: &[
            Step::Do(|w, a| {
                for node in [a, a.peer()] {
                    w.command(node, Command::BootStart(Switch::Off));
                }
            }),
            Step::Pause(3),
            Step::Do(|w, _| fault(w, Fault::PowerCutBoth, 20)),
            Step::Pause(60),
            Step::Expect(
                |w, a| [a, a.peer()].map(|n| state(w, n)) == [Some(State::Stop); 2],
                LONG,
            ),
        ],
    },
    Scenario {
        name: "one-node-starts-alone-after-a-while",
        steps: &[
            Step::Do(|w, a| {
                w.settings.start_alone_after = Some(w.settings.takeover_after * 4);
                for node in [a, a.peer()] {
                    w.command(node, Command::BootStart(Switch::On));
                }
            }),
            Step::Pause(3),
            Step::Do(|w, a| {
                fault(w, Fault::PowerCut(a.peer()), 20);
                fault(w, Fault::PowerCut(a), 400);
            }),
            Step::Pause(50),
            Step::Expect(|w, a| state(w, a.peer()) == Some(State::Wait), 0),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
        ],
    },
    Scenario {
        name: "the-preferred-node-gets-the-service-back",
        steps: &[
            Step::Do(|w, a| {
                w.settings.preferred = Some(a);
                w.command(a, Command::BootStart(Switch::On));
            }),
            Step::Pause(3),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 100)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
            Step::Pause(50),
            Step::Expect(|w, a| pair(w, a.peer()), 0),
            Step::Expect(pair, LONG),
            // Who takes the service from it by hand may keep it.
            Step::Do(|w, a| w.command(a, Command::Swap)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
            Step::Pause(200),
            Step::Expect(|w, a| pair(w, a.peer()), 0),
        ],
    },
    Scenario {
        name: "the-primary-loses-the-carrier-of-all-its-links",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Carrier(a), 200)),
            Step::Expect(|w, a| state(w, a) == Some(State::Wait), 1),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "the-standby-loses-the-carrier-of-all-its-links",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Carrier(a.peer()), 200)),
            Step::Expect(|w, a| state(w, a.peer()) == Some(State::Wait), 1),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Expect(pair, LONG),
        ],
    },
    Scenario {
        name: "a-standby-without-its-gateway-does-not-take-over",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Gateway(a.peer()), 60)),
            Step::Do(|w, _| fault(w, Fault::CutAll([true; 2]), 150)),
            Step::Do(|w, _| fault(w, Fault::CutStream([true; 2]), 150)),
            Step::Do(|w, _| fault(w, Fault::CutControl, 150)),
            Step::Pause(50),
            Step::Expect(|w, a| state(w, a.peer()) == Some(State::Second), 0),
            Step::Pause(150),
            Step::Await(pair, LONG),
        ],
    },
    Scenario {
        name: "a-checker-lets-the-primary-wait",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Checker(a, CheckerAction::Wait), 200)),
            Step::Expect(|w, a| state(w, a) == Some(State::Wait), 1),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "a-checker-moves-the-service-once",
        steps: &[
            Step::Do(|w, a| w.checker_goes_down(a, CheckerAction::Swap)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
            Step::Do(|w, a| w.checker_goes_down(a.peer(), CheckerAction::Swap)),
            Step::Expect(
                |w, a| [a, a.peer()].map(|n| state(w, n)) == [Some(State::Stop); 2],
                LONG,
            ),
            Step::Expect(|w, a| clean(w, a) && clean(w, a.peer()), 0),
        ],
    },
    Scenario {
        name: "a-checker-moves-the-service-to-a-node-that-cannot-serve",
        steps: &[
            Step::Do(|w, a| {
                fault(w, Fault::Services(a.peer(), ServicesFault::Failing), 400);
                w.checker_goes_down(a, CheckerAction::Swap);
            }),
            Step::Expect(|w, a| !pair(w, a), LONG),
            Step::Expect(
                |w, a| state(w, a) == Some(State::Second) || pair(w, a),
                LONG,
            ),
            Step::Expect(pair, LONG * 3),
            Step::Do(|w, a| w.checker_goes_down(a, CheckerAction::Swap)),
            Step::Pause(20),
            Step::Expect(pair, 0),
        ],
    },
    Scenario {
        name: "the-budget-is-spent-with-a-standby",
        steps: &[
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| restarts(w, a) == 1 && pair(w, a), LONG),
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| restarts(w, a) == 2 && pair(w, a), LONG),
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| restarts(w, a) == 3 && pair(w, a), LONG),
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
        ],
    },
    Scenario {
        name: "the-application-does-not-start-again",
        steps: &[
            Step::Do(|w, a| {
                fault(w, Fault::Services(a, ServicesFault::Failing), 4000);
                w.services_die(a);
            }),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
        ],
    },
    Scenario {
        name: "the-application-does-not-start-and-a-standby-comes",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Do(|w, a| {
                fault(w, Fault::Services(a, ServicesFault::Failing), 4000);
                w.services_die(a);
            }),
            Step::Pause(100),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
        ],
    },
    Scenario {
        name: "stopped-on-purpose-spends-no-budget",
        steps: &[
            Step::Do(stopped_on_purpose),
            Step::Pause(30),
            Step::Expect(pair, LONG),
            Step::Do(stopped_on_purpose),
            Step::Pause(30),
            Step::Expect(|w, a| pair(w, a) && restarts(w, a) == 0, LONG),
        ],
    },
    Scenario {
        name: "the-budget-is-spent-without-a-standby",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Do(|w, a| fault(w, Fault::Services(a, ServicesFault::Failing), 200)),
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| !ready(w, a), LONG),
            Step::Pause(190),
            Step::Expect(|w, a| state(w, a) == Some(State::Alone), 0),
            Step::Expect(|w, a| is(w, a, State::Alone), 400),
        ],
    },
    Scenario {
        name: "a-divergence-whose-other-side-is-kept",
        steps: &[
            Step::Do(|w, _| {
                fault(w, Fault::CutAll([true; 2]), 100);
                fault(w, Fault::CutStream([true; 2]), 100);
                fault(w, Fault::CutControl, 100);
            }),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| diverged(w, a) && diverged(w, a.peer()), LONG),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Expect(|w, a| advised(w, a.peer()), LONG),
            Step::Do(|w, a| w.command(a, Command::Stop)),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
            Step::Do(|w, a| w.command(a.peer(), Command::PrimForce)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Expect(|w, a| diverged(w, a) && advised(w, a), LONG),
            Step::Do(|w, a| w.command(a, Command::Second)),
            Step::Expect(|w, a| pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "power-off-the-primary",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 300)),
            Step::Await(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "power-off-the-standby",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::PowerCut(a.peer()), 200)),
            Step::Promised(answers_alone, stall_and_record),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "power-off-both-and-only-the-standby-returns",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::PowerCut(a.peer()), 30)),
            Step::Pause(1),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 300)),
            Step::Pause(50),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "power-off-both-after-the-standby-was-out",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::PowerCut(a.peer()), 150)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Pause(20),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 400)),
            Step::Pause(160),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Pause(50),
            Step::Do(|w, a| w.command(a.peer(), Command::Prim)),
            Step::Pause(50),
        ],
    },
    Scenario {
        name: "kill-the-daemons",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::KillDaemon(a), 2)),
            Step::Pause(30),
            Step::Do(|w, a| fault(w, Fault::KillDaemon(a.peer()), 2)),
            Step::Pause(30),
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Await(|w, a| is(w, a, State::Alone), LONG),
            Step::Do(|w, a| fault(w, Fault::KillDaemon(a), 1)),
            Step::Pause(30),
        ],
    },
    Scenario {
        name: "a-daemon-returns-after-its-address-was-taken",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            // The kernel counts the address's lifetime in whole seconds.
            Step::Do(|w, a| fault(w, Fault::KillDaemon(a), 100)),
            Step::Expect(|w, a| !w.has_address(a), LONG),
            Step::Do(|w, _| fault(w, Fault::Stranger, 300)),
            Step::Expect(|w, a| state(w, a) == Some(State::Alone), LONG),
            Step::Pause(30),
            Step::Expect(|w, a| !w.has_address(a), 1),
            Step::Expect(|w, a| is(w, a, State::Alone) && w.has_address(a), LONG),
        ],
    },
    Scenario {
        name: "stop-the-daemon-of-the-primary-with-a-signal",
        steps: &[
            Step::Do(|w, node| {
                let fault_kind = Fault::PauseProcesses {
                    node,
                    daemon: true,
                    mirror: false,
                };
                fault(w, fault_kind, 80);
            }),
            Step::Pause(120),
        ],
    },
    Scenario {
        name: "a-thawed-daemon-reads-its-backlog",
        steps: &[
            Step::Do(|w, node| {
                let fault_kind = Fault::PauseProcesses {
                    node,
                    daemon: true,
                    mirror: false,
                };
                fault(w, fault_kind, 6);
            }),
            Step::Pause(12),
            Step::Do(|w, node| {
                let fault_kind = Fault::PauseProcesses {
                    node,
                    daemon: true,
                    mirror: false,
                };
                fault(w, fault_kind, 8);
            }),
            Step::Pause(30),
        ],
    },
    Scenario {
        name: "pause-the-machine-of-the-primary",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::PauseMachine(a), 60)),
            Step::Pause(120),
        ],
    },
    Scenario {
        name: "cut-every-network",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::CutAll([true; 2]), 100)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Await(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Pause(130),
            Step::Do(|w, a| w.command(a.peer(), Command::Second)),
            Step::Pause(30),
        ],
    },
    Scenario {
        name: "cut-only-the-stream",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::CutStream([true; 2]), 60)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Expect(pair, 200),
        ],
    },
    Scenario {
        name: "cut-one-way",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::CutAll([true, false]), 40)),
            Step::Pause(100),
            Step::Do(|w, _| fault(w, Fault::CutAll([false, true]), 40)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "the-application-cannot-start-any-more",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Services(a, ServicesFault::Masked), 400)),
            Step::Do(|w, a| w.services_die(a)),
            Step::Expect(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Expect(|w, a| state(w, a) == Some(State::Stop), LONG),
        ],
    },
    Scenario {
        name: "stopstart",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::StopStart)),
            Step::Pause(20),
            Step::Await(pair, LONG),
            Step::Do(|w, a| w.command(a, Command::StopStart)),
            Step::Expect(|w, a| pair(w, a) || pair(w, a.peer()), 200),
        ],
    },
    Scenario {
        name: "restart",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Restart)),
            Step::Pause(10),
            Step::Expect(pair, LONG),
        ],
    },
    Scenario {
        name: "the-primary-is-lost-while-the-standby-is-resynchronised",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::KillMirror(a.peer()), 1)),
            Step::Await(
                |w, a| {
                    w.mirror(a)
                        .is_some_and(|m| matches!(m.peer_copy(), PeerCopy::Comparing { .. }))
                },
                LONG,
            ),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 200)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "the-mirror-of-the-primary-is-killed",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::KillMirror(a), 1)),
            Step::Expect(|w, a| !ready(w, a), 1),
            Step::Promised(|w, a| is(w, a, State::Alone) || pair(w, a), mirror_replaced),
            Step::Expect(pair, LONG),
        ],
    },
    Scenario {
        name: "the-mirror-of-the-primary-is-killed-and-then-its-host",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::KillMirror(a), 1)),
            Step::Await(|w, a| is(w, a, State::Alone) || pair(w, a), LONG),
            Step::Pause(3),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 200)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "the-peer-returns-and-the-primary-dies-at-once",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Pause(20),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Await(
                |w, a| {
                    w.mirror(a)
                        .is_some_and(|m| m.peer_copy() == PeerCopy::Level)
                },
                LONG,
            ),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 200)),
            Step::Pause(60),
            Step::Do(|w, a| w.command(a.peer(), Command::Prim)),
            Step::Pause(60),
        ],
    },
    Scenario {
        name: "swap-under-a-cut-stream",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::CutStream([true; 2]), 8)),
            Step::Do(|w, a| w.command(a, Command::Swap)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "the-peer-dies-in-a-swap",
        steps: &[
            Step::Do(|w, a| w.command(a, Command::Swap)),
            Step::Await(|w, a| state(w, a) == Some(State::Wait), LONG),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a.peer()), 100)),
            Step::Pause(200),
        ],
    },
    Scenario {
        name: "swap-to-a-node-whose-application-does-not-start",
        steps: &[
            Step::Do(|w, a| {
                fault(w, Fault::Services(a.peer(), ServicesFault::Failing), 400);
                w.command(a, Command::Swap);
            }),
            Step::Await(pair, 100),
            Step::Pause(50),
        ],
    },
    Scenario {
        name: "the-configurations-differ",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Configuration(a.peer()), 60)),
            Step::Pause(100),
        ],
    },
    Scenario {
        name: "the-local-disk-of-the-primary-fails",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::LocalDisk(a), 200)),
            Step::Pause(200),
        ],
    },
    Scenario {
        name: "the-standby-cannot-apply",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::Apply(a.peer()), 60)),
            Step::Pause(150),
        ],
    },
    Scenario {
        name: "the-state-of-the-standby-cannot-be-written",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::State(a.peer(), StateDisk::Hanging), 60)),
            Step::Do(|w, a| fault(w, Fault::KillMirror(a.peer()), 1)),
            Step::Pause(150),
        ],
    },
    Scenario {
        name: "the-state-of-the-primary-cannot-be-written-and-the-peer-dies",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::State(a, StateDisk::Hanging), 40)),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a.peer()), 100)),
            Step::Pause(200),
        ],
    },
    Scenario {
        name: "the-volume-of-the-standby-went-back-in-time",
        steps: &[
            Step::Do(|w, a| fault(w, Fault::RollBack(a.peer()), 30)),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 60)),
            Step::Pause(45),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Pause(150),
        ],
    },
    Scenario {
        name: "both-start-at-once",
        steps: &[
            Step::Do(|w, _| fault(w, Fault::PowerCutBoth, 20)),
            Step::Pause(30),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Do(|w, a| w.command(a.peer(), Command::Start)),
            Step::Await(|w, a| pair(w, a) || pair(w, a.peer()), LONG),
        ],
    },
    Scenario {
        name: "force-beside-a-silent-peer",
        steps: &[
            Step::Do(|w, a| w.command(a.peer(), Command::Stop)),
            Step::Expect(|w, a| is(w, a, State::Alone), LONG),
            Step::Pause(10),
            Step::Do(|w, a| fault(w, Fault::PowerCut(a), 300)),
            Step::Pause(30),
            Step::Do(|w, a| w.command(a.peer(), Command::PrimForce)),
            Step::Await(|w, a| is(w, a.peer(), State::Alone), LONG),
            Step::Pause(300),
            Step::Do(|w, a| w.command(a, Command::Start)),
            Step::Pause(30),
        ],
    },
];

impl World {
    /// Goes on with the script.
    pub(crate) fn script_step(&mut self) {
        let unit = self.settings.unit();
        let Some(script) = self.script.as_mut() else {
            return;
        };
        let serving = NODES.into_iter().find(|n| {
            self.hosts[place(*n)]
                .daemon
                .as_ref()
                .is_some_and(|d| d.state.serves())
        });
        let Some(primary) = script.primary.or(serving) else {
            return;
        };
        let Some(script) = self.script.as_mut() else {
            return;
        };
        script.primary = Some(primary);
        let Some(step) = script.scenario.steps.get(script.at).copied() else {
            return self.after(unit, Scope::World, Happening::Heal);
        };
        if script.since == 0 {
            script.since = self.now;
        }
        let waited = self.now - script.since;
        let mut done = true;
        match step {
            Step::Do(act) => act(self, primary),
            Step::Pause(tenths) => done = waited >= unit * tenths / 10,
            Step::Expect(holds, bound) => {
                done = holds(self, primary);
                if !done && waited > unit * bound {
                    let at = self.script.as_ref().map_or(0, |s| s.at);
                    let states: Vec<_> = NODES.into_iter().map(|n| state(self, n)).collect();
                    return self.violate(
                        "liveness",
                        format!("step {at} of the scenario does not come: {states:?}"),
                    );
                }
            }
            Step::Await(holds, bound) => done = holds(self, primary) || waited > unit * bound,
            Step::Promised(holds, bound) => {
                done = holds(self, primary);
                let bound = bound(&self.settings);
                if !done && waited > bound {
                    let text = format!("longer than {:.3} s", bound as f64 / 1e9);
                    return self.violate("short-outage", text);
                }
                if !done {
                    return self.after(MILLISECOND, Scope::World, Happening::Script);
                }
            }
        }
        let Some(script) = self.script.as_mut() else {
            return;
        };
        if done {
            script.at += 1;
            script.since = 0;
            self.after(0, Scope::World, Happening::Script);
        } else {
            self.after(unit / 20, Scope::World, Happening::Script);
        }
    }
}
