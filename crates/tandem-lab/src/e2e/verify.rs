//! The command `verify`: what it says of equal copies while the database works, and of a copy that
//! somebody damaged beneath the mirror.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, RESYNCHRONISATION_LIMIT};
use crate::shell::outcome;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "verify finds nothing while the database works, on either node",
        run: equal,
    },
    Case {
        name: "verify finds and repairs what was changed beneath the standby",
        run: damaged,
    },
];

/// A small database is read in seconds, at a fifth of the time of a loaded machine.
const VERIFY_LIMIT: Duration = Duration::from_secs(120);
/// How long the damage may take.
const DAMAGE_LIMIT: Duration = Duration::from_secs(60);
/// How often it is verified while rows flow.
const TURNS: usize = 5;

/// Verifies, and says the exit code and all that was said.
fn verify(asked: &Node<'_>) -> Result<(Option<i32>, String)> {
    let said = asked.tandem(&format!("verify --timeout {}s", VERIFY_LIMIT.as_secs()))?;
    Ok((said.code, said.stdout + &said.stderr))
}

fn is_equal(asked: &Node<'_>) -> Result<String> {
    let (code, said) = verify(asked)?;
    ensure!(
        code == Some(0) && said.contains("both copies are equal"),
        "verify ended with {code:?}: {said}"
    );
    let last = said.lines().last().unwrap_or_default();
    Ok(last.to_owned())
}

fn equal(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    let mut last = String::new();
    for turn in 0..TURNS {
        let asked = match turn % 2 {
            0 => &trial.primary,
            _ => &trial.standby,
        };
        last = is_equal(asked).with_context(|| format!("turn {}", turn + 1))?;
        trial.rows_flow()?;
    }
    trial.nothing_happened()?;
    trial.told.push(format!("{TURNS} times \"{last}\""));
    trial.finish()
}

/// What is done to the standby's plain directory. Each leaves something that verify has to find.
const DAMAGE: &str = "cd \"$1\"
    f=$(find base -type f -size +64k | sort | head -n 1)
    touch -r \"$f\" /tmp/tandem-lab-time
    printf '\\377' | dd of=\"$f\" bs=1 seek=20001 conv=notrunc status=none
    printf '\\000' | dd of=\"$f\" bs=1 seek=20002 conv=notrunc status=none
    touch -r /tmp/tandem-lab-time \"$f\"; rm /tmp/tandem-lab-time
    rm postgresql.auto.conf
    chmod 640 PG_VERSION
    echo nobody >foreign; mkdir -p foreign.d/within
    sync -f .";

pub(super) fn damaged(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    // A copy that is another one is for a person to look at.
    trial.expect_error("the peer's copy differs");
    trial.expect_error("the peer's copy was another one");
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let copy = standby.host.plain(postgres::DATA)?;
    let copy = copy.display().to_string();
    outcome(&["sh", "-ec", DAMAGE, "sh", &copy], DAMAGE_LIMIT)?.success()?;
    let (code, said) = verify(&standby)?;
    ensure!(
        code == Some(1) && said.contains("differences found, repaired"),
        "verify found not what was done: {code:?}: {said}"
    );
    let shown = primary.command("status")?;
    ensure!(
        shown.contains("differences found, repaired"),
        "the status does not say it:\n{shown}"
    );
    trial
        .told
        .push(said.lines().last().unwrap_or_default().to_owned());
    // Neither the record nor a role was touched by it.
    trial.nothing_happened()?;
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    is_equal(&primary).context("once more")?;
    trial.rows_flow()?;
    // Compares both trees, with nothing of the product in between.
    trial.finish()
}
