//! Reconciling a directory with the source's listing of it, during a comparison.
//!
//! What stands here under a listed name is adopted if it is of the same kind: its contents are
//! compared afterwards, so most bytes need not travel. It is replaced by something new where the
//! kind differs, and where it is an inode that already stands for another object: two names that
//! are one file here may be two files at the source. What no part of the listing names is removed,
//! unless its name is excluded.
//! The directory's own modification time stays what it was described as.
//!
//! A verification that found a difference in a level copy sends the same listing. Then objects are
//! known already, and one of them may be gone with its last name, or be elsewhere: something new
//! takes its number and its name.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, linkat};
use rustix::io::Errno;
use tandem_wire::stream::{Differs, Entry, Name, ObjectKind};

use super::error::{ApplyError, Shown, on, on_name};
use super::names::{Found, entry_kind, look, make};
use super::objects::Kind;
use super::{Outcome, Place, Replica, attributes, is_hidden};
use crate::sys;

/// Which part of a listing this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) first: bool,
    pub(super) last: bool,
}

impl Replica {
    pub(super) fn list_directory(
        &mut self,
        place: Place,
        entries: &[Entry],
        part: &Part,
    ) -> Result<(), ApplyError> {
        let directory = self.objects_of(place.volume)?.directory(place.object)?;
        self.preserve_time(place)?;
        let mut names = match part.first {
            true => HashSet::new(),
            false => self
                .listings
                .remove(&place)
                .ok_or(ApplyError::Listing(place.object))?,
        };
        for entry in entries {
            Self::check_name(place, &entry.name)?;
            self.reconcile(place, directory.as_fd(), entry)?;
            names.insert(entry.name.clone());
        }
        if part.last {
            self.remove_unlisted(place, directory.as_fd(), &names)
        } else {
            self.listings.insert(place, names);
            Ok(())
        }
    }

    /// What the source has to know of files that were not there.
    pub(super) fn tell_made(&mut self, volume: u16) -> Outcome {
        let made = std::mem::take(&mut self.made);
        let differs = made.into_iter().map(|object| Differs {
            volume,
            object,
            offset: 0,
            bytes: 0,
            blocks: Vec::new(),
        });
        Outcome::Differs(differs.collect())
    }

    fn reconcile(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let name = entry.name.as_bytes();
        let found = look(directory, name)?;
        let objects = self.objects_of(parent.volume)?;
        if objects.knows(entry.object) {
            return self.reconcile_known(parent, directory, entry, found);
        }
        let adoptable = match &found {
            Some(found) => {
                objects.bound(found.stat.st_ino).is_none() && is_same_kind(found, &entry.kind)?
            }
            None => false,
        };
        if let Some(found) = found {
            if adoptable {
                return objects.bind(entry.object, found.descriptor.as_fd(), &found.stat);
            }
            self.remove_entry(parent, directory, name, found.kind())?;
        }
        self.tell_of_repair(directory, name, "made anew: it was not here");
        let made =
            make(directory, name, &entry.kind).map_err(on_name("create", directory, name))?;
        let stat = attributes::stat(made.as_fd())?;
        let objects = self.objects_of(parent.volume)?;
        objects.bind(entry.object, made.as_fd(), &stat)?;
        objects.keep(entry.object, made);
        if entry.kind == ObjectKind::File {
            self.made.push(entry.object);
        }
        Ok(())
    }

    /// One more name for an object that has one already.
    fn reconcile_known(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        entry: &Entry,
        found: Option<Found>,
    ) -> Result<(), ApplyError> {
        let name = entry.name.as_bytes();
        let object = self.objects_of(parent.volume)?.get(entry.object)?;
        let kind = object.kind;
        if let Some(found) = &found
            && object.is(found.descriptor.as_fd(), &found.stat)?
        {
            return Ok(());
        }
        if kind == Kind::Directory && self.comparing.is_some() {
            // A directory has one name, and it is not here.
            return Err(ApplyError::Known(entry.object));
        }
        if let Some(found) = found {
            self.remove_entry(parent, directory, name, found.kind())?;
        }
        if kind != Kind::Directory && self.link_known(parent.volume, directory, entry)? {
            return Ok(());
        }
        self.replace_known(parent, directory, entry)
    }

    /// Gives an object one more name. Says whether it could, because it still has one.
    fn link_known(
        &mut self,
        volume: u16,
        directory: BorrowedFd<'_>,
        entry: &Entry,
    ) -> Result<bool, ApplyError> {
        let level = self.comparing.is_none();
        let name = entry.name.as_bytes();
        let objects = self.objects_of(volume)?;
        let descriptor = match objects.descriptor(entry.object) {
            Err(ApplyError::System {
                source: Errno::STALE,
                ..
            }) if level => return Ok(false),
            other => other?,
        };
        match linkat(&descriptor, "", directory, name, AtFlags::EMPTY_PATH) {
            Ok(()) => {
                objects.unpin(entry.object);
                Ok(true)
            }
            Err(Errno::NOENT) if level => Ok(false),
            Err(error) => Err(on_name("link", directory, name)(error)),
        }
    }

    /// Makes something new, which an object is from now on. Contents are sent by who verifies.
    fn replace_known(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let name = entry.name.as_bytes();
        self.tell_of_repair(directory, name, "made anew: what it was is gone");
        let made =
            make(directory, name, &entry.kind).map_err(on_name("create", directory, name))?;
        let stat = attributes::stat(made.as_fd())?;
        let objects = self.objects_of(parent.volume)?;
        objects.forget(entry.object);
        objects.bind(entry.object, made.as_fd(), &stat)?;
        objects.keep(entry.object, made);
        if entry.kind == ObjectKind::File {
            self.made.push(entry.object);
        }
        Ok(())
    }

    fn remove_unlisted(
        &mut self,
        place: Place,
        directory: BorrowedFd<'_>,
        names: &HashSet<Name>,
    ) -> Result<(), ApplyError> {
        for entry in sys::list(directory).map_err(on("list", directory))? {
            let listed = Name::new(&entry.name).is_ok_and(|name| names.contains(&name));
            if !listed && !is_hidden(place, &entry.name) {
                let kind = entry_kind(directory, &entry)?;
                let exclude = &self.objects_of(place.volume)?.volume().exclude;
                if kind == Kind::Directory || !exclude.matches(&entry.name) {
                    self.tell_of_repair(directory, &entry.name, "removed: nobody knows it");
                    self.remove_entry(place, directory, &entry.name, kind)?;
                }
            }
        }
        Ok(())
    }

    /// A level copy differs only where somebody reached beneath the mirror: a person wants to know
    /// what became of it.
    fn tell_of_repair(&self, directory: BorrowedFd<'_>, name: &[u8], what: &str) {
        if self.comparing.is_none() {
            let path = Shown(directory, Some(name));
            tracing::warn!(%path, "{what}");
        }
    }
}

fn is_same_kind(found: &Found, wanted: &ObjectKind) -> Result<bool, ApplyError> {
    let object = found.descriptor.as_fd();
    let present = sys::object_kind(object, &found.stat).map_err(on("look at", object))?;
    Ok(present == *wanted)
}
