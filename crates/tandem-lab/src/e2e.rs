//! The end-to-end tests: runs cases one after the other, a line for each, and closes with
//! `N passed, N failed`.

pub mod bad_input;
pub mod crash_points;
pub mod failures;
pub mod filesystem;
pub mod full_disk;
pub mod hosts;
pub mod modules;
pub mod network;
pub mod operation;
pub mod sabotage;
pub mod sqlite;
pub mod stage;
pub mod strangers;
pub mod trial;

use crate::lab::Lab;
use crate::product::Setting;
use anyhow::{Result, bail};
use stage::Stage;
use std::time::{Duration, Instant};

/// What a case leaves behind for its line: outage, number of rows.
pub type Told = Vec<String>;

/// One case.
pub struct Case {
    /// Its name, as a sentence.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Stage) -> Result<Told>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::from(hosts::CASES);
    cases.extend(failures::CASES);
    cases.extend(operation::CASES);
    cases.extend(network::CASES);
    cases.extend(bad_input::CASES);
    cases.extend(strangers::CASES);
    cases.extend(crash_points::CASES);
    cases.extend(filesystem::CASES);
    cases.extend(sqlite::CASES);
    cases.extend(modules::CASES);
    cases.extend(full_disk::CASES);
    cases.extend(sabotage::CASES);
    cases
}

/// Prints the names of all cases.
pub fn list() {
    for case in cases() {
        println!("{}", case.name);
    }
}

/// Which cases are played, and how.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Only the cases whose names contain one of these; all without any.
    pub names: Vec<String>,
    /// How often each is played.
    pub rounds: u32,
    /// How long the client writes, at least, before anything happens.
    pub before: Duration,
    /// At how many instants a copy is looked at.
    pub points: usize,
    /// The hosts run on afterwards.
    pub keep: bool,
}

/// Runs the cases and gives whether all passed.
///
/// # Errors
/// They cannot be run at all.
pub fn run(lab: Lab, order: &Order) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        if std::env::var_os("CI").is_some() {
            bail!("the end-to-end tests need root");
        }
        println!("skipped: the end-to-end tests need root");
        return Ok(true);
    }
    let wanted = |case: &Case| {
        order.names.is_empty() || order.names.iter().any(|w| case.name.contains(w.as_str()))
    };
    let cases = cases().into_iter().filter(wanted).collect::<Vec<_>>();
    if cases.is_empty() {
        bail!("no case has such a name");
    }
    let mut stage = Stage::new(lab, order.before, order.points);
    let (mut passed, mut failed) = (0, Vec::new());
    let begin = Instant::now();
    for round in 1..=order.rounds {
        if order.rounds > 1 {
            println!("round {round} of {}", order.rounds);
        }
        for case in &cases {
            match play(case, &mut stage)? {
                true => passed += 1,
                false => failed.push(case.name),
            }
        }
    }
    if !order.keep {
        stage.lab.down()?;
    }
    println!("\nplayed in {} s", begin.elapsed().as_secs());
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!("{passed} passed, {} failed", failed.len());
    Ok(failed.is_empty())
}

/// Plays one case, prints its line, and gives whether it passed.
fn play(case: &Case, stage: &mut Stage) -> Result<bool> {
    let begin = Instant::now();
    stage.want(Setting::USUAL);
    let result = (case.run)(stage);
    let seconds = begin.elapsed().as_secs_f64();
    match result {
        Ok(told) => {
            let told = told.join(", ");
            println!("ok   {} ({seconds:.1} s) {told}", case.name);
            Ok(true)
        }
        Err(error) => {
            println!("FAIL {} ({seconds:.1} s)\n     {error:#}", case.name);
            let kept = stage.keep_evidence(case.name)?;
            println!("     logs: {}", kept.display());
            Ok(false)
        }
    }
}
