//! The first process of a node: what a machine's boot does, as far as the show needs it.
//!
//! It runs in namespaces of its own (network, mounts, processes), mounts the node's disk, which
//! brings the journal of the file system into order after a power cut, starts one program (the
//! daemon), and takes care of processes whose parents are gone. It has no policy: a program that
//! ends is reported, not started again.
//!
//! The show speaks to it through its standard input. When that ends, because the show was killed,
//! the node loses its power.

use super::borrowed;
use super::error::{Attempt, Result};
use super::stage;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

/// Where the executable is found inside a node, whatever becomes of its file outside.
pub const EXECUTABLE: &str = "/run/tandem-demo/tandem";
/// How long processes may take to end by themselves when the node is shut down.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);
/// How often children and orders are looked at.
const POLL: Duration = Duration::from_millis(20);

/// What the show says to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Shut down in good order.
    Stop,
    /// Live on when the show ends.
    Keep,
}

impl Order {
    /// As a line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Keep => "keep",
        }
    }
}

/// What a node says to the show, a line each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The number of its first process, seen from outside.
    Begun(i32),
    /// The disk is mounted and the program started.
    Ready,
    /// It could not start, or its program has ended.
    Failed(String),
}

impl Report {
    /// As a line.
    pub fn line(&self) -> String {
        match self {
            Self::Begun(process) => format!("begun {process}"),
            Self::Ready => "ready".to_owned(),
            Self::Failed(reason) => format!("failed {}", reason.replace('\n', " ")),
        }
    }

    /// From a line.
    pub fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("begun", process)) => Some(Self::Begun(process.parse().ok()?)),
            Some(("failed", reason)) => Some(Self::Failed(reason.to_owned())),
            _ => (line == "ready").then_some(Self::Ready),
        }
    }
}

/// A node to run.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeOptions {
    /// Its number, 1 or 2.
    #[arg(long)]
    number: u8,
    /// The namespaces are made already.
    #[arg(long)]
    inside: bool,
    /// The log of its program.
    #[arg(long)]
    log: std::path::PathBuf,
    /// What to run, with arguments.
    #[arg(last = true)]
    program: Vec<String>,
}

/// Runs a node until it is shut down.
pub fn run(options: &NodeOptions) -> ExitCode {
    let outcome = if options.inside {
        live(options)
    } else {
        enter(options)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&Report::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn report(report: &Report) {
    // Without a show there is nobody to tell.
    let _ = writeln!(io::stdout(), "{}", report.line());
}

/// Makes the namespaces, starts the first process in them and waits for its end.
fn enter(options: &NodeOptions) -> Result<()> {
    // A Ctrl-C in the terminal is for the show.
    if let Err(error) = setsid() {
        // A group leader cannot; then it is in a group of its own, which is enough.
        debug_assert_eq!(error, Errno::EPERM);
    }
    let network = stage::namespace_file(&stage::node_namespace(options.number));
    File::open(network)
        .and_then(|network| Ok(setns(network, CloneFlags::CLONE_NEWNET)?))
        .attempt(|| "enter the network namespace".to_owned())?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .attempt(|| "make the namespaces of the node".to_owned())?;
    let mut first = Command::new("/proc/self/exe")
        .args(["demo-node", "--inside", "--number"])
        .arg(options.number.to_string())
        .arg("--log")
        .arg(&options.log)
        .arg("--")
        .args(&options.program)
        .spawn()
        .attempt(|| "start the first process".to_owned())?;
    report(&Report::Begun(first.id().cast_signed()));
    first
        .wait()
        .attempt(|| "wait for the first process".to_owned())?;
    Ok(())
}

fn live(options: &NodeOptions) -> Result<()> {
    let orders = listen();
    boot(options.number)?;
    let program = start_program(options).attempt(|| "start the program".to_owned())?;
    report(&Report::Ready);
    care(program, &orders);
    Ok(())
}

fn start_program(options: &NodeOptions) -> io::Result<Pid> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&options.log)?;
    let errors = log.try_clone()?;
    let (name, arguments) = options
        .program
        .split_first()
        .ok_or(io::ErrorKind::InvalidInput)?;
    let program = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    Ok(Pid::from_raw(program.id().cast_signed()))
}

/// Makes the node's own view of the file system, and mounts its disk.
fn boot(number: u8) -> Result<()> {
    rustix::system::sethostname(format!("node{number}").as_bytes())
        .map_err(io::Error::from)
        .attempt(|| "name the node".to_owned())?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .attempt(|| "part with the mounts of this machine".to_owned())?;
    mount_kernel("proc", "/proc")?;
    forget_namespaces()?;
    // The node's own run-time directory: it starts empty, as after any boot, and hides the init
    // system and the message bus of this machine.
    mount_kernel("tmpfs", "/run")?;
    // The interfaces of this namespace instead of this machine's.
    mount_kernel("sysfs", "/sys")?;
    bring_executable().attempt(|| format!("show the executable as {EXECUTABLE}"))?;
    stage::mount_disk(number)
}

fn mount_kernel(kind: &str, place: &str) -> Result<()> {
    mount(
        Some(kind),
        place,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    )
    .attempt(|| format!("mount {kind} on {place}"))
}

/// The same executable for everything on the node. Its file is shown, or copied when it has been
/// replaced by a newer one since the show began.
fn bring_executable() -> io::Result<()> {
    let directory = Path::new(EXECUTABLE)
        .parent()
        .expect("the executable is in a directory");
    fs::create_dir_all(directory)?;
    let running = "/proc/self/exe";
    let file = fs::read_link(running)?;
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    if identity(&file).ok() != Some(identity(Path::new(running))?) {
        fs::copy(running, EXECUTABLE)?;
        return Ok(());
    }
    File::create(EXECUTABLE)?;
    mount(
        Some(&file),
        EXECUTABLE,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )?;
    Ok(())
}

/// Lets go of the files that hold the network namespaces of this machine. The copies of these mounts
/// would keep the other node's network stack alive after its power cut.
fn forget_namespaces() -> Result<()> {
    let table =
        fs::read_to_string("/proc/self/mountinfo").attempt(|| "read mountinfo".to_owned())?;
    let paths = table.lines().filter_map(|line| line.split(' ').nth(4));
    let held: Vec<&str> = paths
        .filter(|path| path.starts_with("/run/netns"))
        .collect();
    // The last one first: it may be mounted on another, or hide one of the same name.
    for path in held.into_iter().rev() {
        match umount2(path, MntFlags::MNT_DETACH) {
            // What this machine has beneath the stage of an ordinary user is out of reach.
            Err(Errno::EINVAL | Errno::ENOENT) if borrowed::is_borrowed() => {}
            other => other.attempt(|| format!("let go of {path}"))?,
        }
    }
    Ok(())
}

/// Reads the orders of the show; the channel closes with it.
fn listen() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Lives until the order to stop, or until the show is gone.
fn care(program: Pid, orders: &Receiver<String>) {
    let mut kept = false;
    loop {
        while let Some((process, ending)) = reap() {
            if process == program {
                report(&Report::Failed(format!("its program {ending}")));
            }
        }
        match orders.try_recv() {
            Ok(word) if word == Order::Stop.word() => return shut_down(program),
            Ok(word) if word == Order::Keep.word() => kept = true,
            Ok(_) | Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if kept => {}
            // The end of the first process is the end of all others.
            Err(TryRecvError::Disconnected) => return,
        }
        thread::sleep(POLL);
    }
}

/// Takes one child that has ended.
fn reap() -> Option<(Pid, String)> {
    match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(process, code)) => Some((process, format!("ended with {code}"))),
        Ok(WaitStatus::Signaled(process, signal, _)) => Some((process, format!("got {signal}"))),
        // Neither stopped and continued children are asked for, nor does an error here mean more
        // than that there is no child.
        Ok(_) | Err(_) => None,
    }
}

/// Ends the program, then everything else, and leaves the disk to the kernel, which unmounts it with
/// the last process.
fn shut_down(program: Pid) {
    let deadline = Instant::now() + SHUTDOWN_LIMIT;
    // It may have ended already.
    let _ = kill(program, Signal::SIGTERM);
    while alive(program) && Instant::now() < deadline {
        while reap().is_some() {}
        thread::sleep(POLL);
    }
    // Everybody but this process; nobody left is the aim.
    let everybody = Pid::from_raw(-1);
    let _ = kill(everybody, Signal::SIGTERM);
    while kill(everybody, None) != Err(Errno::ESRCH) && Instant::now() < deadline {
        while reap().is_some() {}
        thread::sleep(POLL);
    }
}

fn alive(process: Pid) -> bool {
    kill(process, None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written() {
        for said in [
            Report::Begun(4711),
            Report::Ready,
            Report::Failed("mount: wrong fs type".to_owned()),
        ] {
            assert_eq!(Report::parse(&said.line()), Some(said));
        }
        assert_eq!(Report::parse("begun x"), None);
        assert_eq!(Report::parse("readily"), None);
    }
}
