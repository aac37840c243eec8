//! The Debian package and the set-up, as an operator uses them: installed on two fresh hosts, made a
//! protected pair, upgraded while the application works, removed.

use super::failures::bring_back;
use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told, doctor};
use crate::product::{self, CONFIGURATION, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::shell::{outcome, run};
use crate::wait::wait_for;
use crate::{lab, postgres};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "both kinds of package hold the same files",
        run: same_files,
    },
    Case {
        name: "the package is installed, set up, upgraded under load without a break, and removed",
        run: install_upgrade_remove,
    },
];

/// Cases for which there is not always time.
pub const LONG_CASES: [Case; 1] = [Case {
    name: "two bare servers with 1 GB of database are protected within five minutes",
    run: within_five_minutes,
}];

pub(super) const FIRST: &str = "0.1.0~1";
const SECOND: &str = "0.1.0~2";
/// How long dpkg may take on a loaded machine.
pub(super) const PACKAGE_LIMIT: Duration = Duration::from_secs(120);
/// As somebody types it who has no person to ask.
pub(super) const PRIMARY: &str = "tandem setup primary --password-file /root/password --peer h2 \
    --virtual-address 10.99.0.100/24 --network 10.99.1.1,10.99.1.2 --preset postgresql";
pub(super) const SECONDARY: &str = "tandem setup secondary --password-file /root/password";
/// Of pgbench; one is some 15 MiB.
const BENCH_SCALE: u32 = 72;
/// How long that database may take to be made.
const DATABASE_LIMIT: Duration = Duration::from_secs(300);
/// What nobody can do without.
const NEEDED: [&str; 8] = [
    "/usr/bin/tandem",
    "/usr/lib/systemd/system/tandem.service",
    "/usr/lib/systemd/system/tandem-mirror@.service",
    "/usr/lib/systemd/system/tandem-guard.service",
    "/usr/lib/systemd/system/multi-user.target.wants/tandem-undo.service",
    "/usr/share/tandem/presets/postgresql.toml",
    "/usr/share/man/man1/tandem-setup.1.gz",
    "/usr/share/applications/tandem.desktop",
];
const PASSWORD: &str = "correct-horse-battery";
const MIRROR: &str = "tandem-mirror@videeos.service";

/// Two fresh hosts on which the first package is installed, and a file with the password.
pub(super) fn installed(stage: &mut Stage) -> Result<[Node<'static>; 2]> {
    let nodes = bare(stage, &[FIRST, SECOND])?;
    for node in &nodes {
        let said = install_first(node)?;
        ensure!(
            said.contains("Next: tandem setup"),
            "after the installation nobody knows what to do next: {said}"
        );
    }
    Ok(nodes)
}

/// Two fresh hosts that see the packages, and a file with the password.
pub(super) fn bare(stage: &mut Stage, versions: &[&str]) -> Result<[Node<'static>; 2]> {
    stage.clear();
    stage.lab.up()?;
    run(&format!(
        "find {} -name *.deb -delete",
        stage.lab.binaries().display()
    ))?;
    for version in versions {
        make(stage, "deb", version)?;
    }
    stage.lab.boot_both()?;
    let nodes = [stage.node(1), stage.node(2)];
    for node in &nodes {
        // What stands in for a package on the hosts of other cases.
        node.host.must(&format!(
            "rm /usr/bin/tandem && echo {PASSWORD} >/root/password && sync"
        ))?;
    }
    Ok(nodes)
}

fn install_upgrade_remove(stage: &mut Stage) -> Result<Told> {
    let nodes = installed(stage)?;
    let begin = Instant::now();
    set_up(&nodes)?;
    let seconds = begin.elapsed().as_secs();
    for node in &nodes {
        doctor::finds_nothing_to_do(node)?;
    }
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

/// What a newcomer does, by the clock: from the packages on two bare servers to a pair of which
/// either may lose its power.
fn within_five_minutes(stage: &mut Stage) -> Result<Told> {
    let nodes = bare(stage, &[FIRST])?;
    let [one, two] = &nodes;
    one.host
        .must(&format!("systemctl start {}", postgres::UNIT))?;
    postgres::query(&one.host, "create database bench")?;
    one.host.must_within(
        &format!("runuser -u postgres -- pgbench -q -i -s {BENCH_SCALE} bench 2>&1"),
        DATABASE_LIMIT,
    )?;
    let bytes = "select sum(pg_database_size(oid)) from pg_database";
    let bytes: u64 = postgres::query(&one.host, bytes)?.trim().parse()?;
    ensure!(bytes >= 1 << 30, "the database has {bytes} bytes only");
    let begin = Instant::now();
    for node in &nodes {
        install_first(node)?;
    }
    let installed = begin.elapsed();
    set_up(&nodes)?;
    let protected = begin.elapsed();
    let told = format!(
        "{} MiB of database: installed on both after {:.0} s, PRIM uptodate and SECOND uptodate \
         after {:.0} s",
        bytes >> 20,
        installed.as_secs_f64(),
        protected.as_secs_f64()
    );
    ensure!(protected < Duration::from_secs(300), "{told}");
    postgres::query(&one.host, postgres::CREATE_TABLE)?;
    stage.made();
    let mut trial = Trial::begin(stage)?;
    trial.told.push(told);
    one.host.power_off()?;
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    bring_back(one)?;
    let told = trial.finish()?;
    let accounts = "select count(*) from pgbench_accounts";
    let line = format!("runuser -u postgres -- psql -qAtX -d bench -c '{accounts}'");
    let rows = two.host.must(&line)?;
    let all = BENCH_SCALE * 100_000;
    ensure!(rows.trim() == all.to_string(), "{rows} of {all} rows");
    stage.clear();
    Ok(told)
}

/// The rpm is not installed anywhere: its list of files, its needs and its scripts are looked at.
fn same_files(stage: &mut Stage) -> Result<Told> {
    let deb = make(stage, "deb", FIRST)?;
    let rpm = make(stage, "rpm", FIRST)?;
    let said = |words: &[&str]| outcome(words, PACKAGE_LIMIT)?.success();
    let tar = said(&[
        "sh",
        "-c",
        &format!("dpkg-deb --fsys-tarfile {deb} | tar t"),
    ])?;
    let in_deb: BTreeSet<&str> = (tar.lines())
        .filter(|line| !line.ends_with('/'))
        .map(|line| line.trim_start_matches('.'))
        .collect();
    let list = said(&["rpm", "-qlp", &rpm])?;
    let in_rpm: BTreeSet<&str> = list.lines().collect();
    let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
        a.difference(b).map(|name| (*name).to_owned()).collect()
    };
    // Where each family of systems looks for zsh's completions.
    let [deb_only, rpm_only] = [only(&in_deb, &in_rpm), only(&in_rpm, &in_deb)];
    ensure!(
        deb_only == ["/usr/share/zsh/vendor-completions/_tandem"]
            && rpm_only == ["/usr/share/zsh/site-functions/_tandem"],
        "only in the deb: {deb_only:?}; only in the rpm: {rpm_only:?}"
    );
    for name in NEEDED {
        ensure!(in_rpm.contains(name), "{name} is missing");
    }
    let needs = said(&["rpm", "-qp", "--requires", &rpm])?;
    ensure!(needs.lines().any(|need| need == "systemd"), "{needs}");
    let scripts = said(&["rpm", "-qp", "--scripts", &rpm])?;
    for words in ["tandem cluster leave --stop", "try-restart tandem.service"] {
        ensure!(scripts.contains(words), "{scripts}");
    }
    let configuration = said(&["rpm", "-qcp", &rpm])?;
    ensure!(
        configuration.trim() == "/etc/needrestart/conf.d/tandem.conf",
        "{configuration}"
    );
    Ok(vec![format!("{} files", in_rpm.len())])
}

/// Makes a package of the program under test and puts it where the hosts see it.
fn make(stage: &Stage, kind: &str, version: &str) -> Result<String> {
    let script = lab::workspace().join("scripts/package");
    let (script, program) = (
        script.display().to_string(),
        product::program()?.display().to_string(),
    );
    let directory = stage.lab.binaries().display().to_string();
    let words = [&script, kind, &program, version, &directory];
    let path = outcome(&words, PACKAGE_LIMIT)?.success()?;
    Ok(path.trim().to_owned())
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

pub(super) fn install_first(node: &Node<'_>) -> Result<String> {
    let said = install(node, FIRST)?;
    // The hosts' dpkg leaves its files to the kernel, for speed; one of a server has them on disk.
    node.host.must("sync -f /usr/bin")?;
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
pub(super) fn set_up(nodes: &[Node<'_>; 2]) -> Result<()> {
    set_up_with(nodes, PRIMARY)
}

/// As [`set_up`], with this line on node1.
pub(super) fn set_up_with(nodes: &[Node<'_>; 2], primary: &str) -> Result<()> {
    let [one, two] = nodes;
    std::thread::scope(|scope| {
        let secondary = scope.spawn(|| two.host.must_within(SECONDARY, PACKAGE_LIMIT));
        // It waits there first, as a person would see.
        wait_for("the secondary to wait", PACKAGE_LIMIT, || {
            Ok(waits(two)?.then_some(()))
        })?;
        let said = one.host.must_within(primary, PACKAGE_LIMIT)?;
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
pub(super) fn waits(node: &Node<'_>) -> Result<bool> {
    let listening = node.host.must("ss -Hltn 'sport = 9011'")?;
    Ok(!listening.trim().is_empty())
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
