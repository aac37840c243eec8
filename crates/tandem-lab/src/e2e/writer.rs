//! A program in a shell on a node, which writes on the mirrored mount past the usual client and
//! prints a line for whatever was acknowledged.

use super::stage::Stage;
use crate::product::Node;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Its shell ends when this is dropped.
pub struct Writer {
    process: Child,
    acknowledged: PathBuf,
}

impl Writer {
    /// Starts the script; what it prints goes to the file of this name in the lab's directory.
    ///
    /// # Errors
    /// The host is off, or the shell cannot be started.
    pub fn start(node: &Node<'_>, stage: &Stage, name: &str, script: &str) -> Result<Self> {
        let acknowledged = stage.lab.directory.join(name);
        let words = node.host.enter()?;
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&acknowledged)?)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start the writer of {name}"))?;
        Ok(Self {
            process,
            acknowledged,
        })
    }

    /// What it printed: whole lines only.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn lines(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.acknowledged)?;
        let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
        Ok(lines.map(|l| l.trim().to_owned()).collect())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
