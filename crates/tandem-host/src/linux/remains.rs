//! The processes of a service that have to end, and their ending by force.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cgroup::{ControlGroup, ProcessId};
use super::{process, shell};

/// How often it is looked whether killed processes are gone. Most go within a millisecond.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How long a killed process may hang in the kernel before it counts as ended all the same. It will
/// never run in user space again; what it waits for is often the very mount that is ended next.
const DOOMED_GRACE: Duration = Duration::from_secs(1);

/// Where the processes of a service are found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remains {
    /// Everything that it started.
    pub control_group: Option<ControlGroup>,
    /// What did not leave the process group of its start command.
    pub process_group: Option<ProcessId>,
}

/// How the ending went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// No process is left.
    Gone,
    /// Every process that is left was killed and only waits in the kernel.
    Doomed(Vec<ProcessId>),
    /// These could not be killed in time.
    Alive(Vec<ProcessId>),
}

impl Remains {
    /// The processes that are left.
    pub fn processes(&self) -> Vec<ProcessId> {
        let mut found = self
            .control_group
            .as_ref()
            .map(ControlGroup::processes)
            .unwrap_or_default();
        found.extend(
            self.process_group
                .map(process::of_group)
                .unwrap_or_default(),
        );
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Kills all of them, once.
    pub fn kill(&self) {
        if let Some(group) = &self.control_group
            && let Err(error) = group.kill()
        {
            tracing::warn!(group = %group.dir().display(), %error, "the control group could not be killed as a whole");
            for process in group.processes() {
                kill_process(process);
            }
        }
        if let Some(group) = self.process_group {
            shell::kill_group(group);
        }
    }

    /// Kills all of them until none is left.
    pub async fn end(&self, limit: Duration) -> Ending {
        let began = Instant::now();
        loop {
            self.kill();
            let left = self.processes();
            if left.is_empty() {
                return Ending::Gone;
            }
            let waited = began.elapsed();
            if waited >= DOOMED_GRACE.min(limit) && left.iter().all(|&p| process::is_doomed(p)) {
                return Ending::Doomed(left);
            }
            if waited >= limit {
                return Ending::Alive(left);
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// Waits until no process is left. `false`: some still were at the deadline.
    pub async fn wait_until_gone(&self, deadline: Instant) -> bool {
        while !self.processes().is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_PERIOD).await;
        }
        true
    }
}

fn kill_process(process: ProcessId) {
    let Ok(process) = i32::try_from(process) else {
        return;
    };
    if process > 1 {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(process),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}
