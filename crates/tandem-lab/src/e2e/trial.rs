//! One trial of the pair under load: the client writes, something happens, and at the end nothing
//! acknowledged is missing and both copies are equal.

use super::Told;
use super::stage::Stage;
use crate::client::Client;
use crate::compare;
use crate::console::Mark;
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, VIRTUAL};
use crate::wait::wait_for;
use anyhow::{Context, Result, bail, ensure};
use std::time::Duration;

/// The first numbers of two trials of a pair are this far apart.
const NUMBERS: u64 = 10_000_000;
/// How long a few rows may take when the pair works.
const ROWS_LIMIT: Duration = Duration::from_secs(40);
/// How long the copies may take to be equal when the application is held.
const EQUAL_LIMIT: Duration = Duration::from_secs(30);
/// How many differences are told.
const DIFFERENCES_TOLD_MAX: usize = 12;

/// A trial.
pub struct Trial<'s> {
    stage: &'s mut Stage,
    /// Who served at the beginning.
    pub primary: Node<'static>,
    /// The other one.
    pub standby: Node<'static>,
    /// The client, which writes all the time.
    pub client: Client,
    /// For the line of the case.
    pub told: Told,
    marks: [Mark; 2],
    expected: Vec<&'static str>,
}

impl<'s> Trial<'s> {
    /// Begins with both copies uptodate and the client writing.
    ///
    /// # Errors
    /// The pair does not work.
    pub fn begin(stage: &'s mut Stage) -> Result<Self> {
        Self::begin_when_ready(stage, Duration::ZERO)
    }

    /// As [`Trial::begin`], where the pair may take up to `limit` to get there by itself.
    ///
    /// # Errors
    /// The pair does not work.
    pub fn begin_when_ready(stage: &'s mut Stage, limit: Duration) -> Result<Self> {
        let (primary, standby) = wait_for("the pair to work", limit, || {
            Ok(match stage.pair() {
                Ok(pair) => Some(pair),
                Err(error) if limit.is_zero() => return Err(error),
                Err(_) => None,
            })
        })?;
        stage.trials += 1;
        let marks = [1, 2].map(|n| Mark::end_of(&stage.lab.host(n).console()));
        let client = Client::start(stage.lab, VIRTUAL, stage.trials * NUMBERS)?;
        client
            .wait_for_rows(200, ROWS_LIMIT)
            .context("before anything happened")?;
        Ok(Self {
            stage,
            primary,
            standby,
            client,
            told: Told::new(),
            marks,
            expected: Vec::new(),
        })
    }

    /// An ERROR with this phrase is part of the case.
    pub fn expect_error(&mut self, phrase: &'static str) {
        self.expected.push(phrase);
    }

    /// Waits until the client gets on again.
    ///
    /// # Errors
    /// It does not.
    pub fn rows_flow(&self) -> Result<()> {
        self.client.wait_for_rows(100, ROWS_LIMIT)
    }

    /// Ends the trial: both copies become uptodate, nothing acknowledged is missing, the
    /// application runs on the product's mount, both trees are equal, nobody logged an error.
    ///
    /// # Errors
    /// One of these does not hold.
    pub fn finish(mut self) -> Result<Told> {
        self.rows_flow().context("at the end")?;
        let server = self.both_uptodate()?;
        let journal = self.client.stop()?;
        self.told.push(format!(
            "outage {:.2} s, {} rows",
            journal.outage().as_secs_f64(),
            journal.rows.len()
        ));
        let acknowledged = &mut self.stage.acknowledged;
        acknowledged.extend(journal.rows.iter().map(|r| r.number));
        let found = postgres::rows(&server.host)?;
        let lost = (acknowledged.iter().filter(|n| !found.contains(n))).collect::<Vec<_>>();
        ensure!(
            lost.is_empty(),
            "{} of {} acknowledged rows are lost, from {:?} to {:?}",
            lost.len(),
            acknowledged.len(),
            lost.first(),
            lost.last()
        );
        let mounts = postgres::mounts_seen(&server.host)?;
        ensure!(
            mounts.last().is_some_and(|m| m.contains(" - fuse")),
            "the database does not run on the product's mount: {mounts:?}"
        );
        equal_trees(self.stage, &server)?;
        for mark in &self.marks {
            let errors = mark.errors(&self.expected)?;
            ensure!(
                errors.is_empty(),
                "unexpected errors: {}",
                errors.join("\n")
            );
        }
        Ok(self.told)
    }

    /// Waits until one node is PRIM and the other SECOND, both uptodate, and gives the first.
    fn both_uptodate(&self) -> Result<Node<'static>> {
        let nodes = [self.stage.node(1), self.stage.node(2)];
        let mut last = String::new();
        wait_for(
            "both copies to be uptodate",
            RESYNCHRONISATION_LIMIT,
            || {
                let faces = nodes.each_ref().map(|n| n.face().ok());
                last = format!("{faces:?}");
                let is = |n: usize, state: &str| {
                    faces[n].as_ref().is_some_and(|(s, colour, data)| {
                        s == state && colour == "green" && data == "uptodate"
                    })
                };
                Ok(if is(0, "PRIM") && is(1, "SECOND") {
                    Some(nodes[0].clone())
                } else if is(1, "PRIM") && is(0, "SECOND") {
                    Some(nodes[1].clone())
                } else {
                    None
                })
            },
        )
        .context(last)
    }
}

/// Holds the application of `server` and waits until both plain directories are equal.
fn equal_trees(stage: &Stage, server: &Node<'_>) -> Result<()> {
    server
        .host
        .must(&format!("systemctl freeze {}", postgres::UNIT))?;
    let left = server.host.plain(postgres::DATA)?;
    let right = stage.lab.host(server.other()).plain(postgres::DATA)?;
    let mut last = Vec::new();
    let waited = wait_for("both trees to be equal", EQUAL_LIMIT, || {
        last = compare::differences(&left, &right)?;
        Ok(last.is_empty().then_some(()))
    });
    server
        .host
        .must(&format!("systemctl thaw {}", postgres::UNIT))?;
    if waited.is_err() {
        let count = last.len();
        last.truncate(DIFFERENCES_TOLD_MAX);
        bail!(
            "the trees differ at {count} names: {}",
            last.join("\n     ")
        );
    }
    Ok(())
}
