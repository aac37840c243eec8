//! Another configuration file for this node: looked at, and put in place.
//!
//! The daemon that put one in place starts anew with it, as after a kill: mirror and application
//! go on meanwhile. A crash before the rename leaves the file of before, one after it the new one;
//! the file of before stays beside it as `tandem.toml.before`.

use crate::check::{self, Asker};
use crate::config::{Configuration, digest_words};
use crate::daemon::Settings;
use crate::files::{self, FileError};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tandem_host::setup::Finding;
use tandem_wire::api::NewFile;
use tokio::sync::{Mutex, Notify};

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigureError {
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the configuration of this node is not the one that the new file takes the place of; make \
         both files equal first"
    )]
    Another,
    #[error("this machine is not as the new file says: {0}")]
    Machine(String),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Configure {
    settings: Settings,
    /// One at a time: the file beside the configuration has one name.
    turn: Arc<Mutex<()>>,
    /// The daemon is to start anew.
    again: Arc<Notify>,
}

impl Configure {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            turn: Arc::default(),
            again: Arc::default(),
        }
    }

    /// Comes back when a file was put in place.
    pub(crate) async fn wanted(&self) {
        self.again.notified().await;
    }

    /// The daemon starts anew with the file that is in place. Whoever asked was answered.
    pub(crate) fn begin_again(&self) {
        self.again.notify_one();
    }

    /// Looks at a file, and puts it in place if that is wanted.
    pub(crate) async fn take(&self, file: &NewFile) -> Result<(), ConfigureError> {
        let _turn = self.turn.lock().await;
        let path = &self.settings.config;
        let meant = |text: &str| {
            let configuration = Configuration::parse(path, text);
            configuration.map_err(|error| ConfigureError::Invalid(crate::report(&error)))
        };
        let new = digest_words(&meant(&file.text)?);
        let before = files::read(path)?;
        let current = digest_words(&meant(&String::from_utf8_lossy(&before))?);
        // Equal to the new one: it was put in place here already, and the other node stopped then.
        if current != file.instead_of && current != new {
            return Err(ConfigureError::Another);
        }
        let mode = std::fs::metadata(path).map_err(files::failed("look at", path))?;
        let mode = mode.permissions().mode() & 0o7777;
        let beside = files::beside(path);
        files::remove(&beside)?;
        files::create(&beside, mode, file.text.as_bytes())?;
        let looked = self.look(beside.clone()).await;
        files::remove(&beside)?;
        looked?;
        if file.put {
            let mut kept = path.clone().into_os_string();
            kept.push(".before");
            files::replace(&PathBuf::from(kept), mode, &before)?;
            files::replace(path, mode, file.text.as_bytes())?;
            tracing::info!("another configuration is in place: {new} instead of {current}");
        }
        Ok(())
    }

    /// What the machine lacks for the new file and did not lack for the one of before.
    async fn look(&self, new: PathBuf) -> Result<(), ConfigureError> {
        let found = |config| async move {
            let findings = check::check(&config, Asker::Anybody).await;
            findings.map_err(|error| ConfigureError::Invalid(crate::report(&error)))
        };
        let known: Vec<Finding> = found(self.settings.clone()).await?;
        let settings = Settings {
            config: new,
            ..self.settings.clone()
        };
        let lacks: Vec<String> = (found(settings).await?.into_iter())
            .filter(|finding| known.iter().all(|other| other.what != finding.what))
            .map(|finding| format!("{} ({})", finding.what, finding.remedy))
            .collect();
        match lacks.is_empty() {
            true => Ok(()),
            false => Err(ConfigureError::Machine(lacks.join("; "))),
        }
    }
}
