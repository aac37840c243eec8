//! The checks are able to fail: the same cases with a mirror that has one deliberate defect.

use super::stage::Stage;
use super::{Case, Told, failures, operation, verify};
use crate::product::Setting;
use anyhow::{Result, bail, ensure};

/// The cases.
pub const CASES: [Case; 3] = [
    Case {
        name: "a mirror that answers before its peer is found out by a power cut",
        run: early_ack,
    },
    Case {
        name: "a mirror that does not drain is found out by a swap",
        run: skip_drain,
    },
    Case {
        name: "a standby that finds itself equal whatever it has is found out by verify",
        run: blind_verify,
    },
];

fn early_ack(stage: &mut Stage) -> Result<Told> {
    let signs = &["acknowledged rows are lost"];
    let case = failures::primary_loses_power_after_a_cut;
    is_found_out(stage, "early-ack", case, signs)
}

fn skip_drain(stage: &mut Stage) -> Result<Told> {
    // The other node knows up to which number it must have everything, and does not accept the
    // service without it: so the swap does not end. Without that, rows would be lost.
    let signs = &[
        "acknowledged rows are lost",
        "the trees differ",
        "tandem swap",
    ];
    is_found_out(stage, "skip-drain", operation::swaps, signs)
}

fn blind_verify(stage: &mut Stage) -> Result<Told> {
    let signs = &["verify found not what was done"];
    is_found_out(stage, "blind-verify", verify::damaged, signs)
}

fn is_found_out(
    stage: &mut Stage,
    defect: &'static str,
    case: fn(&mut Stage) -> Result<Told>,
    signs: &[&str],
) -> Result<Told> {
    stage.want(Setting {
        sabotage: Some(defect),
        ..Setting::USUAL
    });
    let found = case(stage);
    stage.clear();
    let Err(error) = found else {
        bail!("nobody noticed {defect}");
    };
    let error = format!("{error:#}");
    // Anything else would be another failure.
    ensure!(
        signs.iter().any(|sign| error.contains(sign)),
        "it failed for another reason: {error}"
    );
    let first = error.lines().next().unwrap_or_default().to_owned();
    Ok(vec![format!("\"{first}\"")])
}
