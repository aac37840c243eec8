//! Two fresh hosts that are set up in a browser: `console/tests/wizard.mjs`, with a real one, in the
//! client's network.

use super::packages;
use super::stage::Stage;
use super::{Case, Told};
use crate::lab::{CLIENT, Lab, workspace};
use crate::product::{RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::shell::outcome;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "two fresh hosts are set up in a browser, and it becomes the console",
    run: set_up_in_a_browser,
}];

/// What a person sees who typed `tandem setup browser`.
const SERVE: &str = "rm -f /root/said; systemd-run -q --collect --unit=wizard \
    -p StandardOutput=file:/root/said tandem setup browser";
/// For all that somebody does on both pages.
const BROWSER_LIMIT: Duration = Duration::from_secs(420);

fn set_up_in_a_browser(stage: &mut Stage) -> Result<Told> {
    let nodes = packages::installed(stage)?;
    for node in &nodes {
        node.host.must(SERVE)?;
    }
    let mut words = stage.lab.at(CLIENT);
    words.push("env".to_owned());
    for (name, place) in stage.lab.environment() {
        words.push(format!("{name}={}", place.display()));
    }
    words.push(format!("TANDEM_LAB_TOOL={}", Lab::tool()?.display()));
    words.push("node".to_owned());
    let script = workspace().join("console/tests/wizard.mjs");
    words.push(script.display().to_string());
    let played = outcome(&words, BROWSER_LIMIT)?;
    let said = played.said();
    let told = played
        .success()
        .with_context(|| format!("the browser says: {said}"))?;
    let [one, two] = &nodes;
    for node in &nodes {
        let wizard = node.host.sh("systemctl is-active wizard")?;
        ensure!(wizard.code != Some(0), "the set-up's page is still served");
    }
    one.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    two.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    one.host.power_off()?;
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    stage.clear();
    Ok(vec![told.trim().to_owned()])
}
