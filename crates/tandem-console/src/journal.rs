//! Reads the machine's journal for the page: Tandem's own units and the application's.
//!
//! Which units, the caller says; a browser only chooses among them. Each question is one bounded run
//! of `journalctl`, and goes on where the last one ended, so that nobody keeps a process running by
//! looking. What comes is scrubbed: what the application writes is none of ours, and everybody with
//! the role `monitor` sees it.

use crate::scrub::Scrubber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Lines in one answer.
pub const LINES_MAX: usize = 500;
/// How long one run may take, the wait for its turn included.
const RUN_MAX: Duration = Duration::from_secs(10);
/// Bytes of one run. Beyond that the application writes more than anybody reads.
const RUN_BYTES_MAX: usize = 4 << 20;
/// Runs at a time: each reads the disk that the application needs.
const RUNS_MAX: usize = 2;
/// Bytes of one line.
const LINE_BYTES_MAX: usize = 2048;
/// The longest place in the journal.
const PLACE_BYTES_MAX: usize = 300;

/// Whose log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The daemon's, with what concerns all modules.
    Daemon,
    /// The module's mirror's.
    Mirror,
    /// The module's units'.
    Application,
}

/// `GET /api/v1/log`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Question {
    /// Whose.
    pub source: Source,
    /// The module; default: the only one.
    #[serde(default)]
    pub module: Option<String>,
    /// Only what came after this place.
    #[serde(default)]
    pub after: Option<String>,
    /// At most so many of the newest; [`LINES_MAX`] in any case.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Lines {
    /// 1 or 2: the node whose journal this is.
    pub node: u8,
    /// The units that were asked for.
    pub units: Vec<String>,
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Where the next question goes on; none: nothing was ever written.
    pub place: Option<String>,
    /// Some lines are not here: more came than fit, or the place is gone.
    pub missed: bool,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Whose.
    pub unit: String,
    /// 0 (emergency) to 7 (debug).
    pub priority: u8,
    /// What.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No `journalctl`.
    #[error("the journal of this machine cannot be read")]
    Run(#[source] io::Error),
    /// It took too long.
    #[error("the journal did not answer within {} s", RUN_MAX.as_secs())]
    Slow,
}

/// The journal of this machine.
#[derive(Debug)]
pub struct Journal {
    runs: Semaphore,
    /// Where programs are found; `None`: as usual.
    path: Option<OsString>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::at(None)
    }
}

impl Journal {
    /// With another way to programs.
    #[must_use]
    pub fn at(path: Option<OsString>) -> Self {
        let runs = Semaphore::new(RUNS_MAX);
        Self { runs, path }
    }

    /// What these units wrote.
    ///
    /// # Errors
    /// [`JournalError`]
    pub async fn read(
        &self,
        units: Vec<String>,
        question: &Question,
        scrubber: &mut Scrubber,
    ) -> Result<Lines, JournalError> {
        let limit = question.limit.unwrap_or(LINES_MAX).clamp(1, LINES_MAX);
        let mut found = Lines {
            units,
            place: question.after.clone(),
            ..Lines::default()
        };
        if found.units.is_empty() {
            return Ok(found);
        }
        let after = question.after.as_deref().filter(|place| is_place(place));
        let run = async {
            let _turn = self.runs.acquire().await;
            let told = self.run(&found.units, after, limit).await?;
            match (told, after) {
                (Some(told), _) => Ok((told, false)),
                // The place was in a file that is gone.
                (None, Some(_)) => {
                    let told = self.run(&found.units, None, limit).await?;
                    Ok((told.unwrap_or_default(), true))
                }
                (None, None) => Ok((Vec::new(), false)),
            }
        };
        let (told, gone) = timeout(RUN_MAX, run)
            .await
            .unwrap_or(Err(JournalError::Slow))?;
        for record in told.split(|byte| *byte == b'\n') {
            // The last one may be cut off.
            let Ok(record) = serde_json::from_slice::<Value>(record) else {
                continue;
            };
            if let Some(place) = record["__CURSOR"].as_str() {
                found.place = Some(place.to_owned());
            }
            found.lines.push(line(&record, scrubber));
        }
        let full = question.after.is_some() && found.lines.len() >= limit;
        found.missed = gone || full;
        Ok(found)
    }

    /// What it says, or `None` if it refuses.
    async fn run(
        &self,
        units: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        let mut command = Command::new("journalctl");
        command
            .args(["--no-pager", "-q", "-o", "json"])
            .arg("--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT")
            .arg(format!("--lines={limit}"));
        for unit in units {
            command.arg(format!("--unit={unit}"));
        }
        if let Some(after) = after {
            command.arg(format!("--after-cursor={after}"));
        }
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(JournalError::Run)?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut told = Vec::new();
        let mut bounded = stdout.take(RUN_BYTES_MAX as u64);
        let read = bounded.read_to_end(&mut told).await;
        read.map_err(JournalError::Run)?;
        if told.len() >= RUN_BYTES_MAX {
            return Ok(Some(told));
        }
        let status = child.wait().await.map_err(JournalError::Run)?;
        Ok((status.success() || !told.is_empty()).then_some(told))
    }
}

fn is_place(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=;-".contains(&byte);
    text.len() <= PLACE_BYTES_MAX && text.bytes().all(plain)
}

fn line(record: &Value, scrubber: &mut Scrubber) -> Line {
    let text = |field: &str| record[field].as_str();
    let number = |field: &str| text(field).and_then(|text| text.parse::<u64>().ok());
    // Of what systemd says about a unit, the unit.
    let unit = text("UNIT").or(text("_SYSTEMD_UNIT"));
    let message = match &record["MESSAGE"] {
        Value::String(text) => text.clone(),
        // Not text: its bytes.
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| byte.as_u64().unwrap_or(0) as u8);
            String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
        }
        _ => String::new(),
    };
    Line {
        at_ms: number("__REALTIME_TIMESTAMP").unwrap_or(0) / 1000,
        unit: unit.unwrap_or_default().to_owned(),
        priority: number("PRIORITY").map_or(6, |priority| priority.min(7) as u8),
        text: short(&scrubber.text(&message)),
    }
}

fn short(text: &str) -> String {
    let mut text = text.replace(char::is_control, " ");
    if text.len() > LINE_BYTES_MAX {
        let end = (0..=LINE_BYTES_MAX).rev();
        let mut end = end.filter(|at| text.is_char_boundary(*at));
        text.truncate(end.next().expect("0 is a boundary"));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn journal(directory: &tempfile::TempDir, script: &str) -> Journal {
        let program = directory.path().join("journalctl");
        let log = directory.path().join("asked");
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", log.display());
        fs::write(&program, script).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        Journal::at(Some(path.into()))
    }

    fn question(after: Option<&str>) -> Question {
        Question {
            source: Source::Application,
            module: None,
            after: after.map(str::to_owned),
            limit: Some(2),
        }
    }

    fn units() -> Vec<String> {
        vec!["app.service".into()]
    }

    const TWO: &str = r#"cat <<'END'
{"__CURSOR":"s=1;i=1","__REALTIME_TIMESTAMP":"1700000000123456","PRIORITY":"3","_SYSTEMD_UNIT":"app.service","MESSAGE":"login with password=CANARY at https://h/CANARY"}
{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1700000001000000","_SYSTEMD_UNIT":"init.scope","UNIT":"app.service","MESSAGE":[104,255,27,105]}
{"__CURSOR":"s=1;
END"#;

    #[tokio::test]
    async fn lines_are_read_scrubbed_and_gone_on_from() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = journal(&directory, TWO);
        let mut scrubber = Scrubber::default();
        let found = journal.read(units(), &question(None), &mut scrubber).await;
        let found = found.expect("it answers");
        assert_eq!(found.place.as_deref(), Some("s=1;i=2"));
        assert!(!found.missed);
        let first = &found.lines[0];
        assert_eq!((first.at_ms, first.priority), (1_700_000_000_123, 3));
        assert_eq!(first.text, "login with password=[removed] at https://h…");
        assert_eq!(found.lines[1].unit, "app.service");
        assert_eq!(found.lines[1].text, "h\u{fffd} i");
        let further = question(found.place.as_deref());
        let again = journal.read(units(), &further, &mut scrubber);
        assert!(again.await.expect("it answers").missed, "as many as fit");
        let asked = fs::read_to_string(directory.path().join("asked")).expect("a log");
        assert!(asked.contains("--after-cursor=s=1;i=2"), "{asked}");
    }

    #[tokio::test]
    async fn a_place_that_is_gone_begins_anew_and_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = format!("case \"$*\" in *cursor*) exit 1;; esac\n{TWO}");
        let journal = journal(&directory, &script);
        let (asked, mut scrubber) = (question(Some("s=0")), Scrubber::default());
        let found = journal.read(units(), &asked, &mut scrubber);
        let found = found.await.expect("it answers");
        assert!(found.missed && found.lines.len() == 2);
    }

    #[tokio::test]
    async fn what_a_browser_sends_is_no_argument() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = journal(&directory, TWO);
        let question = question(Some("x --file=/etc/shadow"));
        let found = journal
            .read(units(), &question, &mut Scrubber::default())
            .await;
        assert!(found.is_ok());
        let asked = fs::read_to_string(directory.path().join("asked")).expect("a log");
        assert!(!asked.contains("shadow"), "{asked}");
    }

    #[tokio::test]
    async fn without_units_and_without_a_journal_nothing_hangs() {
        let directory = tempfile::tempdir().expect("a directory");
        let nothing = Journal::at(Some(directory.path().into()));
        let mut scrubber = Scrubber::default();
        let found = nothing
            .read(Vec::new(), &question(None), &mut scrubber)
            .await;
        assert_eq!(found.expect("it answers").lines, []);
        let found = nothing.read(units(), &question(None), &mut scrubber).await;
        assert!(matches!(found, Err(JournalError::Run(_))));
    }
}
