//! Plays the scenario files on the test hosts: real daemons, mirrors and a database, under the load
//! of a client. `scenarios/README.md` says what each line means; here stands how it is done and
//! looked at. The simulator plays the same files.

use super::Told;
use super::stage::Stage;
use super::trial::{Trial, UNNOTICED_MAX};
use crate::client::Row;
use crate::lab::CLIENT;
use crate::linux::boottime;
use crate::postgres;
use crate::product::{
    MODULE, Node, RESYNCHRONISATION_LIMIT, STALL_LIMIT, Setting, TAKEOVER_AFTER, TAKEOVER_LIMIT,
    configuration,
};
use crate::shell::{Outcome, run};
use crate::switch::Cable;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail, ensure};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_sim::language::{
    self, Act, Action, Clause, Condition, Face, Limit, Player, Presence, Scenario, Span, Step,
    Traffic, Who,
};
use tandem_wire::api::ModuleStatus;

/// How long something may take for which a line names no time.
const EXPECT_LIMIT: Duration = RESYNCHRONISATION_LIMIT;
/// What the stall limit is seen with from outside: one more look, and the loaded machine.
const STALL_SEEN: Duration = STALL_LIMIT.saturating_add(Duration::from_millis(500));
/// A scenario that would stand still for longer than that is one for `make soak`.
const PAUSES_MAX: Duration = Duration::from_secs(45);
/// The pause between two looks: each is a process on each host.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// How long an operator waits for a command, whose outcome the scenario does not look at.
const COMMAND_LIMIT: &str = "60s";
/// The command line's exit code when no daemon answers.
const NO_DAEMON: i32 = 5;
/// The image of a disk that a scenario keeps.
const KEPT: &str = "kept";

/// The pair of scenarios that are about settings.
const OTHER_SETTINGS: Setting = Setting {
    gateway: true,
    ..Setting::USUAL
};

/// The scenarios that are played here: all, or those that need no long time.
///
/// # Errors
/// A file cannot be read, or a line is not of the language.
pub fn load(long: bool) -> Result<Vec<Scenario>> {
    let mut scenarios = language::load(&language::directory())?;
    scenarios.retain(|s| (s.only.as_ref()).is_none_or(|only| only.player == Player::Hosts));
    scenarios.retain(|s| long || pauses(s) <= PAUSES_MAX);
    Ok(scenarios)
}

/// Whether it needs a pair with other settings than the usual one.
#[must_use]
pub fn is_about_settings(scenario: &Scenario) -> bool {
    let about = |action: &Action| {
        matches!(
            action,
            Action::LoseGateway(_) | Action::FindGateway(_) | Action::StartAloneAfter(_)
        )
    };
    let mut steps = scenario.steps.iter();
    steps.any(|step| matches!(&step.act, Act::Do(action) if about(action)))
}

fn pauses(scenario: &Scenario) -> Duration {
    let pause = |step: &Step| match &step.act {
        Act::Wait(span) | Act::Throughout(_, span) => duration(*span),
        Act::Do(_) | Act::Expect(..) | Act::Allow(..) => Duration::ZERO,
    };
    scenario.steps.iter().map(pause).sum()
}

fn duration(span: Span) -> Duration {
    TAKEOVER_AFTER.mul_f64(span.thousandths as f64 / 1000.0)
}

/// Plays a scenario.
///
/// # Errors
/// Something that it expects does not come, or what every trial demands at its end.
pub fn play(stage: &mut Stage, scenario: &Scenario) -> Result<Told> {
    if is_about_settings(scenario) {
        stage.want(OTHER_SETTINGS);
    }
    let trial = Trial::begin(stage)?;
    let mut play = Play {
        nodes: [trial.primary.clone(), trial.standby.clone()],
        trial,
        silent: [false; 2],
        acted: boottime(),
        before_the_cut: None,
        commands: Vec::new(),
        set: false,
    };
    for step in &scenario.steps {
        let place = || format!("line {}: {}", step.line, step.text.trim());
        play.step(step).with_context(place)?;
    }
    let set = play.set;
    let told = play.end()?;
    if set {
        // No other scenario expects this.
        stage.clear();
    }
    Ok(told)
}

/// A scenario under way.
struct Play<'s> {
    trial: Trial<'s>,
    /// `A` and `B`.
    nodes: [Node<'static>; 2],
    /// They hang, and are not asked.
    silent: [bool; 2],
    /// When something was done last, on the boot clock.
    acted: u64,
    /// What was acknowledged before the nodes were cut off from each other.
    before_the_cut: Option<Vec<Row>>,
    /// What operators asked; nobody waits for it before the end.
    commands: Vec<JoinHandle<Result<Outcome>>>,
    /// The configuration was changed.
    set: bool,
}

/// What is known at one look.
struct Look {
    modules: [Option<ModuleStatus>; 2],
    /// Since when writes are looked at, on the boot clock.
    since: u64,
}

const fn place(who: Who) -> usize {
    match who {
        Who::A => 0,
        Who::B => 1,
    }
}

impl Play<'_> {
    fn node(&self, who: Who) -> &Node<'static> {
        &self.nodes[place(who)]
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let begin = boottime();
        match &step.act {
            Act::Do(action) => {
                self.acted = begin;
                self.act(action)
            }
            Act::Wait(span) => {
                std::thread::sleep(duration(*span));
                Ok(())
            }
            Act::Expect(condition, limit) => {
                let longest = match limit {
                    None => EXPECT_LIMIT,
                    Some(Limit::Span(span)) => duration(*span),
                    Some(Limit::Stall) => STALL_SEEN,
                    Some(Limit::Restart) => TAKEOVER_LIMIT,
                };
                self.expect(condition, longest, begin)?;
                if *limit == Some(Limit::Stall) {
                    let gap = self.pause_since(self.acted)?;
                    ensure!(gap <= STALL_SEEN, "writes paused for {gap:.2?}");
                }
                Ok(())
            }
            Act::Throughout(condition, span) => self.throughout(condition, duration(*span), begin),
            Act::Allow(condition, span) => {
                // Whether it came is nobody's business.
                let _ = self.expect(condition, duration(*span), begin);
                Ok(())
            }
        }
    }

    // ---- what is looked at ----

    fn look(&self, since: u64) -> Look {
        let modules = [0, 1].map(|n| {
            let asked = !self.silent[n] && self.nodes[n].host.is_up();
            asked.then(|| self.nodes[n].module().ok()).flatten()
        });
        Look { modules, since }
    }

    fn expect(&self, condition: &Condition, limit: Duration, begin: u64) -> Result<()> {
        let mut last = String::new();
        let acted = self.acted;
        let waited = wait_for("it to come", limit, || {
            let mut look = self.look(begin);
            let holds = self.holds(condition, &look, acted)?;
            if !holds {
                last = told(&look);
                std::thread::sleep(LOOK_PERIOD);
            }
            look.since = begin;
            Ok(holds.then_some(()))
        });
        waited.context(last)
    }

    fn throughout(&self, condition: &Condition, span: Duration, begin: u64) -> Result<()> {
        let start = Instant::now();
        loop {
            let look = self.look(begin);
            let after = start.elapsed();
            let holds = self.holds(condition, &look, begin)?;
            ensure!(holds, "after {:.1} s: {}", after.as_secs_f64(), told(&look));
            if after >= span {
                return Ok(());
            }
            std::thread::sleep(LOOK_PERIOD);
        }
    }

    /// Whether it is so. An application is untouched if clients saw no pause since `quiet` either.
    fn holds(&self, condition: &Condition, look: &Look, quiet: u64) -> Result<bool> {
        for alternative in &condition.any {
            let mut all = true;
            for clause in alternative {
                all = all && self.is_so(clause, look, quiet)?;
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_so(&self, clause: &Clause, look: &Look, quiet: u64) -> Result<bool> {
        let seen = |who: &Who| look.modules[place(*who)].as_ref();
        Ok(match clause {
            Clause::Shows(who, face) => seen(who).is_some_and(|m| shows(m, face)),
            Clause::ShowsNot(who, face) => !seen(who).is_some_and(|m| shows(m, face)),
            Clause::Serves(who) => seen(who).is_some_and(|m| serves(m) && m.colour == "green"),
            Clause::ServesNot(who) => !seen(who).is_some_and(serves),
            Clause::Pair(None) => [Who::A, Who::B].iter().any(|who| pair(look, *who)),
            Clause::Pair(Some(who)) => pair(look, *who),
            Clause::Answers(who) => seen(who).is_some(),
            Clause::Says(who, text) => seen(who).is_some_and(|m| {
                m.reason.contains(text)
                    || [&m.advice, &m.warning]
                        .iter()
                        .any(|said| said.as_ref().is_some_and(|s| s.contains(text)))
            }),
            Clause::Advises(who) => seen(who).is_some_and(|m| m.advice.is_some()),
            Clause::Diverged(who) => seen(who).is_some_and(|m| m.divergence.is_some()),
            Clause::Unconfirmed(who) => seen(who)
                .and_then(|m| m.record.as_ref())
                .is_some_and(|record| !record.confirmed),
            Clause::Address(who, presence) => {
                let said = self.node(*who).host.sh("ip -4 -o addr show dev eth0");
                let here = said.is_ok_and(|s| s.stdout.contains(" 10.99.0.100/"));
                here == (*presence == Presence::Here)
            }
            Clause::Application(who, presence) => {
                let process = self.node(*who).host.main_process(postgres::UNIT);
                let here = process.is_ok_and(|p| p.is_some());
                here == (*presence == Presence::Here)
            }
            Clause::Untouched => {
                self.trial.application_untouched().is_ok()
                    && self.pause_since(quiet)? <= UNNOTICED_MAX
            }
            Clause::RestartsUsed(who, count) => {
                seen(who).is_some_and(|m| m.restarts_used == *count)
            }
            Clause::WritesGoOn => {
                let rows = self.trial.client.journal()?.rows;
                let since = rows.iter().filter(|r| r.acknowledged > look.since);
                since.count() >= self.trial.stage().rows_that_show_work() / 2
            }
            Clause::GoesOnAlone(who) => seen(who).is_some_and(|m| m.state == "ALONE"),
            Clause::Level | Clause::MirrorLevel(_) => bail!("only the simulator can see it"),
        })
    }

    /// The longest time since then in which nothing was acknowledged.
    fn pause_since(&self, since: u64) -> Result<Duration> {
        let rows = self.trial.client.journal()?.rows;
        let mut last = since;
        let mut longest = 0;
        for row in rows.iter().filter(|r| r.acknowledged > since) {
            longest = longest.max(row.acknowledged - last);
            last = row.acknowledged;
        }
        Ok(Duration::from_nanos(
            longest.max(boottime().saturating_sub(last)),
        ))
    }

    // ---- what is done ----

    fn act(&mut self, action: &Action) -> Result<()> {
        let lab = self.trial.stage().lab;
        match action {
            Action::Command(who, words) => return self.command(*who, words),
            Action::PowerOff(whom) => return self.each(whom, |node| node.host.power_off()),
            Action::PowerOn(whom) => return self.each(whom, |node| node.host.boot()),
            Action::Reboot(who) => {
                let host = &self.node(*who).host;
                host.shut_down()?;
                host.boot()?;
            }
            Action::Cut(network, from) => self.cut(*network, *from)?,
            Action::Block(traffic) => {
                let (protocol, port) = match traffic {
                    Traffic::Heartbeats => ("udp", 9013),
                    Traffic::Stream => ("tcp", 9012),
                    Traffic::Control => ("tcp", 9011),
                };
                for end in ["sport", "dport"] {
                    lab.switch.block(&format!("{protocol} {end} {port}"))?;
                }
            }
            Action::Heal => lab.switch.unblock(),
            Action::Pull(who) => {
                for cable in Cable::BOTH {
                    lab.switch.pull(self.node(*who).number(), cable)?;
                }
            }
            Action::Plug(who) => {
                for cable in Cable::BOTH {
                    lab.switch.plug(self.node(*who).number(), cable)?;
                }
            }
            Action::Freeze(who) => {
                self.silent[place(*who)] = true;
                self.node(*who).host.freeze()?;
            }
            Action::Thaw(who) => {
                self.node(*who).host.thaw()?;
                self.silent[place(*who)] = false;
            }
            Action::KillDaemon(who) => self.signal(*who, "tandem.service", "KILL")?,
            Action::SuspendDaemon(who) => {
                self.silent[place(*who)] = true;
                self.signal(*who, "tandem.service", "STOP")?;
            }
            Action::ResumeDaemon(who) => {
                self.signal(*who, "tandem.service", "CONT")?;
                self.silent[place(*who)] = false;
            }
            Action::KillMirror(who) => {
                self.trial.expect_error("mirror");
                self.signal(*who, &format!("tandem-mirror@{MODULE}.service"), "KILL")?;
            }
            Action::KillApplication(_)
            | Action::StopApplication(_)
            | Action::BreakApplication(_)
            | Action::MaskApplication(_)
            | Action::RepairApplication(_) => self.application(action)?,
            Action::LoseGateway(who) => lab.switch.silence(CLIENT, self.node(*who).number())?,
            Action::FindGateway(_) => lab.switch.end_silence(),
            Action::StartAloneAfter(span) => self.set_start_alone_after(duration(*span))?,
            Action::KeepVolume(who) => self.node(*who).host.keep_disk("data", KEPT)?,
            Action::PutBackVolume(who) => self.node(*who).host.put_disk("data", KEPT)?,
            Action::KeepMachine(who) => {
                for disk in ["data", "system"] {
                    self.node(*who).host.keep_disk(disk, KEPT)?;
                }
            }
            Action::PutBackMachine(who) => {
                for disk in ["data", "system"] {
                    self.node(*who).host.put_disk(disk, KEPT)?;
                }
            }
            Action::KillDaemonFor(..)
            | Action::PauseMachine(_)
            | Action::ContinueMachine(_)
            | Action::CheckerDown(..)
            | Action::CheckerUp(_)
            | Action::StrangerComes
            | Action::StrangerGoes
            | Action::Misconfigure(_)
            | Action::Reconfigure(_)
            | Action::HangState(_)
            | Action::RepairState(_)
            | Action::BreakVolume(_)
            | Action::BreakApply(_)
            | Action::RepairVolume(_)
            | Action::Prefer(_)
            | Action::EndLicence => bail!("only the simulator can do it"),
        }
        Ok(())
    }

    /// The daemons take it when they start.
    fn set_start_alone_after(&mut self, time: Duration) -> Result<()> {
        let key = format!("start-alone-after = \"{}ms\"", time.as_millis());
        let setting = Setting {
            // Once for each scenario of this kind.
            module_keys: key.leak(),
            ..OTHER_SETTINGS
        };
        self.set = true;
        let text = configuration(&setting);
        let configured = self.nodes.iter().map(|node| node.configure(&text));
        configured.collect()
    }

    /// The nodes are hit at the same moment.
    fn each(&self, whom: &[Who], act: fn(&Node<'static>) -> Result<()>) -> Result<()> {
        std::thread::scope(|scope| {
            let nodes = whom.iter().map(|who| self.node(*who));
            let hit = nodes.map(|node| scope.spawn(move || act(node)));
            for thread in hit.collect::<Vec<_>>() {
                thread.join().expect("it does not panic")?;
            }
            Ok(())
        })
    }

    /// An operator asks, as soon as the daemon answers. Nobody waits for the outcome.
    fn command(&mut self, who: Who, words: &str) -> Result<()> {
        let node = self.node(who).clone();
        let diverged =
            !self.silent[place(who)] && node.module().is_ok_and(|m| m.data == "diverged");
        let line = format!("{words} --timeout {COMMAND_LIMIT}");
        self.commands.push(std::thread::spawn(move || {
            wait_for("the daemon to answer", TAKEOVER_LIMIT, || {
                let said = node.tandem(&line);
                Ok(said.ok().filter(|s| s.code != Some(NO_DAEMON)))
            })
        }));
        // The operator gives up what this side alone acknowledged.
        if diverged && words == "second" {
            self.trial.forget_rows()?;
            if let Some(rows) = self.before_the_cut.take() {
                self.trial.count_also(&rows);
            }
        }
        Ok(())
    }

    fn cut(&mut self, network: Option<u8>, from: Option<Who>) -> Result<()> {
        if network.is_none() && from.is_none() {
            // This is what has to be said when they meet again.
            self.trial.expect_error("diverged");
            self.before_the_cut = Some(self.trial.client.journal()?.rows);
        }
        let switch = &self.trial.stage().lab.switch;
        for who in [Who::A, Who::B] {
            if from.is_some_and(|from| from != who) {
                continue;
            }
            let (from, to) = (self.node(who).number(), self.node(who).other());
            match network {
                None => switch.block_way(from, to)?,
                Some(1) => switch.block_way_of(Cable::First, from, to)?,
                Some(_) => switch.block_way_of(Cable::Second, from, to)?,
            }
        }
        Ok(())
    }

    fn signal(&self, who: Who, unit: &str, signal: &str) -> Result<()> {
        let pid = self.node(who).host.main_process(unit)?;
        let pid = pid.with_context(|| format!("{unit} does not run"))?;
        run(&format!("kill -{signal} {pid}")).map(drop)
    }

    fn application(&mut self, action: &Action) -> Result<()> {
        let unit = postgres::UNIT;
        let broken = format!("/etc/systemd/system/{unit}.d/broken.conf");
        let breaking = format!(
            "mkdir -p $(dirname {broken}) && \
             printf '[Service]\\nExecStartPre=/bin/false\\n' >{broken} && systemctl daemon-reload"
        );
        // A service that ends by itself is for a person to look at.
        self.trial.expect_error("postgresql");
        self.trial.expect_error("checker sql is down");
        match action {
            Action::KillApplication(who) => self.signal(*who, unit, "KILL"),
            Action::StopApplication(who) => {
                (self.node(*who).host.must(&format!("systemctl stop {unit}"))).map(drop)
            }
            Action::MaskApplication(who) => {
                let line = format!("systemctl mask {unit} && systemctl stop {unit}");
                self.node(*who).host.must(&line).map(drop)
            }
            Action::BreakApplication(who) => {
                self.node(*who).host.must(&breaking)?;
                if self.node(*who).host.main_process(unit)?.is_some() {
                    self.signal(*who, unit, "KILL")?;
                }
                Ok(())
            }
            Action::RepairApplication(who) => {
                let line = format!(
                    "rm -f {broken}; systemctl unmask {unit}; systemctl daemon-reload; \
                     systemctl reset-failed {unit}; true"
                );
                self.node(*who).host.must(&line).map(drop)
            }
            _ => bail!("not done to an application"),
        }
    }

    fn end(self) -> Result<Told> {
        self.trial.unblock();
        let mut said = Vec::new();
        for command in self.commands {
            match command.join().expect("asking does not panic") {
                Ok(outcome) if outcome.code == Some(0) => {}
                Ok(outcome) => said.push(outcome.said().trim_end().to_owned()),
                Err(error) => said.push(format!("{error:#}")),
            }
        }
        self.trial.finish().with_context(|| said.join("\n"))
    }
}

fn serves(module: &ModuleStatus) -> bool {
    module.serves()
}

fn shows(module: &ModuleStatus, face: &Face) -> bool {
    let is = |wanted: &Option<String>, shown: &str| wanted.as_ref().is_none_or(|w| w == shown);
    let resyncing = module.data.starts_with("resyncing");
    let data = face
        .data
        .as_ref()
        .is_none_or(|wanted| match wanted.as_str() {
            "resyncing" => resyncing,
            // The percentage stands beside it.
            "not uptodate" => resyncing || module.data == *wanted,
            other => module.data == other,
        });
    is(&face.state, &module.state) && is(&face.colour, &module.colour) && data
}

fn pair(look: &Look, primary: Who) -> bool {
    let is = |who: Who, state: &str| {
        look.modules[place(who)]
            .as_ref()
            .is_some_and(|m| [m.state.as_str(), &m.colour, &m.data] == [state, "green", "uptodate"])
    };
    is(primary, "PRIM") && is(primary.other(), "SECOND")
}

fn told(look: &Look) -> String {
    let side = |n: usize, name: &str| match &look.modules[n] {
        Some(m) => format!(
            "{name} is {} {} {}: {}",
            m.state, m.colour, m.data, m.reason
        ),
        None => format!("{name} does not answer"),
    };
    format!("{}; {}", side(0, "A"), side(1, "B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_ten_scenarios_are_played_here_and_the_long_ones_only_when_asked() {
        let usual = load(false).expect("all can be read");
        let all = load(true).expect("all can be read");
        assert!(usual.len() >= 10, "{}", usual.len());
        assert!(all.len() > usual.len());
    }

    #[test]
    fn a_face_is_shown_when_all_that_is_asked_of_it_is() {
        let module = ModuleStatus {
            state: "SECOND".to_owned(),
            colour: "magenta".to_owned(),
            data: "resyncing 42 %".to_owned(),
            ..ModuleStatus::default()
        };
        let face = |state: &str, data: Option<&str>| Face {
            state: Some(state.to_owned()),
            colour: None,
            data: data.map(str::to_owned),
        };
        assert!(shows(&module, &face("SECOND", None)));
        assert!(shows(&module, &face("SECOND", Some("resyncing"))));
        assert!(shows(&module, &face("SECOND", Some("not uptodate"))));
        assert!(!shows(&module, &face("SECOND", Some("uptodate"))));
        assert!(!shows(&module, &face("WAIT", None)));
    }
}
