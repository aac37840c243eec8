//! Two modules on one pair, each served by another node: PostgreSQL and MariaDB. What happens to one
//! is none of the other's business; and MariaDB writes past the page cache.

use super::stage::Stage;
use super::trial::{Trial, equal_trees};
use super::{Case, Told};
use crate::mariadb::{self, Writer};
use crate::product::{RESYNCHRONISATION_LIMIT, Setting, TAKEOVER_LIMIT};
use anyhow::{Context, Result};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "of two modules crossed on the two nodes one fails over, and the other notices nothing",
        run: crossed,
    },
    Case {
        name: "MariaDB with O_DIRECT survives a swap and a power cut",
        run: swap_and_power_cut,
    },
];

const SETTING: Setting = Setting {
    mariadb: true,
    ..Setting::USUAL
};
const ROWS: usize = 100;
/// How long they may take on a loaded machine.
const ROWS_LIMIT: Duration = Duration::from_secs(40);
const PRIMARY: [&str; 3] = ["PRIM", "green", "uptodate"];
const STANDBY: [&str; 3] = ["SECOND", "green", "uptodate"];

/// Both modules work, each client writes, and they are crossed.
fn begin(stage: &mut Stage, first: u64) -> Result<(Trial<'_>, Writer)> {
    stage.want(SETTING);
    let trial = Trial::begin(stage)?;
    let records = trial.standby.of(mariadb::MODULE);
    // A case before may have left both on one node.
    if records.module()?.state != PRIMARY[0] {
        records.order("swap --timeout 40s")?;
    }
    records.wait_for_face(PRIMARY, TAKEOVER_LIMIT)?;
    let writer = Writer::start(trial.stage().lab, first)?;
    writer.wait_for_rows(ROWS, ROWS_LIMIT)?;
    Ok((trial, writer))
}

fn crossed(stage: &mut Stage) -> Result<Told> {
    let (mut trial, writer) = begin(stage, 1)?;
    // A service that ends by itself is for a person to look at.
    trial.expect_error("service mariadb is down");
    let unit = mariadb::UNIT;
    let (from, to) = (
        trial.standby.of(mariadb::MODULE),
        trial.primary.of(mariadb::MODULE),
    );
    from.host
        .must(&format!("systemctl mask {unit} && systemctl stop {unit}"))?;
    to.wait_until_it_serves(TAKEOVER_LIMIT)?;
    writer.wait_for_rows(ROWS, ROWS_LIMIT)?;
    from.wait_until("the module to be in STOP", TAKEOVER_LIMIT, |m| {
        m.state == "STOP"
    })?;
    trial
        .nothing_happened()
        .context("to the other module, in a failover")?;
    from.host.must(&format!("systemctl unmask {unit}"))?;
    from.order("start")?;
    from.wait_for_face(STANDBY, RESYNCHRONISATION_LIMIT)?;
    from.order("swap --timeout 40s")?;
    from.wait_for_face(PRIMARY, TAKEOVER_LIMIT)?;
    to.wait_for_face(STANDBY, TAKEOVER_LIMIT)?;
    writer.wait_for_rows(ROWS, ROWS_LIMIT)?;
    trial
        .nothing_happened()
        .context("to the other module, in a swap")?;
    let rows = writer.stop()?;
    mariadb::has_all(&from.host, &rows)?;
    equal_trees(trial.stage(), &from, mariadb::UNIT, mariadb::DATA)?;
    let told = format!("{} rows in MariaDB", rows.len());
    trial.told.push(told);
    trial.finish()
}

fn swap_and_power_cut(stage: &mut Stage) -> Result<Told> {
    let (mut trial, writer) = begin(stage, 1_000_000)?;
    let (first, second) = (
        trial.standby.of(mariadb::MODULE),
        trial.primary.of(mariadb::MODULE),
    );
    mariadb::writes_past_the_page_cache(&first.host)?;
    first.order("swap --timeout 40s")?;
    second.wait_for_face(PRIMARY, TAKEOVER_LIMIT)?;
    first.wait_for_face(STANDBY, TAKEOVER_LIMIT)?;
    writer.wait_for_rows(ROWS, ROWS_LIMIT)?;
    mariadb::has_all(&second.host, &writer.rows()?)?;

    // The node that has both modules now.
    second.host.power_off()?;
    for module in [&first, &trial.standby] {
        module.wait_until_it_serves(TAKEOVER_LIMIT)?;
    }
    writer.wait_for_rows(ROWS, ROWS_LIMIT)?;
    mariadb::has_all(&first.host, &writer.rows()?)?;
    super::failures::bring_back(&second)?;
    trial.primary.order("start --no-wait")?;
    first.wait_for_face(PRIMARY, RESYNCHRONISATION_LIMIT)?;
    second.wait_for_face(STANDBY, TAKEOVER_LIMIT)?;
    mariadb::writes_past_the_page_cache(&first.host)?;
    let rows = writer.stop()?;
    mariadb::has_all(&first.host, &rows)?;
    equal_trees(trial.stage(), &first, mariadb::UNIT, mariadb::DATA)?;
    trial.told.push(format!("{} rows in MariaDB", rows.len()));
    trial.finish()
}
