//! What stood in a volume before its first synchronisation: kept beside it, as
//! `NAME.before-tandem`, because the synchronisation replaces it.
//!
//! It is moved, entry by entry, within one file system: nothing is copied, and a large tree takes
//! no longer than a small one. What was equal to the other node's content is therefore sent all the
//! same; keeping what stood there is worth more than that, once.
//!
//! **What is lost by a crash**: nothing. While it is filled the directory has a name of its own
//! (`NAME.before-tandem.moving`); the volume has no position yet, so whoever comes next finds it and
//! goes on filling it. It gets its name when everything in it is on disk.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, statat};
use rustix::io::Errno;

use crate::backing::{HIDDEN, Volume, VolumeError};
use crate::sys;

/// What the name of a volume's directory gets.
const SUFFIX: &str = ".before-tandem";
/// How many of them may stand there. More than one means that something was cut short, or that a
/// node was set up anew: somebody should look.
const KEPT_MAX: u32 = 9;
/// What it has in addition while it is filled.
const MOVING: &str = ".moving";
/// Made by the file system's own tools, and of no meaning to anybody else.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Moves what stands in a volume to a new directory beside it, and says where; `None` where nothing
/// stands there.
///
/// # Errors
/// [`VolumeError::Io`]; some of it may have been moved.
pub fn keep(volume: &Volume) -> Result<Option<PathBuf>, VolumeError> {
    let top = volume.directory.as_fd();
    let failed = |act, path: PathBuf| {
        move |errno: Errno| VolumeError::Io {
            act,
            path,
            source: errno.into(),
        }
    };
    let path = || volume.path.clone();
    let mut entries = sys::list(top).map_err(failed("list", path()))?;
    entries.retain(|entry| *entry.name != *HIDDEN.as_bytes() && *entry.name != *LOST_AND_FOUND);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Beneath what is mounted over the volume, as its own descriptor is.
    let parent = openat(top, "..", flags, Mode::empty());
    let parent = parent.map_err(failed("open the parent of", path()))?;
    let moving = name_beside(volume, MOVING);
    let interrupted = match statat(&parent, moving.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(errno) => return Err(failed("look beside", path())(errno)),
    };
    if entries.is_empty() && !interrupted {
        return Ok(None);
    }
    let unfinished = volume.path.with_file_name(&moving);
    let into = open_moving(volume, parent.as_fd(), &moving)
        .map_err(failed("create a directory for what stands in", path()))?;
    for entry in &entries {
        let (from, to) = (&*entry.name, &*entry.name);
        rustix::fs::renameat_with(top, from, &into, to, RenameFlags::NOREPLACE)
            .map_err(failed("keep what stands in", path()))?;
    }
    for directory in [into.as_fd(), top] {
        rustix::fs::fsync(directory).map_err(failed("sync", unfinished.clone()))?;
    }
    let kept = name_for_good(volume, parent.as_fd(), &moving)
        .map_err(failed("name", unfinished.clone()))?;
    rustix::fs::fsync(&parent).map_err(failed("sync the parent of", path()))?;
    Ok(Some(volume.path.with_file_name(kept)))
}

fn name_beside(volume: &Volume, more: &str) -> OsString {
    let mut name = volume.path.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    name.push(more);
    name
}

/// Makes the directory that is filled, or opens the one that was: with the owner and mode of the
/// volume's.
fn open_moving(volume: &Volume, parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let stat = sys::stat(volume.directory.as_fd())?;
    match rustix::fs::mkdirat(parent, name.as_bytes(), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(parent, name.as_bytes(), flags, Mode::empty())?;
    sys::set_owner(made.as_fd(), Some(stat.st_uid), Some(stat.st_gid))?;
    sys::set_mode(made.as_fd(), stat.st_mode & 0o7777)?;
    Ok(made)
}

/// Gives the directory the first name that is free.
fn name_for_good(
    volume: &Volume,
    parent: BorrowedFd<'_>,
    moving: &OsStr,
) -> Result<OsString, Errno> {
    for number in 1..=KEPT_MAX {
        let name = match number {
            1 => name_beside(volume, ""),
            more => name_beside(volume, &format!("-{more}")),
        };
        let (from, to) = (moving.as_bytes(), name.as_bytes());
        match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(name),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}
