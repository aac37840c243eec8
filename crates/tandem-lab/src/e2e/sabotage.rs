//! The checks are able to fail: the same cases with a mirror that has one deliberate defect.

use super::stage::Stage;
use super::{Case, Told, failures, operation};
use crate::lab::workspace;
use anyhow::{Result, bail, ensure};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "a mirror that answers before its peer is found out by a power cut",
        run: early_ack,
    },
    Case {
        name: "a mirror that does not drain is found out by a swap",
        run: skip_drain,
    },
];

fn early_ack(stage: &mut Stage) -> Result<Told> {
    is_found_out(
        stage,
        "early-ack",
        failures::primary_loses_power_after_a_cut,
    )
}

fn skip_drain(stage: &mut Stage) -> Result<Told> {
    is_found_out(stage, "skip-drain", operation::swaps)
}

fn is_found_out(
    stage: &mut Stage,
    defect: &'static str,
    case: fn(&mut Stage) -> Result<Told>,
) -> Result<Told> {
    let binary = workspace().join("target/sabotage/tandem");
    ensure!(
        binary.exists(),
        "{} was not built: scripts/sabotage-build makes it",
        binary.display()
    );
    stage.sabotage(binary, defect);
    let found = case(stage);
    stage.honest();
    let Err(error) = found else {
        bail!("nobody noticed {defect}");
    };
    let error = format!("{error:#}");
    // Anything else than lost or different data would be another failure.
    ensure!(
        error.contains("are lost") || error.contains("the trees differ"),
        "it failed for another reason: {error}"
    );
    let first = error.lines().next().unwrap_or_default().to_owned();
    Ok(vec![format!("\"{first}\"")])
}
