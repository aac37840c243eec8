//! The hosts, the client and the database without the product: what the other cases stand on.

use super::stage::Stage;
use super::{Case, Told};
use crate::client::Client;
use crate::postgres;
use anyhow::{Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "without the product, a power cut and a boot keep every acknowledged row",
    run: power_cut,
}];

fn power_cut(stage: &mut Stage) -> Result<Told> {
    stage.clear();
    stage.lab.up()?;
    let host = stage.lab.host(1);
    host.boot()?;
    host.must(&format!("systemctl start {}", postgres::UNIT))?;
    postgres::query(&host, postgres::CREATE_TABLE)?;
    let client = Client::start(stage.lab, "10.99.0.1:5432", 1)?;
    client.wait_for_rows(500, Duration::from_secs(20))?;
    host.power_off()?;
    host.boot()?;
    host.must(&format!("systemctl start {}", postgres::UNIT))?;
    client.wait_for_rows(100, Duration::from_secs(20))?;
    let journal = client.stop()?;
    let lost = journal.lost(&postgres::rows(&host)?);
    ensure!(lost.is_empty(), "{} rows are lost: {lost:?}", lost.len());
    host.shut_down()?;
    Ok(vec![
        format!("{} rows", journal.rows.len()),
        format!("outage {:.2} s", journal.outage().as_secs_f64()),
    ])
}
