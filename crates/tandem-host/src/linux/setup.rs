//! What must be so on the machine that a service never runs on the plain directory: its unit does
//! not start at boot, and refuses to start unless the volume is mounted and the module serves here.

use std::io;
use std::path::PathBuf;

use crate::service::ServicesConfig;

/// Something that is not as it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What is wrong, as a sentence.
    pub what: String,
    /// What to do about it, as a command or a sentence.
    pub remedy: String,
}

/// Where drop-ins are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// `/etc/systemd/system`: for good.
    #[default]
    Persistent,
    /// `/run/systemd/system`: until the next boot.
    UntilReboot,
}

/// The set-up could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A file could not be written or removed.
    #[error("{act} {}", path.display())]
    Io {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// systemd did not do it.
    #[error("tell systemd about the drop-ins")]
    Systemd(#[from] super::systemd::SystemdError),
}

/// The set-up of the units of one module.
#[derive(Clone, Debug)]
pub struct SetUp {
    #[expect(dead_code, reason = "the files follow")]
    config: ServicesConfig,
}

impl SetUp {
    /// Looks at nothing yet.
    #[must_use]
    pub const fn new(config: ServicesConfig) -> Self {
        Self { config }
    }

    /// Checks that every unit exists, is not masked, and does not start at boot by itself.
    ///
    /// # Errors
    /// systemd cannot be asked.
    #[expect(clippy::unused_async, reason = "the calls follow")]
    pub async fn check(&self) -> Result<Vec<Finding>, SetUpError> {
        Ok(Vec::new())
    }

    /// Writes a drop-in for every unit and lets systemd read it.
    ///
    /// # Errors
    /// A file cannot be written, or systemd cannot be asked.
    #[expect(clippy::unused_async, reason = "the calls follow")]
    pub async fn install_dropins(&self, _place: Place) -> Result<(), SetUpError> {
        Ok(())
    }

    /// Removes the drop-ins from both places and lets systemd read that.
    ///
    /// # Errors
    /// A file cannot be removed, or systemd cannot be asked.
    #[expect(clippy::unused_async, reason = "the calls follow")]
    pub async fn remove_dropins(&self) -> Result<(), SetUpError> {
        Ok(())
    }
}
