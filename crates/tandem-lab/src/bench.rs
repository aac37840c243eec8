//! The benchmarks: every figure is a ratio between two things that are measured in the same run, in
//! turns, as medians over the rounds. Times of one machine say nothing about another one.
//!
//! - P1: `pgbench` on the product against PostgreSQL's own synchronous streaming replication, on the
//!   same two hosts
//! - P2: the same against the same directory without a mirror
//! - P11: the outage that a client sees through the virtual address, against the database's own
//!   stop and start, or recovery, without a mirror
//!
//! Writes `target/bench/report.json` and refreshes the table and the charts of
//! `docs/benchmarks.md`.

mod outage;
mod page;
mod pgbench;

use crate::lab::Lab;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// How a run differs from the published one.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rounds of each measurement; medians are taken over them.
    pub rounds: usize,
    /// Seconds of each round of `pgbench`.
    pub seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 5,
            seconds: 8,
        }
    }
}

/// One measured case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// `P1`
    pub id: String,
    /// `c=4`
    pub case: String,
    /// The product's figure.
    pub tandem: f64,
    /// What it is measured against.
    pub peer: f64,
    /// `tps` or `s`
    pub unit: String,
    /// The product's figure by the other one's.
    pub ratio: f64,
    /// Over how many rounds the medians are.
    pub rounds: usize,
    /// What the project wants to reach, as a sentence.
    pub reach: String,
    /// Whether it was reached.
    pub reached: bool,
}

/// `report.json`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured.
    pub results: Vec<Measured>,
}

/// The machine of a report.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Processor.
    pub processor: String,
    /// Number of processors.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Kernel.
    pub kernel: String,
}

/// Measures everything that `wanted` names (all without any) and writes the report and, for a whole
/// run, the page.
///
/// # Errors
/// The hosts or the product do not work.
pub fn run(lab: &Lab, wanted: &[String], options: Options) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the benchmarks need root"
    );
    let is_wanted = |id: &str| wanted.is_empty() || wanted.iter().any(|w| w == id);
    let mut results = Vec::new();
    if is_wanted("P1") || is_wanted("P2") {
        results.extend(pgbench::measure(lab, options)?);
    }
    if is_wanted("P11") {
        results.extend(outage::measure(lab, options)?);
    }
    lab.down()?;
    let report = Report {
        machine: machine()?,
        results,
    };
    let root = crate::lab::workspace();
    write(&root.join("target/bench/report.json"), &report)?;
    if wanted.is_empty() {
        page::refresh(&root.join("docs"), &report)?;
    }
    println!("{}", page::table(&report));
    Ok(())
}

fn write(file: &Path, report: &Report) -> Result<()> {
    fs::create_dir_all(file.parent().expect("it lies in a directory"))?;
    let text = serde_json::to_string_pretty(report)?;
    fs::write(file, text + "\n").with_context(|| file.display().to_string())
}

fn machine() -> Result<Machine> {
    let field = |file: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(file)?;
        let line = text.lines().find(|l| l.starts_with(key));
        let value = line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim());
        Ok(value.unwrap_or("unknown").to_owned())
    };
    let kib = field("/proc/meminfo", "MemTotal")?;
    let kib = kib.split_whitespace().next().and_then(|n| n.parse().ok());
    Ok(Machine {
        processor: field("/proc/cpuinfo", "model name")?,
        cores: std::thread::available_parallelism()?.get(),
        memory_gib: kib.unwrap_or(0_u64) >> 20,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
    })
}

/// The median, of at least one figure.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_middle_ones() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![9.0, 1.0, 2.0, 4.0]) - 3.0).abs() < 1e-9);
    }
}
