//! What is typed, and what comes back: words and an exit code.
//!
//! 0 done · 1 failed · 2 usage · 3 refused · 4 timed out waiting · 5 no daemon · 6 the other node
//! does not answer. Scripts rely on them.

mod amount;
mod arguments;
mod backup;
mod check;
mod cluster;
mod command;
mod configure;
mod console;
mod doctor;
mod estimate;
mod explain;
mod health;
mod leave;
mod license;
mod mirror;
mod reference;
mod setup;
mod status;
mod support;
mod top;
mod volumes;

pub use arguments::{Arguments, Top};

use crate::log;
use arguments::{ClusterVerb, ConfigVerb, LicenseVerb, Places, Verb};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tandem_console::support::Names;
use tandem_daemon::client::ClientError;
use tandem_daemon::daemon::Ended;
use tandem_daemon::report;
use tandem_wire::api::CommandName;

/// How long after its start a process that cannot run ends.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// How a command line ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// `check`: critical.
    Critical = 2,
    /// Refused; the reason was printed. `check`: unknown.
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
        Verb::Daemon => unless_at_once(|| daemon(places)),
        Verb::Mirror { module } => unless_at_once(|| mirror::run(places, &module)),
        Verb::Guard => {
            log::begin();
            volumes::guard(places)
        }
        Verb::Status(options) => asynchronously(status::run(places, &options)),
        Verb::Top => asynchronously(top::run(places)),
        Verb::Doctor(options) => asynchronously(doctor::run(places, &options)),
        Verb::Start(options) => asynchronously(command::start(places, &options)),
        Verb::Stop(options) => asynchronously(command::stop(places, &options)),
        Verb::Restart(options) => asynchronously(command::restart(places, &options)),
        Verb::Stopstart(options) => asynchronously(command::stopstart(places, &options)),
        Verb::Swap(options) => asynchronously(command::swap(places, &options)),
        Verb::Prim { force, options } => asynchronously(command::prim(places, force, &options)),
        Verb::Second { full_sync, options } => {
            asynchronously(command::second(places, full_sync, &options))
        }
        Verb::Failover(switch) => {
            asynchronously(command::switch(places, CommandName::Failover, &switch))
        }
        Verb::Checkers(switch) => {
            asynchronously(command::switch(places, CommandName::Checkers, &switch))
        }
        Verb::Boot(switch) => asynchronously(command::switch(places, CommandName::Boot, &switch)),
        Verb::Verify(options) => asynchronously(command::verify(places, &options)),
        Verb::Estimate { module } => asynchronously(estimate::run(places, module.as_deref())),
        Verb::Support {
            anonymise,
            half,
            output,
        } => {
            let what = match (half, anonymise) {
                (true, _) => support::What::Half,
                (false, true) => support::What::Bundle(Names::Go),
                (false, false) => support::What::Bundle(Names::Stay),
            };
            asynchronously(support::run(places, what, output.as_deref()))
        }
        Verb::Generate { root } => reference::write(&root),
        Verb::User { verb } => asynchronously(console::user(places, verb)),
        Verb::Console { verb } => console::transport(places, &verb),
        Verb::Check { module } => asynchronously(health::run(places, module.as_deref())),
        Verb::Explain { topic, other } => {
            asynchronously(explain::run(places, topic.as_deref(), other.as_deref()))
        }
        Verb::License { verb } => match verb {
            LicenseVerb::Add { file } => license::add(places, &file),
            LicenseVerb::Status => asynchronously(license::status(places)),
            LicenseVerb::Request => license::request(places),
            LicenseVerb::Issue(options) => license::issue(&options),
        },
        Verb::Config { verb } => match verb {
            ConfigVerb::Check => asynchronously(check::run(places)),
            ConfigVerb::Plan { file } => asynchronously(configure::plan(places, &file)),
            ConfigVerb::Apply { file, yes } => asynchronously(configure::apply(places, &file, yes)),
            ConfigVerb::Backup { file } => backup::keep(places, &file),
            ConfigVerb::Restore { file } => asynchronously(backup::put_back(places, &file)),
        },
        Verb::Setup { verb } => asynchronously(setup::run(places, verb)),
        Verb::Cluster { verb } => match verb {
            ClusterVerb::Init { offline, wait } => match offline {
                Some(directories) => cluster::init_offline(&directories),
                None => asynchronously(cluster::init(places, wait)),
            },
            ClusterVerb::Invite { wait } => asynchronously(cluster::invite(places, wait)),
            ClusterVerb::Join { address, token } => {
                asynchronously(cluster::join(places, &address, &token))
            }
            ClusterVerb::Leave { keep, stop } => {
                let running = match stop {
                    true => leave::Running::Stop,
                    false => leave::Running::Refuse,
                };
                let marks = match keep {
                    true => leave::Marks::Keep,
                    false => leave::Marks::Remove,
                };
                asynchronously(leave::run(places, marks, running))
            }
            ClusterVerb::ServeInvitation => asynchronously(cluster::serve(places)),
        },
    }
}

fn daemon(places: &Places) -> Exit {
    match tandem_daemon::daemon::run(&places.settings()) {
        Ok(Ended::Told) => Exit::Done,
        Ok(Ended::Again) => {
            // The same program with the same words, and the same process for the service manager.
            let error = (std::process::Command::new("/proc/self/exe"))
                .args(std::env::args_os().skip(1))
                .exec();
            tracing::error!("the daemon does not start anew: {error}");
            Exit::Failed
        }
        Err(error) => {
            tracing::error!("the daemon does not run: {}", report(&error));
            Exit::Failed
        }
    }
}

/// Runs a process that serves. One that fails at once takes a person: it keeps the service manager,
/// which restarts it within milliseconds, from filling the log with it.
fn unless_at_once(serve: impl FnOnce() -> Exit) -> Exit {
    log::begin();
    let began = Instant::now();
    let exit = serve();
    if exit != Exit::Done && std::env::var_os("INVOCATION_ID").is_some() {
        std::thread::sleep(RESTART_PAUSE.saturating_sub(began.elapsed()));
    }
    exit
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
