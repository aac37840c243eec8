//! The show, step by step.

use super::DemoOptions;
use super::client::{Client, Journal};
use super::count::{self, Tally};
use super::equipment;
use super::error::{Attempt, DemoError, Result};
use super::format::{grouped, seconds};
use super::linux;
use super::picture::Screen;
use super::recorder;
use super::stage::{self, Logs};
use super::wait::{self, Program};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The status of a process that Ctrl-C has ended, as shells count it.
const INTERRUPTED_STATUS: u8 = 130;
/// How long the client may go without an answer before the show is over.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How many events must be acknowledged before service counts as resumed.
const RESUMED_EVENTS: usize = 5;
/// How many lines of each log are shown with an error.
const LOG_LINES: usize = 15;

/// How long the quiet parts of the show last.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A part in which nothing happens but the client's writing.
    pub quiet: Duration,
}

impl Pace {
    fn new(fast: bool) -> Self {
        Self {
            quiet: Duration::from_secs(if fast { 1 } else { 4 }),
        }
    }
}

/// Gives the show that the options ask for.
pub fn run(options: &DemoOptions) -> ExitCode {
    let screen = Screen::new(stage::VIRTUAL_ADDRESS.to_string());
    match prepare(&screen).and_then(|lock| perform(options, &screen, lock)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(DemoError::Interrupted) => ExitCode::from(INTERRUPTED_STATUS),
        Err(error) => {
            screen.close();
            eprintln!("tandem demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes sure that the machine can give the show, that nobody else gives one, and that nothing of
/// an earlier one is left.
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
    let mut curtain = Curtain { logs: Logs::Remove };
    let pace = Pace::new(options.fast);
    let outcome = equipment::show(screen, pace);
    screen.close();
    match outcome {
        Ok(tally) => {
            tell(screen, &tally);
            Ok(tally.is_whole())
        }
        Err(DemoError::Interrupted) => {
            screen.print("interrupted: removing everything");
            Err(DemoError::Interrupted)
        }
        Err(error) => {
            curtain.logs = Logs::Keep;
            show_logs(screen);
            Err(error)
        }
    }
}

/// Falls however the show ends, and removes everything.
struct Curtain {
    logs: Logs,
}

impl Drop for Curtain {
    fn drop(&mut self) {
        linux::ignore_interruptions();
        if let Err(error) = stage::clear(self.logs) {
            eprintln!("tandem demo: {error}; `tandem demo --clean` tries again");
        }
    }
}

fn tell(screen: &Screen, tally: &Tally) {
    screen.print(&format!(
        "\n  events acknowledged  {}\n  found                {}\n  lost                 {}\n  \
         duplicates           {}\n  in doubt             {} sent without an answer, {} of them found",
        grouped(tally.acknowledged),
        grouped(tally.found),
        grouped(tally.lost.len()),
        grouped(tally.duplicates.len()),
        tally.in_doubt,
        tally.in_doubt_found,
    ));
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
        screen.print(&format!("\n── {} ──\n{end}", file.display()));
    }
}

/// The mirrored directory: the same path on both nodes, each on its own disk.
pub fn volume_directory() -> PathBuf {
    stage::disk_directory().join("recorder")
}

/// The arguments of the recorder's command `word` on a node.
pub fn recorder_command(word: &str) -> String {
    format!(
        "demo-recorder {word} --directory {} --pid-file /run/recorder.pid",
        volume_directory().display(),
    )
}

/// Waits until the client is served again after `moment`, and gives the outage that it saw.
pub fn acknowledged_after(client: &Client, moment: Instant, what: &str) -> Result<Duration> {
    let what = format!("the client's events to be acknowledged after {what}");
    wait::until(&what, ANSWER_LIMIT, || {
        let answers = answers(&client.journal());
        let later = answers.iter().filter(|at| **at > moment).count();
        if later >= RESUMED_EVENTS {
            Ok(count::outage(&answers, moment).unwrap_or_default())
        } else {
            let silence = answers.last().unwrap_or(&moment).elapsed();
            Err(format!("there was no answer for {}", seconds(silence)))
        }
    })
}

fn answers(journal: &Journal) -> Vec<Instant> {
    journal.acknowledged.iter().map(|event| event.at).collect()
}

/// Ends the client, and gives what it wrote down.
pub fn close_client(mut client: Client) -> Result<Journal> {
    client.stop().attempt(|| "run the client".to_owned())?;
    Ok(std::mem::take(&mut *client.journal()))
}

/// Mounts the disk of a node that is switched off, and asks Debian's own SQLite what is in the
/// database.
pub fn count(number: u8, journal: &Journal) -> Result<Tally> {
    let directory = stage::disk_directory();
    Program::new(format!("mount the disk of node{number}"), "mount")
        .args(["-t", "ext4", "-o", "loop"])
        .args([&stage::disk_image(number), &directory])
        .run()?;
    let database = volume_directory().join(recorder::DATABASE);
    let answer = select(&database);
    Program::new(format!("unmount the disk of node{number}"), "umount")
        .args([&directory])
        .run()?;
    stage::release_disk(number)?;
    let held = count::parse_numbers(&answer?)?;
    let acknowledged: Vec<u64> = journal
        .acknowledged
        .iter()
        .map(|event| event.number)
        .collect();
    Ok(Tally::new(&acknowledged, &journal.in_doubt, &held))
}

fn select(database: &Path) -> Result<String> {
    Program::new(
        format!("open {} with sqlite3", database.display()),
        "sqlite3",
    )
    .args(["-batch", "-bail"])
    .args([database])
    .args(["SELECT number FROM event ORDER BY id;"])
    .run()
}
