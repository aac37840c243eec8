//! The application's units while they belong to Tandem: set-up keeps them from starting at boot and
//! writes down which did; leaving the cluster takes everything back.
//!
//! What was changed is on disk before it is changed, so that an interrupted set-up is taken back
//! as well.

use crate::config::{Configuration, Service, ServiceKind};
use crate::daemon::Settings;
use crate::files::{self, FileError, PUBLIC};
use crate::services::services_config;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tandem_host::setup::{AtBoot, Place, SetUp, SetUpError, set_boot_start};
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

/// Gives the units back that another configuration has no more, and takes those over that it has. The
/// modules that have them stand still.
///
/// # Errors
/// [`UnitsError`]; all of it can be done again.
pub async fn hand_over(
    before: &Configuration,
    after: &Configuration,
    settings: &Settings,
) -> Result<(), UnitsError> {
    let unit = |service: &Service| match &service.kind {
        ServiceKind::Unit(unit) => Some(unit.clone()),
        ServiceKind::Commands { .. } => None,
    };
    let all = after.modules.iter().flat_map(|module| &module.services);
    let stay: BTreeSet<String> = all.filter_map(unit).collect();
    let mut gone = BTreeSet::new();
    let mut only_gone = before.clone();
    for module in &mut only_gone.modules {
        let leaves = |service: &Service| unit(service).is_some_and(|unit| !stay.contains(&unit));
        module.services.retain(leaves);
        gone.extend(module.services.iter().filter_map(unit));
    }
    for set_up in set_ups(&only_gone, &settings.runtime_dir) {
        set_up.remove_dropins().await?;
    }
    // The daemon would do so when it starts anew, but perhaps after the first service.
    for set_up in set_ups(after, &settings.runtime_dir) {
        set_up.install_dropins(Place::Persistent).await?;
    }
    let (start, rest): (Vec<String>, Vec<String>) =
        (read_list(&settings.state_dir).into_iter()).partition(|unit| gone.contains(unit));
    if start.is_empty() {
        return Ok(());
    }
    set_boot_start(&start, AtBoot::Starts).await?;
    let text: String = rest.iter().map(|unit| format!("{unit}\n")).collect();
    Ok(files::replace(
        &list(&settings.state_dir),
        PUBLIC,
        text.as_bytes(),
    )?)
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
