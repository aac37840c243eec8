//! The application's units while they belong to Tandem: set-up keeps them from starting at boot and
//! writes down which did; leaving the cluster takes everything back.
//!
//! What was changed is on disk before it is changed, so that an interrupted set-up is taken back
//! as well.

use crate::config::Configuration;
use crate::daemon::Settings;
use crate::files::{self, FileError, PUBLIC};
use crate::services::services_config;
use std::path::{Path, PathBuf};
use tandem_host::setup::{AtBoot, SetUp, SetUpError, set_boot_start};
use tandem_host::systemd;

/// The units could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// The list of what was changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// systemd.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
}

/// Which units started at boot before Tandem took them over.
fn list(state_dir: &Path) -> PathBuf {
    state_dir.join("units-disabled")
}

fn read_list(state_dir: &Path) -> Vec<String> {
    // Without the file nothing was changed.
    let text = std::fs::read_to_string(list(state_dir)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn set_ups(configuration: &Configuration, runtime_dir: &Path) -> Vec<SetUp> {
    if !systemd::is_present() {
        return Vec::new();
    }
    let modules = configuration.modules.iter();
    modules
        .map(|module| SetUp::new(services_config(module, runtime_dir)))
        .collect()
}

/// Keeps all units of the configuration from starting at boot by themselves. Gives back which did.
///
/// # Errors
/// [`UnitsError`]
pub async fn take_over(
    configuration: &Configuration,
    settings: &Settings,
) -> Result<Vec<String>, UnitsError> {
    let mut enabled = Vec::new();
    for set_up in set_ups(configuration, &settings.runtime_dir) {
        enabled.extend(set_up.enabled_units().await?);
    }
    if !enabled.is_empty() {
        let mut all = read_list(&settings.state_dir);
        all.extend(enabled.iter().cloned());
        let text = all.join("\n") + "\n";
        files::replace(&list(&settings.state_dir), PUBLIC, text.as_bytes())?;
        set_boot_start(&enabled, AtBoot::Stays).await?;
    }
    Ok(enabled)
}

/// Gives all units back: their drop-ins go, and those that started at boot do so again. Gives back
/// which.
///
/// # Errors
/// [`UnitsError`]
pub async fn give_back(
    configuration: &Configuration,
    settings: &Settings,
) -> Result<Vec<String>, UnitsError> {
    for set_up in set_ups(configuration, &settings.runtime_dir) {
        set_up.remove_dropins().await?;
    }
    let enabled = read_list(&settings.state_dir);
    set_boot_start(&enabled, AtBoot::Starts).await?;
    files::remove(&list(&settings.state_dir))?;
    Ok(enabled)
}
