//! Another configuration file for this node: looked at, and put in place.
//!
//! The daemon that put one in place starts anew with it, as after a kill: mirror and application
//! go on meanwhile. A crash before the rename leaves the file of before, one after it the new one;
//! the file of before stays beside it as `tandem.toml.before`.
//!
//! Nothing is put in place under a module that has to stand still for it, whoever asks.

mod applying;
pub(crate) mod console;

use crate::check::{self, Asker};
use crate::config::{self, Configuration, Fate, digest_words};
use crate::daemon::Settings;
use crate::files::{self, FileError};
use crate::hub::Hub;
use crate::units::{self, UnitsError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
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
    #[error("module {0} runs, and has to stand still for this: tandem stop --all --module {0}")]
    Runs(String),
    #[error(transparent)]
    Units(#[from] UnitsError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It is good for this node, and no more was asked.
    Good,
    /// The daemon works with it already.
    Known,
    /// It is in place; the daemon has to start anew.
    InPlace,
}

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Configure {
    settings: Settings,
    /// What this daemon works with.
    works_with: Arc<Configuration>,
    hub: Hub,
    /// One at a time: the file beside the configuration has one name.
    turn: Arc<Mutex<()>>,
    /// The daemon is to start anew.
    again: Arc<Notify>,
}

impl Configure {
    pub(crate) fn new(settings: Settings, works_with: Arc<Configuration>, hub: Hub) -> Self {
        Self {
            settings,
            works_with,
            hub,
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
    pub(crate) async fn take(&self, file: &NewFile) -> Result<Taken, ConfigureError> {
        let _turn = self.turn.lock().await;
        let path = &self.settings.config;
        let meant = |text: &str| {
            let configuration = Configuration::parse(path, text);
            configuration.map_err(|error| ConfigureError::Invalid(crate::report(&error)))
        };
        let new = meant(&file.text)?;
        let text = files::read(path)?;
        let old = meant(&String::from_utf8_lossy(&text))?;
        let (current, wanted) = (digest_words(&old), digest_words(&new));
        // Equal to the new one: it was put in place here already, and the other node stopped then.
        if current != file.instead_of && current != wanted {
            return Err(ConfigureError::Another);
        }
        let mode = std::fs::metadata(path).map_err(files::failed("look at", path))?;
        let mode = mode.permissions().mode() & 0o7777;
        let beside = files::beside(path);
        files::remove(&beside)?;
        files::create(&beside, mode, file.text.as_bytes())?;
        let looked = self.look(beside.clone(), (&old, &new)).await;
        files::remove(&beside)?;
        looked?;
        if !file.put {
            return Ok(Taken::Good);
        }
        let same = text == file.text.as_bytes();
        if same && *self.works_with == new {
            return Ok(Taken::Known);
        }
        self.refuse_under_a_running_module(&new)?;
        units::hand_over(&old, &new, &self.settings).await?;
        if !same {
            files::replace(&config::kept(path), mode, &text)?;
            files::replace(path, mode, file.text.as_bytes())?;
        }
        tracing::info!("another configuration is in place: {wanted} instead of {current}");
        Ok(Taken::InPlace)
    }

    fn refuse_under_a_running_module(&self, new: &Configuration) -> Result<(), ConfigureError> {
        let changes = config::changes(&self.works_with, new);
        for name in changes.iter().flat_map(|change| &change.stops) {
            let place = self.works_with.place(Some(name));
            if place.is_some_and(|place| self.hub.runs(place.0)) {
                return Err(ConfigureError::Runs(name.clone()));
            }
        }
        Ok(())
    }

    /// What the machine lacks for the new file and did not lack for the one of before.
    async fn look(
        &self,
        path: PathBuf,
        (old, new): (&Configuration, &Configuration),
    ) -> Result<(), ConfigureError> {
        let found = |settings| async move {
            let findings = check::check(&settings, Asker::Anybody).await;
            findings.map_err(|error| ConfigureError::Invalid(crate::report(&error)))
        };
        let known: Vec<Finding> = found(self.settings.clone()).await?;
        let settings = Settings {
            config: path,
            ..self.settings.clone()
        };
        let mut lacks: Vec<String> = (found(settings).await?.into_iter())
            .filter(|finding| known.iter().all(|other| other.what != finding.what))
            .map(|finding| format!("{} ({})", finding.what, finding.remedy))
            .collect();
        let directories = config::directories(old, new).into_iter();
        let mirrored = directories.filter(|directory| directory.fate == Fate::Mirrored);
        lacks.extend(mirrored.filter_map(|directory| unfit(&directory.path)));
        match lacks.is_empty() {
            true => Ok(()),
            false => Err(ConfigureError::Machine(lacks.join("; "))),
        }
    }
}

/// Why a directory cannot be mirrored, as far as everybody can see. Whoever mirrors it looks at the
/// rest.
fn unfit(path: &Path) -> Option<String> {
    let path_words = path.display();
    let Ok(about) = std::fs::symlink_metadata(path) else {
        return Some(format!(
            "{path_words} does not exist (mkdir, with the owner and mode that the application needs)"
        ));
    };
    if !about.is_dir() {
        return Some(format!("{path_words} is not a directory"));
    }
    let above = path
        .parent()
        .and_then(|parent| std::fs::metadata(parent).ok());
    let mounted = above.is_some_and(|above| above.dev() != about.dev());
    mounted.then(|| format!("{path_words} is itself a mount point (mirror a directory inside it)"))
}
