//! The JSON of the HTTP API, of `tandem status --json`, and of the status that the two daemons send
//! each other.
//!
//! Scripts and the other release read this: fields are added, never renamed and never reused. On
//! reading nothing is refused: unknown fields are skipped and missing ones take their default, so
//! that two neighbouring releases understand each other during an upgrade.

use serde::{Deserialize, Serialize};
use tandem_core::{Command, DataState, State, Switch, Tone};

/// How many events a client may have missed and still get by their number.
pub const EVENTS_KEPT_MAX: usize = 1024;
/// How many entries of the history a status carries, newest last.
pub const HISTORY_SHOWN_MAX: usize = 32;
/// The largest request in bytes, of whoever is signed in or has a token.
pub const REQUEST_MAX: usize = 1 << 20;
/// The largest request of anybody else: to sign in takes a few hundred bytes, and hundreds of
/// strangers may ask at the same time.
pub const REQUEST_OF_STRANGER_MAX: usize = 64 << 10;

/// `GET /api/v1/status`: both nodes, as the one that answers knows them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: String,
    /// 1 or 2: the node that answers.
    pub answered_by: u8,
    /// `takeover-after` in milliseconds.
    pub takeover_after_ms: u64,
    /// The first field that differs between the configurations of the nodes, as a sentence.
    pub configuration_differs: Option<String>,
    /// Why the nodes' daemons do not talk to each other although they could, as a sentence.
    pub link_refused: Option<String>,
    /// node1, node2.
    pub nodes: Vec<NodeStatus>,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// 1 or 2.
    pub node: u8,
    /// Its name in the configuration.
    pub name: String,
    /// Its address in the configuration.
    pub address: String,
    /// Its release.
    pub version: String,
    /// Whether its daemon answers.
    pub answers: bool,
    /// Since when it does not answer, in milliseconds. What stands beside it is that old.
    pub silent_ms: Option<u64>,
    /// The digest of the configuration that its daemon runs with, in hexadecimal.
    pub configuration: String,
    /// The certificate with which its console answers; none: it answers over HTTP.
    pub certificate: Option<CertificateStatus>,
    /// Its modules, in the order of the configuration.
    pub modules: Vec<ModuleStatus>,
}

/// The certificate of a node's console.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateStatus {
    /// Whose it is, as browsers show it.
    pub subject: String,
    /// Whether Tandem made it; it is somebody's own otherwise.
    pub made_here: bool,
    /// SHA-256 of it, as browsers show it.
    pub fingerprint: String,
    /// From when it counts, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when it counts, in milliseconds since 1970.
    pub until_ms: u64,
}

/// One module on one node.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleStatus {
    /// Its name.
    pub name: String,
    /// `STOP`, `WAIT`, `ALONE`, `PRIM`, `SECOND`, or `unknown`.
    pub state: String,
    /// `ready`, `transient`, `not ready`.
    pub tone: String,
    /// `green`, `magenta`, `red`.
    pub colour: String,
    /// `uptodate`, `not uptodate`, `resyncing 42 %`, `inconsistent`, `diverged`.
    pub data: String,
    /// The percentage of a resynchronisation.
    pub resync_percent: Option<u8>,
    /// Why it is in this state, or what it waits for.
    pub reason: String,
    /// What the operator may do, if anything is needed.
    pub advice: Option<String>,
    /// A promise that does not hold at present.
    pub warning: Option<String>,
    /// How long it has been in this state.
    pub state_age_ms: u64,
    /// What the operator switched on and off on this node.
    pub switches: Option<SwitchesStatus>,
    /// How many restarts in place of the budget are used up.
    pub restarts_used: u8,
    /// Both nodes served without each other: what each has.
    pub divergence: Option<DivergenceStatus>,
    /// The in-sync record on this node's disk.
    pub record: Option<RecordStatus>,
    /// `none`, `until` (see `permit_left_ms`) or `without end`.
    pub permit: String,
    /// The licence, as this node sees it.
    pub license: LicenseStatus,
    /// What is left of the permit.
    pub permit_left_ms: Option<u64>,
    /// The mirror.
    pub mirror: MirrorSummary,
    /// The virtual addresses.
    pub addresses: Vec<AddressStatus>,
    /// The services, in start order.
    pub services: Vec<ResourceStatus>,
    /// The checkers.
    pub checkers: Vec<ResourceStatus>,
    /// The ways to the peer.
    pub channels: Vec<ChannelStatus>,
    /// What was decided last, newest last.
    pub history: Vec<HistoryEntry>,
    /// Before the first start: what stands in the volumes, so that somebody can choose.
    pub volumes: Vec<VolumeStatus>,
}

impl ModuleStatus {
    /// Whether the application and the address are on this node.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self.state.as_str(), "PRIM" | "ALONE")
    }
}

/// What stands in a volume before the first start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeStatus {
    /// Its name.
    pub name: String,
    /// How many files.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// The newest change of one of them, in milliseconds since 1970.
    pub newest_ms: Option<u64>,
    /// Everything could be read in time; else there is at least this.
    pub whole: bool,
}

/// The licence, and what a module has used of the time without one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LicenseStatus {
    /// Whether there is a valid one.
    pub valid: bool,
    /// Whose it is, or why it does not count, as a sentence.
    pub text: String,
    /// What happens when, if that is soon enough to be told.
    pub warning: Option<String>,
    /// The running time without one, since an operator started the module.
    pub unlicensed_ms: Option<u64>,
}

/// The licence of the node that is asked, for whoever wants to add one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OwnLicense {
    /// The node.
    pub node: u8,
    /// What a licence has to name.
    pub cluster: String,
    /// Whether there is a valid one.
    pub valid: bool,
    /// Whose it is, or why it does not count, as a sentence.
    pub text: String,
}

/// What an operator switches, for a module on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SwitchesStatus {
    /// The service may move between the nodes by itself.
    pub failover: bool,
    /// What checkers and services report has consequences.
    pub checkers: bool,
    /// The module starts by itself after a boot.
    pub boot_start: bool,
}

/// Both nodes served without each other, until an operator has chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DivergenceStatus {
    /// This node's side.
    pub mine: SideStatus,
    /// The other node's side.
    pub theirs: SideStatus,
    /// The newest generation that both have; none: the copies are unrelated.
    pub common: Option<String>,
    /// 1 or 2: whose side goes on meanwhile.
    pub goes_on: u8,
}

/// One side of a divergence.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SideStatus {
    /// The generation that only this side has.
    pub generation: String,
    /// Its term of service.
    pub epoch: u64,
    /// The size of its copy.
    pub data_bytes: u64,
    /// Whether it serves.
    pub serves: bool,
}

/// The in-sync record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordStatus {
    /// Its version.
    pub version: u64,
    /// The term of service.
    pub epoch: u64,
    /// 1 or 2: who serves, or served last.
    pub holder: u8,
    /// Who is in sync: `[1]`, `[2]` or `[1, 2]`.
    pub insync: Vec<u8>,
    /// The generation, sixteen hexadecimal digits.
    pub generation: String,
    /// Whether a second voter has it.
    pub confirmed: bool,
    /// Whether the last term of service ended with both copies level.
    pub clean: bool,
    /// Whether an operator forced it.
    pub forced: bool,
}

/// What the mirror reports.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorSummary {
    /// Whether its process answers.
    pub running: bool,
    /// `idle`, `following`, `sealed`, `serving`.
    pub role: String,
    /// Serving: `absent`, `comparing`, `level`.
    pub peer: String,
    /// Whether acknowledgements wait for the peer.
    pub gated: bool,
    /// Whether the peer is overdue.
    pub stalled: bool,
    /// Whether the permit ended and writes are parked.
    pub parked: bool,
    /// What is broken.
    pub fault: Option<String>,
    /// Why this copy may only be served by force.
    pub inconsistent: Option<String>,
    /// The last number of the stream: given (serving) or applied (following).
    pub position: u64,
    /// The last number that the peer applied (serving), or that was received (following).
    pub acknowledged: u64,
    /// Acknowledged writes that exist only here.
    pub exposure_bytes: u64,
    /// The age of the oldest of them.
    pub exposure_ms: u64,
    /// Resynchronisation: bytes compared.
    pub resync_done_bytes: Option<u64>,
    /// Resynchronisation: bytes to compare.
    pub resync_total_bytes: Option<u64>,
    /// Resynchronisation: bytes that differed, and were sent.
    pub resync_sent_bytes: Option<u64>,
    /// Resynchronisation: what is left at the speed of the last seconds; none while that is unknown.
    pub resync_left_seconds: Option<u64>,
    /// How fast the present comparison is, or the last one was.
    pub resync_bytes_per_second: Option<u64>,
    /// Serving: bytes handed to the connections to the peer so far, by this service.
    pub sent_bytes: u64,
    /// Serving: how long the peer takes to have a write on its disk, in microseconds, smoothed; none
    /// as long as no acknowledgement has waited for it.
    pub answer_us: Option<u64>,
    /// The size of the volumes.
    pub data_bytes: u64,
    /// Serving: the verification of the peer's copy that runs, or the last one.
    pub verification: Option<VerificationStatus>,
    /// Whether its process runs the program of before an upgrade, until the module is next stopped
    /// on this node or handed to the other one.
    pub old_program: bool,
}

/// A verification of the peer's copy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerificationStatus {
    /// Whether it goes on.
    pub running: bool,
    /// Whether it has seen everything.
    pub complete: bool,
    /// How much of the contents was compared.
    pub percent: u8,
    /// Contents that were compared.
    pub compared_bytes: u64,
    /// Directories, objects and pieces of files that were not the same.
    pub differences: u64,
    /// Those of them that were sent anew.
    pub repaired: u64,
    /// Contents that were sent anew.
    pub sent_bytes: u64,
    /// All of it as a sentence.
    pub text: String,
}

/// A virtual address.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressStatus {
    /// Address and prefix.
    pub address: String,
    /// The interface on this node.
    pub interface: String,
    /// Whether it is on this node.
    pub held: bool,
}

/// A service or a checker.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Services: `stopped`, `starting`, `running`, `stopping`, `failed`. Checkers: `up`, `down`,
    /// `paused`.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
}

/// One way to the peer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelStatus {
    /// `network 0`, `control link`, `data stream`.
    pub name: String,
    /// The time since the last authentic message.
    pub heard_ms: Option<u64>,
    /// Authentic messages.
    pub received: u64,
    /// Messages that were refused: wrong size, version, cluster or authentication code.
    pub refused: u64,
    /// Messages that could not be sent.
    pub unsent: u64,
}

/// Something that was decided, or that somebody must look at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// `decision` or `alarm`.
    pub kind: String,
    /// The row of the table of transitions.
    pub row: Option<u8>,
    /// The reason as one sentence.
    pub because: String,
    /// What came in and made the node decide.
    pub inputs: String,
}

/// What `GET /api/v1/events` sends, as the data of a server-sent event. Its id can be given back in
/// `Last-Event-ID` (or `?after=`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ApiEvent {
    /// The whole status. Sent at the beginning and after each change; not kept.
    Status(Box<ClusterStatus>),
    /// An entry of the history.
    History {
        /// 1 or 2.
        node: u8,
        /// The module.
        module: String,
        /// The entry.
        entry: HistoryEntry,
    },
    /// A command got on.
    Job(Job),
    /// Events were missed: read the status anew.
    Missed,
    /// Of a later release.
    #[serde(other)]
    Unknown,
}

/// `POST /api/v1/command`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandRequest {
    /// 1 or 2; default: the node that answers.
    #[serde(default)]
    pub node: Option<u8>,
    /// The module; default: the only one.
    #[serde(default)]
    pub module: Option<String>,
    /// What.
    pub command: CommandName,
    /// For `prim`: serve whatever is here.
    #[serde(default)]
    pub force: bool,
    /// For `stop`: the node that serves brings both copies level, and nobody takes over.
    #[serde(default)]
    pub whole: bool,
    /// For `second`: nothing is believed of the copy, all of it is compared with the primary's.
    #[serde(default)]
    pub full_sync: bool,
    /// For `failover`, `checkers` and `boot`: the position of the switch.
    #[serde(default)]
    pub on: Option<bool>,
    /// For `configure`: what is to become of the node's configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<NewFile>>,
    /// Whether the answer waits for the end (bounded), or only names the job.
    #[serde(default)]
    pub wait: bool,
}

/// A configuration file for one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewFile {
    /// All of it.
    pub text: String,
    /// The digest of the configuration that it takes the place of, in hexadecimal.
    pub instead_of: String,
    /// Whether it is put in place and the daemon started anew with it; otherwise it is only looked
    /// at.
    pub put: bool,
}

/// The configuration file of a node as the console shows it: without its commands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConfigurationFile {
    /// The node whose file it is.
    pub node: u8,
    /// All of it, with words in place of each command and of the address that is told.
    pub text: String,
    /// Names this very file; a new one says which it takes the place of.
    pub version: String,
}

/// What another configuration would change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConfigurationPlan {
    /// The fields that differ, in the order of the new file; what is gone comes last.
    pub changes: Vec<FieldChange>,
    /// What else `tandem config plan` says: what is stopped, and what becomes of directories.
    pub lines: Vec<String>,
    /// Why one of the nodes does not take it; none: both would.
    pub refused: Option<String>,
}

/// A field of the configuration that changes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FieldChange {
    /// As an operator finds it in the file.
    pub field: String,
    /// Its value now, if it is there.
    pub before: Option<String>,
    /// Its value then, if it is there.
    pub after: Option<String>,
    /// The modules that have to be stopped for it on both nodes.
    pub stops: Vec<String>,
}

/// The last configuration that was applied from the console of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Application {
    /// The node that applied it to both.
    pub node: u8,
    /// Milliseconds since 1970, by that node's clock: when it began.
    pub at_ms: u64,
    /// Who asked for it.
    pub who: String,
    /// How it is getting on, or how it ended.
    pub state: ApplicationState,
    /// What `tandem config apply` said so far.
    pub lines: Vec<String>,
}

/// How applying a configuration is getting on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationState {
    /// It is under way.
    Running,
    /// Both nodes have it.
    Done,
    /// Nothing was changed.
    Refused,
    /// It did not come to its end, or only one node has it; the last lines say so.
    Failed,
    /// Nobody knows: what did it was ended.
    Interrupted,
}

/// The commands that this release knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandName {
    /// Picks the role by itself.
    Start,
    /// Stops the node.
    Stop,
    /// Services in place.
    Restart,
    /// Stop, then start.
    StopStart,
    /// Exchanges the roles.
    Swap,
    /// Serve.
    Prim,
    /// Be the standby.
    Second,
    /// The service may move by itself.
    Failover,
    /// What checkers and services report has consequences.
    Checkers,
    /// The module starts by itself after a boot.
    Boot,
    /// Compares both copies while the application writes.
    Verify,
    /// Looks at the machine; the answer's message is what was seen, in JSON.
    Doctor,
    /// Looks at another configuration file for the node, or puts it in place. For root on one of
    /// the nodes.
    Configure,
}

/// What doctor found on both nodes, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// Milliseconds since 1970, by the clock of the node that examined.
    pub at_ms: u64,
    /// The node that examined: what it cannot see of the other one is unknown.
    pub node: u8,
    /// The worst of the findings.
    pub result: FoundVerdict,
    /// In the order of the checks.
    pub findings: Vec<Found>,
}

/// One thing that doctor looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The check.
    pub check: String,
    /// 1 or 2; none: between the nodes.
    pub node: Option<u8>,
    /// How good it is.
    pub verdict: FoundVerdict,
    /// As a sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Whether `tandem doctor --fix` does that, on that node.
    pub fixable: bool,
}

/// How good something is that doctor looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundVerdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and will cost something.
    Warning,
    /// It does not work, or will lose something.
    Failed,
}

/// Who carries a command out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The core.
    Core(Command),
    /// The mirror that serves, on whichever node: it changes no role and no record.
    Verify,
    /// The daemon itself, which looks at its machine and changes nothing.
    Look,
    /// The daemon itself, which may start anew with another configuration.
    Configure,
}

/// What a command is told besides its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Nothing.
    Plain,
    /// `prim --force`
    Force,
    /// `stop` of the whole module.
    Whole,
    /// `second --full-sync`
    FullSync,
    /// A switch is switched.
    Switch(Switch),
}

impl CommandRequest {
    /// This command and nothing else: for the node that answers, and its only module.
    #[must_use]
    pub const fn new(command: CommandName) -> Self {
        Self {
            node: None,
            module: None,
            command,
            force: false,
            whole: false,
            full_sync: false,
            on: None,
            file: None,
            wait: false,
        }
    }

    /// Who carries it out, or `None` where `force`, `whole`, `full_sync` or `on` make no sense.
    #[must_use]
    pub const fn order(&self) -> Option<Order> {
        let manner = match (self.force, self.whole, self.full_sync, self.on) {
            (false, false, false, None) => Manner::Plain,
            (true, false, false, None) => Manner::Force,
            (false, true, false, None) => Manner::Whole,
            (false, false, true, None) => Manner::FullSync,
            (false, false, false, Some(true)) => Manner::Switch(Switch::On),
            (false, false, false, Some(false)) => Manner::Switch(Switch::Off),
            // More than one of them.
            (_, _, _, _) => return None,
        };
        match (self.command, manner) {
            (CommandName::Verify, Manner::Plain) => Some(Order::Verify),
            (CommandName::Doctor, Manner::Plain) => Some(Order::Look),
            (CommandName::Configure, Manner::Plain) if self.file.is_some() => {
                Some(Order::Configure)
            }
            (command, manner) => match command.command(manner) {
                Some(command) => Some(Order::Core(command)),
                None => None,
            },
        }
    }
}

impl CommandName {
    /// What the core is told, or `None` where the manner makes no sense, or it is told nothing.
    #[must_use]
    pub const fn command(self, manner: Manner) -> Option<Command> {
        use Manner::{Force, FullSync, Plain, Switch, Whole};
        match (self, manner) {
            (Self::Start, Plain) => Some(Command::Start),
            (Self::Stop, Plain) => Some(Command::Stop),
            (Self::Stop, Whole) => Some(Command::StopModule),
            (Self::Restart, Plain) => Some(Command::Restart),
            (Self::StopStart, Plain) => Some(Command::StopStart),
            (Self::Swap, Plain) => Some(Command::Swap),
            (Self::Prim, Plain) => Some(Command::Prim),
            (Self::Prim, Force) => Some(Command::PrimForce),
            (Self::Second, Plain) => Some(Command::Second),
            (Self::Second, FullSync) => Some(Command::SecondFullSync),
            (Self::Failover, Switch(switch)) => Some(Command::Failover(switch)),
            (Self::Checkers, Switch(switch)) => Some(Command::Checkers(switch)),
            (Self::Boot, Switch(switch)) => Some(Command::BootStart(switch)),
            (
                Self::Start | Self::Restart | Self::StopStart | Self::Swap,
                Force | Whole | FullSync | Switch(_),
            )
            | (Self::Stop, Force | FullSync | Switch(_))
            | (Self::Prim, Whole | FullSync | Switch(_))
            | (Self::Second, Force | Whole | Switch(_))
            | (Self::Failover | Self::Checkers | Self::Boot, Plain | Force | Whole | FullSync)
            | (
                Self::Verify | Self::Doctor | Self::Configure,
                Plain | Force | Whole | FullSync | Switch(_),
            ) => None,
        }
    }
}

/// How a command is getting on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Names it.
    pub job: String,
    /// 1 or 2: where it is carried out.
    pub node: u8,
    /// The module.
    #[serde(default)]
    pub module: String,
    /// What was asked.
    pub command: CommandName,
    /// Whether the node that carries it out was told. Until then it can still become
    /// [`JobState::Unreachable`].
    #[serde(default)]
    pub begun: bool,
    /// How it stands.
    pub state: JobState,
    /// The last thing to say about it.
    #[serde(default)]
    pub message: String,
    /// Everything said so far, oldest first; at most [`PROGRESS_MAX`] lines.
    #[serde(default)]
    pub progress: Vec<String>,
    /// When it has ended: how long it took, seen from the node that was asked.
    #[serde(default)]
    pub took_ms: Option<u64>,
}

/// How many lines of progress a job keeps.
pub const PROGRESS_MAX: usize = 100;

/// How a command stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Not done; nothing was changed.
    Refused,
    /// Begun and failed.
    Failed,
    /// The node that should carry it out does not answer.
    Unreachable,
    /// Nobody knows: the node stopped answering while it was under way.
    Lost,
}

impl JobState {
    /// Whether nothing more will be said.
    #[must_use]
    pub const fn ended(self) -> bool {
        match self {
            Self::Running => false,
            Self::Done | Self::Refused | Self::Failed | Self::Unreachable | Self::Lost => true,
        }
    }
}

/// An answer that is an error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The word of a colour's meaning.
#[must_use]
pub const fn tone_word(tone: Tone) -> &'static str {
    match tone {
        Tone::Ready => "ready",
        Tone::Transient => "transient",
        Tone::NotReady => "not ready",
    }
}

/// The colour. `STOP` is red whatever else is said.
#[must_use]
pub const fn colour_word(state: State, tone: Tone) -> &'static str {
    match (state, tone) {
        (State::Stop, _) | (_, Tone::NotReady) => "red",
        (_, Tone::Transient) => "magenta",
        (_, Tone::Ready) => "green",
    }
}

/// The data column.
#[must_use]
pub fn data_words(data: DataState) -> String {
    match data {
        DataState::Uptodate => "uptodate".into(),
        DataState::NotUptodate => "not uptodate".into(),
        DataState::Resyncing(percent) => format!("resyncing {percent} %"),
        DataState::Inconsistent => "inconsistent".into(),
        DataState::Diverged => "diverged".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_another_release_is_read_as_far_as_it_is_known() {
        let text = r#"{"cluster":"c","new":1,"nodes":[{"node":1,"modules":[{"state":"PRIM"}]}]}"#;
        let status: ClusterStatus = serde_json::from_str(text).expect("nothing is refused");
        assert_eq!(status.nodes[0].modules[0].state, "PRIM");
        assert_eq!(status.nodes[0].modules[0].mirror, MirrorSummary::default());
    }

    #[test]
    fn an_event_of_a_later_release_is_known_as_unknown() {
        let event: ApiEvent =
            serde_json::from_str(r#"{"kind":"weather"}"#).expect("nothing is refused");
        assert_eq!(event, ApiEvent::Unknown);
    }

    #[test]
    fn a_command_needs_no_more_than_its_name() {
        let request: CommandRequest =
            serde_json::from_str(r#"{"command":"stopstart"}"#).expect("all else has a default");
        assert_eq!(request.command, CommandName::StopStart);
        assert_eq!(request.order(), Some(Order::Core(Command::StopStart)));
        let force = CommandName::Prim.command(Manner::Force);
        assert_eq!(force, Some(Command::PrimForce));
        assert_eq!(CommandName::Swap.command(Manner::Force), None);
        let request: CommandRequest =
            serde_json::from_str(r#"{"command":"second","full_sync":true}"#).expect("plain");
        let full = Order::Core(Command::SecondFullSync);
        assert_eq!(request.order(), Some(full));
        let twice = CommandRequest {
            force: true,
            ..request
        };
        assert_eq!(twice.order(), None);
    }
}
