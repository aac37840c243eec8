//! SQLite beside the database on the mirrored mount, in both of its journal modes: after a swap and
//! after a power cut its files are whole and have every acknowledged row.

use super::stage::Stage;
use super::trial::Trial;
use super::writer::Writer;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
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

/// A table on the node that serves. What its writer prints was committed before.
struct Table {
    mode: &'static str,
    writer: Writer,
}

fn file_of(mode: &str) -> String {
    format!("{}/beside-{mode}.sqlite", postgres::DATA)
}

impl Table {
    /// `synchronous=extra`: with less, a commit that removes the journal does not wait for its
    /// directory, and SQLite itself promises nothing about the last one before a power cut.
    fn fill(node: &Node<'_>, stage: &Stage, mode: &'static str, first: u64) -> Result<Self> {
        let script = format!(
            "(echo 'pragma journal_mode={mode}; pragma synchronous=extra; \
               create table if not exists rows (number integer primary key);'; \
              number={first}; while :; do \
                echo \"insert into rows values ($number); select $number;\"; \
                number=$((number + 1)); sleep 0.01; done) | exec stdbuf -oL sqlite3 {}",
            file_of(mode)
        );
        let writer = Writer::start(node, stage, &format!("sqlite-{mode}-{first}"), &script)?;
        let table = Self { mode, writer };
        wait_for("SQLite's acknowledged rows", ROWS_LIMIT, || {
            Ok((table.rows()?.len() >= ROWS).then_some(()))
        })?;
        Ok(table)
    }

    /// What was acknowledged.
    fn rows(&self) -> Result<Vec<u64>> {
        let lines = self.writer.lines()?;
        // The first lines tell the journal's mode.
        Ok(lines.iter().filter_map(|l| l.parse().ok()).collect())
    }
}

fn swap_and_power_cut(stage: &mut Stage) -> Result<Told> {
    let (primary, standby) = stage.pair()?;
    let start = |node: &Node<'_>, stage: &Stage, first| -> Result<Vec<Table>> {
        let tables = MODES.iter().map(|m| Table::fill(node, stage, m, first));
        tables.collect()
    };
    let first = start(&primary, stage, 1)?;
    let second_first = 1_000_000;
    let mut trial = Trial::begin(stage)?;
    // An operator ends what is no service of the module before a swap.
    end_writers(&primary)?;
    primary.command("swap --timeout 40s")?;
    standby.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    primary.wait_for_face(["SECOND", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let mut expected = (first.iter().map(Table::rows)).collect::<Result<Vec<_>>>()?;
    drop(first);
    has_all(&standby, &expected)?;
    trial.rows_flow()?;

    let second = start(&standby, trial.stage(), second_first)?;
    standby.host.power_off()?;
    for (all, table) in expected.iter_mut().zip(&second) {
        all.extend(table.rows()?);
        trial
            .told
            .push(format!("{} rows in {}", all.len(), table.mode));
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
