//! Set-ups that come to nothing, each for another reason and at another step: both hosts are as they
//! were, the application works as before, and the next set-up finds nothing of it.

use super::packages::{self, PACKAGE_LIMIT, PRIMARY, SECONDARY, waits};
use super::stage::Stage;
use super::{Case, Told};
use crate::postgres;
use crate::product::{CONFIGURATION, Node};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "a set-up that is interrupted at any step leaves both hosts as they were",
    run: interrupted_set_ups,
}];

/// What the waiting node2, and what node1, run as.
const WAITING: &str = "waiting.service";
const COMING: &str = "coming.service";
/// Where node1's set-up says what it does.
const SAID: &str = "/root/said";
/// The application takes this long to stop, so that a step is long enough to be interrupted.
const SLOW_STOP: &str = "mkdir -p /etc/systemd/system/postgresql@15-main.service.d && \
    printf '[Service]\\nExecStop=/bin/sleep 4\\n' \
      >/etc/systemd/system/postgresql@15-main.service.d/slow.conf && systemctl daemon-reload";
/// A machine that is gone is noticed within 20 s; then the application starts again.
const UNDO_LIMIT: Duration = Duration::from_secs(60);

/// What interrupts it.
#[derive(Clone, Copy)]
enum Blow {
    /// Somebody types Ctrl-C on this node.
    Cancel(usize),
    /// This node loses its power.
    Power(usize),
}

fn interrupted_set_ups(stage: &mut Stage) -> Result<Told> {
    let nodes = packages::installed(stage)?;
    let [one, two] = &nodes;
    for node in &nodes {
        let unit = postgres::UNIT;
        node.host
            .must(&format!("systemctl enable --now {unit} && sync"))?;
    }
    refusals(&nodes)?;
    for node in &nodes {
        node.host.must(&format!("{SLOW_STOP} && sync"))?;
    }
    // Where node1 is when it happens: its own part, then node2's.
    let own = "Stopping the application";
    let others = "Letting the secondary computer check itself";
    let mut blows = vec![
        ("Ctrl-C on node1, in its own part", own, Blow::Cancel(0)),
        ("Ctrl-C on node2", others, Blow::Cancel(1)),
        ("node2 loses its power", others, Blow::Power(1)),
        ("node1 loses its power, at node2's", others, Blow::Power(0)),
    ];
    if stage.long {
        blows.push(("Ctrl-C on node1, at node2's", others, Blow::Cancel(0)));
        blows.push(("node1 loses its power, at its own", own, Blow::Power(0)));
    }
    for (what, step, blow) in &blows {
        strike(&nodes, step, *blow).with_context(|| (*what).to_owned())?;
    }
    // And then it works.
    two.host.must("systemctl stop waiting")?;
    packages::set_up(&nodes)?;
    let said = one.command("status")?;
    ensure!(said.contains("PRIM"), "after the set-up: {said}");
    stage.clear();
    Ok(vec![format!("{} interruptions", blows.len())])
}

/// Wrong passwords, choices that do not go together, machines that are not ready.
fn refusals(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    let refused = |what: &str, line: &str, words: &str| -> Result<()> {
        let outcome = one.host.sh(line)?;
        ensure!(
            outcome.code != Some(0) && outcome.said().contains(words),
            "{what}: {}",
            outcome.said()
        );
        untouched(one).with_context(|| what.to_owned())
    };
    refused("nobody waits", PRIMARY, "connect to the secondary")?;
    wait_there(two)?;
    let wrong = "echo another-password >/root/wrong; ".to_owned()
        + &PRIMARY.replace("/root/password", "/root/wrong");
    refused("a wrong password", &wrong, "the password is not")?;
    let http = format!("{PRIMARY} --console http");
    refused("HTTP against HTTPS", &http, "choose the same on both")?;
    let taken = PRIMARY.replace("10.99.0.100", "10.99.0.2");
    refused("the address is in use", &taken, "10.99.0.2")?;
    let second = one.host.sh(&format!(
        "flock /var/lib/tandem/setup-lock {}",
        PRIMARY.replace("--peer h2", "--peer h1")
    ))?;
    ensure!(
        second.said().contains("another `tandem setup` runs"),
        "two at a time: {}",
        second.said()
    );
    // The database's directory is away: node2 is not ready.
    two.host.must(&format!(
        "systemctl stop {0} && mv {1} {1}.away",
        postgres::UNIT,
        postgres::DATA
    ))?;
    refused("node2 is not ready", PRIMARY, "refuses")?;
    two.host.must(&format!(
        "mv {1}.away {1} && systemctl start {0}",
        postgres::UNIT,
        postgres::DATA
    ))?;
    waits_again(two)?;
    untouched(two)
}

fn strike(nodes: &[Node<'_>; 2], step: &str, blow: Blow) -> Result<()> {
    let [one, two] = nodes;
    let active = |node: &Node<'_>, unit: &str| -> Result<bool> {
        let said = node
            .host
            .sh(&format!("systemctl show -P ActiveState {unit}"))?;
        Ok(said.stdout.trim() != "inactive")
    };
    wait_for("the set-up before to end", UNDO_LIMIT, || {
        Ok((!active(one, COMING)?).then_some(()))
    })?;
    match active(two, WAITING)? {
        true => waits_again(two)?,
        false => wait_there(two)?,
    }
    one.host.must(&format!(
        "rm -f {SAID}; systemd-run -q --collect --unit={COMING} -p StandardOutput=file:{SAID} \
         {PRIMARY}"
    ))?;
    wait_for("node1 to be there", UNDO_LIMIT, || {
        let said = one.host.sh(&format!("cat {SAID}"))?.said();
        Ok(said.contains(step).then_some(()))
    })?;
    let units = [COMING, WAITING];
    match blow {
        Blow::Cancel(which) => {
            let node = &nodes[which];
            node.host
                .must(&format!("systemctl kill -s INT {}", units[which]))?;
        }
        Blow::Power(which) => {
            nodes[which].host.power_off()?;
            nodes[which].host.boot()?;
        }
    }
    for node in nodes {
        let mut last = String::new();
        wait_for("it to be as before", UNDO_LIMIT, || {
            Ok(match untouched(node) {
                Ok(()) => Some(()),
                Err(error) => {
                    last = format!("{error:#}");
                    None
                }
            })
        })
        .with_context(|| last.clone())?;
    }
    Ok(())
}

/// Node2 begins to wait for a primary.
fn wait_there(node: &Node<'_>) -> Result<()> {
    let begin = format!("systemd-run -q --collect --unit={WAITING} {SECONDARY}");
    node.host.must(&begin)?;
    waits_again(node)
}

fn waits_again(node: &Node<'_>) -> Result<()> {
    wait_for("the secondary to wait", PACKAGE_LIMIT, || {
        Ok(waits(node)?.then_some(()))
    })
}

/// Nothing of a set-up is left, and the application is as it was: it runs, and starts at boot.
fn untouched(node: &Node<'_>) -> Result<()> {
    let unit = postgres::UNIT;
    let line = format!(
        "set -e; for left in {CONFIGURATION} /etc/systemd/system/{unit}.d/tandem.conf \
           /var/lib/tandem/identity /var/lib/tandem/token /var/lib/tandem/units-disabled \
           /var/lib/tandem/accounts.json /var/lib/tandem/https/certificate.pem; do \
           if [ -e $left ]; then echo \"$left is left\"; exit 1; fi; done; \
         systemctl is-active {unit}; systemctl is-enabled {unit}; ! systemctl is-enabled tandem"
    );
    node.host.must(&line)?;
    // On node2 a set-up that waits has its own mark, and has changed nothing.
    if node.number() == 1 {
        node.host
            .must("test ! -e /var/lib/tandem/setup-unfinished")?;
    }
    Ok(())
}
