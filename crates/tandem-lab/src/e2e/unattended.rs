//! The application's packages, and a library that everything uses, are upgraded while Tandem runs, by
//! Debian's own unattended-upgrades; needrestart restarts what runs on old files. On the standby
//! nothing of the application starts. On the primary it is restarted, which is no crash: nobody fails
//! over, and no restart of the budget is used up.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::console::Mark;
use crate::lab::workspace;
use crate::postgres;
use crate::product::{Node, TAKEOVER_LIMIT};
use crate::repository::{self, Repository};
use crate::wait::wait_for;
use crate::watch::Watcher;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tandem_wire::api::ModuleStatus;

/// Cases for which there is not always time.
pub const LONG_CASES: [Case; 1] = [Case {
    name: "an unattended upgrade of PostgreSQL starts nothing on the standby, and is no crash on the primary",
    run: upgrade,
}];

const DATABASE: &str = "postgresql-15";
/// A library that the database and both programs of Tandem use.
const LIBRARY: &str = "libgcc-s1";
/// A package whose upgrade takes as long as this file is not there, and a minute at most.
const SLOW: &str = "zz-slow";
const GO_ON: &str = "/run/go-on";
const SLOWLY: &str = "for i in $(seq 60); do if [ -e /run/go-on ]; then exit 0; fi; sleep 1; done";
/// How long an upgrade may take, without the slow package, on a loaded machine.
const UPGRADE_LIMIT: Duration = Duration::from_secs(180);
/// What Debian's generator of units goes by.
const START_CONF: &str = "/etc/postgresql/15/main/start.conf";
/// What unattended-upgrades and needrestart are told: our packages too, and to ask nobody.
const TOLD: &str = r#"
printf 'Unattended-Upgrade::Origins-Pattern { "origin=upgrade"; };\n' >/etc/apt/apt.conf.d/52lab
printf '$nrconf{restart} = "a";\n' >/etc/needrestart/conf.d/lab.conf
"#;

fn upgrade(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let (primary, standby) = stage.pair()?;
    let packages = ["unattended-upgrades", "needrestart", DATABASE, LIBRARY];
    let debian = Repository::of_debian(lab, "unattended", &packages)?;
    let newer = Repository::new(lab, "upgrade")?;
    newer.add_script(SLOW, "Version: 1", "true")?;
    newer.index()?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| prepare(&standby, &debian, &newer));
        prepare(&primary, &debian, &newer)?;
        other.join().expect("no panic")
    })?;
    // What needs more than itself comes last.
    let installed = version(&primary, DATABASE)?;
    let installed = installed.split(' ').next().unwrap_or_default();
    let last = format!("Version: 2\nDepends: {DATABASE} (>> {installed})");
    newer.add_script(SLOW, &last, SLOWLY)?;
    for package in [DATABASE, LIBRARY] {
        newer.add_newer(&debian.package(package)?, "+lab1")?;
    }
    newer.index()?;

    let mut trial = Trial::begin(stage)?;
    on_the_standby(&trial).context("on the standby")?;
    on_the_primary(&mut trial, &newer, &debian).context("on the primary")?;
    let told = trial.finish()?;
    // With other packages than the next case expects.
    stage.clear();
    Ok(told)
}

fn prepare(node: &Node<'_>, debian: &Repository, newer: &Repository) -> Result<()> {
    let host = &node.host;
    repository::look_at(host, &[debian, newer])?;
    let packages = ["unattended-upgrades", "needrestart", SLOW];
    repository::install(host, &packages, UPGRADE_LIMIT)?;
    let kept = std::fs::read_to_string(workspace().join("packaging/needrestart.conf"))?;
    host.must(&format!(
        "{TOLD} cat >/etc/needrestart/conf.d/tandem.conf <<'END'\n{kept}END\nsync"
    ))
    .map(drop)
}

/// As Debian's timer does it.
fn run_upgrade(node: &Node<'_>) -> Result<String> {
    let line = "apt-get -qq update && unattended-upgrade --verbose 2>&1";
    node.host.must_within(line, UPGRADE_LIMIT)
}

/// What is installed.
fn version(node: &Node<'_>, package: &str) -> Result<String> {
    let line = format!("dpkg-query -W -f '${{Version}} ${{db:Status-Status}}' {package}");
    node.host.must(&line)
}

/// Where Debian starts and stops the database by itself, or nobody does.
fn start_conf(node: &Node<'_>, word: &str) -> Result<()> {
    let line = format!("echo {word} >{START_CONF} && systemctl daemon-reload");
    node.host.must(&line).map(drop)
}

/// Even where somebody forgot to write `manual`, and Debian's scripts do start the database.
fn on_the_standby(trial: &Trial<'_>) -> Result<()> {
    let node = &trial.standby;
    let mark = Mark::end_of(&node.host.console());
    let begun = || {
        let line = format!(
            "systemctl show -P ActiveEnterTimestampMonotonic {}",
            postgres::UNIT
        );
        node.host.must(&line)
    };
    let before = begun()?;
    start_conf(node, "auto")?;
    node.host.must(&format!("touch {GO_ON}"))?;
    let said = run_upgrade(node)?;
    for package in [DATABASE, LIBRARY] {
        let now = version(node, package)?;
        ensure!(now.ends_with("+lab1 installed"), "{package} {now}: {said}");
    }
    let log = mark.text()?;
    ensure!(
        log.contains("Assertion failed for postgresql@15-main.service"),
        "nobody tried to start it, so this shows nothing: {said}"
    );
    ensure!(begun()? == before, "the database was started");
    start_conf(node, "manual")?;
    trial.rows_flow()?;
    trial.nothing_happened()
}

fn on_the_primary(trial: &mut Trial<'_>, newer: &Repository, debian: &Repository) -> Result<()> {
    let (node, standby) = (trial.primary.clone(), trial.standby.clone());
    let lab = trial.stage().lab;
    let watchers = [
        Watcher::start(lab, &node.host)?,
        Watcher::start(lab, &standby.host)?,
    ];
    for watcher in &watchers {
        wait_for("the watcher to see something", TAKEOVER_LIMIT, || {
            Ok((!watcher.seen()?.is_empty()).then_some(()))
        })?;
    }
    let processes = || -> Result<[Option<u32>; 3]> {
        let units = [
            postgres::UNIT,
            "tandem-mirror@videeos.service",
            "tandem.service",
        ];
        let [database, mirror, daemon] = units.map(|unit| node.host.main_process(unit));
        Ok([database?, mirror?, daemon?])
    };
    let before = processes()?;
    let (seconds, said) = meanwhile(trial, &node)?;
    let after = processes()?;
    ensure!(after[0].is_some() && after[0] != before[0], "{after:?}");
    ensure!(after[1] == before[1], "the mirror was restarted");
    ensure!(after[2] == before[2], "the daemon was restarted");
    let restarted = format!("systemctl restart {}\n", postgres::UNIT);
    ensure!(said.contains(&restarted), "needrestart did nothing: {said}");
    trial.told.push(format!(
        "with start.conf manual it answered again {seconds:.1} s after the upgrade's begin"
    ));

    // Where Debian's own scripts start it again.
    start_conf(&node, "auto")?;
    newer.add_newer(&debian.package(DATABASE)?, "+lab2")?;
    newer.index()?;
    let said = run_upgrade(&node)?;
    let now = version(&node, DATABASE)?;
    ensure!(now.ends_with("+lab2 installed"), "{now}: {said}");
    trial.rows_flow()?;
    start_conf(&node, "manual")?;

    let unused = |m: &ModuleStatus| m.restarts_used == 0 && m.colour == "green";
    node.wait_until("no restart of the budget", TAKEOVER_LIMIT, unused)?;
    for (watcher, state) in watchers.iter().zip(["PRIM", "SECOND"]) {
        let seen = watcher.seen()?;
        let others = seen.iter().map(|s| s.face.0.as_str());
        let others: Vec<_> = others.filter(|other| *other != state).collect();
        ensure!(others.is_empty(), "{state} became {others:?}");
        let last = seen.last().context("nothing was seen")?;
        ensure!(last.face.2 == "uptodate", "{:?}", last.face);
    }
    Ok(())
}

/// The whole upgrade, in which another package takes long after the database is done: that must not
/// keep the database away. Gives how long it took until clients got on again, and what was said.
fn meanwhile(trial: &Trial<'_>, node: &Node<'static>) -> Result<(f64, String)> {
    std::thread::scope(|scope| {
        let begin = Instant::now();
        let upgrading = scope.spawn(|| run_upgrade(node));
        let look = || -> Result<f64> {
            wait_for("the slow package's turn", UPGRADE_LIMIT, || {
                if upgrading.is_finished() {
                    return Ok(Some(()));
                }
                Ok(version(node, SLOW)?.starts_with("2 ").then_some(()))
            })?;
            let now = version(node, DATABASE)?;
            ensure!(now.ends_with("+lab1 installed"), "the database is {now}");
            trial.rows_flow().context("while packages are upgraded")?;
            ensure!(!upgrading.is_finished(), "the upgrade was over already");
            Ok(begin.elapsed().as_secs_f64())
        };
        let looked = look();
        node.host.must(&format!("touch {GO_ON}"))?;
        let said = upgrading.join().expect("no panic")?;
        match looked {
            Ok(seconds) => Ok((seconds, said)),
            Err(error) => Err(error.context(said)),
        }
    })
}
