//! The three steps of a set-up, whoever asked for them: what a node stores, its daemon's start, and
//! the application's. A step that is ended before a node has stored everything is taken back.

use super::super::{Exit, volumes};
use std::pin::pin;
use std::time::Duration;
use tandem_daemon::check::{self, Asker};
use tandem_daemon::client::{Client, ClientError};
use tandem_daemon::config::{ConfigError, Configuration};
use tandem_daemon::daemon::Settings;
use tandem_daemon::identity::Identity;
use tandem_daemon::license::{self, Standing};
use tandem_daemon::setup::{self, Choices, SetUpFailure, Tell, Transport};
use tandem_host::systemd;
use tandem_wire::api::{CommandName, CommandRequest, JobState};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

/// How long a daemon may take to answer after its start.
const DAEMON_MAX: Duration = Duration::from_secs(30);
/// How long the first start, or a first synchronisation, is waited for without news.
const FIRST_START_MAX: Duration = Duration::from_secs(600);
/// How often the daemon and the synchronisation are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    /// The set-up itself.
    #[error(transparent)]
    SetUp(#[from] SetUpFailure),
    /// There is no set-up yet, or its file was changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// It was just started.
    #[error("the daemon does not start: journalctl -u tandem says why")]
    DaemonStart,
    /// A node does not do what it was told.
    #[error("node{node}: {message}")]
    Command {
        /// Which.
        node: u8,
        /// Refused, or failed.
        refused: bool,
        /// Why.
        message: String,
    },
    /// Nothing moves.
    #[error("the synchronisation does not get on; it is not given up: tandem status")]
    Stalled,
    /// Somebody did not want it any more.
    #[error("cancelled")]
    Cancelled,
}

impl StepFailure {
    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::SetUp(failure) => exit_of(failure),
            Self::Config(_) | Self::Command { refused: true, .. } => Exit::Refused,
            Self::Daemon(ClientError::NoDaemon { .. }) | Self::DaemonStart => Exit::NoDaemon,
            Self::Daemon(_) | Self::Command { refused: false, .. } | Self::Cancelled => {
                Exit::Failed
            }
            Self::Stalled => Exit::TimedOut,
        }
    }
}

fn exit_of(failure: &SetUpFailure) -> Exit {
    match failure {
        SetUpFailure::Resolve(..) | SetUpFailure::Connect(..) => Exit::PeerUnreachable,
        SetUpFailure::Expired => Exit::TimedOut,
        SetUpFailure::Pairing(_)
        | SetUpFailure::File(_)
        | SetUpFailure::Systemd(_)
        | SetUpFailure::Https(_)
        | SetUpFailure::Account(_) => Exit::Failed,
        SetUpFailure::Config(_)
        | SetUpFailure::Identity(_)
        | SetUpFailure::Units(_)
        | SetUpFailure::Preset(_)
        | SetUpFailure::ConfigurationExists(_)
        | SetUpFailure::CertificateExists(_)
        | SetUpFailure::LicenseExists(_)
        | SetUpFailure::Running
        | SetUpFailure::WrongPassword
        | SetUpFailure::TooManyAttempts
        | SetUpFailure::NotReady(_)
        | SetUpFailure::Refused(_)
        | SetUpFailure::NoInterface(_) => Exit::Refused,
    }
}

/// A step that did not come to its end, and what became of this computer.
pub struct Ended {
    /// Why.
    pub failure: StepFailure,
    /// Whether it is as before: `Ok(false)` if there was nothing to take back.
    pub taken_back: Result<bool, SetUpFailure>,
}

/// Does a step, unless somebody ends it first; what is not whole by then is taken back.
pub async fn unless_cancelled<T>(
    settings: &Settings,
    step: impl Future<Output = Result<T, StepFailure>>,
    cancelled: impl Future<Output = ()>,
) -> Result<T, Ended> {
    let failure = {
        let mut step = pin!(step);
        let done = tokio::select! {
            done = &mut step => done,
            () = cancelled => Err(StepFailure::Cancelled),
        };
        match done {
            Ok(result) => return Ok(result),
            Err(failure) => failure,
        }
    };
    Err(Ended {
        failure,
        taken_back: setup::undo(settings).await,
    })
}

/// Node2 waits for node1, and becomes what that brings.
pub async fn secondary(
    settings: &Settings,
    asker: Asker,
    transport: Transport,
    password: &Zeroizing<String>,
    tell: Tell<'_>,
) -> Result<(), StepFailure> {
    let look = look(settings, asker);
    setup::secondary(settings, transport, password, &look, tell).await?;
    tell("The secondary failover server is now set up.");
    start_daemon(settings, tell).await
}

/// Node1, and with it the node2 that waits; then the application starts.
pub async fn primary(
    settings: &Settings,
    asker: Asker,
    choices: &Choices,
    password: &Zeroizing<String>,
    tell: Tell<'_>,
) -> Result<(), StepFailure> {
    let look = look(settings, asker);
    for note in setup::primary(settings, choices, password, &look, tell).await? {
        tell(&format!("Note: {note}"));
    }
    start_daemon(settings, tell).await?;
    other_heard(settings).await;
    tell("Starting the application on this computer.");
    order(settings, CommandName::Prim, &choices.module, tell).await?;
    tell_of_license(settings, tell);
    tell("The primary failover server is now set up.");
    Ok(())
}

/// The last step, on node2: it becomes the standby, with the primary's data.
pub async fn complete(settings: &Settings, tell: Tell<'_>) -> Result<(), StepFailure> {
    for module in &Configuration::read(&settings.config)?.modules {
        let name = &module.name;
        tell(&format!("Starting {name} as standby."));
        order(settings, CommandName::Second, name, tell).await?;
        synchronised(settings, name, tell).await?;
        tell(&format!("{name} is protected."));
    }
    Ok(())
}

/// A licence belongs to one cluster, which is a new one now: it can only come afterwards.
fn tell_of_license(settings: &Settings, tell: Tell<'_>) {
    let Ok(identity) = Identity::read(&settings.state_dir) else {
        return;
    };
    let standing = license::standing(&settings.state_dir, &identity.cluster);
    if !matches!(standing, Standing::Valid(_)) {
        tell(&format!(
            "Note: {}; the application runs for {} hours without one. For one: cluster = {}",
            standing.sentence(),
            license::PERIOD.as_secs() / 3600,
            identity.cluster
        ));
    }
}

/// What `config check` looks at.
fn look(settings: &Settings, asker: Asker) -> impl Fn() -> setup::Findings + use<> {
    let settings = settings.clone();
    move || {
        let settings = settings.clone();
        Box::pin(async move {
            let mut findings = check::check(&settings, asker).await?;
            findings.extend(volumes::check(&Configuration::read(&settings.config)?));
            Ok(findings)
        })
    }
}

/// Starts the daemon, now and at every boot, and waits until it answers.
async fn start_daemon(settings: &Settings, tell: Tell<'_>) -> Result<(), StepFailure> {
    if !systemd::is_present() {
        tell("Start the daemon: tandem daemon");
        return Ok(());
    }
    tell("Starting the daemon.");
    let started = tokio::process::Command::new("systemctl")
        .args(["enable", "--now", "--quiet", "tandem.service"])
        .status();
    let client = Client::new(&settings.runtime_dir);
    let end = Instant::now() + DAEMON_MAX;
    if started.await.is_ok_and(|status| status.success()) {
        while Instant::now() < end {
            if client.status().await.is_ok() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }
    Err(StepFailure::DaemonStart)
}

/// Waits for the other node's daemon, which was started at the same moment: a first start needs to
/// have heard it. If it does not come, the start says so.
async fn other_heard(settings: &Settings) {
    let client = Client::new(&settings.runtime_dir);
    let end = Instant::now() + DAEMON_MAX;
    while Instant::now() < end {
        if let Ok(status) = client.status().await
            && status.nodes.iter().all(|node| node.answers)
        {
            // Two heartbeats: this node's question travels, and the answer, which counts.
            sleep(Duration::from_millis(status.takeover_after_ms) * 2 / 5).await;
            return;
        }
        sleep(LOOK).await;
    }
}

/// Gives this node a command, tells how it gets on, and waits for its end.
async fn order(
    settings: &Settings,
    command: CommandName,
    module: &str,
    tell: Tell<'_>,
) -> Result<(), StepFailure> {
    let client = Client::new(&settings.runtime_dir);
    let request = CommandRequest {
        module: Some(module.to_owned()),
        ..CommandRequest::new(command)
    };
    let mut job = client.command(&request).await?;
    let end = Instant::now() + FIRST_START_MAX;
    let mut told = 0;
    while !job.state.ended() {
        for line in &job.progress[told..] {
            tell(line);
        }
        told = job.progress.len();
        if Instant::now() > end {
            break;
        }
        job = client.job(&job.job, told).await?;
    }
    match job.state {
        JobState::Done => {
            tell(&job.message);
            Ok(())
        }
        JobState::Refused => Err(failed(job.node, true, job.message)),
        JobState::Running | JobState::Failed | JobState::Unreachable | JobState::Lost => {
            Err(failed(job.node, false, job.message))
        }
    }
}

fn failed(node: u8, refused: bool, message: String) -> StepFailure {
    StepFailure::Command {
        node,
        refused,
        message,
    }
}

/// Waits until this node's copy is uptodate; gives up when nothing moves.
async fn synchronised(
    settings: &Settings,
    module: &str,
    tell: Tell<'_>,
) -> Result<(), StepFailure> {
    let client = Client::new(&settings.runtime_dir);
    let mut shown = String::new();
    let mut end = Instant::now() + FIRST_START_MAX;
    while Instant::now() < end {
        if let Ok(status) = client.status().await {
            let own = status.nodes.iter().find(|n| n.node == status.answered_by);
            let module = own.and_then(|n| n.modules.iter().find(|m| m.name == module));
            if let Some(module) = module {
                if (module.state.as_str(), module.data.as_str()) == ("SECOND", "uptodate") {
                    return Ok(());
                }
                let words = format!("{} {}", module.state, module.data);
                if words != shown {
                    tell(&words);
                    shown = words;
                    end = Instant::now() + FIRST_START_MAX;
                }
            }
        }
        sleep(LOOK).await;
    }
    Err(StepFailure::Stalled)
}
