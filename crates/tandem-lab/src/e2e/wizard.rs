//! Two fresh hosts that are set up in a browser: `console/tests/wizard.mjs`, with a real one, in the
//! client's network. Once with everything that goes wrong before it works, once by HTTP and with
//! nothing in the way.

use super::packages::{self, FIRST};
use super::stage::Stage;
use super::{Case, Told, doctor, listing};
use crate::lab::{CLIENT, Lab, workspace};
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::shell::outcome;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "two fresh hosts are set up in a browser, and it becomes the console",
        run: set_up_after_interruptions,
    },
    Case {
        name: "two fresh hosts are set up in a browser within five minutes, by HTTP",
        run: set_up_by_http,
    },
];

/// What a person sees who typed `tandem setup browser`.
const SERVE: &str = "rm -f /root/said; systemd-run -q --collect --unit=wizard \
    -p StandardOutput=file:/root/said tandem setup browser";
/// For all that somebody does on both pages.
const BROWSER_LIMIT: Duration = Duration::from_secs(420);
/// From two bare servers to a protected pair.
const PROTECTED_MAX: Duration = Duration::from_secs(300);

fn set_up_after_interruptions(stage: &mut Stage) -> Result<Told> {
    let (nodes, told, _) = protected(stage, "interrupted")?;
    let [one, two] = &nodes;
    one.host.power_off()?;
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    stage.clear();
    Ok(told)
}

fn set_up_by_http(stage: &mut Stage) -> Result<Told> {
    let (_, told, time) = protected(stage, "http")?;
    stage.clear();
    ensure!(time < PROTECTED_MAX, "{}", told.join(", "));
    Ok(told)
}

/// Two hosts that became a protected pair in a browser, and how long that took since `apt-get
/// install`.
fn protected(stage: &mut Stage, play: &str) -> Result<([Node<'static>; 2], Told, Duration)> {
    let nodes = packages::bare(stage, &[FIRST])?;
    for node in &nodes {
        let unit = postgres::UNIT;
        node.host.must(&format!("systemctl enable --now {unit}"))?;
        listing::put(node)?;
    }
    let begin = Instant::now();
    for node in &nodes {
        packages::install_first(node)?;
    }
    let installed = begin.elapsed();
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
    words.extend([listing::PLACE.to_owned(), play.to_owned()]);
    let played = outcome(&words, BROWSER_LIMIT)?;
    let said = played.said();
    let told = played
        .success()
        .with_context(|| format!("the browser says: {said}"))?;
    let [one, two] = &nodes;
    one.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    two.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    let time = begin.elapsed();
    for node in &nodes {
        let wizard = node.host.sh("systemctl is-active wizard")?;
        ensure!(wizard.code != Some(0), "the set-up's page is still served");
        doctor::finds_nothing_to_do(node)?;
    }
    let mut told: Told = told.lines().map(str::to_owned).collect();
    told.push(format!(
        "installed on both after {:.0} s, PRIM uptodate and SECOND uptodate after {:.0} s",
        installed.as_secs_f64(),
        time.as_secs_f64()
    ));
    Ok((nodes, told, time))
}
