//! What the page shows of this machine beside the cluster: its journal, and the support bundle, which
//! a process of its own makes: it reads much, and the daemon must be heard meanwhile. An examination
//! is made so, too.

use crate::config::Configuration;
use crate::configure::console::{self as configuring, Configuring};
use crate::daemon::Settings;
use crate::examination::{self, Examinations};
use crate::halves::{HalfError, Halves};
use crate::https::console::{self as certificate, Https};
use crate::license;
use crate::support;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tandem_console::accounts::Role;
use tandem_console::admission::Asked;
use tandem_console::journal::{Journal, Question, Source};
use tandem_console::notify::UNPROTECTED;
use tandem_console::scrub::Scrubber;
use tandem_console::{Caller, Console, Origin, Secret, unix_ms};
use tandem_core::NodeId;
use tandem_wire::api::ApiError;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a bundle may take. Shorter than every request may.
const BUNDLE_MAX: Duration = Duration::from_secs(80);
/// What this program prints when it runs itself. A bundle is packed: its parts are bounded, and texts
/// shrink to a tenth.
const PRINTED_BYTES_MAX: usize = 64 << 20;

/// What is needed for it.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Inner>);

struct Inner {
    configuration: Arc<Configuration>,
    node: NodeId,
    settings: Settings,
    /// What no log line may show.
    secrets: Vec<Secret>,
    console: Arc<Console>,
    journal: Journal,
    halves: Halves,
    /// One bundle at a time.
    turn: Semaphore,
    examinations: Examinations,
    configuring: Configuring,
    https: Https,
}

impl Machine {
    pub(crate) fn new(
        configuration: Arc<Configuration>,
        node: NodeId,
        settings: Settings,
        token: &str,
        console: Arc<Console>,
        halves: Halves,
        https: Https,
    ) -> Self {
        let mut secrets = support::secrets(&configuration);
        secrets.push(Secret::new(token));
        let configuring = Configuring::new(&settings.runtime_dir);
        Self(Arc::new(Inner {
            configuration,
            node,
            settings,
            secrets,
            console,
            journal: Journal::default(),
            halves,
            turn: Semaphore::new(1),
            examinations: Examinations::default(),
            configuring,
            https,
        }))
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/api/v1/log", get(log))
            .route("/api/v1/support", get(bundle))
            .route("/api/v1/support/other", get(other_half))
            .route(
                "/api/v1/doctor",
                get(examination::last).post(examination::examine),
            )
            .route(
                "/api/v1/license",
                get(license::console::show).post(license::console::add),
            )
            .route("/api/v1/certificate", post(certificate::change))
            .route("/api/v1/configuration", get(configuring::show))
            .route("/api/v1/configuration/plan", post(configuring::plan))
            .route(
                "/api/v1/configuration/apply",
                get(configuring::applied).post(configuring::apply),
            )
            .with_state(self)
    }

    pub(crate) fn examinations(&self) -> &Examinations {
        &self.0.examinations
    }

    pub(crate) fn configuring(&self) -> &Configuring {
        &self.0.configuring
    }

    pub(crate) fn https(&self) -> &Https {
        &self.0.https
    }

    pub(crate) fn console(&self) -> &Console {
        &self.0.console
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn node(&self) -> NodeId {
        self.0.node
    }

    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.0.secrets
    }
}

pub(crate) fn error(status: StatusCode, error: impl Into<String>) -> Response {
    let body = ApiError {
        error: error.into(),
        hint: None,
    };
    (status, Json(body)).into_response()
}

async fn log(
    State(Machine(machine)): State<Machine>,
    Extension(caller): Extension<Caller>,
    Query(question): Query<Question>,
) -> Response {
    if !may_read(caller.role(), question.source) {
        let text = "the daemon's log has the command log in it: it needs the role admin";
        return error(StatusCode::FORBIDDEN, text);
    }
    let Some(module) = machine.configuration.module(question.module.as_deref()) else {
        return error(
            StatusCode::BAD_REQUEST,
            "there is no such module, or several",
        );
    };
    let units = match question.source {
        Source::Daemon => vec!["tandem.service".to_owned()],
        Source::Mirror => vec![format!("tandem-mirror@{}.service", module.name)],
        Source::Application => support::units_of(module),
    };
    let mut scrubber = Scrubber::new(machine.secrets.clone());
    match machine.journal.read(units, &question, &mut scrubber).await {
        Ok(mut lines) => {
            lines.node = machine.node.number();
            Json(lines).into_response()
        }
        Err(failed) => error(StatusCode::SERVICE_UNAVAILABLE, crate::report(&failed)),
    }
}

/// The daemon writes into its log who asked for what.
const fn may_read(role: Role, source: Source) -> bool {
    match source {
        Source::Daemon => matches!(role, Role::Admin),
        Source::Mirror | Source::Application => true,
    }
}

#[derive(Deserialize)]
struct Manner {
    #[serde(default)]
    anonymise: bool,
}

async fn bundle(
    State(Machine(machine)): State<Machine>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    Query(Manner { anonymise }): Query<Manner>,
) -> Response {
    let Ok(_turn) = machine.turn.try_acquire() else {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "another bundle is being made",
        );
    };
    let manner: &[&str] = if anonymise { &["--anonymise"] } else { &[] };
    let made = run_support(&machine.settings, manner, BUNDLE_MAX).await;
    let result = match &made {
        Ok(bundle) => format!("done: {} bytes", bundle.len()),
        Err(failed) => format!("failed: {failed}"),
    };
    let what = match anonymise {
        true => "support bundle --anonymise",
        false => "support bundle",
    };
    let asked = Asked {
        what: what.to_owned(),
        why: None,
        result,
    };
    machine.console.asked(&caller, origin, asked);
    let bundle = match made {
        Ok(bundle) => bundle,
        Err(failed) => {
            let text = format!("make the support bundle: {failed}");
            return error(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
    };
    let (node, at) = (machine.node.number(), unix_ms() / 1000);
    let name = format!("attachment; filename=\"tandem-support-node{node}-{at}.tar.gz\"");
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/gzip"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&name).expect("plain letters"),
        ),
    ];
    (headers, Body::from(bundle)).into_response()
}

/// For the process that makes a bundle: what the other node knows.
async fn other_half(State(Machine(machine)): State<Machine>) -> Response {
    match machine.halves.fetch().await {
        Ok(half) => {
            let kind = HeaderValue::from_static("application/gzip");
            ([(header::CONTENT_TYPE, kind)], Body::from(half)).into_response()
        }
        Err(failed) => {
            let status = match failed {
                HalfError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                HalfError::Silent
                | HalfError::Late
                | HalfError::TooLarge
                | HalfError::Problem(_) => StatusCode::BAD_GATEWAY,
            };
            error(status, crate::report(&failed))
        }
    }
}

/// What `tandem support` writes.
pub(crate) async fn run_support(
    settings: &Settings,
    manner: &[&str],
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let words = [&["support", "--output", "-"], manner].concat();
    match run_self(settings, &words, limit).await? {
        (bundle, status) if status.success() => Ok(bundle),
        (_, status) => Err(io::Error::other(format!("it ended with {status}"))),
    }
}

/// What this very program prints for these words, behind everybody else, and how it ended.
pub(crate) async fn run_self(
    settings: &Settings,
    words: &[&str],
    limit: Duration,
) -> io::Result<(Vec<u8>, ExitStatus)> {
    let printed = timeout(limit, print(settings, words)).await;
    printed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

/// What this very program says on both of its streams for these words, and how it ended.
pub(crate) async fn ask_self(
    settings: &Settings,
    words: &[&OsStr],
    limit: Duration,
) -> io::Result<Output> {
    let mut command = of_self(settings, words)?;
    let said = timeout(limit, command.output()).await;
    said.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

fn of_self(settings: &Settings, words: &[impl AsRef<OsStr>]) -> io::Result<Command> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", UNPROTECTED, "tandem", "nice", "-n", "19"]);
    command.arg(std::env::current_exe()?);
    command
        .args(words)
        .arg("--config")
        .arg(&settings.config)
        .arg("--state-dir")
        .arg(&settings.state_dir)
        .arg("--runtime-dir")
        .arg(&settings.runtime_dir)
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

async fn print(settings: &Settings, words: &[&str]) -> io::Result<(Vec<u8>, ExitStatus)> {
    let mut command = of_self(settings, words)?;
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut printed = Vec::new();
    let mut bounded = stdout.take(PRINTED_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut printed).await?;
    if printed.len() > PRINTED_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok((printed, child.wait().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_see_the_command_log_does_not_find_it_in_the_daemons() {
        for role in [Role::Monitor, Role::Control] {
            assert!(!may_read(role, Source::Daemon));
            assert!(may_read(role, Source::Mirror) && may_read(role, Source::Application));
        }
        assert!(may_read(Role::Admin, Source::Daemon));
    }
}
