//! Set-ups that come to nothing, each for another reason and at another step: both hosts are as they
//! were, the application works as before, and the next set-up finds nothing of it.

use super::listing::{self, Listing};
use super::packages::{self, PACKAGE_LIMIT, PRIMARY, SECONDARY, waits};
use super::stage::Stage;
use super::{Case, Told, doctor};
use crate::postgres;
use crate::product::Node;
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
/// Somebody put the licence of another cluster there; and takes it away again, as it was.
const OTHER_LICENSE: &str = "echo theirs >/var/lib/tandem/license";
const TAKE_LICENSE: &str = "grep -qx theirs /var/lib/tandem/license && rm /var/lib/tandem/license";
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
        listing::put(node)?;
    }
    let refused = refusals(&nodes)?;
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
    let before = Before::of(&nodes)?;
    for (what, step, blow) in &blows {
        strike(&nodes, &before, step, *blow).with_context(|| (*what).to_owned())?;
    }
    // And then it works.
    two.host.must("systemctl stop waiting")?;
    packages::set_up(&nodes)?;
    let said = one.command("status")?;
    ensure!(said.contains("PRIM"), "after the set-up: {said}");
    for node in &nodes {
        let listing = Listing::of(node);
        let same = listing.is_ok_and(|now| now.must_be(before.of_node(node)).is_ok());
        ensure!(!same, "a set-up that is done is not seen");
        doctor::finds_nothing_to_do(node)?;
    }
    stage.clear();
    let told = format!("{refused} refusals, {} interruptions", blows.len());
    Ok(vec![told])
}

/// Both hosts, before anything was begun.
struct Before([Listing; 2]);

impl Before {
    fn of(nodes: &[Node<'_>; 2]) -> Result<Self> {
        let [one, two] = nodes;
        Ok(Self([Listing::of(one)?, Listing::of(two)?]))
    }

    fn of_node(&self, node: &Node<'_>) -> &Listing {
        &self.0[node.number() as usize - 1]
    }

    /// Both hosts are as they were, or become so by themselves: node2 as soon as it notices that
    /// node1 has gone.
    fn holds(&self, nodes: &[Node<'_>; 2]) -> Result<()> {
        for node in nodes {
            let mut last = String::new();
            wait_for("it to be as before", UNDO_LIMIT, || {
                let now = settled(node).and_then(|()| Listing::of(node));
                let same = now.and_then(|now| now.must_be(self.of_node(node)));
                Ok(match same {
                    Ok(()) => Some(()),
                    Err(error) => {
                        last = format!("{error:#}");
                        None
                    }
                })
            })
            .with_context(|| format!("h{}: {last}", node.number()))?;
        }
        Ok(())
    }
}

/// The application runs, and node1 has no set-up to take back. On node2 one that waits has its mark,
/// and has changed nothing.
fn settled(node: &Node<'_>) -> Result<()> {
    let line = format!("systemctl is-active {}", postgres::UNIT);
    node.host.must(&line)?;
    if node.number() == 1 {
        let line = "test ! -e /var/lib/tandem/setup-unfinished";
        node.host.must(line)?;
    }
    Ok(())
}

/// Wrong passwords, choices that do not go together, machines that are not ready. Gives back how many.
fn refusals(nodes: &[Node<'_>; 2]) -> Result<usize> {
    let [one, two] = nodes;
    let before = Before::of(nodes)?;
    let mut count = 0;
    let mut refused = |what: &str, node: &Node<'_>, line: &str, words: &str| -> Result<()> {
        let outcome = node.host.sh(line)?;
        ensure!(
            outcome.code != Some(0) && outcome.said().contains(words),
            "{what}: {}",
            outcome.said()
        );
        count += 1;
        Ok(())
    };
    refused("nobody waits", one, PRIMARY, "connect to the secondary")?;
    for (node, line) in [(one, PRIMARY), (two, SECONDARY)] {
        node.host.must(OTHER_LICENSE)?;
        refused("another licence", node, line, "another cluster's licence")?;
        // It is kept, and that is all there is.
        node.host.must(TAKE_LICENSE)?;
    }
    before.holds(nodes)?;
    wait_there(two)?;
    let wrong = "echo another-password >/root/wrong; ".to_owned()
        + &PRIMARY.replace("/root/password", "/root/wrong");
    refused("a wrong password", one, &wrong, "the password is not")?;
    before.holds(nodes)?;
    let http = format!("{PRIMARY} --console http");
    refused("HTTP against HTTPS", one, &http, "choose the same on both")?;
    before.holds(nodes)?;
    // The client's.
    let taken = PRIMARY.replace("10.99.0.100", "10.99.0.9");
    refused("the address is in use", one, &taken, "10.99.0.9 is in use")?;
    before.holds(nodes)?;
    let second = format!(
        "flock /var/lib/tandem/setup-lock {}",
        PRIMARY.replace("--peer h2", "--peer h1")
    );
    let words = "another `tandem setup` runs";
    refused("two at a time", one, &second, words)?;
    // The database's directory is away: node2 is not ready.
    two.host.must(&format!(
        "systemctl stop {0} && mv {1} {1}.away",
        postgres::UNIT,
        postgres::DATA
    ))?;
    refused("node2 is not ready", one, PRIMARY, "refuses")?;
    two.host.must(&format!(
        "mv {1}.away {1} && systemctl start {0}",
        postgres::UNIT,
        postgres::DATA
    ))?;
    waits_again(two)?;
    before.holds(nodes)?;
    Ok(count)
}

fn strike(nodes: &[Node<'_>; 2], before: &Before, step: &str, blow: Blow) -> Result<()> {
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
    before.holds(nodes)
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
