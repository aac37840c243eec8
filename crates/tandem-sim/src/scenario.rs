//! Plays the scenario files in the simulated world: what random runs seldom hit, in a few steps
//! each. Afterwards everything is repaired and the settling operator takes over, as after every
//! run.

use crate::clock::{MILLISECOND, Time, nanoseconds};
use crate::faults::Fault;
use crate::host::{ServicesFault, ServicesState, StateDisk};
use crate::language::{
    self, Act, Action, Clause, Condition, Face, Limit, Player, Presence, Scenario, Span, Traffic,
    Who,
};
use crate::network::place;
use crate::queue::{Happening, Scope};
use crate::world::{NODES, World};
use std::sync::OnceLock;
use tandem_core::{CheckerAction, Command, DataState, NodeId, PeerCopy, Switch, Tone, View};

/// The longest time for what an `expect` line waits for, in `takeover-after`: a service's start
/// that fails takes six of them.
const LIMIT: u64 = 60;

/// A scenario under way.
#[derive(Debug)]
pub struct Script {
    scenario: &'static Scenario,
    at: usize,
    since: Option<Time>,
    /// Acknowledgements when the step began.
    acknowledged: u64,
    /// The node that served at the beginning, and the process of its application then.
    primary: Option<(NodeId, u64)>,
}

impl Script {
    /// From its first step.
    #[must_use]
    pub const fn new(scenario: &'static Scenario) -> Self {
        Self {
            scenario,
            at: 0,
            since: None,
            acknowledged: 0,
            primary: None,
        }
    }
}

/// All scenarios that the simulator can play, and those that it cannot.
///
/// # Errors
/// A file cannot be read or is not of the language, as a sentence.
pub fn all() -> Result<&'static [Scenario], String> {
    static ALL: OnceLock<Result<Vec<Scenario>, String>> = OnceLock::new();
    let loaded = ALL
        .get_or_init(|| language::load(&language::directory()).map_err(|error| error.to_string()));
    match loaded {
        Ok(scenarios) => Ok(scenarios),
        Err(error) => Err(error.clone()),
    }
}

/// Why the simulator does not play it.
#[must_use]
pub fn not_played(scenario: &Scenario) -> Option<&str> {
    let only = scenario.only.as_ref()?;
    (only.player != Player::Simulator).then_some(only.reason.as_str())
}

/// How a step goes.
enum Progress {
    /// It is over.
    Done,
    /// It is looked at again after this time.
    Open(Time),
    /// It did not come.
    Late(&'static str, String),
}

impl World {
    /// Goes on with the script.
    pub(crate) fn script_step(&mut self) {
        let acknowledgements = self.truth.acknowledgements;
        let serving = NODES.into_iter().find(|n| {
            let daemon = self.hosts[place(*n)].daemon.as_ref();
            daemon.is_some_and(|d| d.state.serves())
        });
        let processes = [0, 1].map(|n: usize| self.hosts[n].services.process);
        let (now, unit) = (self.now, self.settings.unit());
        let Some(script) = self.script.as_mut() else {
            return;
        };
        let start = serving.map(|node| (node, processes[place(node)]));
        let Some((primary, _)) = script.primary.or(start) else {
            return;
        };
        script.primary = script.primary.or(start);
        let Some(step) = script.scenario.steps.get(script.at) else {
            return self.after(unit, Scope::World, Happening::Heal);
        };
        if script.since.is_none() {
            script.acknowledged = acknowledgements;
        }
        let since = *script.since.get_or_insert(now);
        if since == now {
            self.note(primary, || format!("-------- {}", step.text));
        }
        match self.step_goes(&step.act, primary, now - since) {
            Progress::Late(checker, text) => {
                let states = NODES.map(|n| self.view(n).map(|v| (v.state, v.tone, v.data)));
                let (line, text) = (step.line, format!("`{}` {text}: {states:?}", step.text));
                self.violate(checker, format!("line {line}: {text}"));
            }
            Progress::Open(pause) => self.after(pause, Scope::World, Happening::Script),
            Progress::Done => {
                if let Some(script) = self.script.as_mut() {
                    script.at += 1;
                    script.since = None;
                }
                self.after(0, Scope::World, Happening::Script);
            }
        }
    }

    fn step_goes(&mut self, act: &Act, primary: NodeId, waited: Time) -> Progress {
        let unit = self.settings.unit();
        let often = (unit / 100).max(MILLISECOND);
        match act {
            Act::Do(Action::Command(who, words)) => {
                let node = of(*who, primary);
                if self.runs(node) {
                    self.command(node, command(words));
                    return Progress::Done;
                }
                self.open(waited, LIMIT * unit, "cannot be asked")
            }
            Act::Do(Action::Reboot(who)) => {
                let node = of(*who, primary);
                if waited == 0 {
                    self.fault_begins(Fault::Shutdown(node), 0);
                }
                let host = &self.hosts[place(node)];
                if host.up && !host.shutting_down {
                    return Progress::Done;
                }
                self.open(waited, LIMIT * unit, "does not come back")
            }
            Act::Do(action) => {
                self.act(action, primary);
                Progress::Done
            }
            Act::Wait(span) => {
                let left = self.time(*span).saturating_sub(waited);
                if left == 0 {
                    Progress::Done
                } else {
                    Progress::Open(left)
                }
            }
            Act::Expect(condition, limit) => {
                if self.holds(condition, primary) {
                    return Progress::Done;
                }
                let late = "does not come";
                match limit {
                    None => self.open(waited, LIMIT * unit, late),
                    Some(Limit::Span(span)) => self.open(waited, self.time(*span), late),
                    Some(Limit::Stall) => promised(waited, self.stall_and_record()),
                    Some(Limit::Restart) => promised(waited, self.mirror_replaced()),
                }
            }
            Act::Throughout(condition, span) => {
                if !self.holds(condition, primary) {
                    return Progress::Late("liveness", "does not last".into());
                }
                if waited >= self.time(*span) {
                    Progress::Done
                } else {
                    Progress::Open(often)
                }
            }
            Act::Allow(condition, span) => {
                if self.holds(condition, primary) || waited >= self.time(*span) {
                    return Progress::Done;
                }
                Progress::Open(often)
            }
        }
    }

    fn open(&self, waited: Time, limit: Time, late: &str) -> Progress {
        if waited > limit {
            return Progress::Late("liveness", late.into());
        }
        Progress::Open((self.settings.unit() / 100).max(MILLISECOND))
    }

    fn time(&self, span: Span) -> Time {
        self.settings.unit() * span.thousandths / 1000
    }

    /// The longest time that writes wait for a standby that died: the stall limit, the look at
    /// which the model's mirror notices it, one write of the state, and what passes between
    /// processes.
    fn stall_and_record(&self) -> Time {
        let stall = nanoseconds(self.settings.stall_limit());
        stall + stall / 5 + self.settings.unit() / 60 + 20 * MILLISECOND
    }

    /// The longest break while a killed mirror is replaced: the new process, three writes of the
    /// state (one by the peer), the mount, the start of the services, and what passes between
    /// processes.
    fn mirror_replaced(&self) -> Time {
        let unit = self.settings.unit();
        let process = 500 * MILLISECOND;
        process + 3 * unit / 60 + unit / 8 + self.settings.service_time + 100 * MILLISECOND
    }

    // What is done

    fn act(&mut self, action: &Action, primary: NodeId) {
        let node = |who: &Who| of(*who, primary);
        // The faults of files have an end of their own, by another line.
        let begins = |world: &mut Self, fault: Fault| world.fault_takes_hold(fault);
        let ends = |world: &mut Self, fault: Fault| world.fault_ends(fault);
        let processes = |who: &Who, mirror: bool| Fault::PauseProcesses {
            node: node(who),
            daemon: true,
            mirror,
        };
        match action {
            // These take time.
            Action::Command(..) | Action::Reboot(_) => {}
            Action::PowerOff(whom) => {
                for who in whom {
                    begins(self, Fault::PowerCut(node(who)));
                }
            }
            Action::PowerOn(whom) => {
                for who in whom {
                    ends(self, Fault::PowerCut(node(who)));
                }
            }
            Action::Cut(number, from) => {
                let senders = match from {
                    Some(who) => NODES.map(|n| n == node(who)),
                    None => [true; 2],
                };
                begins(
                    self,
                    match number {
                        Some(number) => Fault::Cut(number - 1, senders),
                        None => Fault::CutAll(senders),
                    },
                );
            }
            Action::Block(Traffic::Heartbeats) => {
                self.wires.heartbeats_cut = true;
                self.updated_joined();
            }
            Action::Block(Traffic::Stream) => begins(self, Fault::CutStream([true; 2])),
            Action::Block(Traffic::Control) => begins(self, Fault::CutControl),
            Action::Heal => {
                self.wires.heal();
                self.updated_joined();
            }
            Action::Pull(who) => begins(self, Fault::Carrier(node(who))),
            Action::Plug(who) => ends(self, Fault::Carrier(node(who))),
            Action::Freeze(who) => begins(self, processes(who, true)),
            Action::SuspendDaemon(who) => begins(self, processes(who, false)),
            Action::Thaw(who) | Action::ResumeDaemon(who) => ends(self, processes(who, true)),
            Action::KillDaemon(who) => {
                let soon = self.settings.unit() / 10;
                self.fault_begins(Fault::KillDaemon(node(who)), soon);
            }
            Action::KillDaemonFor(who, span) => {
                let duration = self.time(*span);
                self.fault_begins(Fault::KillDaemon(node(who)), duration);
            }
            Action::KillMirror(who) => begins(self, Fault::KillMirror(node(who))),
            Action::KillApplication(who) => self.services_die(node(who)),
            Action::StopApplication(who) => {
                self.hosts[place(node(who))].services.requested = true;
                self.services_die(node(who));
            }
            Action::BreakApplication(who) => {
                self.application_fails(node(who), ServicesFault::Failing)
            }
            Action::MaskApplication(who) => {
                self.application_fails(node(who), ServicesFault::Masked)
            }
            Action::RepairApplication(who) => {
                self.hosts[place(node(who))].services.fault = ServicesFault::None;
            }
            Action::KeepVolume(who) => self.hosts[place(node(who))].volume.keep(),
            Action::PutBackVolume(who) => self.hosts[place(node(who))].volume.roll_back(),
            Action::KeepMachine(who) => self.keep_machine(node(who)),
            Action::PutBackMachine(who) => self.put_back_machine(node(who)),
            Action::PauseMachine(who) => begins(self, Fault::PauseMachine(node(who))),
            Action::ContinueMachine(who) => ends(self, Fault::PauseMachine(node(who))),
            Action::CheckerDown(who, word) => {
                begins(self, Fault::Checker(node(who), checker(word)));
            }
            Action::CheckerUp(who) => ends(self, Fault::Checker(node(who), CheckerAction::Wait)),
            Action::LoseGateway(who) => begins(self, Fault::Gateway(node(who))),
            Action::FindGateway(who) => ends(self, Fault::Gateway(node(who))),
            Action::StrangerComes => begins(self, Fault::Stranger),
            Action::StrangerGoes => ends(self, Fault::Stranger),
            Action::Misconfigure(who) => begins(self, Fault::Configuration(node(who))),
            Action::Reconfigure(who) => ends(self, Fault::Configuration(node(who))),
            Action::HangState(who) => begins(self, Fault::State(node(who), StateDisk::Hanging)),
            Action::RepairState(who) => ends(self, Fault::State(node(who), StateDisk::Hanging)),
            Action::BreakVolume(who) => begins(self, Fault::LocalDisk(node(who))),
            Action::BreakApply(who) => begins(self, Fault::Apply(node(who))),
            Action::RepairVolume(who) => ends(self, Fault::LocalDisk(node(who))),
            Action::StartAloneAfter(span) => {
                let time = self.settings.takeover_after
                    * u32::try_from(span.thousandths).unwrap_or(u32::MAX);
                self.settings.start_alone_after = Some(time / 1000);
            }
            Action::Prefer(who) => self.settings.preferred = Some(node(who)),
            Action::EndLicence => self.end_licence(),
        }
    }

    fn application_fails(&mut self, node: NodeId, fault: ServicesFault) {
        self.hosts[place(node)].services.fault = fault;
        self.services_die(node);
    }

    // What is looked at

    fn view(&self, node: NodeId) -> Option<View<'_>> {
        let daemon = self.hosts[place(node)].daemon.as_ref()?;
        self.runs(node).then(|| daemon.core.view())
    }

    fn holds(&self, condition: &Condition, primary: NodeId) -> bool {
        let all = |clauses: &Vec<Clause>| clauses.iter().all(|c| self.is_so(c, primary));
        condition.any.iter().any(all)
    }

    fn is_so(&self, clause: &Clause, primary: NodeId) -> bool {
        let host = |who: &Who| &self.hosts[place(of(*who, primary))];
        let shows = |who: &Who, what: &dyn Fn(View<'_>) -> bool| {
            self.view(of(*who, primary)).is_some_and(what)
        };
        match clause {
            Clause::Shows(who, face) => shows(who, &|view| fits(face, &view)),
            Clause::ShowsNot(who, face) => !shows(who, &|view| fits(face, &view)),
            Clause::Serves(who) => shows(who, &|v| v.state.serves() && v.tone == Tone::Ready),
            Clause::ServesNot(who) => !shows(who, &|view| view.state.serves()),
            Clause::Pair(who) => {
                let paired = self.paired();
                paired.is_some() && (who.is_none() || who.map(|w| of(w, primary)) == paired)
            }
            Clause::Answers(who) => shows(who, &|_| true),
            Clause::Says(who, text) => shows(who, &|view| {
                let warning = view.warning.as_deref();
                let said = [Some(view.reason), warning, view.advice];
                said.into_iter()
                    .flatten()
                    .any(|said| said.contains(text.as_str()))
            }),
            Clause::Advises(who) => shows(who, &|view| view.advice.is_some()),
            Clause::Diverged(who) => shows(who, &|view| view.divergence.is_some()),
            Clause::Unconfirmed(who) => shows(who, &|v| v.record.is_some_and(|r| !r.confirmed)),
            Clause::Level => self
                .hosts
                .iter()
                .all(|host| host.durable.record.as_ref().is_some_and(|r| r.clean)),
            Clause::Address(who, presence) => {
                self.has_address(of(*who, primary)) == (*presence == Presence::Here)
            }
            Clause::Application(who, presence) => {
                let stopped = host(who).services.state == ServicesState::Stopped;
                stopped == (*presence == Presence::Gone)
            }
            Clause::Untouched => {
                let start = self.script.as_ref().and_then(|s| s.primary);
                start.is_some_and(|(node, process)| {
                    let services = &self.hosts[place(node)].services;
                    services.process == process && services.state == ServicesState::Running
                })
            }
            Clause::RestartsUsed(who, number) => shows(who, &|v| v.restarts_used == *number),
            Clause::WritesGoOn => self
                .script
                .as_ref()
                .is_some_and(|script| self.truth.acknowledgements > script.acknowledged),
            Clause::GoesOnAlone(who) => self
                .mirror(of(*who, primary))
                .is_some_and(|m| m.serving().is_some() && !m.gated()),
            Clause::MirrorLevel(who) => self
                .mirror(of(*who, primary))
                .is_some_and(|m| m.peer_copy() == PeerCopy::Level),
        }
    }
}

fn promised(waited: Time, limit: Time) -> Progress {
    if waited > limit {
        let text = format!("takes longer than {:.3} s", limit as f64 / 1e9);
        return Progress::Late("short-outage", text);
    }
    Progress::Open(MILLISECOND)
}

const fn of(who: Who, primary: NodeId) -> NodeId {
    match who {
        Who::A => primary,
        Who::B => primary.peer(),
    }
}

/// Whether this is what the node shows, in the words that users see.
fn fits(face: &Face, view: &View<'_>) -> bool {
    let tone = match view.tone {
        Tone::Ready => "green",
        Tone::Transient => "magenta",
        Tone::NotReady => "red",
    };
    let data = match view.data {
        DataState::Uptodate => "uptodate",
        DataState::NotUptodate => "not uptodate",
        DataState::Resyncing(_) => "resyncing",
        DataState::Inconsistent => "inconsistent",
        DataState::Diverged => "diverged",
    };
    let wanted =
        |wanted: &Option<String>, shown: &str| wanted.as_ref().is_none_or(|wanted| wanted == shown);
    wanted(&face.state, &view.state.to_string())
        && wanted(&face.colour, tone)
        && wanted(&face.data, data)
}

/// The parser lets only [`language::COMMANDS`] through.
fn command(words: &str) -> Command {
    match words {
        "start" | "start --all" => Command::Start,
        "stop" => Command::Stop,
        "stop --all" => Command::StopModule,
        "restart" => Command::Restart,
        "stopstart" => Command::StopStart,
        "swap" => Command::Swap,
        "prim" => Command::Prim,
        "prim --force" => Command::PrimForce,
        "second" => Command::Second,
        "second --full-sync" => Command::SecondFullSync,
        "failover on" => Command::Failover(Switch::On),
        "failover off" => Command::Failover(Switch::Off),
        "checkers on" => Command::Checkers(Switch::On),
        "checkers off" => Command::Checkers(Switch::Off),
        "boot on" => Command::BootStart(Switch::On),
        "boot off" => Command::BootStart(Switch::Off),
        words => unreachable!("the parser knows the command `{words}`"),
    }
}

fn checker(word: &str) -> CheckerAction {
    match word {
        "stopstart" => CheckerAction::StopStart,
        "swap" => CheckerAction::Swap,
        "stop" => CheckerAction::Stop,
        _ => CheckerAction::Wait,
    }
}
