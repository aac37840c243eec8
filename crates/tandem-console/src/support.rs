//! What a person who helps needs to see, in one `.tar.gz`: states, configuration, what was, logs,
//! versions, facts about the machine; of both nodes.
//!
//! Nothing of the state directory is copied. Every file is written here, from what is named here,
//! and every text goes through the [`Scrubber`]: where it is read ([`Half::add`]), by the node that
//! knows what is secret there, and where it is packed ([`pack`]), by the node that is asked.

mod archive;
mod half;

pub use archive::{Names, pack};
pub use half::Half;

use crate::history::{History, Question};
use crate::{Secret, audit};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program that knows a fact may take.
const FACT_MAX: Duration = Duration::from_secs(10);
/// Bytes of one fact; the end of it is kept.
const FACT_BYTES_MAX: usize = 8 << 20;
/// Lines of the log.
const LOG_LINES_MAX: &str = "20000";
/// Entries of the history.
const HISTORY_MAX: usize = 20_000;
/// Bytes of a file with environment variables that is looked through for what must not be shown.
const ENVIRONMENT_BYTES_MAX: u64 = 1 << 20;
/// What is said about a unit. Not its file and not its environment, which hold secrets.
const UNIT_PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts,\
     ExecMainStatus,ExecMainCode,MainPID,StateChangeTimestamp,MemoryCurrent,TasksCurrent,NeedDaemonReload";

/// What goes into it.
#[derive(Debug, Default)]
pub struct Material {
    /// The release.
    pub version: String,
    /// 1 or 2.
    pub node: Option<u8>,
    /// The configuration field by field, in which secrets cannot be.
    pub configuration: Vec<(String, String)>,
    /// Why there is none.
    pub configuration_problem: Option<String>,
    /// Both nodes as the daemon shows them, as JSON; or why it does not.
    pub status: String,
    /// Where the history and the audit log are.
    pub state_dir: PathBuf,
    /// The application's units.
    pub units: Vec<String>,
    /// The application's directories.
    pub volumes: Vec<PathBuf>,
    /// What must not be in it, wherever it comes from.
    pub secrets: Vec<Secret>,
    /// Kind and name of what says whose it is.
    pub names: Vec<(&'static str, String)>,
    /// Where programs are found; `None`: as usual.
    pub path: Option<OsString>,
}

/// Collects what this node knows. What cannot be had is said in its place.
pub async fn collect(mut material: Material) -> Half {
    let machine = Machine(material.path.take());
    let mut secrets = std::mem::take(&mut material.secrets);
    for unit in &material.units {
        secrets.extend(environment(&machine, unit).await);
    }
    let commands = commands(&material.state_dir);
    // Whoever gave a command has a name too.
    let people = commands.iter().map(|entry| {
        let who = entry.who.strip_prefix("token ").unwrap_or(&entry.who);
        ("user", who.to_owned())
    });
    let mut names = std::mem::take(&mut material.names);
    names.extend(people.filter(|(_, who)| who != "root" && who != "cluster"));
    names.extend(hostname().map(|name| ("node", name)));
    let mut half = Half::new(material.node, secrets, names);
    let node = material
        .node
        .map_or("no cluster".to_owned(), |node| format!("node{node}"));
    let at = crate::unix_ms();
    let version = format!(
        "tandem {}\n{node}\nmade at {at} (milliseconds since 1970)\n",
        material.version
    );
    half.add("version", &version);
    let fields = material.configuration.iter();
    let mut configuration: String = fields
        .map(|(field, value)| format!("{field} = {value}\n"))
        .collect();
    if let Some(problem) = &material.configuration_problem {
        configuration = format!("it cannot be used: {problem}\n");
    }
    half.add("configuration", &configuration);
    half.add("status.json", &material.status);
    half.add("history.jsonl", &history(&material.state_dir));
    half.add("commands.jsonl", &lines(&commands));
    for (name, fact) in facts(&machine, &material).await {
        half.add(name, &fact);
    }
    half
}

fn history(state_dir: &Path) -> String {
    let history = match History::look(&state_dir.join("history.db")) {
        Ok(history) => history,
        Err(error) => return format!("{error}: {}\n", error.source),
    };
    let mut entries = Vec::new();
    let mut before = None;
    while entries.len() < HISTORY_MAX {
        let question = Question {
            before,
            ..Question::default()
        };
        match history.ask(&question) {
            Ok(page) if page.is_empty() => break,
            Ok(page) => {
                before = page.last().map(|entry| entry.id);
                entries.extend(page);
            }
            Err(error) => return format!("{error}: {}\n", error.source),
        }
    }
    lines(&entries)
}

fn commands(state_dir: &Path) -> Vec<audit::Entry> {
    audit::read(&state_dir.join("audit.log"))
}

fn lines(entries: &[impl serde::Serialize]) -> String {
    let lines = entries.iter();
    lines
        .map(|entry| serde_json::to_string(entry).expect("plain data") + "\n")
        .collect()
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

async fn facts(machine: &Machine, material: &Material) -> Vec<(&'static str, String)> {
    let log = [
        "-u",
        "tandem.service",
        "-u",
        "tandem-guard.service",
        "-u",
        "tandem-mirror@*.service",
    ];
    let log = [
        &[
            "--no-pager",
            "-q",
            "-o",
            "short-iso-precise",
            "-n",
            LOG_LINES_MAX,
        ],
        &log[..],
    ];
    let mut facts = vec![("log", machine.says("journalctl", &log.concat()).await)];

    let properties = format!("--property={UNIT_PROPERTIES}");
    let mut units = vec![
        "show",
        &properties,
        "tandem.service",
        "tandem-mirror@*.service",
    ];
    units.extend(material.units.iter().map(String::as_str));
    facts.push(("units", machine.says("systemctl", &units).await));

    let mut text = String::new();
    for file in [
        "/etc/os-release",
        "/proc/version",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/meminfo",
    ] {
        let content = std::fs::read_to_string(file).unwrap_or_else(|error| error.to_string());
        text += &format!("== {file}\n{}\n", content.trim_end());
    }
    let volumes: Vec<_> = material
        .volumes
        .iter()
        .filter_map(|path| path.to_str())
        .collect();
    let disks = [&["-P", "-T", "-k", "/", "/var/lib"], &volumes[..]].concat();
    let asked: [(&str, &[&str]); 5] = [
        ("df", &disks),
        ("ip", &["-brief", "address"]),
        ("ip", &["route"]),
        ("timedatectl", &["show"]),
        ("ps", &["-eo", "pid,ppid,stat,pcpu,rss,etimes,comm"]),
    ];
    for (program, arguments) in asked {
        let said = machine.says(program, arguments).await;
        text += &format!(
            "== {program} {}\n{}\n",
            arguments.join(" "),
            said.trim_end()
        );
    }
    facts.push(("machine", text));
    facts
}

/// What a unit's processes find in their environment: looked through so that none of it is shown.
async fn environment(machine: &Machine, unit: &str) -> Vec<Secret> {
    let properties = ["show", "--property=Environment,EnvironmentFiles", unit];
    let said = machine.says("systemctl", &properties).await;
    let mut texts = Vec::new();
    for line in said.lines() {
        if let Some(assignments) = line.strip_prefix("Environment=") {
            texts.push(assignments.to_owned());
        } else if let Some(file) = line.strip_prefix("EnvironmentFiles=") {
            let file = file.rsplit_once(" (").map_or(file, |(file, _)| file);
            let small =
                std::fs::metadata(file).is_ok_and(|file| file.len() <= ENVIRONMENT_BYTES_MAX);
            texts.extend(small.then(|| std::fs::read_to_string(file).ok()).flatten());
        }
    }
    texts.iter().flat_map(|text| values(text)).collect()
}

/// The values of `A=b "C=d e"`, and of lines of that kind.
fn values(text: &str) -> Vec<Secret> {
    let mut values = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars().chain(['\n']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                if let Some((_, value)) = std::mem::take(&mut word).split_once('=') {
                    values.push(value.to_owned());
                }
            }
            (_, c) => word.push(c),
        }
    }
    // Where something lies is no secret, and logs are useless without.
    values.retain(|value| !(value.starts_with('/') && Path::new(value).exists()));
    values.into_iter().map(Secret::new).collect()
}

/// Where programs are found.
struct Machine(Option<OsString>);

impl Machine {
    /// What a program says, in bounded time and length; or why it does not.
    async fn says(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env("LC_ALL", "C.UTF-8");
        if let Some(path) = &self.0 {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return format!("{program} cannot be run: {error}\n"),
        };
        let mut stdout = child.stdout.take().expect("it is piped");
        let mut said = Vec::new();
        let read = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..length]);
                let surplus = said.len().saturating_sub(FACT_BYTES_MAX);
                said.drain(..surplus);
            }
        };
        let late = timeout(FACT_MAX, read).await.is_err();
        let text = String::from_utf8_lossy(&said).into_owned();
        match late {
            true => format!("{text}\n{program} took too long\n"),
            false => text,
        }
    }
}
