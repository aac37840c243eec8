//! `tandem config apply` begun by the page. The daemon that begins it starts anew in the middle of it,
//! so it is a process of its own, which outlives daemons, and all that is known of it lies in a
//! directory that is empty after a boot: what it said, who asked, and the new file while it runs.
//!
//! The file with what it said is locked for as long as the process lives, however that ends.

use crate::files::{self, FileError, SECRET};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_console::audit::Entry;
use tandem_console::notify::UNPROTECTED;
use tandem_wire::api::ApplicationState;
use tokio::time::sleep;

/// Runs its further arguments with nobody to wait for it, then removes the new file, which is the
/// first one. Whoever gives up after an hour: services that need longer are stopped by hand first.
const ALONE: &str = "file=$1; shift; (timeout 3600 \"$@\"; ended=$?; rm -f \"$file\"; \
                     echo \"ended $ended\") &";
/// What it says last, with how it ended.
const ENDED: &str = "ended ";
/// What it may say: some lines for each module.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(500);
/// In the command log, until it has.
const UNDER_WAY: &str = "under way";

/// Why it was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("a configuration is being applied by this node already")]
    UnderWay,
    #[error(transparent)]
    File(#[from] FileError),
    #[error("run `tandem config apply`")]
    Run(#[source] io::Error),
}

/// Where new files and what is known of applying them lie.
pub(crate) fn directory(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("configure")
}

/// How the last one is getting on.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Who asked for it; as what the command log has.
    pub asked: Entry,
    pub state: ApplicationState,
    pub lines: Vec<String>,
}

/// The directory of it.
pub(crate) struct Applying {
    directory: PathBuf,
    /// Whoever looks holds the lock for a moment, too.
    turn: Mutex<()>,
}

impl Applying {
    pub(crate) fn new(runtime_dir: &Path) -> Self {
        Self {
            directory: directory(runtime_dir),
            turn: Mutex::default(),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to apply a text; `words` are the program and its words before the new file, and those
    /// after it. Gives back the end of the one before, if nobody has written it down yet.
    pub(crate) fn begin(
        &self,
        text: &str,
        asked: Entry,
        words: (&[OsString], &[OsString]),
    ) -> Result<Option<Entry>, ApplyError> {
        let _turn = self.turn();
        let before = match self.take_end()? {
            End::None => None,
            End::Ahead => return Err(ApplyError::UnderWay),
            End::Of(entry) => Some(entry),
        };
        files::create_directory(&self.directory)?;
        let said = self.place("said");
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(SECRET)
            .open(&said)
            .map_err(files::failed("open", &said))?;
        match log.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ApplyError::UnderWay),
            Err(TryLockError::Error(error)) => {
                return Err(files::failed("lock", &said)(error).into());
            }
        }
        log.set_len(0).map_err(files::failed("empty", &said))?;
        self.write_down(&Entry {
            result: UNDER_WAY.to_owned(),
            ..asked
        })?;
        let file = self.place("new.toml");
        files::replace(&file, SECRET, text.as_bytes())?;
        let streams = log.try_clone().map_err(ApplyError::Run)?;
        let begun = Command::new("/bin/sh")
            .args([
                "-c",
                UNPROTECTED,
                "tandem",
                "/bin/sh",
                "-c",
                ALONE,
                "tandem",
            ])
            .arg(&file)
            .args(words.0)
            .arg(&file)
            .args(words.1)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(streams)
            .stderr(log)
            .status();
        match begun {
            Ok(status) if status.success() => Ok(before),
            Ok(status) => Err(ApplyError::Run(io::Error::other(status.to_string()))),
            Err(error) => Err(ApplyError::Run(error)),
        }
    }

    fn write_down(&self, asked: &Entry) -> Result<(), FileError> {
        let asked = serde_json::to_vec(asked).expect("plain data");
        files::replace(&self.place("asked.json"), SECRET, &asked)
    }

    /// The last one, if one was begun since the boot.
    pub(crate) fn seen(&self) -> Result<Option<Seen>, FileError> {
        let _turn = self.turn();
        self.look()
    }

    fn look(&self) -> Result<Option<Seen>, FileError> {
        let asked = self.place("asked.json");
        if !asked.exists() {
            return Ok(None);
        }
        let asked = serde_json::from_slice(&files::read(&asked)?).unwrap_or_default();
        let said = self.place("said");
        let mut log = File::open(&said).map_err(files::failed("open", &said))?;
        let running = matches!(log.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut text = Vec::new();
        (&mut log)
            .take(SAID_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(files::failed("read", &said))?;
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let ended = lines.pop_if(|line| !running && line.starts_with(ENDED));
        Ok(Some(Seen {
            asked,
            state: match (running, ended.as_deref()) {
                (true, _) => ApplicationState::Running,
                (false, Some("ended 0")) => ApplicationState::Done,
                (false, Some("ended 3")) => ApplicationState::Refused,
                (false, Some(_)) => ApplicationState::Failed,
                (false, None) => ApplicationState::Interrupted,
            },
            lines,
        }))
    }

    /// Waits for the end of one whose end is not written down yet, and gives it back for that.
    /// `None`: there is no such one.
    pub(crate) async fn end(&self) -> Result<Option<Entry>, FileError> {
        loop {
            let end = {
                let _turn = self.turn();
                self.take_end()?
            };
            match end {
                End::None => return Ok(None),
                End::Ahead => sleep(LOOK).await,
                End::Of(entry) => return Ok(Some(entry)),
            }
        }
    }

    /// Its end, for whoever asks first after it.
    fn take_end(&self) -> Result<End, FileError> {
        let Some(seen) = self.look()? else {
            return Ok(End::None);
        };
        if seen.state == ApplicationState::Running {
            return Ok(End::Ahead);
        }
        if seen.asked.result != UNDER_WAY {
            return Ok(End::None);
        }
        let entry = Entry {
            result: result(&seen),
            ..seen.asked
        };
        self.write_down(&entry)?;
        Ok(End::Of(entry))
    }
}

/// What is to be written into the command log.
enum End {
    /// Nothing: there was none, or it is there already.
    None,
    /// It is under way.
    Ahead,
    /// This.
    Of(Entry),
}

/// For the command log.
fn result(seen: &Seen) -> String {
    let last = seen.lines.iter().rev();
    let mut last = last.filter_map(|line| line.strip_prefix("tandem: "));
    let reason = last.next().unwrap_or("it said no reason");
    match seen.state {
        ApplicationState::Running => UNDER_WAY.to_owned(),
        ApplicationState::Done => "done: both nodes have it".to_owned(),
        ApplicationState::Refused => format!("refused: {reason}"),
        ApplicationState::Failed => format!("failed: {reason}"),
        ApplicationState::Interrupted => "lost: what applied it was ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn asked() -> Entry {
        Entry {
            who: "anna".to_owned(),
            what: "config apply".to_owned(),
            ..Entry::default()
        }
    }

    /// A shell's line stands in for `tandem config apply`.
    fn begin(applying: &Applying, line: &str) -> Result<Option<Entry>, ApplyError> {
        let before = ["/bin/sh", "-c", line, "tandem"].map(OsString::from);
        applying.begin("text\n", asked(), (&before, &["--yes".into()]))
    }

    fn ended(applying: &Applying) -> Seen {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = applying.seen().expect("readable").expect("begun");
            if seen.state != ApplicationState::Running {
                return seen;
            }
            assert!(Instant::now() < end, "{seen:?}");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn one_is_under_way_at_a_time_and_its_end_is_written_down_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Applying::new(directory.path());
        assert!(first.seen().expect("readable").is_none());
        assert_eq!(first.end().await.expect("readable"), None);
        let go = directory.path().join("go");
        let made = Command::new("mkfifo").arg(&go).status().expect("coreutils");
        assert!(made.success());
        let line = format!("cat \"$1\"; echo \"$2\"; read _ <{}; echo on", go.display());
        begin(&first, &line).expect("begun");
        // As after the daemon started anew.
        let second = Applying::new(directory.path());
        let seen = second.seen().expect("readable").expect("begun");
        assert_eq!(
            (seen.state, &*seen.asked.who),
            (ApplicationState::Running, "anna")
        );
        assert!(matches!(begin(&second, "true"), Err(ApplyError::UnderWay)));
        std::fs::write(&go, "\n").expect("somebody reads");
        let entry = second
            .end()
            .await
            .expect("readable")
            .expect("not written down yet");
        assert_eq!(entry.result, "done: both nodes have it");
        assert_eq!(second.end().await.expect("readable"), None);
        let seen = ended(&second);
        assert_eq!(seen.lines, ["text", "--yes", "on"]);
        assert!(
            !first.place("new.toml").exists(),
            "commands do not stay there"
        );
    }

    #[test]
    fn each_end_has_its_word() {
        let directory = tempfile::tempdir().expect("a directory");
        let applying = Applying::new(directory.path());
        for (line, state, said) in [
            (
                "echo tandem: node2: no >&2; echo hint: x; exit 3",
                ApplicationState::Refused,
                "refused: node2: no",
            ),
            (
                "echo tandem: a; echo tandem: b; exit 1",
                ApplicationState::Failed,
                "failed: b",
            ),
        ] {
            begin(&applying, line).expect("begun");
            let seen = ended(&applying);
            assert_eq!((seen.state, &*result(&seen)), (state, said), "{line}");
        }
        // The next one came before anybody has written that end down.
        let before = begin(&applying, "true").expect("begun").expect("an end");
        assert_eq!(before.result, "failed: b");
        ended(&applying);

        std::fs::write(applying.place("said"), "node1: stopping\n").expect("a file");
        let seen = ended(&applying);
        assert_eq!(seen.state, ApplicationState::Interrupted);
    }
}
