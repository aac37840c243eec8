//! What operators do, and what the product does about a failed application.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{CONFIGURATION, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::wait::wait_for;
use crate::watch::{Seen, Watcher};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 5] = [
    Case {
        name: "the database is stopped and masked: failover at once",
        run: database_masked,
    },
    Case {
        name: "stop and start show the exact sequence",
        run: stop_and_start,
    },
    Case {
        name: "ten swaps under load",
        run: swaps,
    },
    Case {
        name: "what rots on the standby's disk is found by second --full-sync",
        run: rot_is_found,
    },
    Case {
        name: "the configuration of both nodes is changed under load",
        run: configured_anew,
    },
];

/// How long a swap may take: the longest took 5 s on a loaded machine.
const SWAP_LIMIT: Duration = Duration::from_secs(20);

fn database_masked(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    // A service that ends by itself is for a person to look at.
    trial.expect_error("service postgresql is down");
    let unit = postgres::UNIT;
    let host = &trial.primary.host;
    host.must(&format!("systemctl mask {unit} && systemctl stop {unit}"))?;
    trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    let stopped = trial
        .primary
        .wait_until("the node to be in STOP", TAKEOVER_LIMIT, |m| {
            m.state == "STOP"
        })?;
    ensure!(
        stopped.reason.contains(unit) && stopped.reason.contains("masked"),
        "the reason for STOP does not say it: {}",
        stopped.reason
    );
    trial.told.push(format!("\"{}\"", stopped.reason));
    trial.rows_flow()?;
    host.must(&format!("systemctl unmask {unit}"))?;
    trial.primary.command("start")?;
    trial.finish()
}

/// A unit for a service that is added, as somebody installed it; a directory for a volume.
const EXTRA: &str = "printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\n\
    WantedBy=multi-user.target\n' >/etc/systemd/system/extra.service && systemctl daemon-reload && \
    mkdir -p /srv/more && cat /etc/hostname >/srv/more/whose";
/// Both of them in the configuration, and in the new file that `config apply` is given.
const WITH_EXTRA: &str = "s|^\\[\\[module.checker\\]\\]|[[module.service]]\\nname = \"extra\"\\n\
    unit = \"extra.service\"\\n\\n[[module.volume]]\\nname = \"more\"\\npath = \"/srv/more\"\\n\\n&|";
const ORIGINAL: &str = "/root/original.toml";
const NEW: &str = "/root/new.toml";

fn configured_anew(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    // For the second between the two of them.
    trial.expect_error("the configurations of the nodes differ");
    let nodes = [&primary, &standby];
    let keep = format!("cp {CONFIGURATION} {ORIGINAL}");
    standby.host.must(&keep)?;
    let edit = |edit: &str| {
        let line = format!("sed '{edit}' {ORIGINAL} >{NEW}");
        standby.host.must(&line).map(drop)
    };
    // Asked for on the node that does not serve.
    let apply = || -> Result<String> {
        let said = standby.command(&format!("config apply --yes {NEW}"))?;
        standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
        primary.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
        let [first, second] = nodes.map(|node| node.host.must(&format!("cat {CONFIGURATION}")));
        ensure!(first? == second?, "the files differ");
        Ok(said)
    };
    edit("s|action = \"restart\"|&\\nperiod = \"3s\"|")?;
    let said = apply()?;
    ensure!(said.contains("checker.sql.period: "), "{said}");
    ensure!(said.contains("Nothing is stopped"), "{said}");
    trial.rows_flow()?;
    trial.application_untouched()?;
    trial.nothing_happened()?;

    // A service and a volume more. One of the machines is not ready for it: neither takes it.
    for node in nodes {
        node.host.must(EXTRA)?;
    }
    primary.host.must("systemctl enable -q extra")?;
    edit(WITH_EXTRA)?;
    let refused = standby.tandem(&format!("config apply --yes {NEW}"))?;
    let boots = "the unit extra.service starts at boot by itself";
    ensure!(
        refused.code == Some(3) && refused.said().contains(boots),
        "{}",
        refused.said()
    );
    trial.nothing_happened()?;
    primary.host.must("systemctl disable -q extra")?;
    let said = apply()?;
    let whose = format!("as it is on node{}", primary.number());
    ensure!(said.contains(&whose), "{said}");
    ensure!(said.contains("This stops module"), "{said}");
    trial.rows_flow()?;
    for node in nodes {
        let whose = node.host.must("cat /srv/more/whose")?;
        ensure!(whose.trim() == format!("h{}", primary.number()), "{whose}");
    }
    primary.host.must("systemctl is-active extra")?;
    let started = standby.host.sh("systemctl start extra")?;
    ensure!(started.code != Some(0), "it started on the standby");

    // Both go again, and something else changes that needs the module stopped.
    edit("s|^\\[\\[module.volume\\]\\]|data-port = 9400\\n&|")?;
    let said = apply()?;
    ensure!(said.contains("data-port: 9012 -> 9400"), "{said}");
    ensure!(said.contains("/srv/more is a plain directory"), "{said}");
    trial.rows_flow()?;
    for node in nodes {
        node.host.must(
            "test ! -e /srv/more/.tandem && ! findmnt /srv/more && touch /srv/more/mine && \
             systemctl start extra && systemctl stop extra && \
             rm -r /srv/more* /etc/systemd/system/extra.service",
        )?;
    }
    edit("")?;
    apply()?;
    trial.rows_flow()?;
    let outage = trial.client.journal()?.outage().as_secs_f64();
    trial.told.push(format!("longest break {outage:.1} s"));
    trial.finish()
}

/// A file that rots, and where.
const ROTTEN_MIB: u64 = 8;
const ROTTEN_AT: u64 = 5 << 20;

fn rot_is_found(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let path = format!("{}/rotten", postgres::DATA);
    let make = format!("head -c {ROTTEN_MIB}M /dev/urandom >{path} && sync {path}");
    primary.host.must(&make)?;
    let level = || -> Result<()> {
        standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
        primary.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
        Ok(())
    };
    // From here on the standby is not owed the file any more.
    standby.order("stopstart")?;
    level()?;
    let [good, bad] = [primary.host.plain(&path)?, standby.host.plain(&path)?];
    rot(&bad)?;
    // What is not owed is not read: without this the rest would show nothing.
    for (command, rotten) in [("stopstart", true), ("second --full-sync", false)] {
        standby.order(command)?;
        level()?;
        let differ = fs::read(&good)? != fs::read(&bad)?;
        ensure!(
            differ == rotten,
            "after {command} the copies differ: {differ}"
        );
    }
    trial.application_untouched()?;
    let told = trial.finish()?;
    primary.host.must(&format!("rm {path}"))?;
    Ok(told)
}

/// Changes a byte of a file, and nothing else that shows.
fn rot(path: &Path) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, ROTTEN_AT)?;
    file.write_all_at(&[!byte[0]], ROTTEN_AT)?;
    file.set_times(fs::FileTimes::new().set_modified(modified))?;
    file.sync_all()?;
    Ok(())
}

/// The sequence of docs/function-tests.md: what the stopped node shows, and the other one, step by step.
const SEQUENCE: [(&str, &str); 7] = [
    ("PRIM green uptodate", "SECOND green uptodate"),
    ("PRIM magenta not uptodate", "SECOND green uptodate"),
    ("WAIT magenta not uptodate", "ALONE magenta uptodate"),
    ("STOP red not uptodate", "ALONE green uptodate"),
    ("WAIT magenta not uptodate", "ALONE green uptodate"),
    ("SECOND magenta not uptodate", "ALONE green uptodate"),
    ("SECOND green uptodate", "PRIM green uptodate"),
];

fn stop_and_start(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    let watchers = [
        Watcher::start(lab, &trial.primary.host)?,
        Watcher::start(lab, &trial.standby.host)?,
    ];
    for watcher in &watchers {
        wait_for("the watcher to see something", TAKEOVER_LIMIT, || {
            Ok((!watcher.seen()?.is_empty()).then_some(()))
        })?;
    }
    trial.primary.command("stop")?;
    trial
        .primary
        .wait_until("STOP", TAKEOVER_LIMIT, |m| m.state == "STOP")?;
    trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    trial.primary.command("start")?;
    trial
        .primary
        .wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    trial
        .standby
        .wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    let seen = wait_for("the watchers to see the end", TAKEOVER_LIMIT, || {
        let seen = [watchers[0].seen()?, watchers[1].seen()?];
        let last = |n: usize| seen[n].last().map(words);
        let (stopped, other) = SEQUENCE[SEQUENCE.len() - 1];
        let ended = last(0).as_deref() == Some(stopped) && last(1).as_deref() == Some(other);
        Ok(ended.then_some(seen))
    })?;
    drop(watchers);
    follows_the_table(&seen[0], &seen[1])?;
    trial.finish()
}

/// The face of a node as the table writes it: the percentage of a resynchronisation stands beside
/// `not uptodate` there.
fn words(seen: &Seen) -> String {
    let (state, colour, data) = &seen.face;
    let data = match data.starts_with("resyncing") {
        true => "not uptodate",
        false => data,
    };
    format!("{state} {colour} {data}")
}

fn deduplicated(faces: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all = faces.into_iter().collect::<Vec<_>>();
    all.dedup();
    all
}

/// Each node alone shows exactly its column. Both together show every row of the table; between
/// two rows only one of the nodes may already have taken its step.
fn follows_the_table(stopped: &[Seen], other: &[Seen]) -> Result<()> {
    let columns = [
        deduplicated(SEQUENCE.map(|row| row.0.to_owned())),
        deduplicated(SEQUENCE.map(|row| row.1.to_owned())),
    ];
    let shown = [
        deduplicated(stopped.iter().map(words)),
        deduplicated(other.iter().map(words)),
    ];
    for (who, (shown, column)) in ["the stopped node", "the other node"]
        .iter()
        .zip(shown.iter().zip(&columns))
    {
        ensure!(
            shown == column,
            "{who} showed\n       {}\n     instead of\n       {}",
            shown.join("\n       "),
            column.join("\n       ")
        );
    }
    let rows = SEQUENCE.map(|(a, b)| (a.to_owned(), b.to_owned()));
    let pairs = merged(stopped, other);
    let mut open = rows.iter().peekable();
    for pair in &pairs {
        if open.peek() == Some(&pair) {
            open.next();
        }
    }
    ensure!(
        open.peek().is_none(),
        "together they never showed {:?}, but {pairs:?}",
        open.peek()
    );
    Ok(())
}

/// What both showed at each change of one of them.
fn merged(one: &[Seen], two: &[Seen]) -> Vec<(String, String)> {
    let mut changes = one.iter().map(|s| (s.at, 0, words(s))).collect::<Vec<_>>();
    changes.extend(two.iter().map(|s| (s.at, 1, words(s))));
    changes.sort();
    let mut now = [None, None];
    let mut pairs = Vec::new();
    for (_, which, face) in changes {
        now[which] = Some(face);
        if let [Some(a), Some(b)] = &now {
            pairs.push((a.clone(), b.clone()));
        }
    }
    pairs.dedup();
    pairs
}

/// Swaps ten times while the client writes.
///
/// # Errors
/// A swap failed, or something acknowledged is missing.
pub fn swaps(stage: &mut Stage) -> Result<Told> {
    const SWAPS: usize = 10;
    let mut trial = Trial::begin(stage)?;
    let (mut primary, mut standby) = (trial.primary.clone(), trial.standby.clone());
    let mut longest = Duration::ZERO;
    for turn in 0..SWAPS {
        // The command is understood on either node.
        let asked = if turn % 2 == 0 { &primary } else { &standby };
        let begin = std::time::Instant::now();
        asked.command(&format!("swap --timeout {}s", SWAP_LIMIT.as_secs()))?;
        standby.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
        primary.wait_for_face(["SECOND", "green", "uptodate"], TAKEOVER_LIMIT)?;
        longest = longest.max(begin.elapsed());
        trial
            .rows_flow()
            .with_context(|| format!("after swap {}", turn + 1))?;
        std::mem::swap(&mut primary, &mut standby);
    }
    trial.told.push(format!(
        "{SWAPS} swaps, the longest took {:.2} s",
        longest.as_secs_f64()
    ));
    trial.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: u64, words: &str) -> Seen {
        let mut words = words.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().expect("three words");
        Seen {
            at,
            face: (next(), next(), next()),
        }
    }

    fn table() -> (Vec<Seen>, Vec<Seen>) {
        let mut columns = (Vec::new(), Vec::new());
        for (at, (one, two)) in (0..).step_by(10).zip(SEQUENCE) {
            columns.0.push(seen(at, one));
            columns.1.push(seen(at + 1, two));
        }
        columns
    }

    #[test]
    fn the_table_itself_follows_the_table() {
        let (one, two) = table();
        follows_the_table(&one, &two).expect("it does");
    }

    #[test]
    fn a_face_too_many_or_a_step_too_early_does_not_follow_the_table() {
        let (one, mut two) = table();
        two.insert(2, seen(15, "WAIT magenta uptodate"));
        assert!(follows_the_table(&one, &two).is_err());
        let (one, mut two) = table();
        // The other node is mirrored again before the stopped one is a standby.
        two[6].at = 32;
        assert!(follows_the_table(&one, &two).is_err());
    }
}
