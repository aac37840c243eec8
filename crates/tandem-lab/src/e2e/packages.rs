//! The Debian package and the set-up, as an operator uses them: installed on two fresh hosts, made a
//! protected pair, upgraded while the application works, removed.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::product::{self, CONFIGURATION, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::shell::outcome;
use crate::wait::wait_for;
use crate::{lab, postgres};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "the package is installed, set up, upgraded under load without a break, and removed",
    run: install_upgrade_remove,
}];

const FIRST: &str = "0.1.0~1";
const SECOND: &str = "0.1.0~2";
/// How long dpkg may take on a loaded machine.
const PACKAGE_LIMIT: Duration = Duration::from_secs(120);
/// As somebody types it who has no person to ask.
const PRIMARY: &str = "tandem setup primary --password-file /root/password --peer h2 \
    --virtual-address 10.99.0.100/24 --network 10.99.1.1,10.99.1.2 --preset postgresql";
const SECONDARY: &str = "tandem setup secondary --password-file /root/password";
const PASSWORD: &str = "correct-horse-battery";
const MIRROR: &str = "tandem-mirror@videeos.service";

fn install_upgrade_remove(stage: &mut Stage) -> Result<Told> {
    stage.clear();
    stage.lab.up()?;
    for version in [FIRST, SECOND] {
        make(stage, version)?;
    }
    stage.lab.boot_both()?;
    let nodes = [stage.node(1), stage.node(2)];
    for node in &nodes {
        let said = install_first(node)?;
        ensure!(
            said.contains("Next: tandem setup"),
            "after the installation nobody knows what to do next: {said}"
        );
        node.host
            .must(&format!("echo {PASSWORD} >/root/password"))?;
    }
    interrupted(&nodes)?;
    let begin = Instant::now();
    set_up(&nodes)?;
    let seconds = begin.elapsed().as_secs();
    postgres::query(&nodes[0].host, postgres::CREATE_TABLE)?;
    stage.made();

    let mut trial = Trial::begin(stage)?;
    trial.told.push(format!("set up in {seconds} s"));
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    upgrade(&mut trial)?;
    // A mirror that ends its service is one of the new program afterwards.
    for (from, to) in [(&primary, &standby), (&standby, &primary)] {
        trial.primary.command("swap --timeout 60s")?;
        to.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
        let standby = |m: &tandem_wire::api::ModuleStatus| {
            (m.state.as_str(), m.data.as_str()) == ("SECOND", "uptodate") && !m.mirror.old_program
        };
        let what = "a standby of the new program";
        from.wait_until(what, RESYNCHRONISATION_LIMIT, standby)?;
        trial.rows_flow()?;
    }
    let said = primary.command("status")?;
    ensure!(!said.contains("before the upgrade"), "after it: {said}");
    let told = trial.finish()?;
    remove(stage, &primary, &standby)?;
    stage.clear();
    Ok(told)
}

/// Makes a package of the program under test and puts it where the hosts see it.
fn make(stage: &Stage, version: &str) -> Result<()> {
    let script = lab::workspace().join("scripts/package");
    let (script, program) = (
        script.display().to_string(),
        product::program()?.display().to_string(),
    );
    let directory = stage.lab.binaries().display().to_string();
    let words = [&script, "deb", &program, version, &directory];
    outcome(&words, PACKAGE_LIMIT)?.success().map(drop)
}

fn path(version: &str) -> String {
    format!("/opt/tandem/tandem_{version}_$(dpkg --print-architecture).deb")
}

/// Installs or upgrades, with nobody there to answer questions.
fn install(node: &Node<'_>, version: &str) -> Result<String> {
    let line = format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y {} 2>&1",
        path(version)
    );
    node.host.must_within(&line, PACKAGE_LIMIT)
}

fn install_first(node: &Node<'_>) -> Result<String> {
    // What stands in for a package on the hosts of other cases.
    node.host.must("rm /usr/bin/tandem")?;
    let said = install(node, FIRST)?;
    node.host.must(
        "test -f /usr/bin/tandem -a ! -L /usr/bin/tandem && tandem --version && \
         test -f /usr/share/tandem/presets/postgresql.toml && \
         systemctl cat tandem.service tandem-mirror@videeos.service tandem-guard.service",
    )?;
    let active = node.host.sh("systemctl is-active tandem")?;
    ensure!(active.code != Some(0), "the daemon runs before the set-up");
    Ok(said)
}

/// The set-up as the handbook prints it, without the questions.
fn set_up(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    std::thread::scope(|scope| {
        let secondary = scope.spawn(|| two.host.must_within(SECONDARY, PACKAGE_LIMIT));
        // It waits there first, as a person would see.
        wait_for("the secondary to wait", PACKAGE_LIMIT, || {
            Ok(waits(two)?.then_some(()))
        })?;
        let said = one.host.must_within(PRIMARY, PACKAGE_LIMIT)?;
        ensure!(said.contains("now set up"), "the primary says: {said}");
        let said = secondary.join().expect("no panic")?;
        ensure!(said.contains("now set up"), "the secondary says: {said}");
        anyhow::Ok(())
    })?;
    let said = two
        .host
        .must_within("tandem setup complete", PACKAGE_LIMIT)?;
    ensure!(said.contains("is protected"), "the last step says: {said}");
    one.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    two.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    Ok(())
}

/// Whether somebody listens there for a primary.
fn waits(node: &Node<'_>) -> Result<bool> {
    let listening = node.host.must("ss -Hltn 'sport = 9011'")?;
    Ok(!listening.trim().is_empty())
}

/// Set-ups that come to nothing, each for another reason: both hosts are as before.
fn interrupted(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    let postgres = format!("systemctl is-active {}", postgres::UNIT);
    // The application works meanwhile, and does so afterwards.
    one.host
        .must(&format!("systemctl start {}", postgres::UNIT))?;
    let refused = |what: &str, line: &str, words: &str| -> Result<()> {
        let outcome = one.host.sh(line)?;
        ensure!(
            outcome.code != Some(0) && outcome.said().contains(words),
            "{what}: {}",
            outcome.said()
        );
        untouched(one).with_context(|| what.to_owned())?;
        one.host.must(&postgres).with_context(|| what.to_owned())?;
        Ok(())
    };
    refused("nobody waits", PRIMARY, "connect to the secondary")?;
    let background = format!("systemd-run -q --unit=waiting {SECONDARY}");
    two.host.must(&background)?;
    wait_for("the secondary to wait", PACKAGE_LIMIT, || {
        Ok(waits(two)?.then_some(()))
    })?;
    let wrong = "echo another-password >/root/wrong; ".to_owned()
        + &PRIMARY.replace("/root/password", "/root/wrong");
    refused("a wrong password", &wrong, "the password is not")?;
    let taken = PRIMARY.replace("10.99.0.100", "10.99.0.2");
    refused("the address is in use", &taken, "10.99.0.2")?;
    two.host.must(&format!("mv {0} {0}.away", postgres::DATA))?;
    refused("the other one has no such directory", PRIMARY, "refuses")?;
    two.host.must(&format!("mv {0}.away {0}", postgres::DATA))?;
    // Whatever came of it, it waits again.
    wait_for("the secondary to wait", PACKAGE_LIMIT, || {
        Ok(waits(two)?.then_some(()))
    })?;
    two.host.must("systemctl stop waiting")?;
    untouched(two).context("cancelled")?;
    Ok(())
}

/// Nothing of a set-up is left.
fn untouched(node: &Node<'_>) -> Result<()> {
    let line = format!(
        "test ! -e {CONFIGURATION} && cd /var/lib/tandem && \
         test ! -e identity -a ! -e token -a ! -e setup-unfinished -a ! -e units-disabled && \
         test ! -e /etc/systemd/system/{}.d/tandem.conf",
        postgres::UNIT
    );
    node.host.must(&line).map(drop)
}

/// The standby first, as the handbook says; the application must not notice.
fn upgrade(trial: &mut Trial<'_>) -> Result<()> {
    for node in [trial.standby.clone(), trial.primary.clone()] {
        let mirror = node.host.main_process(MIRROR)?;
        let daemon = node.host.main_process("tandem.service")?;
        install(&node, SECOND)?;
        node.wait_until("its mirror to be found", TAKEOVER_LIMIT, |m| {
            m.mirror.old_program && m.colour == "green" && m.data == "uptodate"
        })?;
        ensure!(
            node.host.main_process(MIRROR)? == mirror,
            "the mirror was restarted"
        );
        ensure!(
            node.host.main_process("tandem.service")? != daemon,
            "the daemon was not restarted"
        );
        let said = node.command("status")?;
        let words = format!("node{} mirror: the program of before", node.number());
        ensure!(said.contains(&words), "it does not say so: {said}");
        trial.rows_flow()?;
        trial.nothing_happened().context("after the upgrade")?;
    }
    trial.told.push("upgraded without a break".to_owned());
    Ok(())
}

/// Removes the package from both nodes: never while one serves, and what is left is a database in a
/// plain directory.
fn remove(stage: &Stage, primary: &Node<'_>, standby: &Node<'_>) -> Result<()> {
    const REMOVE: &str = "DEBIAN_FRONTEND=noninteractive apt-get remove -qq -y tandem 2>&1";
    let refused = primary.host.sh(REMOVE)?;
    ensure!(
        refused.code != Some(0) && refused.said().contains("is served on this node"),
        "the package of a node that serves was removed: {}",
        refused.said()
    );
    primary.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    standby.host.must_within(REMOVE, PACKAGE_LIMIT)?;
    primary.wait_for_face(["ALONE", "green", "uptodate"], TAKEOVER_LIMIT)?;
    primary.command("stop")?;
    primary.host.must_within(REMOVE, PACKAGE_LIMIT)?;
    for node in [primary, standby] {
        let host = &node.host;
        host.must(&format!(
            "test ! -e /usr/bin/tandem -a ! -e /var/lib/tandem/identity -a -e {CONFIGURATION} && \
             ! findmnt {}",
            postgres::DATA
        ))?;
        let mark = host.plain(postgres::DATA)?.join(".tandem");
        ensure!(!Path::new(&mark).exists(), "{} stays", mark.display());
        host.must(&format!("systemctl start {}", postgres::UNIT))?;
        let found = postgres::rows(host)?;
        let acknowledged = &stage.acknowledged;
        let lost = acknowledged.iter().filter(|n| !found.contains(n)).count();
        ensure!(lost == 0, "{lost} rows are lost in the plain directory");
    }
    // Nobody answers: what people wrote stays. An answer given before counts.
    const PURGE: &str = "DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y tandem 2>&1";
    primary.host.must_within(PURGE, PACKAGE_LIMIT)?;
    primary.host.must(&format!("test -e {CONFIGURATION}"))?;
    let answer = "echo tandem tandem/forget boolean true | debconf-set-selections";
    let purge = format!("{answer} && {PURGE}");
    standby.host.must_within(&purge, PACKAGE_LIMIT)?;
    standby.host.must(&format!("test ! -e {CONFIGURATION}"))?;
    Ok(())
}
