//! Services that are command lines. The processes that a start leaves behind are found again, by
//! this or a later run of the daemon, through a note in the runtime directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Child;

use super::cgroup::{ControlGroup, ProcessId};
use super::process;
use super::remains::Remains;
use super::shell;

/// The processes of one command service.
#[derive(Clone, Debug)]
pub struct CommandProcesses {
    service: String,
    /// Two daemons of one machine (each with a runtime directory of its own) may have services of
    /// the same name.
    group: String,
    note: PathBuf,
}

impl CommandProcesses {
    pub fn new(module: &str, service: &str, runtime_dir: &Path) -> Self {
        let name = format!("{module}.{service}").replace('/', "-");
        let daemon = crc32c::crc32c(runtime_dir.as_os_str().as_encoded_bytes());
        Self {
            service: service.to_owned(),
            group: format!("tandem.{daemon:08x}.{name}"),
            note: runtime_dir.join(format!("{name}.processes")),
        }
    }

    /// Runs the start command in a control group of its own, or, where none can be made, in a
    /// process group only.
    ///
    /// # Errors
    /// It cannot be run, or not be noted.
    pub fn spawn(&self, line: &str) -> io::Result<Child> {
        let container = match ControlGroup::create(&self.group) {
            Ok(container) => Some(container),
            Err(error) => {
                tracing::warn!(
                    service = self.service, %error,
                    "no control group can be made: processes that leave their group are not found"
                );
                None
            }
        };
        let child = shell::spawn(line, container.as_ref())?;
        let leader = child.id().expect("the child was not waited for");
        let note = Note {
            leader,
            start_time: process::start_time(leader).unwrap_or(0),
            container: container.map(|group| group.dir().to_owned()),
        };
        if let Err(error) = fs::write(&self.note, note.to_string()) {
            // Without the note it would never be found again.
            shell::kill_group(leader);
            return Err(error);
        }
        Ok(child)
    }

    /// What is known of the last start. `None`: nothing was started, or nothing was left of it.
    pub fn remains(&self) -> Option<Remains> {
        let note = Note::parse(&fs::read_to_string(&self.note).ok()?)?;
        // Another process with the leader's number: its group is not ours.
        let reused = process::start_time(note.leader).is_some_and(|time| time != note.start_time);
        Some(Remains {
            control_group: note.container.map(ControlGroup::at),
            process_group: (!reused).then_some(note.leader),
        })
    }

    /// Forgets the last start, unless something of it is left.
    pub fn forget_if_gone(&self) {
        let Some(remains) = self.remains() else {
            return;
        };
        if !remains.processes().is_empty() {
            return;
        }
        if let Some(group) = remains.control_group {
            group.remove();
        }
        // A note that stays names processes that are gone.
        let _ = fs::remove_file(&self.note);
    }
}

/// What is written down at a start.
#[derive(PartialEq, Eq, Debug)]
struct Note {
    leader: ProcessId,
    start_time: u64,
    container: Option<PathBuf>,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {}", self.leader, self.start_time)?;
        match &self.container {
            Some(dir) => writeln!(f, "{}", dir.display()),
            None => Ok(()),
        }
    }
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (leader, start_time) = lines.next()?.split_once(' ')?;
        Some(Self {
            leader: leader.parse().ok()?,
            start_time: start_time.parse().ok()?,
            container: lines.next().map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for container in [None, Some(PathBuf::from("/sys/fs/cgroup/a b/tandem.m.s"))] {
            let note = Note {
                leader: 7,
                start_time: 99,
                container,
            };
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        assert_eq!(Note::parse("half"), None);
    }

    #[test]
    fn a_reused_process_number_is_not_taken_for_the_service() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let processes = CommandProcesses::new("m", "s", dir.path());
        let note = Note {
            leader: std::process::id(),
            start_time: 1,
            container: None,
        };
        fs::write(&processes.note, note.to_string()).expect("write");
        assert_eq!(processes.remains(), Some(Remains::default()));
    }
}
