//! What the cases share: one pair of hosts, made and booted only where needed.

use super::Order;
use crate::lab::Lab;
use crate::product::{self, Node, Setting};
use crate::shell::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The stage on which the cases are played.
pub struct Stage {
    /// The lab. There is one in a process, so it stays until the end.
    pub lab: &'static Lab,
    /// Rows that were acknowledged in earlier cases of this pair.
    pub acknowledged: Vec<u64>,
    /// How many trials this pair has seen; their row numbers follow each other.
    pub trials: u64,
    /// How long the client writes, at least, before anything happens.
    pub before: Duration,
    /// At how many instants a copy is looked at.
    pub points: usize,
    /// Whether there is time for the largest sizes.
    pub long: bool,
    /// What the running case wants of a pair.
    wanted: Setting,
    /// What the pair is that stands and works.
    pair: Option<Setting>,
}

impl Stage {
    /// A stage with nothing on it.
    #[must_use]
    pub fn new(lab: Lab, order: &Order) -> Self {
        let _ = fs::remove_dir_all(lab.directory.join("failed"));
        Self {
            lab: Box::leak(Box::new(lab)),
            acknowledged: Vec::new(),
            trials: 0,
            before: order.before,
            points: order.points,
            long: order.long,
            wanted: Setting::USUAL,
            pair: None,
        }
    }

    /// The case that follows wants a pair of this kind.
    pub fn want(&mut self, setting: Setting) {
        self.wanted = setting;
    }

    /// The product on host `number`.
    #[must_use]
    pub fn node(&self, number: u8) -> Node<'static> {
        Node::new(self.lab, number)
    }

    /// How many acknowledged rows show that the pair works. A mirror with a defect may hold each
    /// back for a while, and is asked for fewer.
    #[must_use]
    pub const fn rows_that_show_work(&self) -> usize {
        match self.wanted.sabotage {
            Some(_) => 20,
            None => 200,
        }
    }

    /// Says that the hosts are used otherwise from now on: the next case that wants a pair gets a
    /// new one.
    pub fn clear(&mut self) {
        self.pair = None;
    }

    /// Says that the case has made the pair that it wants by itself.
    pub fn made(&mut self) {
        self.acknowledged.clear();
        self.trials = 0;
        self.pair = Some(self.wanted);
    }

    /// Gives the primary and the standby of a pair that works, made anew if there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn pair(&mut self) -> Result<(Node<'static>, Node<'static>)> {
        self.lab.switch.unblock();
        self.lab.switch.end_silence();
        if self.pair != Some(self.wanted) {
            self.new_pair().context("make the pair")?;
        }
        for number in [1, 2] {
            let (one, other) = (self.node(number), self.node(3 - number));
            if one.module()?.state == "PRIM" {
                let standby = other.module()?.state;
                ensure!(standby == "SECOND", "the other node is {standby}");
                return Ok((one, other));
            }
        }
        anyhow::bail!("no node is PRIM")
    }

    fn new_pair(&mut self) -> Result<()> {
        self.acknowledged.clear();
        self.trials = 0;
        self.lab.up()?;
        self.pair = None;
        product::install(self.lab, &self.wanted)?;
        self.lab.boot_both()?;
        product::set_up(self.lab, &self.wanted)?;
        self.pair = Some(self.wanted);
        Ok(())
    }

    /// Keeps the logs and the last words of both nodes, and gives the hosts up.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn keep_evidence(&mut self, case: &str) -> Result<PathBuf> {
        self.pair = None;
        let name = case.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let kept = self.lab.directory.join("failed").join(name);
        fs::create_dir_all(&kept)?;
        for number in [1, 2] {
            let host = self.lab.host(number);
            let _ = fs::copy(host.console(), kept.join(format!("h{number}-console.log")));
            let (from, to) = (
                host.database_log(),
                kept.join(format!("h{number}-database")),
            );
            let _ = run(&format!("cp -a {} {}", from.display(), to.display()));
            let _ = fs::copy(
                self.lab.directory.join(format!("seen-{number}")),
                kept.join(format!("h{number}-seen")),
            );
            let words = "timeout 10 tandem status --json; timeout 10 tandem status; \
                         systemctl --no-pager status 'tandem*' 'postgresql@*'; ip -4 addr; \
                         cat /proc/1/mountinfo; ps axfo pid,stat,wchan:20,args";
            if host.is_up()
                && let Ok(outcome) = host.sh(words)
            {
                fs::write(kept.join(format!("h{number}-state")), outcome.said())?;
            }
        }
        Ok(kept)
    }
}
