//! Checkers: what probes the application from outside, with rise and fall.
//!
//! A checker that cannot run is down. What a change leads to is decided elsewhere; the configured
//! action is only carried along.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::linux::systemd::Systemd;
use crate::linux::{process, shell};
use crate::probe::{self, sentence};

/// Changes that wait to be taken.
const CHANGES_MAX: usize = 64;

/// One checker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckerConfig {
    /// As configured; named in changes.
    pub name: String,
    /// What it looks at.
    pub probe: Probe,
    /// From the start of one probe to the start of the next.
    pub period: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Successes in a row after which it is up.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
    /// What its going down leads to.
    pub action: CheckerAction,
}

/// What a checker looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A systemd unit is active.
    Unit(String),
    /// A process with this name (as in `/proc/PID/comm`) runs.
    Process(String),
    /// A connection is accepted.
    Tcp(SocketAddr),
    /// The script ends with status 0.
    Script(PathBuf),
}

/// What the going down of a checker leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CheckerAction {
    /// Services are restarted in place.
    Restart,
    /// The node stops and starts the module.
    StopStart,
    /// The roles are exchanged.
    Swap,
    /// The node waits.
    Wait,
    /// The node stops the module.
    Stop,
    /// It is only shown.
    #[default]
    None,
}

/// What a checker says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// `rise` probes in a row succeeded.
    Up,
    /// `fall` probes in a row failed.
    Down,
}

/// A checker changed its verdict. The first verdict is a change too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckerChange {
    /// The checker.
    pub name: String,
    /// What is configured for its going down.
    pub action: CheckerAction,
    /// The new verdict.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub reason: String,
}

/// The running checkers of a module. When it is dropped, they end.
#[derive(Debug)]
pub struct Checkers {
    frozen: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Checkers {
    /// Starts all checkers. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(checkers: Vec<CheckerConfig>) -> (Self, mpsc::Receiver<CheckerChange>) {
        let (changes, receiver) = mpsc::channel(CHANGES_MAX);
        let (frozen, freezing) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for config in checkers {
            tasks.spawn(run(config, freezing.clone(), changes.clone()));
        }
        (Self { frozen, tasks }, receiver)
    }

    /// Keeps all verdicts as they are until [`Self::thaw`]: the mirror stalls, or services are
    /// being started. A probe that is under way is thrown away.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Probes again, with counts from the beginning.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// Ends all checkers and waits for them.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn run(
    config: CheckerConfig,
    mut freezing: watch::Receiver<bool>,
    changes: mpsc::Sender<CheckerChange>,
) {
    let mut count = Count::new(config.rise, config.fall);
    let mut prober = Prober::default();
    let mut ticks = interval(config.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Fails when the checkers are dropped: then this task is being ended too.
        if freezing.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        let outcome = tokio::select! {
            outcome = prober.probe(&config.probe, config.timeout) => outcome,
            _ = freezing.wait_for(|frozen| *frozen) => {
                count.forget_streak();
                continue;
            }
        };
        let Some(verdict) = count.add(outcome.is_ok()) else {
            continue;
        };
        let change = CheckerChange {
            name: config.name.clone(),
            action: config.action,
            verdict,
            reason: match outcome {
                Ok(()) => format!("it answered {} times in a row", config.rise.max(1)),
                Err(reason) => reason,
            },
        };
        if changes.send(change).await.is_err() {
            return;
        }
    }
}

/// Turns outcomes into verdicts.
#[derive(Debug)]
struct Count {
    rise: u32,
    fall: u32,
    verdict: Option<Verdict>,
    last: Option<bool>,
    streak: u32,
}

impl Count {
    const fn new(rise: u32, fall: u32) -> Self {
        Self {
            rise,
            fall,
            verdict: None,
            last: None,
            streak: 0,
        }
    }

    /// Counts an outcome and tells the verdict if it changed.
    fn add(&mut self, success: bool) -> Option<Verdict> {
        self.streak = if self.last == Some(success) {
            self.streak.saturating_add(1)
        } else {
            1
        };
        self.last = Some(success);
        let (verdict, needed) = if success {
            (Verdict::Up, self.rise)
        } else {
            (Verdict::Down, self.fall)
        };
        if self.streak < needed || self.verdict == Some(verdict) {
            return None;
        }
        self.verdict = Some(verdict);
        self.verdict
    }

    const fn forget_streak(&mut self) {
        self.last = None;
        self.streak = 0;
    }
}

/// Makes probes; keeps the connection to systemd between them.
#[derive(Default)]
struct Prober {
    systemd: Option<Systemd>,
}

impl Prober {
    async fn probe(&mut self, probe: &Probe, limit: Duration) -> Result<(), String> {
        match probe {
            Probe::Tcp(address) => probe::tcp(*address, limit).await,
            Probe::Script(path) => shell::run_script(path.as_os_str(), limit)
                .await
                .map_err(|error| format!("the script {} failed: {error}", path.display())),
            Probe::Process(name) => {
                if process::is_named_running(name) {
                    Ok(())
                } else {
                    Err(format!("no process {name} runs"))
                }
            }
            Probe::Unit(unit) => match timeout(limit, self.unit(unit)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!(
                    "systemd did not tell the state of {unit} within {} s",
                    limit.as_secs_f32()
                )),
            },
        }
    }

    async fn unit(&mut self, unit: &str) -> Result<(), String> {
        let systemd = match self.systemd.take() {
            Some(systemd) if !systemd.is_closed() => systemd,
            _ => Systemd::connect().await.map_err(|e| sentence(&e))?,
        };
        let state = systemd.unit(unit).await.map_err(|e| sentence(&e))?;
        self.systemd = Some(systemd);
        state.check_loaded().map_err(|e| sentence(&e))?;
        if state.is_active() {
            Ok(())
        } else {
            Err(format!(
                "the unit {unit} is {} ({})",
                state.active, state.sub
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LIMIT: Duration = Duration::from_secs(30);

    fn checker(probe: Probe) -> CheckerConfig {
        CheckerConfig {
            name: "checker".to_owned(),
            probe,
            period: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 3,
            action: CheckerAction::Restart,
        }
    }

    fn script(dir: &std::path::Path, text: &str) -> PathBuf {
        let path = dir.join("check");
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    async fn next(changes: &mut mpsc::Receiver<CheckerChange>) -> CheckerChange {
        timeout(LIMIT, changes.recv())
            .await
            .expect("a change within the limit")
            .expect("the checker runs")
    }

    #[test]
    fn a_verdict_changes_after_rise_or_fall_in_a_row_and_not_before() {
        let mut count = Count::new(2, 3);
        let verdicts: Vec<_> = [
            true, true, true, false, false, true, false, false, false, false, true, true,
        ]
        .into_iter()
        .map(|success| count.add(success))
        .collect();
        let (up, down) = (Some(Verdict::Up), Some(Verdict::Down));
        let none = None;
        assert_eq!(
            verdicts,
            [
                none, up, none, none, none, none, none, none, down, none, none, up
            ]
        );
    }

    #[test]
    fn after_a_freeze_the_count_begins_again_and_the_verdict_stays() {
        let mut count = Count::new(1, 2);
        assert_eq!(count.add(true), Some(Verdict::Up));
        assert_eq!(count.add(false), None);
        count.forget_streak();
        assert_eq!(count.add(false), None);
        assert_eq!(count.add(false), Some(Verdict::Down));
    }

    #[tokio::test]
    async fn a_port_that_opens_and_closes_goes_up_and_down() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let address = listener.local_addr().expect("address");
        let (checkers, mut changes) = Checkers::start(vec![checker(Probe::Tcp(address))]);
        assert_eq!(next(&mut changes).await.verdict, Verdict::Up);
        drop(listener);
        let down = next(&mut changes).await;
        assert_eq!(down.verdict, Verdict::Down);
        assert_eq!(down.action, CheckerAction::Restart);
        assert!(down.reason.contains("does not accept"), "{}", down.reason);
        checkers.shutdown().await;
    }

    #[tokio::test]
    async fn a_script_that_cannot_run_or_hangs_is_down() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let missing = checker(Probe::Script(dir.path().join("missing")));
        let mut hanging = checker(Probe::Script(script(dir.path(), "#!/bin/sh\nsleep 1000\n")));
        hanging.timeout = Duration::from_millis(50);
        let mut reasons = Vec::new();
        for config in [missing, hanging] {
            let (checkers, mut changes) = Checkers::start(vec![config]);
            let change = next(&mut changes).await;
            assert_eq!(change.verdict, Verdict::Down);
            reasons.push(change.reason);
            checkers.shutdown().await;
        }
        assert!(reasons[0].contains("cannot be run"), "{reasons:?}");
        assert!(reasons[1].contains("did not end"), "{reasons:?}");
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_name() {
        let own = std::fs::read_to_string("/proc/self/comm").expect("comm");
        let (checkers, mut changes) = Checkers::start(vec![
            checker(Probe::Process(own.trim().to_owned())),
            checker(Probe::Process("no-such-process".to_owned())),
        ]);
        let mut verdicts = vec![
            next(&mut changes).await.verdict,
            next(&mut changes).await.verdict,
        ];
        verdicts.sort_by_key(|verdict| *verdict == Verdict::Down);
        assert_eq!(verdicts, [Verdict::Up, Verdict::Down]);
        checkers.shutdown().await;
    }

    #[tokio::test]
    async fn a_frozen_checker_says_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ran = dir.path().join("ran");
        let path = script(
            dir.path(),
            &format!("#!/bin/sh\necho x >> {}\n", ran.display()),
        );
        let (checkers, mut changes) = Checkers::start(vec![checker(Probe::Script(path.clone()))]);
        assert_eq!(next(&mut changes).await.verdict, Verdict::Up);
        checkers.freeze();
        std::fs::remove_file(&path).expect("remove");
        // Far longer than three periods; nothing may come, so there is nothing to wait for.
        let silent = timeout(Duration::from_millis(300), changes.recv()).await;
        assert!(silent.is_err(), "{silent:?}");
        checkers.thaw();
        assert_eq!(next(&mut changes).await.verdict, Verdict::Down);
        checkers.shutdown().await;
    }
}
