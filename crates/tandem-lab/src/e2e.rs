//! The end-to-end tests: runs cases one after the other, a line for each, and closes with
//! `N passed, N failed`.

pub mod bad_input;
pub mod failures;
pub mod full_disk;
pub mod hosts;
pub mod operation;
pub mod sabotage;
pub mod stage;
pub mod trial;

use crate::lab::Lab;
use anyhow::{Result, bail};
use stage::Stage;
use std::time::Instant;

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
    cases.extend(bad_input::CASES);
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

/// Runs the cases whose names contain one of `wanted` (all without any) and gives whether all
/// passed. With `keep` the hosts run on afterwards.
///
/// # Errors
/// They cannot be run at all.
pub fn run(lab: Lab, wanted: &[String], keep: bool) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        if std::env::var_os("CI").is_some() {
            bail!("the end-to-end tests need root");
        }
        println!("skipped: the end-to-end tests need root");
        return Ok(true);
    }
    let cases = cases()
        .into_iter()
        .filter(|c| wanted.is_empty() || wanted.iter().any(|w| c.name.contains(w.as_str())))
        .collect::<Vec<_>>();
    if cases.is_empty() {
        bail!("no case has such a name");
    }
    let mut stage = Stage::new(lab);
    let (mut passed, mut failed) = (0, 0);
    for case in cases {
        let begin = Instant::now();
        let result = (case.run)(&mut stage);
        let seconds = begin.elapsed().as_secs_f64();
        match result {
            Ok(told) => {
                passed += 1;
                let told = told.join(", ");
                println!("ok   {} ({seconds:.1} s) {told}", case.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {} ({seconds:.1} s)\n     {error:#}", case.name);
                let kept = stage.keep_evidence(case.name)?;
                println!("     logs: {}", kept.display());
            }
        }
    }
    if !keep {
        stage.lab.down()?;
    }
    println!("\n{passed} passed, {failed} failed");
    Ok(failed == 0)
}
