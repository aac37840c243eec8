//! The end-to-end tests: runs cases one after the other, a line for each, and closes with
//! `N passed, N failed`.

pub mod addresses;
pub mod bad_input;
pub mod crash_points;
pub mod doctor;
pub mod excluding;
pub mod failures;
pub mod filesystem;
pub mod full_disk;
pub mod hosts;
pub mod interrupted;
pub mod license;
pub mod listing;
pub mod modules;
pub mod network;
pub mod operation;
pub mod packages;
pub mod presets;
pub mod promises;
pub mod quick_start;
pub mod replaced;
pub mod rescue;
pub mod sabotage;
pub mod scenarios;
pub mod sqlite;
pub mod stage;
pub mod strangers;
pub mod trial;
pub mod unattended;
pub mod verify;
pub mod volumes;
pub mod wizard;
pub mod writer;
pub mod zoneminder;

use crate::lab::Lab;
use crate::product::Setting;
use anyhow::{Result, bail};
use stage::Stage;
use std::time::{Duration, Instant};
use tandem_sim::language::Scenario;

/// What a case leaves behind for its line: outage, number of rows.
pub type Told = Vec<String>;

/// One case.
pub struct Case {
    /// Its name, as a sentence.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Stage) -> Result<Told>,
}

/// What is played: a case of this crate, or a scenario file.
enum Piece {
    Case(Case),
    Scenario(Scenario),
}

impl Piece {
    fn name(&self) -> String {
        match self {
            Self::Case(case) => case.name.to_owned(),
            Self::Scenario(scenario) => format!("scenario {}", scenario.name),
        }
    }

    fn play(&self, stage: &mut Stage) -> Result<Told> {
        match self {
            Self::Case(case) => (case.run)(stage),
            Self::Scenario(scenario) => scenarios::play(stage, scenario),
        }
    }
}

fn pieces(long: bool) -> Result<Vec<Piece>> {
    let mut cases = Vec::from(hosts::CASES);
    cases.extend(failures::CASES);
    cases.extend(operation::CASES);
    cases.extend(verify::CASES);
    cases.extend(network::CASES);
    cases.extend(bad_input::CASES);
    cases.extend(strangers::CASES);
    cases.extend(crash_points::CASES);
    cases.extend(filesystem::CASES);
    cases.extend(sqlite::CASES);
    cases.extend(full_disk::CASES);
    cases.extend(license::CASES);
    cases.extend(doctor::CASES);
    cases.extend(replaced::CASES);
    // From here on each needs a pair of its own kind, or leaves none.
    let mut other_pairs = Vec::from(rescue::CASES);
    other_pairs.extend(volumes::CASES);
    other_pairs.extend(modules::CASES);
    other_pairs.extend(promises::CASES);
    other_pairs.extend(addresses::CASES);
    other_pairs.extend(excluding::CASES);
    other_pairs.extend(packages::CASES);
    other_pairs.extend(quick_start::CASES);
    other_pairs.extend(interrupted::CASES);
    other_pairs.extend(wizard::CASES);
    if long {
        other_pairs.extend(presets::CASES);
        other_pairs.extend(packages::LONG_CASES);
        other_pairs.extend(unattended::LONG_CASES);
        other_pairs.extend(zoneminder::LONG_CASES);
    }
    other_pairs.extend(sabotage::CASES);
    let pieces = cases.into_iter().map(Piece::Case);
    let all = scenarios::load(long)?.into_iter();
    let (settings, usual) = all.partition::<Vec<_>, _>(scenarios::is_about_settings);
    let [settings, usual] = [settings, usual].map(|s| s.into_iter().map(Piece::Scenario));
    let other_pairs = other_pairs.into_iter().map(Piece::Case);
    Ok(pieces
        .chain(usual)
        .chain(other_pairs)
        .chain(settings)
        .collect())
}

/// Prints the names of all cases.
///
/// # Errors
/// A scenario file cannot be read.
pub fn list() -> Result<()> {
    for piece in pieces(true)? {
        println!("{}", piece.name());
    }
    Ok(())
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
    /// Also what takes very long.
    pub long: bool,
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
    let mut pieces = pieces(order.long)?;
    pieces.retain(|piece| {
        let name = piece.name();
        order.names.is_empty() || order.names.iter().any(|w| name.contains(w.as_str()))
    });
    if pieces.is_empty() {
        bail!("no case has such a name");
    }
    let mut stage = Stage::new(lab, order);
    let (mut passed, mut failed) = (0, Vec::new());
    let begin = Instant::now();
    for round in 1..=order.rounds {
        if order.rounds > 1 {
            println!("round {round} of {}", order.rounds);
        }
        for piece in &pieces {
            match play(piece, &mut stage)? {
                true => passed += 1,
                false => failed.push(piece.name()),
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

/// Plays one piece, prints its line, and gives whether it passed.
fn play(piece: &Piece, stage: &mut Stage) -> Result<bool> {
    let name = piece.name();
    let begin = Instant::now();
    stage.want(Setting::USUAL);
    let result = piece.play(stage);
    let seconds = begin.elapsed().as_secs_f64();
    match result {
        Ok(told) => {
            let told = told.join(", ");
            println!("ok   {name} ({seconds:.1} s) {told}");
            Ok(true)
        }
        Err(error) => {
            println!("FAIL {name} ({seconds:.1} s)\n     {error:#}");
            let kept = stage.keep_evidence(&name)?;
            println!("     logs: {}", kept.display());
            Ok(false)
        }
    }
}
