//! The configuration on the page: the file without its commands, what another one would change, and
//! putting it in place on both nodes, as `tandem config plan` and `tandem config apply` do it.
//!
//! What runs as root is neither shown nor changed here: whoever may use the console is not root.

use super::applying::{self, ApplyError, Applying};
use crate::config::{self, ConfigError, Configuration};
use crate::files::{self, FileError};
use crate::machine::{Machine, ask_self, error};
use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tandem_console::admission::Asked;
use tandem_console::audit::Entry;
use tandem_console::scrub::Scrubber;
use tandem_console::{Caller, Origin, unix_ms};
use tandem_wire::api::{Application, ConfigurationFile, ConfigurationPlan, FieldChange};
use tokio::task::spawn_blocking;

/// As the command log has it.
const APPLY: &str = "config apply";
/// As on the command line: a request has a bound of 64 KiB on its way to the other node, and is JSON.
const FILE_BYTES_MAX: usize = 32 << 10;
/// How long both nodes may look at a file. Every request takes longer.
const PLAN_MAX: Duration = Duration::from_secs(80);

/// An edited file.
#[derive(Deserialize)]
pub(crate) struct Sent {
    text: String,
    /// The version of the file that was edited.
    instead_of: String,
    #[serde(default)]
    why: Option<String>,
}

/// Why it is not looked at any further.
#[derive(Debug, thiserror::Error)]
enum SentError {
    #[error("the file of this node is another one meanwhile: load it again")]
    Another,
    #[error("the file is larger than {} KiB", FILE_BYTES_MAX >> 10)]
    Large,
    #[error("{0} is changed by root on one of the nodes only: tandem config apply")]
    Command(String),
    #[error("the new file has no module {0}: a module is removed by tandem cluster leave only")]
    Removed(String),
    /// Which is not quoted: a command may stand there.
    #[error("the file of this node has mistakes: tandem config check names them")]
    Mistakes,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl SentError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Another
            | Self::Large
            | Self::Command(_)
            | Self::Removed(_)
            | Self::Mistakes
            | Self::Config(_) => StatusCode::CONFLICT,
        }
    }
}

/// An edited file with its commands again, and what it is instead of.
struct New {
    text: String,
    before: Configuration,
    after: Configuration,
}

impl New {
    fn of(sent: &Sent, path: &Path) -> Result<Self, SentError> {
        let current = files::read(path)?;
        if version(&current) != sent.instead_of {
            return Err(SentError::Another);
        }
        if sent.text.len() > FILE_BYTES_MAX {
            return Err(SentError::Large);
        }
        // As it was sent: what is wrong is quoted, and found where its reader sees it.
        Configuration::parse(path, &sent.text)?;
        let current = String::from_utf8_lossy(&current);
        let mistakes = |_| SentError::Mistakes;
        let before = Configuration::parse(path, &current).map_err(mistakes)?;
        let text = config::uncover(path, &sent.text, &current).map_err(mistakes)?;
        if text.len() > FILE_BYTES_MAX {
            return Err(SentError::Large);
        }
        let after = Configuration::parse(path, &text).map_err(mistakes)?;
        if let Some(field) = config::other_command(&before, &after) {
            return Err(SentError::Command(field));
        }
        if let Some(module) = config::removed(&before, &after).into_iter().next() {
            return Err(SentError::Removed(module));
        }
        Ok(Self {
            text,
            before,
            after,
        })
    }
}

/// Names a file by all of its bytes: a comment that somebody wrote meanwhile is not to be lost.
fn version(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The file of this node.
pub(crate) async fn show(State(machine): State<Machine>) -> Response {
    let (path, node) = (machine.settings().config.clone(), machine.node().number());
    let shown = spawn_blocking(move || {
        let bytes = files::read(&path)?;
        let text = config::cover(&path, &String::from_utf8_lossy(&bytes));
        let text = text.map_err(|_| SentError::Mistakes)?;
        Ok::<_, SentError>(ConfigurationFile {
            node,
            text,
            version: version(&bytes),
        })
    });
    match shown.await.expect("it does not panic") {
        Ok(file) => Json(file).into_response(),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, crate::report(&failed)),
    }
}

/// What another one would change, and what both nodes say of it.
pub(crate) async fn plan(
    State(machine): State<Machine>,
    sent: Result<Json<Sent>, JsonRejection>,
) -> Response {
    let sent = match sent {
        Ok(Json(sent)) => sent,
        Err(rejection) => return error(rejection.status(), rejection.body_text()),
    };
    // Both nodes look at the machine for it: that is not done for two at a time.
    let Ok(_turn) = machine.configuring().plans.try_acquire() else {
        let text = "another configuration is being looked at; ask again";
        return error(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let new = match read(&machine, sent).await {
        Ok(new) => new,
        Err(failed) => return error(failed.status(), crate::report(&failed)),
    };
    let changes = config::changes(&new.before, &new.after);
    let mut said = match look(&machine, new.text).await {
        Ok(said) => said,
        Err(failed) => {
            let text = format!("run `tandem config plan`: {}", crate::report(&failed));
            return error(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
    };
    // What the fields say already.
    let of_field =
        |line: &str| (changes.iter()).any(|one| line.starts_with(&format!("{}: ", one.field)));
    said.lines.retain(|line| !of_field(line));
    Json(ConfigurationPlan {
        lines: said.lines,
        refused: said.refused,
        changes: changes
            .into_iter()
            .map(|change| FieldChange {
                field: change.field,
                before: change.before,
                after: change.after,
                stops: change.stops,
            })
            .collect(),
    })
    .into_response()
}

async fn read(machine: &Machine, sent: Sent) -> Result<New, SentError> {
    let path = machine.settings().config.clone();
    let new = spawn_blocking(move || New::of(&sent, &path));
    new.await.expect("it does not panic")
}

/// What `tandem config plan` says.
struct Said {
    lines: Vec<String>,
    /// Why one of the nodes does not take it.
    refused: Option<String>,
}

async fn look(machine: &Machine, text: String) -> io::Result<Said> {
    let settings = machine.settings();
    let directory = applying::directory(&settings.runtime_dir);
    let file = directory.join("plan.toml");
    let place = file.clone();
    let written = spawn_blocking(move || {
        files::create_directory(&directory)?;
        files::replace(&place, files::SECRET, text.as_bytes())
    });
    let written = written.await.expect("it does not panic");
    written.map_err(io::Error::other)?;
    let words = ["config".as_ref(), "plan".as_ref(), file.as_os_str()];
    let output = ask_self(settings, &words, PLAN_MAX).await;
    // Commands stand in it.
    files::remove(&file).map_err(io::Error::other)?;
    let output = output?;
    let mut scrubber = Scrubber::new(machine.secrets().to_vec());
    let mut words = |bytes: &[u8]| scrubber.text(&String::from_utf8_lossy(bytes));
    let (lines, complaints) = (words(&output.stdout), words(&output.stderr));
    let refused = (!output.status.success()).then(|| {
        let reason = complaints
            .lines()
            .find_map(|line| line.strip_prefix("tandem: "));
        reason.map_or_else(|| output.status.to_string(), str::to_owned)
    });
    Ok(Said {
        lines: lines.lines().map(str::to_owned).collect(),
        refused,
    })
}

/// Begins to put another one in place on both nodes.
pub(crate) async fn apply(
    State(machine): State<Machine>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    sent: Result<Json<Sent>, JsonRejection>,
) -> Response {
    let sent = match sent {
        Ok(Json(sent)) => sent,
        Err(rejection) => return error(rejection.status(), rejection.body_text()),
    };
    let why = sent.why.clone();
    let entry = Entry {
        at_ms: unix_ms(),
        who: caller.words(),
        from: origin.words(),
        what: APPLY.to_owned(),
        why: why.clone().filter(|why| !why.trim().is_empty()),
        ..Entry::default()
    };
    let begun = match read(&machine, sent).await {
        Ok(new) => begin(&machine, new, entry).await,
        Err(failed) => Err((failed.status(), crate::report(&failed))),
    };
    let result = match &begun {
        Ok(()) => "under way".to_owned(),
        Err((_, reason)) => format!("refused: {reason}"),
    };
    let asked = Asked {
        what: APPLY.to_owned(),
        why,
        result,
    };
    machine.console().asked(&caller, origin, asked);
    match begun {
        Ok(()) => {
            tokio::spawn(note_end(machine.clone()));
            (StatusCode::ACCEPTED, applied(State(machine)).await).into_response()
        }
        Err((status, reason)) => error(status, reason),
    }
}

async fn begin(machine: &Machine, new: New, asked: Entry) -> Result<(), (StatusCode, String)> {
    let (settings, applying) = (
        machine.settings().clone(),
        machine.configuring().applying.clone(),
    );
    let begun = spawn_blocking(move || {
        let program = std::env::current_exe().map_err(ApplyError::Run)?;
        let before = [program.into(), "config".into(), "apply".into()];
        let after = [
            "--yes".into(),
            "--config".into(),
            settings.config.into(),
            "--state-dir".into(),
            settings.state_dir.into(),
            "--runtime-dir".into(),
            settings.runtime_dir.into(),
        ];
        applying.begin(&new.text, asked, (&before, &after))
    });
    let begun = begun.await.expect("it does not panic");
    let before = begun.map_err(|failed| {
        let status = match failed {
            ApplyError::UnderWay => StatusCode::SERVICE_UNAVAILABLE,
            ApplyError::File(_) | ApplyError::Run(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, crate::report(&failed))
    })?;
    if let Some(before) = before {
        machine.console().audit.record(before);
    }
    Ok(())
}

/// The last one that was begun here.
pub(crate) async fn applied(State(machine): State<Machine>) -> Response {
    let applying = machine.configuring().applying.clone();
    let seen = spawn_blocking(move || applying.seen());
    match seen.await.expect("it does not panic") {
        Ok(Some(seen)) => {
            let mut scrubber = Scrubber::new(machine.secrets().to_vec());
            let lines = seen.lines.iter().map(|line| scrubber.text(line));
            Json(Application {
                node: machine.node().number(),
                at_ms: seen.asked.at_ms,
                who: seen.asked.who,
                state: seen.state,
                lines: lines.collect(),
            })
            .into_response()
        }
        Ok(None) => error(
            StatusCode::NOT_FOUND,
            "no configuration was applied from here since this node was booted",
        ),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, crate::report(&failed)),
    }
}

/// Writes into the command log how it ended, also for a daemon that began it and is no more.
pub(crate) async fn note_end(machine: Machine) {
    match machine.configuring().applying.end().await {
        Ok(Some(entry)) => machine.console().audit.record(entry),
        Ok(None) => {}
        Err(failed) => tracing::warn!(
            "how the configuration was applied is not known: {}",
            crate::report(&failed)
        ),
    }
}

/// What is under way, for all requests.
pub(crate) struct Configuring {
    applying: Arc<Applying>,
    plans: tokio::sync::Semaphore,
}

impl Configuring {
    pub(crate) fn new(runtime_dir: &Path) -> Self {
        Self {
            applying: Arc::new(Applying::new(runtime_dir)),
            plans: tokio::sync::Semaphore::new(1),
        }
    }
}
