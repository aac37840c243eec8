//! One trial of the pair under load: the client writes, something happens, and at the end nothing
//! acknowledged is missing and both copies are equal.

use super::Told;
use super::stage::Stage;
use crate::client::{Client, Row};
use crate::compare;
use crate::console::Mark;
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, VIRTUAL};
use crate::wait::wait_for;
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};

/// The first numbers of two trials of a pair are this far apart.
const NUMBERS: u64 = 10_000_000;
/// How long a few rows may take when the pair works.
const ROWS_LIMIT: Duration = Duration::from_secs(40);
/// How long the copies may take to be equal when the application is held.
const EQUAL_LIMIT: Duration = Duration::from_secs(30);
/// A pause that nobody takes for an outage, on a loaded machine.
pub const UNNOTICED_MAX: Duration = Duration::from_secs(1);
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
    /// The database's main process at the beginning.
    postmaster: Option<u32>,
    /// For the line of the case.
    pub told: Told,
    marks: [Mark; 2],
    databases: [Mark; 2],
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
        let databases = [1, 2].map(|n| Mark::end_of(&postgres::log(&stage.lab.host(n))));
        let client = Client::start(stage.lab, VIRTUAL, stage.trials * NUMBERS)?;
        let begin = Instant::now();
        client
            .wait_for_rows(stage.rows_that_show_work(), ROWS_LIMIT)
            .context("before anything happened")?;
        // Longer trials meet more of the database's own work: checkpoints, new segments.
        std::thread::sleep(stage.before.saturating_sub(begin.elapsed()));
        let postmaster = primary.host.main_process(postgres::UNIT)?;
        Ok(Self {
            stage,
            postmaster,
            primary,
            standby,
            client,
            told: Told::new(),
            marks,
            databases,
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
    /// It does not: with what both nodes and both databases said last.
    pub fn rows_flow(&self) -> Result<()> {
        let rows = self.stage.rows_that_show_work() / 2;
        let flow = self.client.wait_for_rows(rows, ROWS_LIMIT);
        flow.map_err(|error| error.context(self.last_words()))
    }

    /// The client has noticed nothing: both nodes are as at the beginning, the database is the same
    /// process, and no two answers were further apart than a person would see.
    ///
    /// # Errors
    /// Something happened.
    pub fn nothing_happened(&self) -> Result<()> {
        let nodes = [(&self.primary, "PRIM"), (&self.standby, "SECOND")];
        for (node, state) in nodes {
            let face = node.face()?;
            ensure!(
                (face.0.as_str(), face.1.as_str(), face.2.as_str()) == (state, "green", "uptodate"),
                "h{} became {face:?}",
                node.number()
            );
        }
        self.application_untouched()?;
        let outage = self.client.journal()?.outage();
        ensure!(
            outage <= UNNOTICED_MAX,
            "the client noticed: {:.2} s",
            outage.as_secs_f64()
        );
        Ok(())
    }

    /// The application did not notice anything: the same process, still at the same place.
    ///
    /// # Errors
    /// It was restarted, moved or ended.
    pub fn application_untouched(&self) -> Result<()> {
        let now = self.primary.host.main_process(postgres::UNIT)?;
        let before = self.postmaster;
        ensure!(
            now.is_some() && now == before,
            "the database was restarted: {before:?} -> {now:?}"
        );
        Ok(())
    }

    fn last_words(&self) -> String {
        let mut words = String::new();
        for (n, mark) in [1, 2].into_iter().zip(&self.databases) {
            let node = self.stage.node(n);
            let face = match node.module() {
                Ok(m) => format!("{} {} {}: {}", m.state, m.colour, m.data, m.reason),
                Err(_) => "no answer".to_owned(),
            };
            words += &format!("h{n} says: {face}\n");
            let log = mark.text().unwrap_or_default();
            for line in postgres::last_words(&log) {
                words += &format!("       its database: {line}\n");
            }
        }
        words
    }

    /// Nothing is dropped on the networks any more.
    pub fn unblock(&self) {
        self.stage.lab.switch.unblock();
    }

    /// The stage on which it is played.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        self.stage
    }

    /// The first number of another client of this trial.
    #[must_use]
    pub const fn own_numbers(&self) -> u64 {
        self.stage.trials * NUMBERS + NUMBERS / 2
    }

    /// The operator gave up what was acknowledged so far: it need not be found at the end. From
    /// now on the client goes on, with new numbers.
    ///
    /// # Errors
    /// The client had ended by itself.
    pub fn forget_rows(&mut self) -> Result<()> {
        let fresh = Client::start(self.stage.lab, VIRTUAL, self.own_numbers())?;
        std::mem::replace(&mut self.client, fresh).stop().map(drop)
    }

    /// Rows that another client got acknowledged must not be missing either.
    pub fn count_also(&mut self, rows: &[Row]) {
        let numbers = rows.iter().map(|r| r.number);
        self.stage.acknowledged.extend(numbers);
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
        equal_trees(self.stage, &server, postgres::UNIT, postgres::DATA)?;
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

/// Holds the application of `server` and waits until both plain directories at `path` are equal.
///
/// # Errors
/// They are not.
pub fn equal_trees(stage: &Stage, server: &Node<'_>, unit: &str, path: &str) -> Result<()> {
    server.host.must(&format!("systemctl freeze {unit}"))?;
    let left = server.host.plain(path)?;
    let right = stage.lab.host(server.other()).plain(path)?;
    let mut last = Vec::new();
    let waited = wait_for("both trees to be equal", EQUAL_LIMIT, || {
        last = compare::differences(&left, &right)?;
        Ok(last.is_empty().then_some(()))
    });
    server.host.must(&format!("systemctl thaw {unit}"))?;
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
