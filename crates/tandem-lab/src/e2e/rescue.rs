//! What helps when something is missing: the password, or Tandem itself.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, TAKEOVER_LIMIT};
use crate::shell::outcome;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases. The second one leaves no pair.
pub const CASES: [Case; 2] = [
    Case {
        name: "root gives the console's user a new password, which counts on both nodes",
        run: password,
    },
    Case {
        name: "what explain emergency prints, typed where Tandem is broken, brings the application back",
        run: emergency,
    },
];

const ADMIN: &str = "admin";
const FORGOTTEN: &str = "a password that is forgotten";
const NEW: &str = "a new one, from root";
/// A question to the console.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How often mounts are taken away before one counts as stuck: the mirror's and the read-only one.
const MOUNTS_MAX: usize = 4;

/// Asks the console of `node` from the client's place, with a browser's memory in the file `cookies`,
/// and gives the status of the answer.
fn ask(node: &Node<'_>, stage: &Stage, cookies: &str, words: &[&str]) -> Result<String> {
    let address = format!("http://10.99.0.{}:9010/api/v1/session", node.number());
    let cookies = stage.lab.directory.join(cookies).display().to_string();
    let mut all = stage.lab.on_client();
    let curl = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-b",
        &cookies,
        "-c",
        &cookies,
    ];
    all.extend(curl.iter().chain(words).map(|word| (*word).to_owned()));
    all.push(address);
    outcome(&all, ANSWER_LIMIT)?.success()
}

fn sign_in(node: &Node<'_>, stage: &Stage, password: &str) -> Result<String> {
    let body = format!(r#"{{"name":"{ADMIN}","password":"{password}"}}"#);
    let words = ["-H", "content-type: application/json", "-d", &body];
    ask(node, stage, "cookies", &words)
}

fn password(stage: &mut Stage) -> Result<Told> {
    let (one, two) = stage.pair()?;
    let _ = std::fs::remove_file(stage.lab.directory.join("cookies"));
    let typed = |password: &str, words: &str| -> Result<()> {
        let line = format!("echo '{password}' | tandem user {words}");
        one.host.must(&line).map(drop)
    };
    typed(FORGOTTEN, &format!("add {ADMIN} --role admin"))?;
    let status = sign_in(&one, stage, FORGOTTEN)?;
    ensure!(status == "200", "before the reset: {status}");
    let status = ask(&one, stage, "cookies", &[])?;
    ensure!(status == "200", "signed in, and yet {status}");

    typed(NEW, &format!("reset {ADMIN}"))?;
    let status = ask(&one, stage, "cookies", &[])?;
    ensure!(status == "401", "the session of before lives on: {status}");
    let status = sign_in(&one, stage, FORGOTTEN)?;
    ensure!(status == "401", "the forgotten password: {status}");
    let status = sign_in(&one, stage, NEW)?;
    ensure!(status == "200", "the new password: {status}");
    wait_for("the new password on the other node", ANSWER_LIMIT, || {
        let status = sign_in(&two, stage, NEW)?;
        Ok((status == "200").then_some(()))
    })?;
    Ok(Vec::new())
}

/// The lines of `text` that are to be typed.
fn to_type(text: &str) -> Vec<&str> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("     "));
    typed.collect()
}

fn emergency(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    let node = trial.primary.clone();
    // The other node is switched off first, as the text says.
    trial.standby.host.power_off()?;
    node.wait_for_face(["ALONE", "green", "uptodate"], TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    let text = node.command("explain emergency")?;
    node.host
        .must("ln -sfn /bin/false /usr/bin/tandem && systemctl kill -s KILL tandem.service")?;
    let lines = to_type(&text);
    ensure!(lines.len() > 6, "this is no help: {text}");
    for line in &lines {
        type_line(&node, line).with_context(|| format!("{line}\nof\n{text}"))?;
    }
    // Clients come to the same address as before.
    trial.rows_flow()?;
    let seen = postgres::mounts_seen(&node.host).unwrap_or_default();
    ensure!(
        seen.is_empty(),
        "the database does not run on the plain directory: {seen:?}"
    );
    let journal = trial.client.journal()?;
    let found = postgres::rows(&node.host)?;
    let earlier = &trial.stage().acknowledged;
    let lost = journal.lost(&found).len() + earlier.iter().filter(|n| !found.contains(n)).count();
    ensure!(lost == 0, "{lost} acknowledged rows are lost");
    let told = vec![format!(
        "{} commands, away for {:.1} s",
        lines.len(),
        journal.outage().as_secs_f64()
    )];
    drop(trial);
    stage.clear();
    Ok(told)
}

/// Types a line, as the text says: what takes mounts away again and again, until there is none.
fn type_line(node: &Node<'_>, line: &str) -> Result<()> {
    if !line.starts_with("umount") {
        return node.host.must(line).map(drop);
    }
    for _ in 0..MOUNTS_MAX {
        // Its last word is whether one is left.
        if node.host.sh(line)?.code != Some(0) {
            return Ok(());
        }
    }
    anyhow::bail!("a mount stays")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stands_further_in() {
        let text =
            "1. First this\n   and that:\n\n     systemctl stop x\n     umount /a; findmnt /a\n";
        assert_eq!(to_type(text), ["systemctl stop x", "umount /a; findmnt /a"]);
    }
}
