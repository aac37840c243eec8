//! Bad input: a clear error, and nothing changes.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::lab::{CLIENT, Lab};
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, Setting, TAKEOVER_LIMIT, configuration};
use crate::shell::run;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 6] = [
    Case {
        name: "bad configurations are refused with the place",
        run: configurations,
    },
    Case {
        name: "a standby with another configuration waits and names the field",
        run: other_configuration,
    },
    Case {
        name: "a directory that cannot be mirrored is refused",
        run: bad_directories,
    },
    Case {
        name: "a unit that is missing, or starts at boot, is told",
        run: bad_units,
    },
    Case {
        name: "a port in use is told",
        run: port_in_use,
    },
    Case {
        name: "an address in use is not taken",
        run: address_in_use,
    },
];

const UPTODATE_STANDBY: [&str; 3] = ["SECOND", "green", "uptodate"];

/// What is written instead of what, and what the error has to say.
const BAD_CONFIGURATIONS: [(&str, &str, &[&str]); 13] = [
    (
        "takeover-after",
        "takover-after",
        &["takover-after", "takeover-after", ":3:"],
    ),
    ("\"5000ms\"", "\"5\"", &["unit"]),
    ("\"5000ms\"", "\"10ms\"", &["out of range"]),
    (
        "address = \"10.99.0.1\"",
        "address = \"10.99.0.1234\"",
        &["address"],
    ),
    ("\"10.99.0.100/24\"", "\"10.99.0.100\"", &["prefix"]),
    (
        "\"10.99.0.100/24\"",
        "\"10.99.0.1/24\"",
        &["node's own address"],
    ),
    ("name = \"h2\"", "name = \"h1\"", &["same name"]),
    (
        "[\"10.99.0.1\", \"10.99.1.1\"]",
        "[\"10.99.0.1\"]",
        &["heartbeat"],
    ),
    (
        "\"/var/lib/postgresql/15/main\"",
        "\"relative/path\"",
        &["path"],
    ),
    (
        "\"/var/lib/postgresql/15/main\"",
        "\"/\"",
        &["root directory"],
    ),
    (
        "[[module.address]]",
        "[[module.volume]]\nname = \"same\"\npath = \"/var/lib/postgresql/15/main/\"\n[[module.address]]",
        &["volume `db`"],
    ),
    (
        "[[module.address]]",
        "[[module.volume]]\nname = \"inner\"\npath = \"/var/lib/postgresql/15/main/base\"\n[[module.address]]",
        &["inside volume `db`"],
    ),
    ("action = \"restart\"", "action = \"reboot\"", &["action"]),
];

fn configurations(stage: &mut Stage) -> Result<Told> {
    let (primary, standby) = stage.pair()?;
    let before = (primary.face()?, standby.face()?, files(&primary)?);
    let good = configuration(&Setting::USUAL);
    for (from, to, phrases) in BAD_CONFIGURATIONS {
        ensure!(good.contains(from), "the good configuration has no {from}");
        let bad = good.replacen(from, to, 1);
        let script = format!(
            "cat >/tmp/bad.toml <<'END'\n{bad}\nEND\ntandem --config /tmp/bad.toml config check"
        );
        let told = primary.host.sh(&script)?;
        ensure!(told.code != Some(0), "{to} was accepted: {}", told.said());
        for phrase in phrases {
            ensure!(
                told.said().contains(phrase),
                "{to}: the error does not say {phrase:?}: {}",
                told.said()
            );
        }
    }
    let after = (primary.face()?, standby.face()?, files(&primary)?);
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(vec![format!("{} configurations", BAD_CONFIGURATIONS.len())])
}

/// What the product keeps on a node besides its records: configuration, identity, token.
fn files(node: &Node<'_>) -> Result<String> {
    node.host.must(
        "find /etc/tandem /var/lib/tandem/identity /var/lib/tandem/token -type f \
         -exec sha256sum {} +",
    )
}

fn restart_daemon(node: &Node<'_>) -> Result<()> {
    node.host.must("systemctl restart tandem.service").map(drop)
}

fn other_configuration(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    // This is what has to be said, on both nodes.
    trial.expect_error("the configurations of the nodes differ");
    let standby = &trial.standby;
    let good = configuration(&Setting::USUAL);
    standby.configure(&good.replace("action =", "fall = 7\naction ="))?;
    restart_daemon(standby)?;
    standby.wait_until("the standby to wait", TAKEOVER_LIMIT, |m| m.state == "WAIT")?;
    let named = wait_for("the field to be named", TAKEOVER_LIMIT, || {
        let differs = standby.status()?.configuration_differs;
        Ok(differs.filter(|d| d.contains("checker.sql.fall")))
    })?;
    let shown = standby.command("status")?;
    ensure!(shown.contains(&named), "`tandem status` does not show it");
    trial
        .primary
        .wait_until("the primary to go on", TAKEOVER_LIMIT, |m| {
            m.state == "ALONE"
        })?;
    trial.rows_flow()?;
    trial.application_untouched()?;
    standby.configure(&good)?;
    restart_daemon(standby)?;
    standby.wait_for_face(UPTODATE_STANDBY, RESYNCHRONISATION_LIMIT)?;
    let mut told = vec![format!("\"{named}\"")];
    told.extend(trial.finish()?);
    Ok(told)
}

/// Stops everything of the product on a standby, so that its directory is the plain one.
fn lay_bare(node: &Node<'_>) -> Result<()> {
    node.command("stop")?;
    node.host
        .must(&format!(
            "systemctl stop tandem.service 'tandem-mirror@*'; \
             while mountpoint -q {data}; do umount {data} || exit 1; done",
            data = postgres::DATA
        ))
        .map(drop)
}

/// Everything that lies where the volume does, by names, types, sizes and times of files. The
/// product's own directory is its own.
const LISTING: &str = "find . -name .tandem -prune -o \\( -type f -printf '%p %s %T@\\n' \
                       -o -printf '%p %y\\n' \\) | sort";

/// What is done to the directory, how it is undone, and what has to be said.
const BAD_DIRECTORIES: [(&str, &str, &[&str]); 4] = [
    (
        "mv main away",
        "mv away main",
        &["does not exist", "missing", "No such file"],
    ),
    (
        "mv main away; touch main",
        "rm main; mv away main",
        &["not a directory", "Not a directory"],
    ),
    ("mount -t tmpfs tmpfs main", "umount main", &["mount point"]),
    (
        "(exec sleep 300 >>main/held) & echo $! >/run/holder",
        "kill $(cat /run/holder); while mountpoint -q main; do umount main; done; rm -f main/held",
        &["is in use beneath the mirror: sleep (process"],
    ),
];

fn bad_directories(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    // This is what has to be said.
    trial.expect_error("volumes cannot be used");
    let node = &trial.standby;
    let inside = format!("cd {}/..", postgres::DATA);
    lay_bare(node)?;
    let mut told = Vec::new();
    for (bad, good, phrases) in BAD_DIRECTORIES {
        let done = format!("{inside} && {{ {bad}; }} >/dev/null 2>&1 </dev/null");
        node.host.must(&done)?;
        let before = node.host.must(&format!("{inside} && {LISTING}"))?;
        let said = start_and_hear(node, phrases);
        let face = node.face();
        let after = node.host.must(&format!("{inside} && {LISTING}"))?;
        node.host
            .must("systemctl stop tandem.service 'tandem-mirror@*'")?;
        node.host.must(&format!("{inside} && {{ {good}; }}"))?;
        told.push(said.with_context(|| bad.to_owned())?);
        ensure!(before == after, "{bad}: something was changed: {after}");
        ensure!(
            face.is_ok_and(|(state, colour, _)| state != "SECOND" || colour != "green"),
            "{bad}: it was accepted"
        );
    }
    trial.rows_flow()?;
    trial.application_untouched()?;
    node.host.must("systemctl start tandem.service")?;
    wait_for("the daemon", TAKEOVER_LIMIT, || Ok(node.module().ok()))?;
    node.command("start --no-wait")?;
    let mut told = told.iter().map(|t| format!("\"{t}\"")).collect::<Vec<_>>();
    told.extend(trial.finish()?);
    Ok(told)
}

/// Starts the daemon and the node, and gives the line that says one of `phrases`.
fn start_and_hear(node: &Node<'_>, phrases: &[&str]) -> Result<String> {
    let mark = crate::console::Mark::end_of(&node.host.console());
    node.host
        .must("systemctl start --no-block tandem.service")?;
    let mut asked = false;
    let mut last = String::new();
    wait_for("an error that says what is wrong", TAKEOVER_LIMIT, || {
        let mut said = mark.text()?;
        if let Ok(module) = node.module() {
            if !asked {
                said += &node.tandem("start --no-wait")?.said();
                asked = true;
            }
            said += &format!("\n{} {}: {}", module.state, module.colour, module.reason);
            said += &module.mirror.fault.unwrap_or_default();
        }
        let line = said
            .lines()
            .find(|line| phrases.iter().any(|phrase| line.contains(phrase)))
            .map(str::to_owned);
        last = said;
        Ok(line)
    })
    .with_context(|| last.lines().rev().take(8).collect::<Vec<_>>().join("\n"))
}

fn bad_units(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    let node = &trial.standby;
    let unit = postgres::UNIT;
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let template = "/lib/systemd/system/postgresql@.service";
    let enable = format!("mkdir -p {wants} && ln -s {template} {wants}/{unit}");
    let disable = format!("rm {wants}/{unit}");
    let hide = format!("mv {template} /root/");
    let show = format!("mv /root/postgresql@.service {template}");
    let mask = format!("systemctl mask {unit}");
    let unmask = format!("systemctl unmask {unit}");
    let mut told = Vec::new();
    for (bad, good, phrase) in [
        (enable, disable, "boot"),
        (hide, show, "does not exist"),
        (mask, unmask, "masked"),
    ] {
        node.host
            .must(&format!("{bad} && systemctl daemon-reload"))?;
        let checked = node.tandem("config check")?;
        node.host
            .must(&format!("{good} && systemctl daemon-reload"))?;
        let said = checked.said();
        let line = said
            .lines()
            .find(|l| l.contains(unit) && l.contains(phrase));
        let line = line.with_context(|| format!("{bad}: {said}"))?;
        ensure!(checked.code != Some(0), "{bad}: it was accepted");
        told.push(format!("\"{line}\""));
    }
    node.command("config check")?;
    node.wait_for_face(UPTODATE_STANDBY, Duration::from_secs(1))?;
    trial.application_untouched()?;
    told.extend(trial.finish()?);
    Ok(told)
}

/// A listener of a stranger in the network of `node`.
fn listener(lab: &Lab, node: &Node<'_>, address: &str) -> Result<Child> {
    let stack = lab.switch.stack(node.number());
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{stack}"))
        .arg(Lab::tool()?)
        .args(["occupy", address])
        .stdin(Stdio::null())
        .spawn()
        .context("occupy a port")
}

fn port_in_use(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    // This is what has to be said.
    trial.expect_error("Address already in use");
    let node = &trial.standby;
    let mut told = Vec::new();
    for port in ["9010", "9011", "9012"] {
        node.host
            .must("systemctl stop tandem.service 'tandem-mirror@*'")?;
        let mut stranger = listener(lab, node, &format!("0.0.0.0:{port}"))?;
        wait_for("the stranger to listen", TAKEOVER_LIMIT, || {
            let listens = node.host.must(&format!("ss -Hltn 'sport = :{port}'"))?;
            Ok((!listens.is_empty()).then_some(()))
        })?;
        let said = start_and_hear(node, &[port]);
        stranger.kill()?;
        stranger.wait()?;
        told.push(said.with_context(|| format!("port {port}"))?);
    }
    trial.application_untouched()?;
    node.host.must("systemctl restart tandem.service")?;
    wait_for("the daemon", TAKEOVER_LIMIT, || Ok(node.module().ok()))?;
    let _ = node.command("start --no-wait");
    let mut told = told.iter().map(|t| format!("\"{t}\"")).collect::<Vec<_>>();
    told.extend(trial.finish()?);
    Ok(told)
}

fn address_in_use(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let (primary, standby) = stage.pair()?;
    for node in [&standby, &primary] {
        node.command("stop")?;
    }
    let client = lab.switch.stack(CLIENT);
    run(&format!("ip -n {client} addr add 10.99.0.100/24 dev eth0"))?;
    for node in [&primary, &standby] {
        node.command("start --no-wait")?;
    }
    let told = wait_for(
        "a node to say that the address is in use",
        TAKEOVER_LIMIT,
        || {
            for node in [&primary, &standby] {
                let module = node.module()?;
                let serves = module.serves();
                ensure!(!(serves && module.colour == "green"), "it was taken");
                let said = format!("{} {}", module.reason, module.warning.unwrap_or_default());
                if said.contains("10.99.0.100") || said.contains("02:99:00:00:00:09") {
                    return Ok(Some(said));
                }
            }
            Ok(None)
        },
    );
    run(&format!("ip -n {client} addr del 10.99.0.100/24 dev eth0"))?;
    let told = told?;
    // With the stranger gone the pair serves by itself.
    Trial::begin_when_ready(stage, RESYNCHRONISATION_LIMIT)?.finish()?;
    Ok(vec![format!("\"{told}\"")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_configuration_differs_from_the_good_one() {
        let good = configuration(&Setting::USUAL);
        for (from, to, phrases) in BAD_CONFIGURATIONS {
            assert!(good.contains(from), "{from}");
            assert_ne!(good.replacen(from, to, 1), good);
            assert!(!phrases.is_empty());
        }
    }
}
