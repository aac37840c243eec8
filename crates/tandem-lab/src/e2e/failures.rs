//! Power cuts and dead processes.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{MODULE, Node, STALL_LIMIT, TAKEOVER_LIMIT};
use crate::shell::run;
use crate::switch::Cable;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 8] = [
    Case {
        name: "the primary loses power",
        run: primary_loses_power,
    },
    Case {
        name: "the standby's cables are pulled, and then the primary loses power",
        run: primary_loses_power_after_a_cut,
    },
    Case {
        name: "the standby loses power",
        run: standby_loses_power,
    },
    Case {
        name: "both lose power at once",
        run: both_lose_power,
    },
    Case {
        name: "the primary's daemon is killed",
        run: daemon_killed,
    },
    Case {
        name: "the standby's daemon is killed",
        run: standby_daemon_killed,
    },
    Case {
        name: "the primary's mirror is killed and then the primary loses power",
        run: mirror_killed,
    },
    Case {
        name: "the primary's daemon is stopped and never continued",
        run: daemon_stopped,
    },
];

/// Boots a host that lost power and starts its node.
///
/// # Errors
/// It does not come back.
pub fn bring_back(node: &Node<'_>) -> Result<()> {
    node.host.boot()?;
    wait_for("the daemon to answer", TAKEOVER_LIMIT, || {
        Ok(node.module().ok())
    })?;
    node.order("start --no-wait").map(drop)
}

fn primary_loses_power(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    trial.primary.host.power_off()?;
    let served = trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    ensure!(served.state == "ALONE", "it is {}", served.state);
    trial.rows_flow()?;
    bring_back(&trial.primary)?;
    trial.finish()
}

/// The primary loses power when it cannot reach the standby any more, but has not yet recorded it
/// out: what is not on both nodes must not have been acknowledged.
///
/// # Errors
/// Something acknowledged is missing, or the standby does not take over.
pub fn primary_loses_power_after_a_cut(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    let standby = trial.standby.number();
    for cable in Cable::BOTH {
        lab.switch.pull(standby, cable)?;
    }
    // Half of the stall limit: long enough for rows to be written, too short for a decision.
    std::thread::sleep(STALL_LIMIT / 2);
    trial.primary.host.power_off()?;
    for cable in Cable::BOTH {
        lab.switch.plug(standby, cable)?;
    }
    trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    bring_back(&trial.primary)?;
    trial.finish()
}

fn standby_loses_power(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    trial.standby.host.power_off()?;
    let primary = &trial.primary;
    primary.wait_until("the primary to be ALONE", TAKEOVER_LIMIT, |m| {
        m.state == "ALONE" && m.data == "uptodate"
    })?;
    trial.rows_flow()?;
    let outage = trial.client.journal()?.outage();
    ensure!(
        outage <= STALL_LIMIT + Duration::from_millis(500),
        "an outage of {:.2} s, above the stall limit and 0.5 s",
        outage.as_secs_f64()
    );
    bring_back(&trial.standby)?;
    trial.finish()
}

fn both_lose_power(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    let (one, two) = (trial.primary.host.clone(), trial.standby.host.clone());
    let other = std::thread::spawn(move || two.power_off());
    one.power_off()?;
    other.join().expect("pulling a cord does not panic")?;
    lab.boot_both()?;
    for node in [&trial.primary, &trial.standby] {
        wait_for("the daemon to answer", TAKEOVER_LIMIT, || {
            Ok(node.module().ok())
        })?;
        node.command("start --no-wait")?;
    }
    trial.finish()
}

/// Kills the main process of a unit on `node`, in a way that nobody can prevent.
fn kill(node: &Node<'_>, unit: &str, signal: &str) -> Result<u32> {
    let pid = node.host.main_process(unit)?;
    let pid = pid.with_context(|| format!("{unit} does not run on h{}", node.number()))?;
    run(&format!("kill -{signal} {pid}"))?;
    Ok(pid)
}

fn daemon_killed(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    kill(&trial.primary, "tandem.service", "KILL")?;
    daemon_comes_back(&trial)?;
    trial.finish()
}

fn standby_daemon_killed(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    kill(&trial.standby, "tandem.service", "KILL")?;
    daemon_comes_back(&trial)?;
    trial.finish()
}

/// The application must not notice: same process, no outage that a person would see.
fn daemon_comes_back(trial: &Trial<'_>) -> Result<()> {
    trial
        .primary
        .wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    trial
        .standby
        .wait_for_face(["SECOND", "green", "uptodate"], TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    trial.application_untouched()?;
    let outage = trial.client.journal()?.outage();
    ensure!(
        outage <= Duration::from_millis(500),
        "the client noticed: {:.2} s",
        outage.as_secs_f64()
    );
    Ok(())
}

fn mirror_killed(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    // A mirror that dies under its application is for a person to look at.
    trial.expect_error("mirror");
    let before = trial.primary.host.main_process(postgres::UNIT)?;
    let unit = format!("tandem-mirror@{MODULE}.service");
    kill(&trial.primary, &unit, "KILL")?;
    wait_for("the database to be restarted", TAKEOVER_LIMIT, || {
        let here = trial.primary.host.main_process(postgres::UNIT)?;
        let there = trial.standby.host.main_process(postgres::UNIT)?;
        Ok(((here.is_some() && here != before) || there.is_some()).then_some(()))
    })?;
    trial.rows_flow().context("after the mirror was killed")?;
    let outage = trial.client.journal()?.outage();
    trial
        .told
        .push(format!("{:.2} s without the mirror", outage.as_secs_f64()));
    trial.primary.host.power_off()?;
    // The standby takes over if the record says that it is in sync. Otherwise nobody serves until
    // the primary is back; either way nothing acknowledged is missing.
    let taken = trial.standby.wait_until_it_serves(Duration::from_secs(15));
    trial.told.push(match taken {
        Ok(_) => "the standby took over".to_owned(),
        Err(_) => "the standby was not uptodate and waited".to_owned(),
    });
    bring_back(&trial.primary)?;
    trial.finish()
}

fn daemon_stopped(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    kill(&trial.primary, "tandem.service", "STOP")?;
    trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    // From here on the old primary must not complete a write, whoever asks.
    let probe = format!(
        "rm -f /run/probe; (echo x >{data}/probe && sync {data}/probe && echo written >/run/probe) \
         >/dev/null 2>&1 </dev/null & sleep 2; cat /run/probe 2>/dev/null",
        data = postgres::DATA
    );
    let said = trial.primary.host.sh(&probe)?.stdout;
    ensure!(said.is_empty(), "the old primary accepted a write");
    let insert = "insert into events (id, payload) values (-1, 'late')";
    let insert = format!("timeout 2 runuser -u postgres -- psql -qX -c \"{insert}\"");
    let late = trial.primary.host.sh(&insert)?;
    ensure!(late.code != Some(0), "the old primary accepted a row");
    trial.rows_flow()?;
    trial.primary.host.power_off()?;
    bring_back(&trial.primary)?;
    trial.finish()
}
