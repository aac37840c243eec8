//! An IPv6 virtual address beside the other one: a client on the third host follows it.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told, promises};
use crate::client::Client;
use crate::lab::CLIENT;
use crate::product::{TAKEOVER_LIMIT, VIRTUAL_IPV6};
use crate::shell::run;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "an IPv6 address moves with the service, and a client follows at once",
    run: ipv6,
}];

/// How much longer than the clients of the other address it may be without an answer. Without the
/// announcement a neighbour entry would be asked about only after 5 s at least.
const LATER_MAX: Duration = Duration::from_secs(3);
const ROWS: usize = 100;

fn ipv6(stage: &mut Stage) -> Result<Told> {
    stage.want(promises::SETTING);
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    let client = Client::start(lab, VIRTUAL_IPV6, trial.own_numbers())?;
    client
        .wait_for_rows(ROWS, TAKEOVER_LIMIT)
        .context("before anything happened")?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    primary.host.power_off()?;
    standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    let stack = lab.switch.stack(CLIENT);
    let known = run(&format!("ip -n {stack} -6 neigh show fd99::100"))?;
    let hardware = format!("02:99:00:00:00:0{}", standby.number());
    ensure!(
        known.contains(&hardware),
        "the client was not told of {hardware}: {known}"
    );
    client
        .wait_for_rows(ROWS, TAKEOVER_LIMIT)
        .context("after the takeover")?;
    trial.rows_flow()?;
    let journal = client.stop()?;
    let outages = [journal.outage(), trial.client.journal()?.outage()];
    ensure!(
        outages[0] <= outages[1] + LATER_MAX,
        "without an answer for {:.1?}, and the other client for {:.1?}",
        outages[0],
        outages[1]
    );
    trial.count_also(&journal.rows);
    let told = format!("{:.1} s without an answer", outages[0].as_secs_f64());
    trial.told.push(told);
    super::failures::bring_back(&primary)?;
    trial.finish()
}
