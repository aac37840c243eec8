//! Somebody who has nothing but the handbook's quick start: what it prints is typed, word by word, on
//! two fresh hosts, and then the server that serves loses its power.

use super::packages;
use super::stage::Stage;
use super::{Case, Told};
use crate::lab::{self, Lab};
use crate::product::TAKEOVER_LIMIT;
use crate::shell::outcome;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "who types what the quick start prints has a protected pair",
    run: quick_start,
}];

/// For the page's own promise of five minutes.
const FOLLOW_LIMIT: Duration = Duration::from_secs(300);

fn quick_start(stage: &mut Stage) -> Result<Told> {
    let nodes = packages::bare(stage, &[packages::FIRST])?;
    let begin = Instant::now();
    follow(stage, "docs/quick-start.md")?;
    let seconds = begin.elapsed().as_secs();
    // The page ends with a swap: node2 serves.
    nodes[1].host.power_off()?;
    nodes[0].wait_until_it_serves(TAKEOVER_LIMIT)?;
    stage.clear();
    Ok(vec![format!("followed in {seconds} s")])
}

/// Types what a page, or a section of it, prints on the two hosts.
pub(super) fn follow(stage: &Stage, page: &str) -> Result<()> {
    let workspace = lab::workspace();
    let words = [
        "env".to_owned(),
        format!("LAB={}", Lab::tool()?.display()),
        format!("TANDEM_LAB={}", stage.lab.directory.display()),
        workspace.join("scripts/follow").display().to_string(),
        workspace.join(page).display().to_string(),
    ];
    let followed = outcome(&words, FOLLOW_LIMIT)?;
    let said = followed.said();
    followed
        .success()
        .with_context(|| format!("the page was followed: {said}"))
        .map(drop)
}
