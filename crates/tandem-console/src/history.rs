//! What was: states of both nodes with their reasons, decisions, services and checkers.
//!
//! It is level-triggered: the whole status is looked at, and what differs from the last look is
//! written down. So it does not matter if a look was missed, and the peer's decisions are found
//! again when its link comes back. A thread owns the database; what waits for it is one status.

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tandem_wire::api::{ClusterStatus, Job, JobState, ModuleStatus};
use tokio::sync::Semaphore;

/// The oldest entry: 90 days.
const AGE_MAX_MS: u64 = 90 * 24 * 3600 * 1000;
/// The size of the file. Some 200 bytes an entry: more than a million.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// How many entries are written between two looks at age and size.
const LOOK_EVERY: u64 = 1000;
/// Answers that are looked for at a time: the database gives one after the other.
const ANSWERS_MAX: usize = 2;
/// Entries in one answer.
pub const PAGE_MAX: usize = 500;

/// One thing that was.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Its place; `before` takes it.
    pub id: i64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// 1 or 2.
    pub node: u8,
    /// The module.
    pub module: String,
    /// `state`, `decision`, `alarm`, `service`, `checker`, `address`, `command`.
    pub kind: String,
    /// The service, checker, address or command.
    pub name: String,
    /// States: `PRIM`, …; services and checkers: as in the status; addresses: `held`, `free`;
    /// commands: `done`.
    pub state: String,
    /// States: `green`, `magenta`, `red`.
    pub colour: String,
    /// States: the data column. Commands: how long it took, in milliseconds.
    pub data: String,
    /// Why, as one sentence.
    pub because: String,
    /// Decisions: what came in.
    pub inputs: String,
    /// Decisions: the row of the table of transitions.
    pub row: Option<u8>,
}

/// A question for the past.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Question {
    /// Only this module.
    pub module: Option<String>,
    /// Only this node.
    pub node: Option<u8>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only entries older than this one.
    pub before: Option<i64>,
    /// At most so many; [`PAGE_MAX`] in any case.
    pub limit: Option<usize>,
}

/// The database does not do what it should.
#[derive(Debug, thiserror::Error)]
#[error("{act} the history")]
pub struct HistoryError {
    /// What was attempted.
    pub act: &'static str,
    /// Why not.
    #[source]
    pub source: rusqlite::Error,
}

fn failed(act: &'static str) -> impl FnOnce(rusqlite::Error) -> HistoryError {
    move |source| HistoryError { act, source }
}

/// What is kept of the last look, to see what differs.
type Seen = HashMap<(u8, String, &'static str, String), [String; 3]>;

struct Inner {
    database: Connection,
    seen: Seen,
    written: u64,
}

/// The history. Clones share the database.
#[derive(Clone)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
    answers: Arc<Semaphore>,
}

impl History {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let database = Connection::open(path).map_err(failed("open"))?;
        // A lost last second costs nothing; a wait for the disk of the application would.
        let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS entry (
                 id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, node INTEGER NOT NULL,
                 module TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
                 colour TEXT NOT NULL, data TEXT NOT NULL, because TEXT NOT NULL,
                 inputs TEXT NOT NULL, \"row\" INTEGER) STRICT;
             CREATE INDEX IF NOT EXISTS by_time ON entry (at_ms);
             CREATE UNIQUE INDEX IF NOT EXISTS decision_once ON entry (node, module, at_ms, because)
                 WHERE kind IN ('decision', 'alarm');";
        database.execute_batch(set_up).map_err(failed("set up"))?;
        Ok(Self::of(database))
    }

    fn of(database: Connection) -> Self {
        let inner = Inner {
            database,
            seen: Seen::new(),
            written: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
        }
    }

    /// Opens the file of another process, to ask only.
    ///
    /// # Errors
    /// [`HistoryError`]: also if there is none.
    pub fn look(path: &Path) -> Result<Self, HistoryError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(failed("open"))?;
        // Whoever writes needs some milliseconds now and then.
        let patience = std::time::Duration::from_secs(5);
        database.busy_timeout(patience).map_err(failed("open"))?;
        Ok(Self::of(database))
    }

    /// Looks at the status and writes down what is new. Waits for the disk.
    ///
    /// # Errors
    /// [`HistoryError`]; what was not written is found again at the next look.
    pub fn observe(&self, status: &ClusterStatus, at_ms: u64) -> Result<(), HistoryError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for node in &status.nodes {
            for module in &node.modules {
                let base = Entry {
                    at_ms,
                    node: node.node,
                    module: module.name.clone(),
                    ..Entry::default()
                };
                collect(&base, module, &mut fresh);
            }
        }
        inner.write(fresh)
    }

    /// Writes down how long a command took that is done, however like the last one it was. One that
    /// failed says nothing about that. Waits for the disk.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub fn ended(&self, job: &Job, at_ms: u64) -> Result<(), HistoryError> {
        let (JobState::Done, Some(took_ms)) = (job.state, job.took_ms) else {
            return Ok(());
        };
        let command = serde_json::to_value(job.command).expect("plain data");
        let entry = Entry {
            at_ms,
            node: job.node,
            module: job.module.clone(),
            kind: "command".to_owned(),
            name: command.as_str().unwrap_or_default().to_owned(),
            state: "done".to_owned(),
            data: took_ms.to_string(),
            because: job.message.clone(),
            ..Entry::default()
        };
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        put(&inner.database, &entry).map_err(failed("write"))
    }

    /// As [`History::ask`], where the disk holds nobody up. Who hangs up keeps the place until the
    /// answer is there: else the questions of one who does so again and again would take all the
    /// threads that may wait for a disk.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub async fn answer(&self, question: Question) -> Result<Vec<Entry>, HistoryError> {
        let turn = self.answers.clone().acquire_owned().await;
        let history = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            history.ask(&question)
        });
        answer.await.expect("a question does not panic")
    }

    /// Answers, newest first. Waits for the disk.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub fn ask(&self, question: &Question) -> Result<Vec<Entry>, HistoryError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = question.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let mut statement = (inner.database)
            .prepare_cached(
                "SELECT id, at_ms, node, module, kind, name, state, colour, data, because, inputs,
                        \"row\"
                 FROM entry
                 WHERE (?1 IS NULL OR module = ?1) AND (?2 IS NULL OR node = ?2)
                   AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR id < ?4)
                 ORDER BY id DESC LIMIT ?5",
            )
            .map_err(failed("ask"))?;
        let rows = statement.query_map(
            params![
                question.module,
                question.node,
                question.kind,
                question.before,
                limit as i64
            ],
            |row| {
                Ok(Entry {
                    id: row.get(0)?,
                    at_ms: row.get::<_, i64>(1)? as u64,
                    node: row.get(2)?,
                    module: row.get(3)?,
                    kind: row.get(4)?,
                    name: row.get(5)?,
                    state: row.get(6)?,
                    colour: row.get(7)?,
                    data: row.get(8)?,
                    because: row.get(9)?,
                    inputs: row.get(10)?,
                    row: row.get(11)?,
                })
            },
        );
        let rows = rows.map_err(failed("ask"))?;
        rows.collect::<Result<_, _>>().map_err(failed("read"))
    }
}

/// Everything that this module shows, in the form of entries; most of them are known already.
fn collect(base: &Entry, module: &ModuleStatus, fresh: &mut Vec<Entry>) {
    for decision in &module.history {
        fresh.push(Entry {
            at_ms: decision.at_ms,
            kind: decision.kind.clone(),
            because: decision.because.clone(),
            inputs: decision.inputs.clone(),
            row: decision.row,
            ..base.clone()
        });
    }
    // The percentage moves all the time, and is no news.
    let data = match module.data.starts_with("resyncing") {
        true => "resyncing".to_owned(),
        false => module.data.clone(),
    };
    fresh.push(Entry {
        kind: "state".into(),
        state: module.state.clone(),
        colour: module.colour.clone(),
        data,
        because: module.reason.clone(),
        ..base.clone()
    });
    for (kind, resources) in [("service", &module.services), ("checker", &module.checkers)] {
        for resource in resources {
            fresh.push(Entry {
                kind: kind.into(),
                name: resource.name.clone(),
                state: resource.state.clone(),
                because: resource.reason.clone().unwrap_or_default(),
                ..base.clone()
            });
        }
    }
    for address in &module.addresses {
        fresh.push(Entry {
            kind: "address".into(),
            name: address.address.clone(),
            state: if address.held { "held" } else { "free" }.into(),
            ..base.clone()
        });
    }
}

impl Inner {
    fn write(&mut self, fresh: Vec<Entry>) -> Result<(), HistoryError> {
        let Self {
            database,
            seen,
            written,
        } = self;
        let mut wanted = Vec::new();
        for entry in fresh {
            let (kind, face) = match entry.kind.as_str() {
                "state" => ("state", [&entry.state, &entry.colour, &entry.data]),
                "service" => ("service", [&entry.state, &entry.because, &entry.data]),
                "checker" => ("checker", [&entry.state, &entry.colour, &entry.data]),
                "address" => ("address", [&entry.state, &entry.colour, &entry.data]),
                // Decisions are told apart by their time; the database knows which are there.
                _ => ("decision", [&entry.because, &entry.inputs, &entry.kind]),
            };
            let name = match kind {
                "decision" => format!("{} {}", entry.at_ms, entry.because),
                _ => entry.name.clone(),
            };
            let key = (entry.node, entry.module.clone(), kind, name);
            let face = face.map(String::clone);
            if seen.get(&key) != Some(&face) {
                wanted.push((key, face, entry));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let transaction = database.transaction().map_err(failed("write"))?;
        for (_, _, entry) in &wanted {
            insert(&transaction, entry).map_err(failed("write"))?;
        }
        transaction.commit().map_err(failed("write"))?;
        *written += wanted.len() as u64;
        for (key, face, _) in wanted {
            seen.insert(key, face);
        }
        // Each status carries the last few dozen decisions; older ones need not be remembered.
        if seen.len() > 32 * 1024 {
            seen.retain(|(_, _, kind, _), _| *kind != "decision");
        }
        if *written >= LOOK_EVERY {
            *written = 0;
            trim(database, crate::unix_ms()).map_err(failed("shorten"))?;
        }
        Ok(())
    }
}

fn insert(database: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    // After a restart the last state of each is known to the file only.
    if entry.kind != "decision" && entry.kind != "alarm" {
        let last: Option<(String, String, String)> = database
            .prepare_cached(
                "SELECT state, colour, data FROM entry
                 WHERE node = ?1 AND module = ?2 AND kind = ?3 AND name = ?4
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(
                params![entry.node, entry.module, entry.kind, entry.name],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let same = last.is_some_and(|(state, colour, data)| {
            (state, colour, data)
                == (
                    entry.state.clone(),
                    entry.colour.clone(),
                    entry.data.clone(),
                )
        });
        if same {
            return Ok(());
        }
    }
    put(database, entry)
}

fn put(database: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT OR IGNORE INTO entry (at_ms, node, module, kind, name, state, colour, data,
                 because, inputs, \"row\")
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            entry.at_ms as i64,
            entry.node,
            entry.module,
            entry.kind,
            entry.name,
            entry.state,
            entry.colour,
            entry.data,
            entry.because,
            entry.inputs,
            entry.row
        ])?;
    Ok(())
}

/// Drops what is too old, and the oldest tenth while the file is too large. The pages are used
/// again, so the file stays at its largest size.
fn trim(database: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    let oldest = now_ms.saturating_sub(AGE_MAX_MS);
    database.execute("DELETE FROM entry WHERE at_ms < ?1", params![oldest as i64])?;
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        database.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let used = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
    if used as u64 > FILE_BYTES_MAX / 10 * 9 {
        database.execute(
            "DELETE FROM entry WHERE id IN
                 (SELECT id FROM entry ORDER BY id LIMIT (SELECT count(*) / 10 FROM entry))",
            [],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use tandem_wire::api::{CommandName, HistoryEntry, NodeStatus, ResourceStatus};

    fn status(state: &str, service: &str) -> ClusterStatus {
        let module = ModuleStatus {
            name: "videeos".into(),
            state: state.into(),
            reason: format!("because of {state}"),
            services: vec![ResourceStatus {
                name: "sql".into(),
                state: service.into(),
                reason: None,
            }],
            history: vec![HistoryEntry {
                at_ms: 7,
                kind: "decision".into(),
                row: Some(8),
                because: "the other node is silent".into(),
                inputs: "silence".into(),
            }],
            ..ModuleStatus::default()
        };
        let node = NodeStatus {
            node: 2,
            modules: vec![module],
            ..NodeStatus::default()
        };
        ClusterStatus {
            nodes: vec![node],
            ..ClusterStatus::default()
        }
    }

    fn kinds(history: &History) -> Vec<String> {
        let entries = history.ask(&Question::default()).expect("it answers");
        let words = entries.iter().rev();
        words.map(|e| format!("{} {}", e.kind, e.state)).collect()
    }

    #[test]
    fn each_change_is_written_once_and_known_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.db");
        let history = History::open(&path).expect("it opens");
        for at in [10, 11, 12] {
            history
                .observe(&status("SECOND", "stopped"), at)
                .expect("it writes");
        }
        drop(history);
        let history = History::open(&path).expect("it opens");
        history
            .observe(&status("SECOND", "stopped"), 20)
            .expect("it writes");
        history
            .observe(&status("ALONE", "running"), 21)
            .expect("it writes");
        let expected = [
            "decision ",
            "state SECOND",
            "service stopped",
            "state ALONE",
            "service running",
        ];
        assert_eq!(kinds(&history), expected);
        let states = Question {
            kind: Some("state".into()),
            limit: Some(1),
            ..Question::default()
        };
        let states = history.ask(&states).expect("it answers");
        assert_eq!(
            (states[0].at_ms, states[0].because.as_str()),
            (21, "because of ALONE")
        );
    }

    #[test]
    fn what_is_done_is_found_with_how_long_it_took() {
        let directory = tempfile::tempdir().expect("a directory");
        let history = History::open(&directory.path().join("history.db")).expect("it opens");
        let job = |state, took_ms| Job {
            job: "j".into(),
            node: 2,
            module: "videeos".into(),
            command: CommandName::Swap,
            begun: true,
            state,
            message: "node2: PRIM".into(),
            progress: Vec::new(),
            took_ms,
        };
        for (at_ms, state, took_ms) in [
            (1, JobState::Running, None),
            (2, JobState::Done, Some(8000)),
            (3, JobState::Failed, Some(5)),
            // Exactly as long as before: it is there again.
            (4, JobState::Done, Some(8000)),
        ] {
            let ended = history.ended(&job(state, took_ms), at_ms);
            ended.expect("it writes");
        }
        let question = Question {
            module: Some("videeos".into()),
            kind: Some("command".into()),
            ..Question::default()
        };
        let found = history.ask(&question).expect("it answers");
        let found: Vec<_> = (found.iter())
            .map(|e| (e.at_ms, e.node, e.name.as_str(), e.data.as_str()))
            .collect();
        assert_eq!(found, [(4, 2, "swap", "8000"), (2, 2, "swap", "8000")]);
    }

    #[test]
    fn what_is_too_old_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let history = History::open(&directory.path().join("history.db")).expect("it opens");
        history
            .observe(&status("SECOND", "stopped"), 1)
            .expect("it writes");
        let now = AGE_MAX_MS + 1000;
        history
            .observe(&status("ALONE", "running"), now)
            .expect("it writes");
        let inner = history.inner.lock().expect("no panic");
        trim(&inner.database, now + 500).expect("it shortens");
        drop(inner);
        assert_eq!(kinds(&history), ["state ALONE", "service running"]);
    }

    #[tokio::test]
    async fn who_hangs_up_makes_room_for_a_question_only_when_the_answer_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let history = History::open(&directory.path().join("h")).expect("it opens");
        {
            let _slow = history.inner.lock().expect("no panic");
            for left in (0..ANSWERS_MAX).rev() {
                let asked = pin!(history.answer(Question::default()));
                let hung_up = asked.poll(&mut Context::from_waker(Waker::noop()));
                assert!(hung_up.is_pending(), "the disk is slow");
                assert_eq!(history.answers.available_permits(), left);
            }
        }
        let answer = history.answer(Question::default()).await;
        assert_eq!(answer.expect("it answers"), []);
    }
}
