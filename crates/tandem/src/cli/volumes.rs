//! The directories of the volumes, seen by this machine: can they be mirrored, and is anybody in
//! the way. And `tandem guard`: read-only from boot on.

use super::Exit;
use super::arguments::Places;
use std::path::Path;
use tandem_daemon::config::{Configuration, Volume};
use tandem_daemon::report;
use tandem_host::setup::Finding;
use tandem_mirror::backing::{self, VolumeError, open_volume};
use tandem_mirror::{holders, mount};

/// Everything that would keep the volumes from being mirrored here.
pub fn check(configuration: &Configuration) -> Vec<Finding> {
    let volumes = configuration.modules.iter().flat_map(|m| &m.volumes);
    volumes.flat_map(check_volume).collect()
}

fn check_volume(volume: &Volume) -> Vec<Finding> {
    let Volume { name, path, .. } = volume;
    let opened = match open(name, path) {
        Ok(opened) => opened,
        // A mirror has it: it has looked at all this itself.
        Err(VolumeError::Locked(_)) => return Vec::new(),
        Err(error) => {
            return vec![Finding {
                what: format!("volume {name}: {}", report(&error)),
                remedy: remedy(&error).to_owned(),
            }];
        }
    };
    let found = holders::holders(&opened);
    opened.leave();
    match found {
        Ok(found) => (found.iter())
            .map(|holder| Finding {
                what: format!("volume {name}: {holder}"),
                remedy: "stop it: what it writes from before the mount is not mirrored".to_owned(),
            })
            .collect(),
        Err(error) => vec![Finding {
            what: format!("volume {name}: {}", report(&error)),
            remedy: remedy(&error).to_owned(),
        }],
    }
}

fn open(name: &str, path: &Path) -> Result<backing::Volume, VolumeError> {
    open_volume(0, name, path)
}

const fn remedy(error: &VolumeError) -> &'static str {
    match error {
        VolumeError::Path(_) => "correct the path in the configuration",
        VolumeError::Missing(_) => "mkdir, with the owner and mode that the application needs",
        VolumeError::NotADirectory(_) => "name a directory; a single file cannot be mirrored",
        VolumeError::SymbolicLink { .. } => "name the directory itself in the configuration",
        VolumeError::MountPoint { .. } => "mirror a directory inside it, and move the data there",
        VolumeError::NoFileHandles { .. } => "put the data on a plain ext4 or xfs",
        VolumeError::Locked(_) => "one mirror at a time",
        VolumeError::Privilege(_) => "run this as root",
        VolumeError::PositionDamaged { .. } => {
            "nobody knows any more where this copy stands. If the other node has the data, remove \
             .tandem in that directory: this copy then is inconsistent, is compared with the other \
             node's as a whole, and is served before that only by `tandem prim --force`"
        }
        VolumeError::Io { .. } => "look at the file system: dmesg, df, mount",
    }
}

/// `tandem guard`
pub fn guard(places: &Places) -> Exit {
    let configuration = match Configuration::read(&places.config) {
        Ok(configuration) => configuration,
        Err(error) => {
            tracing::error!("{}", report(&error));
            return Exit::Failed;
        }
    };
    let volumes = configuration.modules.iter().flat_map(|m| &m.volumes);
    let mut exit = Exit::Done;
    for Volume { name, path, .. } in volumes {
        let guarded = match open(name, path) {
            Ok(volume) => mount::protect(&volume).map_err(|error| report(&error)),
            Err(VolumeError::Locked(_)) => Ok(()),
            Err(error) => Err(report(&error)),
        };
        if let Err(reason) = guarded {
            tracing::error!("volume {name} is not read-only: {reason}");
            exit = Exit::Failed;
        }
    }
    exit
}
