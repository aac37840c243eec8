//! What people and scripts asked for: who, from where, what, why, and how it went.
//!
//! One line of JSON each, in a file that is begun anew when it is full; the one before is kept. A
//! thread writes, so that a disk that hangs holds nobody up.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The size at which a file is put aside. Two of them hold some 40,000 commands.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Entries that wait for the disk. More than anybody types while a disk hangs.
const WAITING_MAX: usize = 1024;
/// Entries that are shown.
pub const SHOWN_MAX: usize = 500;
/// The longest text of an entry.
const TEXT_BYTES_MAX: usize = 400;

/// One thing that somebody asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The user's name, `token NAME`, or `root` on this node.
    pub who: String,
    /// The address, or `local`.
    pub from: String,
    /// What, with its object: `swap videeos on node2`, `sign in`, `remove user anna`.
    pub what: String,
    /// Why, in the words of who asked.
    pub why: Option<String>,
    /// How it went: `done`, `refused`, `failed`, …, with the reason.
    pub result: String,
}

/// The log. Clones write to the same.
#[derive(Clone)]
pub struct Audit {
    recent: Arc<Mutex<VecDeque<Entry>>>,
    writer: SyncSender<Entry>,
}

impl Audit {
    /// Opens the log at `path`, and reads what it says already.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn open(path: &Path) -> io::Result<Self> {
        let recent = read(path).into();
        let file = open(path)?;
        let (writer, entries) = sync_channel(WAITING_MAX);
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&path, file, &entries))?;
        Ok(Self {
            recent: Arc::new(Mutex::new(recent)),
            writer,
        })
    }

    /// Writes an entry down.
    pub fn record(&self, mut entry: Entry) {
        entry.at_ms = crate::unix_ms();
        for text in [&mut entry.who, &mut entry.what, &mut entry.result] {
            shorten(text);
        }
        if let Some(why) = &mut entry.why {
            shorten(why);
        }
        tracing::info!(
            who = entry.who,
            from = entry.from,
            why = entry.why,
            "asked: {}: {}",
            entry.what,
            entry.result
        );
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut recent, entry.clone());
        drop(recent);
        if self.writer.try_send(entry).is_err() {
            tracing::error!("the disk is too slow for the audit log: an entry is missing in it");
        }
    }

    /// The newest entries, newest last.
    #[must_use]
    pub fn recent(&self) -> Vec<Entry> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }
}

/// The newest entries of the log at `path`, newest last. It need not be there.
#[must_use]
pub fn read(path: &Path) -> Vec<Entry> {
    let mut recent = VecDeque::new();
    for path in [put_aside(path), path.to_owned()] {
        let Ok(file) = File::open(path) else { continue };
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            // A line that a crash cut off is left out.
            if let Ok(entry) = serde_json::from_str(&line) {
                keep(&mut recent, entry);
            }
        }
    }
    recent.into()
}

fn keep(recent: &mut VecDeque<Entry>, entry: Entry) {
    recent.push_back(entry);
    if recent.len() > SHOWN_MAX {
        recent.pop_front();
    }
}

/// Shortens a text, and takes out what could pretend to be another line or colour a terminal.
fn shorten(text: &mut String) {
    if text.chars().any(pretends) {
        *text = text.replace(pretends, " ");
    }
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .expect("0 is a boundary");
        text.truncate(end);
        text.push('…');
    }
}

/// Control characters, the other ways to end a line, and what turns the direction of writing round.
fn pretends(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn put_aside(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn write(path: &Path, mut file: File, entries: &Receiver<Entry>) {
    for entry in entries {
        let mut line = serde_json::to_vec(&entry).expect("plain data");
        line.push(b'\n');
        let written = file.write_all(&line).and_then(|()| {
            if file.metadata()?.len() >= FILE_BYTES_MAX {
                std::fs::rename(path, put_aside(path))?;
                file = open(path)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::error!("write {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: &str) -> Entry {
        Entry {
            who: "anna".into(),
            from: "192.0.2.7".into(),
            what: what.into(),
            result: "done".into(),
            ..Entry::default()
        }
    }

    fn until(mut condition: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !condition() {
            assert!(std::time::Instant::now() < end, "not in time");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn what_was_asked_is_known_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        let audit = Audit::open(&path).expect("it opens");
        audit.record(entry(
            "swap videeos\n{\"who\":\"admin\"}\r\u{1b}[2J\u{85}\u{2028}\u{202e}x",
        ));
        until(|| std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        drop(audit);
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(text.lines().count(), 1, "nobody forges a second line");
        let audit = Audit::open(&path).expect("it opens");
        let what = &audit.recent()[0].what;
        assert_eq!(what, "swap videeos {\"who\":\"admin\"}  [2J   x");
    }

    #[test]
    fn the_log_never_grows_beyond_two_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        let audit = Audit::open(&path).expect("it opens");
        let long = "x".repeat(10_000);
        for _ in 0..40 {
            let before = std::fs::metadata(&path).map_or(0, |file| file.len());
            for _ in 0..WAITING_MAX / 2 {
                audit.record(entry(&long));
            }
            until(|| std::fs::metadata(&path).is_ok_and(|file| file.len() != before));
        }
        let sizes = [&path, &put_aside(&path)].map(|path| {
            let file = std::fs::metadata(path);
            file.map_or(0, |file| file.len())
        });
        assert!(
            sizes.iter().all(|size| *size < FILE_BYTES_MAX + 4096),
            "{sizes:?}"
        );
        assert!(sizes[1] > 0, "the one before is kept");
        assert_eq!(audit.recent().len(), SHOWN_MAX);
    }
}
