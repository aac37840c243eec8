//! The mirrored directories of a module.

use super::Review;
use crate::config::raw::{self, Text};
use crate::config::{Volume, WaitForPeer};
use std::path::{Component, Path, PathBuf};
use tandem_wire::exclude::Exclude;
use toml::Spanned;

impl Review<'_> {
    pub(super) fn wait_for_peer(&mut self, typed: Option<&Text>) -> WaitForPeer {
        match typed.map(|typed| (typed, typed.get_ref().as_str())) {
            None | Some((_, "fsync")) => WaitForPeer::Fsync,
            Some((_, "write")) => WaitForPeer::Write,
            Some((typed, _)) => {
                let hint = "fsync: what waits for a disk; write: every write";
                self.problem(typed.span(), "this is nothing to wait for", hint);
                WaitForPeer::Fsync
            }
        }
    }

    pub(super) fn exclude(&mut self, typed: Option<&Spanned<Vec<String>>>) -> Exclude {
        let Some(typed) = typed else {
            return Exclude::default();
        };
        Exclude::parse(typed.get_ref()).unwrap_or_else(|error| {
            self.problem(typed.span(), error.to_string(), error.hint());
            Exclude::default()
        })
    }

    pub(super) fn path(&mut self, typed: &Text) -> PathBuf {
        let path = Path::new(typed.get_ref());
        // Rebuilding it drops doubled and trailing slashes, and `.` inside.
        let clean: PathBuf = path.components().collect();
        let names = |part: Component| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !clean.components().all(names) {
            let hint = "an absolute path without `..`";
            self.problem(typed.span(), "this is no path for a volume", hint);
        } else if clean.components().count() < 2 {
            let message = "the root directory cannot be mirrored";
            self.problem(typed.span(), message, "name the application's directory");
        }
        clean
    }

    pub(super) fn nested(&mut self, typed: &[raw::Volume], volumes: &[Volume]) {
        // A path that is refused anyway is compared with nothing.
        let usable = |volume: &&Volume| volume.path.is_absolute() && volume.path.parent().is_some();
        for (place, volume) in volumes.iter().enumerate().filter(|(_, v)| usable(v)) {
            for other in volumes[..place].iter().filter(usable) {
                let span = typed[place].path.span();
                let name = &other.name;
                if volume.path == other.path {
                    let message = format!("this is also the path of volume `{name}`");
                    self.problem(span, message, "mirror each directory once");
                } else if volume.path.starts_with(&other.path) {
                    let message = format!("this path lies inside volume `{name}`");
                    self.problem(span, message, "it is mirrored as part of that volume");
                } else if other.path.starts_with(&volume.path) {
                    let message = format!("volume `{name}` lies inside this path");
                    self.problem(span, message, "leave the inner volume out");
                }
            }
        }
    }
}
