//! The licence on two hosts: what a pair without one shows, what does not make its time longer, how
//! it ends, and which files count. Three days are not waited for: the count is moved forward on disk
//! while no daemon runs, as if they had passed.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::product::{MODULE, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tandem_wire::api::ModuleStatus;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "without a licence a pair ends after 72 hours of running time, and with one it does not",
    run: license,
}];

/// The seed of the key for tests, which everybody knows, and of one that nobody has seen.
const TEST_SEED: &str = "7465737420736565642c206b6e6f776e20746f2065766572796f6e6520212121";
const STRANGERS_SEED: &str = "0202020202020202020202020202020202020202020202020202020202020202";
const HOUR: Duration = Duration::from_secs(3600);
const PERIOD: Duration = Duration::from_secs(72 * 3600);
/// What is left when the end is waited for: daemons start and see each other meanwhile.
const REST: Duration = Duration::from_secs(15);
/// How long a new licence, or the other node's count, may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(30);
/// The exit status of a refusal.
const REFUSED: i32 = 3;
/// A second after the last day of the licence that is valid here.
const YEAR_2100: u64 = 4_102_444_800;

fn license(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    let nodes = [trial.primary.clone(), trial.standby.clone()];
    let [one, two] = &nodes;
    for node in &nodes {
        let said = node.tandem("license status")?;
        ensure!(
            said.code == Some(1) && said.said().contains("there is no licence"),
            "{}",
            said.said()
        );
    }
    nothing_begins_anew(one, two).context("ten hours are over")?;
    trial.rows_flow()?;
    let told = ends(one, two).context("the end")?;
    trial.told.push(told);
    for node in &nodes {
        node.order("boot off")?;
    }
    two.order("start --all")?;
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    for node in &nodes {
        let used = used(node)?;
        ensure!(used < HOUR, "started again, and {used:?} are used");
    }
    trial.rows_flow()?;
    files(one, two).context("licences")?;
    let told = trial.finish()?;
    for node in &nodes {
        node.host
            .must("rm -f /var/lib/tandem/license /var/lib/tandem/license-clock")?;
    }
    for node in &nodes {
        // As the next case expects it.
        node.wait_until("no licence", SEEN_LIMIT, |m| !m.license.valid)?;
    }
    Ok(told)
}

/// Ten hours are over; daemons that are restarted, a swap and a reboot change nothing.
fn nothing_begins_anew(one: &Node<'_>, two: &Node<'_>) -> Result<()> {
    for node in [one, two] {
        move_to(node, 10 * HOUR)?;
    }
    let warned = |node: &Node<'_>| {
        node.wait_until("the warning", SEEN_LIMIT, |m| {
            let warning = m.warning.as_deref();
            let left = ["stops after 62 hours", "stops after 61 hours"];
            warning.is_some_and(|text| left.iter().any(|left| text.contains(left)))
        })
    };
    for node in [one, two] {
        warned(node)?;
    }
    let said = one.command("status")?;
    ensure!(
        said.contains("warning: there is no licence"),
        "status does not warn: {said}"
    );
    // Each of the two daemons has just been started: they hear each other in a moment.
    wait_for("check to warn of the licence", SEEN_LIMIT, || {
        let said = one.tandem("check")?;
        let warns = said.code == Some(1) && said.said().contains("there is no licence");
        Ok(warns.then_some(()))
    })?;
    one.command("swap --timeout 60s")?;
    two.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    one.order("boot on")?;
    one.host.shut_down()?;
    one.host.boot()?;
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    for node in [one, two] {
        warned(node)?;
        let used = used(node)?;
        ensure!(used >= 10 * HOUR, "only {used:?} are counted");
    }
    Ok(())
}

/// The last seconds: on the standby alone, whose count the primary takes over.
fn ends(standby: &Node<'_>, primary: &Node<'_>) -> Result<String> {
    let epoch = |module: &ModuleStatus| module.record.as_ref().map(|record| record.epoch);
    let before = epoch(&primary.module()?);
    move_to(standby, PERIOD - REST)?;
    for node in [standby, primary] {
        let stopped = node.wait_for_face(["STOP", "red", "uptodate"], TAKEOVER_LIMIT)?;
        ensure!(
            stopped.reason.contains("licence"),
            "the reason for STOP does not say it: {}",
            stopped.reason
        );
        ensure!(
            epoch(&stopped) == before,
            "somebody took over: epoch {:?}, before {before:?}",
            epoch(&stopped)
        );
        ensure!(
            stopped.record.is_some_and(|record| record.clean),
            "the copies were not brought level"
        );
        ensure!(
            stopped.addresses.iter().all(|address| !address.held),
            "h{} has the address",
            node.number()
        );
        let unit = crate::postgres::UNIT;
        ensure!(
            node.host.main_process(unit)?.is_none(),
            "h{}: the application runs",
            node.number()
        );
    }
    let said = primary.tandem("check")?;
    ensure!(said.code == Some(2), "check says: {}", said.said());
    Ok(format!("\"{}\"", primary.module()?.reason))
}

/// Which files count.
fn files(one: &Node<'_>, two: &Node<'_>) -> Result<()> {
    let request = one.command("license request")?;
    let cluster = request.trim().strip_prefix("cluster = ");
    let cluster = cluster.context("a request without the cluster")?.to_owned();
    for (file, seed) in [("key", TEST_SEED), ("strange", STRANGERS_SEED)] {
        one.host.must(&format!("echo {seed} >/root/{file}"))?;
    }
    let issue = |key: &str, cluster: &str, expires: &str| {
        one.command(&format!(
            "license issue --key /root/{key} --cluster {cluster} --licensee 'Example Ltd' \
             --expires {expires}"
        ))
    };
    let good = issue("key", &cluster, "2090-01-01")?;
    let refused = [
        (issue("key", "another", "never")?, "for another cluster"),
        (
            issue("key", &cluster, "2020-01-01")?,
            "expired on 2020-01-01",
        ),
        (
            issue("strange", &cluster, "never")?,
            "signed by another key",
        ),
        (good.replace("Example", "Exbmple"), "altered"),
        (format!("{good}features = all\n"), "malformed"),
    ];
    for (text, words) in &refused {
        let said = add(one, text)?;
        ensure!(
            said.0 == Some(REFUSED) && said.1.contains(words),
            "instead of \"{words}\": {said:?}"
        );
        ensure!(!one.module()?.license.valid, "refused, and it counts");
    }
    for node in [one, two] {
        let said = add(node, &good)?;
        ensure!(said.0 == Some(0), "{said:?}");
        licensed(node)?;
        ensure!(used(node)?.is_zero(), "it counts on");
    }
    // This machine has seen the year 2100: now its clock only says that it is not.
    one.host
        .must(&format!("echo {YEAR_2100} >/var/lib/tandem/license-clock"))?;
    one.wait_until("the licence to be over", SEEN_LIMIT, |m| {
        !m.license.valid && m.license.text.contains("expired on 2090-01-01")
    })?;
    let said = add(one, &good)?;
    ensure!(said.0 == Some(0), "{said:?}");
    licensed(one)
}

fn licensed(node: &Node<'_>) -> Result<()> {
    node.wait_until("the licence to count", SEEN_LIMIT, |m| {
        m.license.valid
            && m.license
                .text
                .contains("licensed to Example Ltd, until 2090-01-01")
    })
    .map(drop)
}

/// What `license add` says of a file with this text, and its exit status.
fn add(node: &Node<'_>, text: &str) -> Result<(Option<i32>, String)> {
    let line = format!("printf '%s' '{text}' >/root/license && tandem license add /root/license");
    let outcome = node.host.sh(&line)?;
    Ok((outcome.code, outcome.said()))
}

/// The running time without a licence, as a node has counted it.
fn used(node: &Node<'_>) -> Result<Duration> {
    let used = node.module()?.license.unlicensed_ms;
    Ok(Duration::from_millis(used.context("nothing is counted")?))
}

/// So much is used, as a daemon finds it that was stopped meanwhile.
fn move_to(node: &Node<'_>, used: Duration) -> Result<()> {
    let file = format!("/var/lib/tandem/modules/{MODULE}/unlicensed");
    wait_for("the count to be kept", SEEN_LIMIT, || {
        Ok((node.host.sh(&format!("test -e {file}"))?.code == Some(0)).then_some(()))
    })?;
    let used = used.as_millis();
    node.host
        .must(&format!(
            "systemctl stop tandem && \
             sed -i 's/^used-milliseconds = .*/used-milliseconds = {used}/' {file} && \
             systemctl start tandem"
        ))
        .map(drop)
}
