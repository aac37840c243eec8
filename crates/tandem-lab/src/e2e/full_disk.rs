//! Full disks: what cannot be written is told, and nothing acknowledged is lost.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::console::Mark;
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT};
use crate::wait::wait_for;
use anyhow::Result;
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "the standby's disk is full",
        run: standby_full,
    },
    Case {
        name: "the primary's disk is full",
        run: primary_full,
    },
];

/// Beside the volume, on the same disk.
const FILLER: &str = "/var/lib/postgresql/filler";

/// Takes all free room, the last blocks too.
fn fill(node: &Node<'_>) -> Result<()> {
    node.host
        .must(&format!(
            "sync; fallocate -l $(df --output=avail -B1 /var/lib/postgresql | tail -1) {FILLER}; \
             dd if=/dev/zero bs=4096 of={FILLER} oflag=append conv=notrunc 2>/dev/null; sync; true"
        ))
        .map(drop)
}

fn make_room(node: &Node<'_>) -> Result<()> {
    node.host.must(&format!("rm -f {FILLER}; sync")).map(drop)
}

/// Lets the database ask for new blocks.
fn write_more(node: &Node<'_>) {
    let _ = postgres::query(&node.host, "select pg_switch_wal()");
    let _ = postgres::query(&node.host, "checkpoint");
}

fn standby_full(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    trial.expect_error("No space left");
    trial.expect_error("os error 28");
    trial.expect_error(".tandem/position");
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let mark = Mark::end_of(&standby.host.console());
    fill(&standby)?;
    wait_for(
        "the primary to go on alone",
        Duration::from_secs(60),
        || {
            write_more(&primary);
            Ok((primary.module()?.state == "ALONE").then_some(()))
        },
    )?;
    trial.rows_flow()?;
    let told = wait_for("the standby to say why", Duration::from_secs(20), || {
        let text = mark.text()?;
        let line = text.lines().find(|l| l.contains("No space left on device"));
        Ok(line.map(str::to_owned))
    })?;
    trial.told.push(format!("\"{told}\""));
    make_room(&standby)?;
    if standby.module()?.state == "STOP" {
        standby.command("start --no-wait")?;
    }
    trial.finish()
}

fn primary_full(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    trial.expect_error("No space left");
    trial.expect_error("os error 28");
    // The database may end by itself over a full disk, and is restarted or moved.
    trial.expect_error("postgresql");
    let primary = trial.primary.clone();
    fill(&primary)?;
    let mut rows = trial.client.journal()?.rows.len();
    wait_for("the database to feel it", Duration::from_secs(60), || {
        write_more(&primary);
        let now = trial.client.journal()?.rows.len();
        let felt = now == rows || primary.module()?.state != "PRIM";
        rows = now;
        Ok(felt.then_some(()))
    })?;
    make_room(&primary)?;
    wait_for("a node that serves", RESYNCHRONISATION_LIMIT, || {
        let states = [primary.module()?.state, trial.standby.module()?.state];
        let serves = |s: &String| matches!(s.as_str(), "ALONE" | "PRIM");
        Ok(states.iter().any(serves).then_some(()))
    })?;
    if primary.module()?.state == "STOP" {
        primary.command("start --no-wait")?;
    }
    trial.finish()
}
