//! The application's units as systemd has them, and the checkers' scripts.

use super::command;
use super::mounts::{self, Mount};
use crate::facts::{Looked, Script, Unit};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub async fn units(names: &[String]) -> Vec<Unit> {
    let mut units = Vec::new();
    for name in names {
        units.push(unit(name).await);
    }
    units
}

async fn unit(name: &str) -> Unit {
    let arguments = ["show", "--property=LoadState,UnitFileState", "--", name];
    let answer = command::output("systemctl", &arguments).await;
    let value = |key: &str| {
        let text = answer.as_ref().ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.to_owned())
    };
    Unit {
        name: name.to_owned(),
        load: match (value("LoadState"), &answer) {
            (Some(load), _) => Looked::Seen(load),
            (None, Err(error)) => Looked::Unknown(error.clone()),
            (None, Ok(_)) => Looked::Unknown("systemd does not say".to_owned()),
        },
        at_boot: value("UnitFileState").unwrap_or_default(),
    }
}

pub fn script(path: &Path, mounts: &[Mount]) -> Script {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let options = mounts::of(mounts, path).map(|mount| &mount.options);
    Script {
        path: path.to_owned(),
        mode: file.map(|file| file.permissions().mode() & 0o7777),
        noexec: options.is_some_and(|options| options.iter().any(|option| option == "noexec")),
    }
}
