//! Power cuts and dead processes.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, STALL_LIMIT, TAKEOVER_LIMIT};
use crate::shell::run;
use crate::switch::Cable;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "the standby's cables are pulled, and then the primary loses power",
        run: primary_loses_power_after_a_cut,
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

/// Kills the main process of a unit on `node`, in a way that nobody can prevent.
fn kill(node: &Node<'_>, unit: &str, signal: &str) -> Result<u32> {
    let pid = node.host.main_process(unit)?;
    let pid = pid.with_context(|| format!("{unit} does not run on h{}", node.number()))?;
    run(&format!("kill -{signal} {pid}"))?;
    Ok(pid)
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
