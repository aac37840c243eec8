//! A server that is lost for good, and a new machine in its place: what `docs/disasters.md` prints is
//! typed, with the backup of the lost one and without.

use super::quick_start::follow;
use super::stage::Stage;
use super::trial::{Trial, UNNOTICED_MAX};
use super::{Case, Told};
use crate::product::{self, Node, RESYNCHRONISATION_LIMIT, STALL_LIMIT, TAKEOVER_LIMIT};
use anyhow::{Result, ensure};

/// The cases.
pub const CASES: [Case; 2] = [
    Case {
        name: "a lost node is replaced by a new machine from its backup",
        run: with_backup,
    },
    Case {
        name: "a lost node without a backup is replaced in a new pair around the old data",
        run: without_backup,
    },
];

/// Where `docs/maintenance.md` keeps it.
const BACKUP: &str = "/root/tandem-node.backup";
const SWAP: &str = "swap --timeout 60s";

fn with_backup(stage: &mut Stage) -> Result<Told> {
    let mut trial = begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    standby.command(&format!("config backup {BACKUP}"))?;
    let kept = standby.host.must(&format!("cat {BACKUP}"))?;
    lose(&trial)?;
    standby
        .host
        .must(&format!("umask 77 && cat >{BACKUP} <<'END'\n{kept}\nEND"))?;
    follow(trial.stage(), "docs/disasters.md#a-server-is-replaced")?;
    protected(&primary, &standby)?;
    trial.application_untouched()?;
    let outage = trial.client.journal()?.outage();
    trial
        .told
        .push(format!("longest break {:.1} s", outage.as_secs_f64()));
    ensure!(
        outage <= STALL_LIMIT + UNNOTICED_MAX,
        "the service was away for {:.1} s",
        outage.as_secs_f64()
    );
    primary.command(SWAP)?;
    protected(&standby, &primary)?;
    trial.rows_flow()?;
    trial.finish()
}

fn without_backup(stage: &mut Stage) -> Result<Told> {
    let mut trial = begin(stage)?;
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    lose(&trial)?;
    follow(
        trial.stage(),
        "docs/disasters.md#a-new-pair-around-the-old-data",
    )?;
    protected(&primary, &standby)?;
    trial.rows_flow()?;
    let outage = trial.client.journal()?.outage().as_secs_f64();
    trial.told.push(format!("longest break {outage:.1} s"));
    trial.finish()
}

/// A trial of a pair whose standby is node2, which the page replaces.
fn begin(stage: &mut Stage) -> Result<Trial<'_>> {
    let (primary, standby) = stage.pair()?;
    if standby.number() == 1 {
        primary.command(SWAP)?;
        protected(&standby, &primary)?;
    }
    Trial::begin(stage)
}

/// The standby is gone with its disks; a new machine has its addresses and the application, and Tandem
/// is installed.
fn lose(trial: &Trial<'_>) -> Result<()> {
    let (primary, standby) = (&trial.primary, &trial.standby);
    standby.host.power_off()?;
    primary.wait_until("the primary to be alone", TAKEOVER_LIMIT, |m| {
        m.state == "ALONE" && m.colour == "green"
    })?;
    trial.rows_flow()?;
    standby.host.make_disks()?;
    standby.host.boot()?;
    product::install_units(standby, None)
}

fn protected(primary: &Node<'_>, standby: &Node<'_>) -> Result<()> {
    standby.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    let face = ["PRIM", "green", "uptodate"];
    primary.wait_for_face(face, TAKEOVER_LIMIT).map(drop)
}
