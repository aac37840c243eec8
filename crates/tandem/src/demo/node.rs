//! One of the two machines, seen from the show: its power switch, its cables, its shell.

use super::error::{Attempt, DemoError, Result};
use super::init::{Order, Report};
use super::stage;
use super::wait::{self, Program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long a node may take to mount its disk and start its program.
const BOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to shut down in good order: its own limit, and the disk's last writes.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(40);
/// How long the kernel may take to end all processes of a node at once.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// A running machine.
pub struct Node {
    number: u8,
    outer: Child,
    first: Pid,
    orders: ChildStdin,
    reports: Receiver<Report>,
}

impl Node {
    /// Switches a machine on, with `program` to run on it.
    pub fn boot(number: u8, program: &[String]) -> Result<Self> {
        stage::build_node_network(number)?;
        let attempt = || format!("start node{number}");
        let mut outer = Command::new("/proc/self/exe")
            .args(["demo-node", "--number", &number.to_string()])
            .arg("--log")
            .arg(log_file(number))
            .arg("--")
            .args(program)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .attempt(attempt)?;
        let orders = outer.stdin.take().expect("the input is piped");
        let reports = read_reports(outer.stdout.take().expect("the output is piped"));
        let first = begin(&reports, number)?;
        Ok(Self {
            number,
            outer,
            first,
            orders,
            reports,
        })
    }

    /// Its number, 1 or 2.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Where a file of the node is found from outside.
    pub fn path(&self, inside: &Path) -> PathBuf {
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(inside)
    }

    /// A command on the node's own shell, so to speak.
    pub fn command(&self, attempt: impl Into<String>, program: &[String]) -> Program {
        Program::new(attempt, "nsenter")
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"])
            .args(program)
    }

    /// Whether the node's program still runs; otherwise how it ended.
    pub fn check(&self) -> Result<()> {
        match self.reports.try_recv() {
            Ok(Report::Failed(reason)) => Err(DemoError::NodeFailed {
                number: self.number,
                reason,
            }),
            Ok(Report::Begun(_) | Report::Ready) | Err(_) => Ok(()),
        }
    }

    /// Pulls the plug, and gives the moment from which on nobody hears of the node. First the
    /// cables, so that nothing of what the dying processes say gets out; then the disk, so that
    /// nothing gets in; then all processes at once; then the network stack.
    pub fn cut_power(mut self) -> Result<Instant> {
        let number = self.number;
        stage::pull_cables(number)?;
        let moment = Instant::now();
        stage::cut_disk(&self.path(&stage::disk_directory()))
            .attempt(|| format!("take the power from the disk of node{number}"))?;
        kill(self.first, Signal::SIGKILL).attempt(|| format!("end node{number}"))?;
        self.gone("all processes of the node to end", KILL_LIMIT)?;
        Ok(moment)
    }

    /// Shuts the machine down in good order.
    pub fn shut_down(mut self) -> Result<()> {
        let number = self.number;
        self.order(Order::Stop)?;
        self.gone(&format!("node{number} to shut down"), SHUTDOWN_LIMIT)
    }

    /// Lets the machine run on after the show.
    pub fn keep(mut self) -> Result<()> {
        self.order(Order::Keep)
    }

    fn order(&mut self, order: Order) -> Result<()> {
        let number = self.number;
        writeln!(self.orders, "{}", order.word())
            .attempt(|| format!("tell node{number} to {}", order.word()))
    }

    /// Waits until nothing of the machine is left but its disk.
    fn gone(&mut self, what: &str, limit: Duration) -> Result<()> {
        let outer = &mut self.outer;
        wait::until(what, limit, || wait::ended(outer))?;
        stage::remove_node_network(self.number)?;
        stage::release_disk(self.number)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The end of its input ends a node that is not kept; a kept one is not waited for.
        let _ = self.outer.try_wait();
    }
}

/// Waits until the first process of a node has done its work. The two reports come from two
/// processes, in any order.
fn begin(reports: &Receiver<Report>, number: u8) -> Result<Pid> {
    let (mut first, mut ready) = (None, false);
    wait::until(&format!("node{number} to start"), BOOT_LIMIT, || {
        match reports.try_recv() {
            Ok(Report::Begun(process)) => first = Some(Pid::from_raw(process)),
            Ok(Report::Ready) => ready = true,
            Ok(Report::Failed(reason)) => return Ok(Err(reason)),
            Err(_) => {}
        }
        match first {
            Some(first) if ready => Ok(Ok(first)),
            _ => Err("it has not mounted its disk yet".to_owned()),
        }
    })?
    .map_err(|reason| DemoError::NodeFailed { number, reason })
}

/// The log of what runs on a node.
pub fn log_file(number: u8) -> PathBuf {
    stage::log_directory().join(format!("node{number}.log"))
}

fn read_reports(output: ChildStdout) -> Receiver<Report> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output)
            .lines()
            .map_while(std::io::Result::ok);
        for report in lines.filter_map(|line| Report::parse(&line)) {
            if sender.send(report).is_err() {
                return;
            }
        }
    });
    receiver
}
