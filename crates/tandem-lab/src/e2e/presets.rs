//! Presets on hosts: MariaDB of Debian's packages as it is; SQL Server, the hub and a compose
//! application with units and commands that stand in for them, because they cannot be had here.

use super::failures::bring_back;
use super::packages::{self, PACKAGE_LIMIT, PRIMARY};
use super::stage::Stage;
use super::{Case, Told};
use crate::lab;
use crate::mariadb;
use crate::product::{CONFIGURATION, Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use anyhow::{Context, Result, ensure};

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "presets protect MariaDB, and what stands in for SQL Server, the hub and containers",
    run: presets,
}];

/// The hub's services, in its manual's order.
const HUB: [&str; 5] = [
    "hub-sql",
    "hub-management-server",
    "hub-log-server",
    "hub-event-server",
    "hub-data-collector",
];
/// Where services that stand in say when they are started and stopped.
const ORDER: &str = "/root/order";

fn presets(stage: &mut Stage) -> Result<Told> {
    let nodes = packages::installed(stage)?;
    for node in &nodes {
        stand_ins(node)?;
    }
    hub(&nodes).context("hub")?;
    take_apart(&nodes)?;
    sql_server(&nodes).context("mssql")?;
    take_apart(&nodes)?;
    containers(&nodes).context("compose")?;
    take_apart(&nodes)?;
    database(&nodes).context("mariadb")?;
    stage.clear();
    Ok(Vec::new())
}

/// The line of node1's set-up with another preset.
fn line(preset: &str) -> String {
    PRIMARY.replace("--preset postgresql", &format!("--preset {preset}"))
}

/// Units, and an engine, that do nothing but say when.
fn stand_ins(node: &Node<'_>) -> Result<()> {
    let mut script = String::from("set -e; mkdir -p /srv/hub /srv/mssql /srv/app\n");
    for name in HUB {
        script += &format!(
            "printf '[Service]\\nExecStartPre=/bin/sh -c \"echo start {name} >>{ORDER}\"\\n\
             ExecStart=/bin/sleep infinity\\n\
             ExecStopPost=/bin/sh -c \"echo stop {name} >>{ORDER}\"\\n' \
             >/etc/systemd/system/{name}.service\n"
        );
    }
    script += r#"cat >/usr/local/bin/stand-in-sql <<'END'
#!/usr/bin/perl
use IO::Socket::INET;
open(my $kept, '>>', '/srv/mssql/rows') or die; print $kept "started\n"; close $kept;
my $server = IO::Socket::INET->new(LocalPort => 1433, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) { close $client }
END
cat >/usr/local/bin/stand-in-engine <<'END'
#!/bin/sh
# stand-in-engine --project-directory DIRECTORY up|down|ps: one container, which runs on this machine
# from up to down, and writes a line when it starts.
case $3 in
  up) touch /run/container; echo up >>"$2/log"; while [ -e /run/container ]; do sleep 0.2; done ;;
  down) rm -f /run/container ;;
  ps) [ ! -e /run/container ] || echo container ;;
esac
END
chmod 755 /usr/local/bin/stand-in-*
printf '[Service]\nExecStart=/usr/local/bin/stand-in-sql\n' \
  >/etc/systemd/system/mssql-server.service
systemctl daemon-reload; sync
"#;
    node.host.must(&script).map(drop)
}

/// Ends the service on both nodes and takes both out of the cluster.
fn take_apart(nodes: &[Node<'_>; 2]) -> Result<()> {
    nodes[0].command("stop --all")?;
    for node in nodes {
        node.command("cluster leave --stop")?;
        node.host.must(&format!("rm {CONFIGURATION}"))?;
    }
    Ok(())
}

fn order(node: &Node<'_>) -> Result<Vec<String>> {
    let text = node.host.must(&format!("cat {ORDER}; rm {ORDER}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The shipped file refuses, because the hub's services run on Windows. Its order is tried with the
/// same file without that refusal.
fn hub(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    let refused = one.host.sh(&line("hub"))?;
    ensure!(
        refused.code != Some(0) && refused.said().contains("Windows"),
        "{}",
        refused.said()
    );
    let file = lab::workspace().join("packaging/presets/hub.toml");
    let text = std::fs::read_to_string(&file)?;
    let kept: Vec<&str> = (text.lines())
        .filter(|l| !l.starts_with("refused"))
        .collect();
    let text = kept.join("\n") + "\n[[volume]]\nname = \"db\"\npath = \"/srv/hub\"\n";
    one.host
        .must(&format!("cat >/root/hub.toml <<'END'\n{text}\nEND"))?;
    packages::set_up_with(nodes, &line("/root/hub.toml"))?;
    let started: Vec<String> = HUB.map(|name| format!("start {name}")).into();
    let stopped: Vec<String> = HUB
        .iter()
        .rev()
        .map(|name| format!("stop {name}"))
        .collect();
    let said = order(one)?;
    ensure!(said == started, "node1's start: {said:?}");
    one.command("swap --timeout 60s")?;
    two.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let said = [order(one)?, order(two)?];
    ensure!(said == [stopped, started], "the swap: {said:?}");
    let configuration = two.host.must(&format!("cat {CONFIGURATION}"))?;
    ensure!(
        configuration.contains("takeover-after = \"30s\""),
        "the preset's own time is not used: {configuration}"
    );
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    Ok(())
}

fn sql_server(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    packages::set_up_with(nodes, &(line("mssql") + " --set data=/srv/mssql"))?;
    one.command("swap --timeout 60s")?;
    two.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let rows = two.host.must("cat /srv/mssql/rows")?;
    ensure!(rows == "started\nstarted\n", "{rows}");
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    Ok(())
}

fn containers(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    let line = line("compose") + " --set engine=/usr/local/bin/stand-in-engine";
    packages::set_up_with(nodes, &line)?;
    one.command("swap --timeout 60s")?;
    two.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let log = two.host.must("cat /srv/app/log")?;
    ensure!(log == "up\nup\n", "{log}");
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    Ok(())
}

/// MariaDB itself, and the power cut of the node that serves.
fn database(nodes: &[Node<'_>; 2]) -> Result<()> {
    let [one, two] = nodes;
    for node in nodes {
        mariadb::prepare(&node.host)?;
    }
    let make = "systemctl start mariadb && mariadb -e 'create database kept; \
        create table kept.rows (number int primary key); insert into kept.rows values (1), (2)'";
    one.host.must_within(make, PACKAGE_LIMIT)?;
    let line = line("mariadb") + &format!(" --set data={}", mariadb::DATA);
    packages::set_up_with(nodes, &line)?;
    one.host
        .must("mariadb -e 'insert into kept.rows values (3)'")?;
    one.host.power_off()?;
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    let count = "mariadb -N -e 'select count(*) from kept.rows'";
    let rows = two.host.must(count)?;
    ensure!(rows.trim() == "3", "{rows} rows after the power cut");
    two.host.must("ip -4 addr show | grep -q 10.99.0.100")?;
    bring_back(one)?;
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    Ok(())
}
