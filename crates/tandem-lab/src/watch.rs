//! Watches what a node says of itself, without missing a change: its stream of events.
//!
//! Runs as a process in the host's network and cgroup (so that it dies with the host), and notes
//! each change with the machine's boot clock, which all hosts share.

use crate::host::Host;
use crate::lab::Lab;
use crate::linux::boottime;
use crate::product::Face;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tandem_wire::api::ApiEvent;

/// Where a node's events are, on its own machine.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 9010);
/// The pause before it connects again to a daemon that does not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Notes the changes of node `number` in `file` until it is ended.
///
/// # Errors
/// The file cannot be written.
pub fn watch(number: u8, token: &str, file: &Path) -> Result<()> {
    let mut notes = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| file.display().to_string())?;
    let mut last = None;
    loop {
        // A daemon that is away is not an error here: the watcher goes on when it is back.
        let _ = follow(number, token, |face| {
            if last.as_ref() != Some(&face) {
                let (state, colour, data) = &face;
                writeln!(notes, "{}\t{state}\t{colour}\t{data}", boottime())?;
                last = Some(face);
            }
            Ok(())
        });
        std::thread::sleep(RETRY_PAUSE);
    }
}

fn follow(number: u8, token: &str, mut note: impl FnMut(Face) -> Result<()>) -> Result<()> {
    let mut stream = TcpStream::connect(SocketAddr::from(ADDRESS))?;
    write!(
        stream,
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Accept: text/event-stream\r\n\r\n"
    )?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().context("no answer")??;
    if !status.contains(" 200 ") {
        bail!("events: {status}");
    }
    for line in lines {
        let line = line?;
        let Some(data) = line.strip_prefix("data:") else {
            continue;
        };
        let Ok(ApiEvent::Status(status)) = serde_json::from_str(data.trim()) else {
            continue;
        };
        let own = status.nodes.into_iter().find(|n| n.node == number);
        if let Some(module) = own.and_then(|n| n.modules.into_iter().next()) {
            note((module.state, module.colour, module.data))?;
        }
    }
    Ok(())
}

/// A running watcher.
#[derive(Debug)]
pub struct Watcher {
    process: Child,
    file: PathBuf,
}

/// A change that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// On the boot clock in nanoseconds.
    pub at: u64,
    /// State, colour, data.
    pub face: Face,
}

impl Watcher {
    /// Starts watching `host`.
    ///
    /// # Errors
    /// It has no token yet, or does not run.
    pub fn start(lab: &Lab, host: &Host<'_>) -> Result<Self> {
        let token = host.must("cat /var/lib/tandem/token")?;
        let file = lab.directory.join(format!("seen-{}", host.number));
        let _ = fs::remove_file(&file);
        let script = format!(
            "echo $$ >{}/cgroup.procs; exec nsenter --net=/run/netns/{} \"$@\"",
            host.cgroup_for_guests()?.display(),
            lab.switch.stack(host.number)
        );
        let process = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(Lab::tool()?)
            .args(["watch", &host.number.to_string(), token.trim()])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .context("start the watcher")?;
        Ok(Self { process, file })
    }

    /// What was seen so far.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn seen(&self) -> Result<Vec<Seen>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let mut seen = Vec::new();
        for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
            let words = line.trim_end().split('\t').collect::<Vec<_>>();
            let [at, state, colour, data] = words[..] else {
                bail!("a line of the watcher that says nothing: {line:?}");
            };
            seen.push(Seen {
                at: at.parse()?,
                face: (state.to_owned(), colour.to_owned(), data.to_owned()),
            });
        }
        Ok(seen)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
