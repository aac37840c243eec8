//! What must be so on the machine that a service never runs on the plain directory: its unit does
//! not start at boot, and refuses to start unless the volume is mounted and the module serves here.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::systemd::{Systemd, SystemdError};
use crate::durable;
use crate::service::{ServiceKind, ServicesConfig};

/// The name of the drop-in in the directory of the unit.
const DROPIN: &str = "tandem.conf";

/// The unit of the daemon.
const DAEMON_UNIT: &str = "tandem.service";

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

impl Place {
    const ALL: [Self; 2] = [Self::Persistent, Self::UntilReboot];

    fn directory(self, unit: &str) -> PathBuf {
        let root = match self {
            Self::Persistent => "/etc/systemd/system",
            Self::UntilReboot => "/run/systemd/system",
        };
        Path::new(root).join(format!("{unit}.d"))
    }
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
    /// A path that cannot be written into a unit file.
    #[error("the path {} has a line break or is not UTF-8: systemd cannot watch over it", .0.display())]
    Path(PathBuf),
    /// systemd did not do it.
    #[error("ask systemd about the units")]
    Systemd(#[from] SystemdError),
}

/// The set-up of the units of one module.
#[derive(Clone, Debug)]
pub struct SetUp {
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
    pub async fn check(&self) -> Result<Vec<Finding>, SetUpError> {
        let mut findings = Vec::new();
        if self.units().next().is_none() {
            return Ok(findings);
        }
        let systemd = Systemd::connect().await?;
        for unit in self.units() {
            match systemd.unit(unit).await?.check_loaded() {
                Ok(()) => {
                    findings.extend(boot_start(&systemd, unit).await?);
                    findings.extend(ends_at_once(&systemd, unit).await?);
                }
                Err(SystemdError::Masked(_)) => findings.push(Finding {
                    what: format!("the unit {unit} is masked"),
                    remedy: format!("systemctl unmask {unit}"),
                }),
                Err(SystemdError::Missing(_)) => findings.push(Finding {
                    what: format!("the unit {unit} does not exist"),
                    remedy: "install the application on this node too, or correct the name of the \
                             unit in the configuration"
                        .to_owned(),
                }),
                Err(error) => findings.push(Finding {
                    what: error.to_string(),
                    remedy: format!("systemd-analyze verify {unit}"),
                }),
            }
        }
        Ok(findings)
    }

    /// Writes a drop-in for every unit and lets systemd read it. Changes nothing that is right
    /// already.
    ///
    /// # Errors
    /// A file cannot be written, or systemd cannot be asked.
    pub async fn install_dropins(&self, place: Place) -> Result<(), SetUpError> {
        let text = self.dropin()?;
        let mut changed = false;
        for unit in self.units() {
            let dir = place.directory(unit);
            let path = dir.join(DROPIN);
            if fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            fs::create_dir_all(&dir).map_err(failed("create the directory", &dir))?;
            durable::replace(&path, text.as_bytes()).map_err(failed("write", &path))?;
            changed = true;
        }
        self.reload_if(changed).await
    }

    /// Removes the drop-ins from both places and lets systemd read that.
    ///
    /// # Errors
    /// A file cannot be removed, or systemd cannot be asked.
    pub async fn remove_dropins(&self) -> Result<(), SetUpError> {
        let mut changed = false;
        for unit in self.units() {
            for place in Place::ALL {
                let dir = place.directory(unit);
                let path = dir.join(DROPIN);
                match fs::remove_file(&path) {
                    Ok(()) => changed = true,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("remove", &path)(error)),
                }
                // It stays when somebody else has a drop-in in it.
                let _ = fs::remove_dir(&dir);
            }
        }
        self.reload_if(changed).await
    }

    /// The units that start at boot by themselves and can be kept from it.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn enabled_units(&self) -> Result<Vec<String>, SetUpError> {
        let mut enabled = Vec::new();
        if self.units().next().is_none() {
            return Ok(enabled);
        }
        let systemd = Systemd::connect().await?;
        for unit in self.units() {
            let loaded = systemd.unit(unit).await?.check_loaded().is_ok();
            if loaded && file_state(&systemd, unit).await? == "enabled" {
                enabled.push(unit.to_owned());
            }
        }
        Ok(enabled)
    }

    fn units(&self) -> impl Iterator<Item = &str> {
        self.config.services.iter().filter_map(|s| match &s.kind {
            ServiceKind::Unit(unit) => Some(unit.as_str()),
            ServiceKind::Commands { .. } => None,
        })
    }

    /// The mount point alone proves nothing: the read-only directory of a standby is one too. Hence
    /// the flag.
    ///
    /// `Before=`: at the shutdown of the machine units end in the reverse order, so the daemon hands
    /// the service over while the application and the network are still there.
    fn dropin(&self) -> Result<String, SetUpError> {
        let module = &self.config.module;
        let mut text = format!(
            "# Written by Tandem for the module {module}; removed with its configuration.\n\
             [Unit]\n\
             Before={DAEMON_UNIT}\n"
        );
        let flag = self.config.serving_flag();
        let mut assert = |directive: &str, path: &Path| {
            let escaped = escape(path)?;
            writeln!(text, "{directive}={escaped}").expect("a String can be written to");
            Ok::<(), SetUpError>(())
        };
        assert("AssertPathExists", &flag)?;
        for volume in &self.config.volumes {
            assert("AssertPathIsMountPoint", volume)?;
        }
        Ok(text)
    }

    async fn reload_if(&self, changed: bool) -> Result<(), SetUpError> {
        if changed {
            Systemd::connect().await?.reload().await?;
        }
        Ok(())
    }
}

/// Doubles the `%`, which systemd expands in paths.
fn escape(path: &Path) -> Result<String, SetUpError> {
    match path.to_str() {
        Some(text) if !text.contains(['\n', '\r']) => Ok(text.replace('%', "%%")),
        _ => Err(SetUpError::Path(path.to_owned())),
    }
}

/// Whether units start at boot by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtBoot {
    /// They do: `systemctl enable`.
    Starts,
    /// They do not: `systemctl disable`.
    Stays,
}

/// Changes whether these units start at boot. A unit that does not exist any more is passed over.
///
/// # Errors
/// systemd does not do it.
pub async fn set_boot_start(units: &[String], at_boot: AtBoot) -> Result<(), SetUpError> {
    if units.is_empty() {
        return Ok(());
    }
    let systemd = Systemd::connect().await?;
    for unit in units {
        let outcome = match at_boot {
            AtBoot::Starts => systemd.enable(unit).await,
            AtBoot::Stays => systemd.disable(unit).await,
        };
        match outcome {
            Ok(()) | Err(SystemdError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(systemd.reload().await?)
}

/// systemd's word for how a unit is enabled.
async fn file_state(systemd: &Systemd, unit: &str) -> Result<String, SystemdError> {
    systemd.unit_property(unit, "UnitFileState").await
}

/// Finds what starts a unit at boot: its own link, or another unit that wants it.
async fn boot_start(systemd: &Systemd, unit: &str) -> Result<Vec<Finding>, SystemdError> {
    if file_state(systemd, unit).await? == "enabled" {
        return Ok(vec![Finding {
            what: format!("the unit {unit} starts at boot by itself"),
            remedy: format!("systemctl disable {unit}"),
        }]);
    }
    let mut findings = Vec::new();
    for relation in ["WantedBy", "RequiredBy", "TriggeredBy"] {
        let others: Vec<String> = systemd.unit_property(unit, relation).await?;
        findings.extend(others.into_iter().map(|other| Finding {
            what: format!("the unit {unit} is started together with {other}"),
            remedy: format!(
                "take {unit} out of {other}, or disable {other} (a PostgreSQL cluster of Debian: \
                 write \"manual\" into its start.conf, then systemctl daemon-reload)"
            ),
        }));
    }
    Ok(findings)
}

/// Finds a unit that is over as soon as it has started, which would count as a failure each time.
async fn ends_at_once(systemd: &Systemd, unit: &str) -> Result<Option<Finding>, SystemdError> {
    if !unit.ends_with(".service") {
        return Ok(None);
    }
    let kind: String = systemd.service_property(unit, "Type").await?;
    if kind != "oneshot" || systemd.service_property(unit, "RemainAfterExit").await? {
        return Ok(None);
    }
    Ok(Some(Finding {
        what: format!(
            "the unit {unit} is of Type=oneshot without RemainAfterExit=yes: it is inactive as \
             soon as it was started, which counts as a failure"
        ),
        remedy: format!(
            "systemctl edit {unit}, with RemainAfterExit=yes (and what undoes it in ExecStop=) \
             under [Service]; or name its commands in the configuration instead of the unit"
        ),
    }))
}

fn failed<'a>(act: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SetUpError + 'a {
    move |source| SetUpError::Io {
        act,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropin_asks_for_every_volume_and_the_flag() {
        let setup = SetUp::new(ServicesConfig {
            module: "videeos".to_owned(),
            services: Vec::new(),
            volumes: vec![PathBuf::from("/data/100%"), PathBuf::from("/log files")],
            runtime_dir: PathBuf::from("/run/tandem"),
        });
        let text = setup.dropin().expect("the paths are fine");
        let expected = "[Unit]\n\
                        Before=tandem.service\n\
                        AssertPathExists=/run/tandem/videeos.serving\n\
                        AssertPathIsMountPoint=/data/100%%\n\
                        AssertPathIsMountPoint=/log files\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_path_that_would_add_a_line_is_refused() {
        let path = Path::new("/data\nExecStart=/bin/evil");
        assert!(matches!(escape(path), Err(SetUpError::Path(_))));
    }
}
