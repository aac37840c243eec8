//! Before and after the show: that the machine can give it, that nobody else gives one, that
//! nothing is left behind, and what is said when it fails.

use super::DemoOptions;
use super::borrowed;
use super::equipment;
use super::error::{Attempt, DemoError, Result};
use super::linux;
use super::picture::Screen;
use super::report::Report;
use super::script::{Plan, Show};
use super::stage::{self, Logs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// The status of a process that Ctrl-C has ended, as shells count it.
const INTERRUPTED_STATUS: u8 = 130;
/// How many lines of each log are shown with an error.
const LOG_LINES: usize = 15;

/// Gives the show that the options ask for.
pub fn run(options: &DemoOptions) -> ExitCode {
    let screen = Screen::new(stage::VIRTUAL_ADDRESS.to_string());
    match prepare(&screen).and_then(|lock| perform(options, &screen, lock)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(DemoError::Interrupted) => ExitCode::from(INTERRUPTED_STATUS),
        Err(error) => {
            eprintln!("tandem demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes sure that the machine can give the show, and removes what is left of an earlier one.
fn prepare(screen: &Screen) -> Result<UnixListener> {
    stage::check_machine()?;
    linux::catch_interruptions().attempt(|| "catch Ctrl-C".to_owned())?;
    // The name of a socket that is no file ends with the process that has it.
    let lock = SocketAddr::from_abstract_name("tandem-demo")
        .and_then(|name| UnixListener::bind_addr(&name))
        .map_err(|_| DemoError::Busy)?;
    if stage::remains() {
        screen.say("removing what an earlier demonstration left");
        stage::clear(Logs::Remove)?;
    }
    Ok(lock)
}

fn perform(options: &DemoOptions, screen: &Screen, _lock: UnixListener) -> Result<bool> {
    if options.clean {
        return Ok(true);
    }
    let mut curtain = Curtain {
        falls: Falls::RemovingAll,
    };
    let outcome = give(options, screen);
    screen.close();
    match outcome {
        Ok((report, kept)) => {
            screen.print(&report.text());
            match kept {
                Some(farewell) => {
                    curtain.falls = Falls::Never;
                    screen.print(&farewell);
                }
                None if !report.is_good() && options.sabotage().is_none() => {
                    curtain.falls = Falls::KeepingLogs;
                    show_logs(screen);
                }
                None => {}
            }
            Ok(report.is_good())
        }
        Err(DemoError::Interrupted) => {
            screen.print("interrupted: removing everything");
            Err(DemoError::Interrupted)
        }
        Err(error) => {
            curtain.falls = Falls::KeepingLogs;
            show_logs(screen);
            Err(error)
        }
    }
}

/// Gives the show; with `KEEP=1` the pair runs on, and there is something to say about it.
fn give(options: &DemoOptions, screen: &Screen) -> Result<(Report, Option<String>)> {
    let plan = Plan::new(options);
    if options.plain {
        return Ok((equipment::show(screen, &plan)?, None));
    }
    let show = Show::new(screen, plan)?;
    let report = show.give()?;
    // Without root there is no door to what runs on, and nobody could remove it.
    if std::env::var("KEEP").is_ok_and(|keep| keep == "1") && !borrowed::is_borrowed() {
        let farewell = show.run_on()?;
        return Ok((report, Some(farewell)));
    }
    Ok((report, None))
}

/// What happens when the curtain falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Falls {
    RemovingAll,
    KeepingLogs,
    Never,
}

/// Falls however the show ends, also in a panic.
struct Curtain {
    falls: Falls,
}

impl Drop for Curtain {
    fn drop(&mut self) {
        linux::ignore_interruptions();
        let logs = match self.falls {
            Falls::RemovingAll => Logs::Remove,
            Falls::KeepingLogs => Logs::Keep,
            Falls::Never => return,
        };
        if let Err(error) = stage::clear(logs) {
            eprintln!("tandem demo: {error}; `tandem demo --clean` tries again");
        }
    }
}

/// Shows the ends of the logs, and where they are.
fn show_logs(screen: &Screen) {
    let Ok(entries) = std::fs::read_dir(stage::log_directory()) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        screen.print(&format!("\n── the end of {} ──\n{end}", file.display()));
    }
}
