//! What a set-up has changed on this machine so far, on disk before it is changed: a set-up that
//! fails, is cancelled, or loses power is taken back completely, then or by the next one.

use super::{SetUpFailure, browsers};
use crate::config::{Configuration, ServiceKind};
use crate::daemon::Settings;
use crate::files::{self, PUBLIC};
use crate::https;
use crate::identity::{self, IdentityError};
use crate::units;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;
use tandem_host::systemd::{self, Systemd};

/// How long a unit may take to stop or to start: as long as the product gives it by default.
const UNIT_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Unfinished {
    /// The configuration file is the set-up's own.
    wrote_configuration: bool,
    /// The console's certificate and key are the set-up's own.
    made_certificate: bool,
    /// The console's accounts are the set-up's own.
    made_accounts: bool,
    /// Units of the application that ran, in the order of their start.
    ran: Vec<String>,
}

/// Nobody else sets this machine up, or takes a set-up back, while this is kept.
pub struct Only {
    _lock: Flock<File>,
}

impl Only {
    /// Takes the place.
    ///
    /// # Errors
    /// [`SetUpFailure::Running`], or the state directory cannot be made.
    pub fn take(settings: &Settings) -> Result<Self, SetUpFailure> {
        files::create_directory(&settings.state_dir)?;
        let path = settings.state_dir.join("setup-lock");
        let file = File::create(&path).map_err(files::failed("make", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(SetUpFailure::Running),
            Err((_, error)) => Err(files::failed("lock", &path)(error.into()).into()),
        }
    }
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join("setup-unfinished")
}

impl Unfinished {
    /// Nothing is changed yet.
    pub(super) fn begin(settings: &Settings) -> Result<Self, SetUpFailure> {
        let directory = settings.state_dir.join("identity");
        if directory.exists() {
            return Err(IdentityError::Exists { directory }.into());
        }
        files::create_directory(&settings.state_dir)?;
        let unfinished = Self::default();
        unfinished.write(settings)?;
        Ok(unfinished)
    }

    fn write(&self, settings: &Settings) -> Result<(), SetUpFailure> {
        let text = toml::to_string(self).expect("plain data");
        Ok(files::replace(&path(settings), PUBLIC, text.as_bytes())?)
    }

    /// The configuration file is going to be written.
    pub(super) fn configuration(&mut self, settings: &Settings) -> Result<(), SetUpFailure> {
        self.wrote_configuration = !settings.config.exists();
        self.write(settings)
    }

    /// A certificate is going to be made.
    pub(super) fn certificate(&mut self, settings: &Settings) -> Result<(), SetUpFailure> {
        self.made_certificate = true;
        self.write(settings)
    }

    /// The first account is going to be made.
    pub(super) fn accounts(&mut self, settings: &Settings) -> Result<(), SetUpFailure> {
        self.made_accounts = true;
        self.write(settings)
    }

    /// Ends the application where it runs, and keeps its units from starting at boot.
    pub(super) async fn take_units(
        &mut self,
        configuration: &Configuration,
        settings: &Settings,
    ) -> Result<(), SetUpFailure> {
        if !systemd::is_present() {
            return Ok(());
        }
        let systemd = Systemd::connect().await?;
        for unit in units_of(configuration) {
            // One that does not exist is told by the checks.
            if systemd.is_active(&unit).await.unwrap_or(false) {
                self.ran.push(unit);
            }
        }
        self.write(settings)?;
        for unit in self.ran.iter().rev() {
            systemd.stop(unit, UNIT_MAX).await?;
        }
        units::take_over(configuration, settings).await?;
        Ok(())
    }

    /// All is as it should be: nothing is taken back any more.
    pub(super) fn end(settings: &Settings) -> Result<(), SetUpFailure> {
        Ok(files::remove(&path(settings))?)
    }
}

fn units_of(configuration: &Configuration) -> Vec<String> {
    let services = configuration.modules.iter().flat_map(|m| &m.services);
    services
        .filter_map(|service| match &service.kind {
            ServiceKind::Unit(unit) => Some(unit.clone()),
            ServiceKind::Commands { .. } => None,
        })
        .collect()
}

/// Takes an unfinished set-up back, if there is one. Gives back whether there was.
///
/// # Errors
/// Something is not as before; doing it again goes on.
pub async fn undo(settings: &Settings) -> Result<bool, SetUpFailure> {
    let path = path(settings);
    if !path.exists() {
        return Ok(false);
    }
    let text = files::read(&path)?;
    // Written whole or not at all; nothing was changed before it was there.
    let unfinished: Unfinished =
        toml::from_str(&String::from_utf8_lossy(&text)).unwrap_or_default();
    if unfinished.wrote_configuration {
        if let Ok(configuration) = Configuration::read(&settings.config) {
            units::give_back(&configuration, settings).await?;
        }
        files::remove(&settings.config)?;
        files::remove(&files::beside(&settings.config))?;
    }
    // Nothing of it was there when the set-up began.
    identity::leave(&settings.state_dir)?;
    if unfinished.made_accounts {
        files::remove(&browsers::accounts(settings))?;
    }
    if unfinished.made_certificate {
        files::sweep(&settings.state_dir.join("https"))?;
        https::disable(&settings.state_dir)?;
    }
    if !unfinished.ran.is_empty() && systemd::is_present() {
        let systemd = Systemd::connect().await?;
        for unit in &unfinished.ran {
            systemd.start(unit, UNIT_MAX).await?;
        }
    }
    files::sweep(&settings.state_dir)?;
    files::remove(&path)?;
    Ok(true)
}
