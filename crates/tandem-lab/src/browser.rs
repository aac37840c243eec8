//! The console of a pair on the test hosts, used by a browser. The cases are `console/tests`, played
//! by node in the client's network; what happens to the hosts they order from this program.

use crate::lab::{CLIENT, Lab, workspace};
use crate::product::{self, Setting};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What the browser is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The cases are played.
    Cases,
    /// Pictures are taken.
    Pictures,
}

/// Makes a pair on which nothing was ever started, runs the browser, and gives whether all is well.
///
/// # Errors
/// It cannot be run at all.
pub fn run(lab: &Lab, purpose: Purpose, words: &[String], keep: bool) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        if std::env::var_os("CI").is_some() {
            bail!("the console's cases need root");
        }
        println!("skipped: the console's cases need root");
        return Ok(true);
    }
    lab.up()?;
    product::install(lab, &Setting::USUAL)?;
    lab.boot_both()?;
    product::set_up_stopped(lab, &Setting::USUAL)?;
    let script = match purpose {
        Purpose::Cases => "run.mjs",
        Purpose::Pictures => "screenshots.mjs",
    };
    let prefix = lab.at(CLIENT);
    let status = Command::new(&prefix[0])
        .args(&prefix[1..])
        .arg("node")
        .arg(workspace().join("console/tests").join(script))
        .args(words)
        .envs(lab.environment())
        .env("TANDEM_LAB_TOOL", Lab::tool()?)
        .status()
        .context("run node")?;
    if !keep {
        lab.down()?;
    }
    Ok(status.success())
}
