//! The language of the scenario files (`scenarios/*.scenario`), as both of its players read it: the
//! simulator, and the runner on test hosts. `scenarios/README.md` describes it for people.
//!
//! A file is a list of lines, each of which is one step: something is done, waited for, or
//! expected. The words of a line are compared with the phrases below, in which words in capitals
//! stand for what the line fills in. This module knows no player: what a step does is theirs.

mod parser;
mod phrases;

pub use parser::parse;
pub use phrases::phrases;

use core::fmt;
use std::path::{Path, PathBuf};

/// A scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// The name of its file without the ending.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it shows, in a sentence.
    pub title: String,
    /// Where alone it can be played, and why.
    pub only: Option<Only>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// Why a scenario is not played everywhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Only {
    /// The only player.
    pub player: Player,
    /// Why the other one cannot.
    pub reason: String,
}

/// Who plays scenarios.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Player {
    /// This crate.
    Simulator,
    /// Real daemons on test hosts.
    Hosts,
}

/// A step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The number of its line.
    pub line: usize,
    /// Its line, for messages.
    pub text: String,
    /// What it is.
    pub act: Act,
}

/// What a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// This is done.
    Do(Action),
    /// Nothing for so long.
    Wait(Span),
    /// This comes, within this limit or the player's own.
    Expect(Condition, Option<Limit>),
    /// This is so, now and for so long.
    Throughout(Condition, Span),
    /// This may come within this time. The scenario goes on in any case.
    Allow(Condition, Span),
}

/// A node: `A` serves when the scenario begins, `B` is its standby.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The primary of the beginning.
    A,
    /// The standby of the beginning.
    B,
}

impl Who {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// A time, in thousandths of `takeover-after`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    /// Thousandths.
    pub thousandths: u64,
}

/// How long something may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// A time.
    Span(Span),
    /// The longest time that users are promised for writes that wait for a standby that died.
    Stall,
    /// The longest time that a killed mirror takes to be replaced with all that stood on it.
    Restart,
}

/// Which part of the traffic is blocked while the rest goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Traffic {
    /// The datagrams on all networks.
    Heartbeats,
    /// The data stream of the module.
    Stream,
    /// The link between the daemons.
    Control,
}

/// What somebody or something does. `Vec<Who>` has one node or both, which are hit at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// An operator asks a node for this, in the words of the command line. Nobody waits for it.
    Command(Who, String),
    /// The cord is pulled.
    PowerOff(Vec<Who>),
    /// The machine boots; its daemon starts with it.
    PowerOn(Vec<Who>),
    /// The operating system shuts down in order and boots.
    Reboot(Who),
    /// Nothing crosses this network between the nodes (1 or 2; `None`: every one), or nothing that
    /// one node sends. All links keep their carrier.
    Cut(Option<u8>, Option<Who>),
    /// One kind of traffic does not arrive any more.
    Block(Traffic),
    /// Nothing is cut or blocked any more.
    Heal,
    /// All cables of a node are pulled: its links lose their carrier.
    Pull(Who),
    /// They are plugged in again.
    Plug(Who),
    /// Every process of a node stands still; its kernel and clock go on.
    Freeze(Who),
    /// They go on.
    Thaw(Who),
    /// The daemon is killed; its machine restarts it at once.
    KillDaemon(Who),
    /// The daemon is killed, and its machine restarts it after this time.
    KillDaemonFor(Who, Span),
    /// The daemon is stopped by a signal.
    SuspendDaemon(Who),
    /// It goes on.
    ResumeDaemon(Who),
    /// The mirror is killed; it is restarted as the product does it.
    KillMirror(Who),
    /// The application's process is killed.
    KillApplication(Who),
    /// Somebody stops the application past the product, as an upgrade of its package does.
    StopApplication(Who),
    /// The application ends and cannot start.
    BreakApplication(Who),
    /// The application ends and is masked: nobody is to start it.
    MaskApplication(Who),
    /// It can start again, or is unmasked.
    RepairApplication(Who),
    /// The machine, which is off, has an image made of the disk of its volumes.
    KeepVolume(Who),
    /// The machine, which is off, gets that image back.
    PutBackVolume(Who),
    /// The same with everything on the machine, the product's own state included.
    KeepMachine(Who),
    /// As above.
    PutBackMachine(Who),
    /// A virtual machine stands still with its clock.
    PauseMachine(Who),
    /// It goes on.
    ContinueMachine(Who),
    /// A checker fails whose action is this word of the configuration.
    CheckerDown(Who, String),
    /// It is well again.
    CheckerUp(Who),
    /// The gateway answers a node no more.
    LoseGateway(Who),
    /// It answers.
    FindGateway(Who),
    /// A machine that is no node takes the virtual address.
    StrangerComes,
    /// It leaves.
    StrangerGoes,
    /// The configuration file of a node is changed.
    Misconfigure(Who),
    /// It is as before.
    Reconfigure(Who),
    /// The disk of a node's state directory does not come back from a write.
    HangState(Who),
    /// It does.
    RepairState(Who),
    /// The disk of a node's volumes fails at the next sync.
    BreakVolume(Who),
    /// The next operation fails that a standby applies.
    BreakApply(Who),
    /// The disk is replaced, and the mirror restarted.
    RepairVolume(Who),
    /// `start-alone-after` has this value.
    StartAloneAfter(Span),
    /// `preferred-node` is this one.
    Prefer(Who),
    /// The time without a licence is over.
    EndLicence,
}

impl Action {
    /// The player that can do it, if not both can.
    #[must_use]
    pub const fn only(&self) -> Option<Player> {
        match self {
            Self::KillDaemonFor(..)
            | Self::PauseMachine(_)
            | Self::ContinueMachine(_)
            | Self::CheckerDown(..)
            | Self::CheckerUp(_)
            | Self::StrangerComes
            | Self::StrangerGoes
            | Self::Misconfigure(_)
            | Self::Reconfigure(_)
            | Self::HangState(_)
            | Self::RepairState(_)
            | Self::BreakVolume(_)
            | Self::BreakApply(_)
            | Self::RepairVolume(_)
            | Self::Prefer(_)
            | Self::EndLicence => Some(Player::Simulator),
            _ => None,
        }
    }
}

/// What is looked at: one of these lists, all of which has to hold at the same moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The alternatives.
    pub any: Vec<Vec<Clause>>,
}

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Clause {
    /// The node shows this. One whose daemon does not answer shows nothing.
    Shows(Who, Face),
    /// The node shows something else, or nothing.
    ShowsNot(Who, Face),
    /// The node is `ALONE` or `PRIM`, and green.
    Serves(Who),
    /// The node is in no such state, or shows nothing.
    ServesNot(Who),
    /// One node is `PRIM`, the other `SECOND`, both green and uptodate; the first one, if named.
    Pair(Option<Who>),
    /// The node's daemon answers.
    Answers(Who),
    /// The node's reason, warning or advice contains this.
    Says(Who, String),
    /// The node tells its operator what he may do.
    Advises(Who),
    /// The node shows a divergence, with what each side has.
    Diverged(Who),
    /// The node's record says whether nobody else had confirmed it.
    Unconfirmed(Who),
    /// The record of both nodes says that they were brought level before their end.
    Level,
    /// The kernel of the node has the virtual address.
    Address(Who, Presence),
    /// The application's process runs on the node.
    Application(Who, Presence),
    /// The application is the same process as when the scenario began.
    Untouched,
    /// So many restarts of the budget are used up on the node.
    RestartsUsed(Who, u8),
    /// Writes have been acknowledged since the step began.
    WritesGoOn,
    /// The node serves and does not wait for its peer.
    GoesOnAlone(Who),
    /// The node's mirror has brought its peer's copy level with its own.
    MirrorLevel(Who),
}

impl Clause {
    /// The player that can see it, if not both can.
    #[must_use]
    pub const fn only(&self) -> Option<Player> {
        match self {
            Self::MirrorLevel(_) | Self::Level => Some(Player::Simulator),
            _ => None,
        }
    }
}

/// Whether something is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It is.
    Here,
    /// It is not.
    Gone,
}

/// What a node shows of itself, as `tandem status` prints it; what is missing is any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Face {
    /// `STOP`, `WAIT`, `ALONE`, `PRIM`, `SECOND`
    pub state: Option<String>,
    /// `green`, `magenta`, `red`
    pub colour: Option<String>,
    /// `uptodate`, `not uptodate`, `resyncing` (with any percentage), `inconsistent`, `diverged`
    pub data: Option<String>,
}

/// The commands of operators, as they are typed.
pub const COMMANDS: [&str; 17] = [
    "start",
    "start --all",
    "stop",
    "stop --all",
    "restart",
    "stopstart",
    "swap",
    "prim",
    "prim --force",
    "second",
    "second --full-sync",
    "failover on",
    "failover off",
    "checkers on",
    "checkers off",
    "boot on",
    "boot off",
];

/// What is wrong with a file.
#[derive(Debug)]
pub enum Error {
    /// The file or directory cannot be read.
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not of the language.
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: usize,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "read {}", path.display()),
            Self::Line {
                path,
                line,
                found,
                expected,
            } => write!(
                f,
                "{}:{line}: {found} was found, but {expected} expected",
                path.display()
            ),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Line { .. } => None,
        }
    }
}

/// The directory of the scenario files in the work tree that this crate was built from.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// All scenarios of a directory, by name.
///
/// # Errors
/// A file cannot be read, or a line is not of the language.
pub fn load(directory: &Path) -> Result<Vec<Scenario>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| Error::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        if path.extension().is_some_and(|e| e == "scenario") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        parse(&path, &text)
    };
    paths.into_iter().map(read).collect()
}
