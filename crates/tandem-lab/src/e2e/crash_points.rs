//! The standby's copy is a database at every instant: its mirror is stopped between two operations
//! at moments drawn from a seed, the directory is copied as it then is, and the database has to
//! start on the copy and to have every row that was acknowledged before.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{MODULE, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::shell::run;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "the standby's copy is a database with every acknowledged row at every instant",
    run: crash_points,
}];

/// The moments of a run follow from it.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// What the database does meanwhile, one at each point: more than adding rows at the end of files.
const WORK: [&str; 6] = [
    "checkpoint",
    "select pg_switch_wal()",
    "vacuum events",
    "create table passing as select * from generate_series(1, 20000) n",
    "reindex table events",
    "drop table if exists passing",
];

fn crash_points(stage: &mut Stage) -> Result<Told> {
    let points = stage.points;
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let unit = format!("tandem-mirror@{MODULE}.service");
    let mirror = (standby.host.main_process(&unit)?).context("the standby's mirror runs")?;
    let mut chance = SEED;
    let mut rows = 0;
    for point in 0..points {
        let work = WORK[point % WORK.len()];
        let acknowledged = std::thread::scope(|scope| {
            let working = scope.spawn(|| postgres::query(&primary.host, work));
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            std::thread::sleep(Duration::from_micros(chance % 300_000));
            let copied = copy_at_this_instant(&trial, &standby, mirror);
            working.join().expect("asking does not panic")?;
            copied
        })?;
        let found = postgres::rows_of_copy(&standby.host)
            .with_context(|| format!("point {point}, during {work}"))?;
        let lost = acknowledged.iter().filter(|n| !found.contains(n)).count();
        ensure!(
            lost == 0,
            "point {point}, during {work}: {lost} of {} acknowledged rows are missing",
            acknowledged.len()
        );
        rows = acknowledged.len();
        // On a loaded machine a copy may have taken longer than the stall limit.
        standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
        primary.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    }
    trial
        .told
        .push(format!("{points} points, {rows} rows at the last"));
    trial.finish()
}

/// Gives the rows that were acknowledged before the instant.
fn copy_at_this_instant(trial: &Trial<'_>, standby: &Node<'_>, mirror: u32) -> Result<Vec<u64>> {
    let plain = standby.host.plain(postgres::DATA)?;
    let copy = standby.host.plain(postgres::COPY)?;
    run(&format!("rm -rf {}", copy.display()))?;
    let rows = trial.client.journal()?.rows;
    run(&format!("kill -STOP {mirror}"))?;
    let copied = run(&format!("cp -a {} {}", plain.display(), copy.display()));
    run(&format!("kill -CONT {mirror}"))?;
    copied?;
    Ok(rows.iter().map(|r| r.number).collect())
}
