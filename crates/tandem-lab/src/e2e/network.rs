//! Cut networks and hosts that hang: who serves, and what each node says meanwhile.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::client::Client;
use crate::compare;
use crate::linux::boottime;
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, TAKEOVER_AFTER, TAKEOVER_LIMIT};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 5] = [
    Case {
        name: "the stream is blocked, heartbeats are alive: the primary goes on alone",
        run: stream_blocked,
    },
    Case {
        name: "what the primary sends is lost, and what it hears is not",
        run: primary_unheard,
    },
    Case {
        name: "what the standby sends is lost, and what it hears is not",
        run: standby_unheard,
    },
    Case {
        name: "every network is cut and healed: both lines are kept",
        run: divergence,
    },
    Case {
        name: "the primary hangs, is replaced, and acknowledges nothing when it thaws",
        run: frozen_primary,
    },
];

/// A row that only the line of the first primary has, larger than any row of a client.
const FIRST_LINE: u64 = 9_000_000_001;
/// A row that only the other line has.
const SECOND_LINE: u64 = 9_000_000_002;
/// Longer than any decision takes.
const LONG: Duration = Duration::from_secs(2 * TAKEOVER_AFTER.as_secs());

fn stream_blocked(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    lab.switch.block("tcp dport 9012")?;
    lab.switch.block("tcp sport 9012")?;
    let alone = trial
        .primary
        .wait_until("the primary to go on alone", TAKEOVER_LIMIT, |m| {
            m.state == "ALONE"
        })?;
    // The standby hears heartbeats, so both have decided it together.
    ensure!(
        alone.record.is_some_and(|r| r.confirmed),
        "decided without the standby, which could be asked"
    );
    trial.rows_flow()?;
    trial.application_untouched()?;
    std::thread::sleep(LONG);
    let standby = trial.standby.module()?;
    ensure!(
        standby.state == "SECOND" && standby.data != "uptodate",
        "the standby is {} {}",
        standby.state,
        standby.data
    );
    lab.switch.unblock();
    trial.finish()
}

fn primary_unheard(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    lab.switch
        .block_way(trial.primary.number(), trial.standby.number())?;
    one_way(trial)
}

fn standby_unheard(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    lab.switch
        .block_way(trial.standby.number(), trial.primary.number())?;
    one_way(trial)
}

/// Whoever serves then, clients get on, at most one node serves for good, and what was acknowledged
/// by either is there at the end.
fn one_way(mut trial: Trial<'_>) -> Result<Told> {
    trial.rows_flow().context("with one way cut")?;
    std::thread::sleep(LONG);
    trial.rows_flow().context("with one way cut for long")?;
    let faces = [trial.primary.face()?, trial.standby.face()?];
    let serving = faces.iter().filter(|f| f.1 == "green" && serves(&f.0));
    ensure!(serving.count() == 1, "one way cut: {faces:?}");
    trial.told.push(format!("one way cut: {faces:?}"));
    trial.unblock();
    trial.finish()
}

fn serves(state: &str) -> bool {
    matches!(state, "ALONE" | "PRIM")
}

/// Nothing between the nodes gets through, the client reaches both: each goes on alone. When they
/// meet, the one that was PRIM goes on, and the other's line stays on its disk until the operator
/// decides.
fn divergence(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    // This is what has to be said.
    trial.expect_error("diverged");
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let (one, two) = (primary.number(), standby.number());
    let both_have = trial.client.journal()?.rows;
    lab.switch.block_way(one, two)?;
    lab.switch.block_way(two, one)?;
    let first = primary.wait_until("the primary to go on alone", TAKEOVER_LIMIT, |m| {
        m.state == "ALONE" && m.colour == "green"
    })?;
    let second = standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    for (module, phrase) in [
        (&first, "seconds of work are lost"),
        (&second, "the other node may hold newer writes"),
    ] {
        let warning = module.warning.clone().unwrap_or_default();
        ensure!(warning.contains(phrase), "no {phrase:?} but {warning:?}");
        let record = module.record.clone().context("a record")?;
        ensure!(!record.confirmed, "the record is not unconfirmed");
        trial.told.push(format!("\"{warning}\""));
    }
    let insert = |node: &Node<'_>, number: u64| {
        let row = format!("insert into events (id, payload) values ({number}, 'its own')");
        postgres::query(&node.host, &row)
    };
    insert(&primary, FIRST_LINE)?;
    insert(&standby, SECOND_LINE)?;
    trial.client.pause()?;
    let copy = standby.host.plain(postgres::DATA)?;
    lab.switch.unblock();

    let said = standby.wait_until("the divergence to be found", TAKEOVER_LIMIT, |m| {
        m.state == "WAIT" && m.data == "diverged"
    })?;
    trial.told.push(format!("\"{}\"", said.reason));
    primary.wait_until_it_serves(TAKEOVER_LIMIT)?;
    let before = compare::snapshot(&copy)?;
    std::thread::sleep(LONG);
    ensure!(
        compare::snapshot(&copy)? == before,
        "the other line was touched"
    );
    let marked = format!("select id from events where id >= {FIRST_LINE}");
    let kept = postgres::query(&primary.host, &marked)?;
    ensure!(kept.trim() == FIRST_LINE.to_string(), "one line has {kept}");
    (standby.host).must(&format!("cp -a {} {}", postgres::DATA, postgres::COPY))?;
    let kept = postgres::query_copy(&standby.host, &marked)?;
    ensure!(
        kept.trim() == SECOND_LINE.to_string(),
        "the other line has {kept}"
    );

    // The operator chooses the line that goes on. What only the other one acknowledged is lost by
    // that choice, so of the client's rows those of before the cut count.
    standby.command("second")?;
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    trial.forget_rows()?;
    trial.count_also(&both_have);
    trial.finish()
}

/// The old primary's clients are still connected to it when it thaws, and must not get one answer.
fn frozen_primary(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let address = format!("10.99.0.{}:5432", primary.number());
    let own = Client::start_at(lab, primary.number(), &address, trial.own_numbers())?;
    own.wait_for_rows(100, TAKEOVER_LIMIT)?;
    primary.host.freeze()?;
    standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    let taken_over = boottime();
    trial.rows_flow().context("while the old primary hangs")?;
    std::thread::sleep(LONG);
    primary.host.thaw()?;
    // Its backlog of heartbeats, oldest first, must not make it believe in its permit.
    standby.wait_until(
        "the old primary to be a standby or wait",
        TAKEOVER_LIMIT,
        |_| primary.module().is_ok_and(|m| !serves(&m.state)),
    )?;
    trial.rows_flow().context("when the old primary is back")?;
    let journal = own.stop()?;
    let late = journal.rows.iter().filter(|r| r.acknowledged > taken_over);
    let late = late.count();
    ensure!(
        late == 0,
        "{late} rows were acknowledged by the old primary"
    );
    trial.count_also(&journal.rows);
    trial
        .told
        .push(format!("{} rows of its own client", journal.rows.len()));
    // It comes back by itself, or is started by hand.
    let _ = primary.command("start --no-wait");
    trial.finish()
}
