//! SQLite beside the database on the mirrored mount, in both of its journal modes: after a swap and
//! after a power cut its files are whole and have every acknowledged row.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "SQLite in both journal modes survives a swap and a power cut",
    run: swap_and_power_cut,
}];

/// SQLite's journal modes: a log of new pages, and a journal of old ones.
const MODES: [&str; 2] = ["wal", "delete"];
/// How many acknowledged rows there are, at least, before something happens.
const ROWS: usize = 50;
/// How long they may take on a loaded machine.
const ROWS_LIMIT: Duration = Duration::from_secs(40);

/// A writer on the node that serves. What it prints was committed before.
struct Writer {
    mode: &'static str,
    process: Child,
    acknowledged: PathBuf,
}

fn file_of(mode: &str) -> String {
    format!("{}/beside-{mode}.sqlite", postgres::DATA)
}

impl Writer {
    fn start(node: &Node<'_>, stage: &Stage, mode: &'static str, first: u64) -> Result<Self> {
        let acknowledged = stage.lab.directory.join(format!("sqlite-{mode}-{first}"));
        let script = format!(
            "(echo 'pragma journal_mode={mode}; pragma synchronous=full; \
               create table if not exists rows (number integer primary key);'; \
              number={first}; while :; do \
                echo \"insert into rows values ($number); select $number;\"; \
                number=$((number + 1)); sleep 0.01; done) | exec stdbuf -oL sqlite3 {}",
            file_of(mode)
        );
        let words = node.host.enter()?;
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&acknowledged)?)
            .stderr(Stdio::null())
            .spawn()
            .context("start SQLite's writer")?;
        let writer = Self {
            mode,
            process,
            acknowledged,
        };
        wait_for("SQLite's acknowledged rows", ROWS_LIMIT, || {
            Ok((writer.rows()?.len() >= ROWS).then_some(()))
        })?;
        Ok(writer)
    }

    /// What was acknowledged: whole lines only.
    fn rows(&self) -> Result<Vec<u64>> {
        let text = fs::read_to_string(&self.acknowledged)?;
        let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
        // The first lines tell the journal's mode.
        Ok(lines.filter_map(|l| l.trim().parse().ok()).collect())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn swap_and_power_cut(stage: &mut Stage) -> Result<Told> {
    let (primary, standby) = stage.pair()?;
    let start = |node: &Node<'_>, stage: &Stage, first| -> Result<Vec<Writer>> {
        let writers = MODES.iter().map(|m| Writer::start(node, stage, m, first));
        writers.collect()
    };
    let first = start(&primary, stage, 1)?;
    let second_first = 1_000_000;
    let mut trial = Trial::begin(stage)?;
    // An operator ends what is no service of the module before a swap.
    end_writers(&primary)?;
    primary.command("swap --timeout 40s")?;
    standby.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    primary.wait_for_face(["SECOND", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let mut expected = (first.iter().map(Writer::rows)).collect::<Result<Vec<_>>>()?;
    drop(first);
    has_all(&standby, &expected)?;
    trial.rows_flow()?;

    let second = start(&standby, trial.stage(), second_first)?;
    standby.host.power_off()?;
    for (all, writer) in expected.iter_mut().zip(&second) {
        all.extend(writer.rows()?);
        trial
            .told
            .push(format!("{} rows in {}", all.len(), writer.mode));
    }
    drop(second);
    primary.wait_until_it_serves(TAKEOVER_LIMIT)?;
    has_all(&primary, &expected)?;
    trial.rows_flow()?;
    super::failures::bring_back(&standby)?;
    let told = trial.finish()?;
    primary
        .host
        .must(&format!("rm -f {}/beside-*", postgres::DATA))?;
    Ok(told)
}

fn end_writers(node: &Node<'_>) -> Result<()> {
    node.host
        .must("pkill -x sqlite3; while pgrep -x sqlite3; do sleep 0.05; done")
        .map(drop)
}

/// The files are whole, and nothing acknowledged is missing.
fn has_all(node: &Node<'_>, expected: &[Vec<u64>]) -> Result<()> {
    for (mode, expected) in MODES.iter().zip(expected) {
        let ask = "pragma integrity_check; select number from rows";
        let said = node
            .host
            .must(&format!("sqlite3 {} '{ask}'", file_of(mode)))?;
        let (whole, rows) = said.split_once('\n').context("two answers")?;
        ensure!(whole == "ok", "{mode}: the file is damaged: {whole}");
        let found = rows
            .lines()
            .map(str::parse)
            .collect::<Result<BTreeSet<u64>, _>>()?;
        let lost = expected.iter().filter(|n| !found.contains(n)).count();
        ensure!(
            lost == 0,
            "{mode}: {lost} of {} acknowledged rows are lost",
            expected.len()
        );
    }
    Ok(())
}
