//! What is typed, and what comes back: words and an exit code.
//!
//! 0 done · 1 failed · 2 usage · 3 refused · 4 timed out waiting · 5 no daemon · 6 the other node
//! does not answer. Scripts rely on them.

mod arguments;
mod check;
mod cluster;
mod command;
mod mirror;
mod status;
mod volumes;

pub use arguments::{Arguments, Top};

use arguments::{ClusterVerb, ConfigVerb, Places, Verb};
use std::process::ExitCode;
use std::time::Duration;
use tandem_daemon::client::ClientError;
use tandem_daemon::report;
use tracing_subscriber::EnvFilter;

/// How long a daemon that cannot run keeps the service manager, which restarts it within
/// milliseconds, from doing that again.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// How a command line ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Refused; the reason was printed.
    Refused = 3,
    /// Waiting took too long; it goes on.
    TimedOut = 4,
    /// No daemon runs here.
    NoDaemon = 5,
    /// The other node does not answer.
    PeerUnreachable = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Carries out what was typed.
pub fn run(verb: Verb, places: &Places) -> Exit {
    match verb {
        Verb::Daemon => daemon(places),
        Verb::Mirror { module } => {
            log_to_stderr();
            mirror::run(places, &module)
        }
        Verb::Guard => {
            log_to_stderr();
            volumes::guard(places)
        }
        Verb::Status(options) => asynchronously(status::run(places, &options)),
        Verb::Start(options) => asynchronously(command::start(places, &options)),
        Verb::Stop(options) => asynchronously(command::stop(places, &options)),
        Verb::Restart(options) => asynchronously(command::restart(places, &options)),
        Verb::Stopstart(options) => asynchronously(command::stopstart(places, &options)),
        Verb::Swap(options) => asynchronously(command::swap(places, &options)),
        Verb::Prim { force, options } => asynchronously(command::prim(places, force, &options)),
        Verb::Second(options) => asynchronously(command::second(places, &options)),
        Verb::Config {
            verb: ConfigVerb::Check,
        } => asynchronously(check::run(places)),
        Verb::Cluster { verb } => match verb {
            ClusterVerb::Init { offline, wait } => match offline {
                Some(directories) => cluster::init_offline(&directories),
                None => asynchronously(cluster::init(places, wait)),
            },
            ClusterVerb::Invite { wait } => asynchronously(cluster::invite(places, wait)),
            ClusterVerb::Join { address, token } => {
                asynchronously(cluster::join(places, &address, &token))
            }
            ClusterVerb::ServeInvitation => asynchronously(cluster::serve(places)),
        },
    }
}

fn daemon(places: &Places) -> Exit {
    log_to_stderr();
    match tandem_daemon::daemon::run(&places.settings()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!("the daemon does not run: {}", report(&error));
            // Whatever is wrong takes a person; a log full of it does not help.
            if std::env::var_os("INVOCATION_ID").is_some() {
                std::thread::sleep(RESTART_PAUSE);
            }
            Exit::Failed
        }
    }
}

/// Says what is wrong, and gives the exit code that belongs to it.
fn complain(error: &ClientError) -> Exit {
    eprintln!("tandem: {}", report(error));
    match error {
        ClientError::NoDaemon { .. } => Exit::NoDaemon,
        ClientError::Refused { error, .. } => {
            if let Some(hint) = &error.hint {
                eprintln!("hint: {hint}");
            }
            Exit::Refused
        }
        ClientError::NotPermitted { .. } | ClientError::Broken | ClientError::Malformed(_) => {
            Exit::Failed
        }
    }
}

fn asynchronously(work: impl Future<Output = Exit>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("tandem: start: {error}");
            Exit::Failed
        }
    }
}

/// What goes wrong with the log itself is not said: nobody would hear it, and a log that is a
/// broken pipe must not end a process that serves.
fn log_to_stderr() {
    use std::io::IsTerminal;
    let filter = EnvFilter::try_from_env("TANDEM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false);
    // The journal has a clock of its own.
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
}
