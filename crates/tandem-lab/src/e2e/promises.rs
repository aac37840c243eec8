//! Other promises than the usual one: every write waits for the peer, and its memory is enough.

use super::stage::Stage;
use super::trial::Trial;
use super::writer::Writer;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, Setting, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use anyhow::{Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "every write waits for the peer's memory, and no power cut of one node loses any",
    run: write_and_memory,
}];

/// Also has an IPv6 address, and excludes something, so that the cases of that need no pair of
/// their own.
pub const SETTING: Setting = Setting {
    ipv6: true,
    module_keys: "durability = \"memory\"",
    volume_keys: "wait-for-peer = \"write\"\nexclude = [\"pg_stat_tmp/\", \"cache/\", \"*.scratch\"]",
    ..Setting::USUAL
};
/// How many lines there are, at least, before something happens.
const LINES: usize = 100;
/// How long they may take on a loaded machine.
const LINES_LIMIT: Duration = Duration::from_secs(40);

fn file() -> String {
    format!("{}/plain-writes", postgres::DATA)
}

/// A program on the node that serves. It never syncs: a line is acknowledged when `write` returned.
fn start_writer(node: &Node<'_>, stage: &Stage, first: u64) -> Result<Writer> {
    let script = format!(
        "number={first}; while echo $number >>{}; do \
           echo $number; number=$((number + 1)); sleep 0.005; done",
        file()
    );
    let writer = Writer::start(node, stage, &format!("written-{first}"), &script)?;
    wait_for("written lines", LINES_LIMIT, || {
        Ok((writer.lines()?.len() >= LINES).then_some(()))
    })?;
    Ok(writer)
}

fn has_all(node: &Node<'_>, written: &[String]) -> Result<()> {
    let found = node.host.must(&format!("cat {}", file()))?;
    let found = found.lines().collect::<std::collections::BTreeSet<_>>();
    let lost = written.iter().filter(|l| !found.contains(l.as_str()));
    let lost = lost.count();
    ensure!(lost == 0, "{lost} of {} writes are lost", written.len());
    Ok(())
}

fn write_and_memory(stage: &mut Stage) -> Result<Told> {
    stage.want(SETTING);
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let writer = start_writer(&primary, trial.stage(), 1)?;
    primary.host.power_off()?;
    let mut written = writer.lines()?;
    drop(writer);
    standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    has_all(&standby, &written)?;
    trial.rows_flow()?;
    super::failures::bring_back(&primary)?;
    primary.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    standby.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;

    // What a standby has only in memory goes with its power, and is compared when it returns.
    let writer = start_writer(&standby, trial.stage(), 1_000_000)?;
    primary.host.power_off()?;
    trial.rows_flow()?;
    super::failures::bring_back(&primary)?;
    primary.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    standby.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let before = writer.lines()?.len();
    wait_for("writes after it", LINES_LIMIT, || {
        Ok((writer.lines()?.len() > before).then_some(()))
    })?;
    written.extend(writer.lines()?);
    drop(writer);
    (standby.host).must("while pkill -f 'plain-[w]rites'; do sleep 0.05; done")?;
    has_all(&standby, &written)?;
    trial.told.push(format!("{} writes", written.len()));
    trial.finish()
}
