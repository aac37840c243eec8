//! What stood in a volume before its first synchronisation: kept beside it, as
//! `NAME.before-tandem`, because the synchronisation replaces it.
//!
//! It is moved, entry by entry, within one file system: nothing is copied, and a large tree takes
//! no longer than a small one. What was equal to the other node's content is therefore sent all the
//! same; keeping what stood there is worth more than that, once.
//!
//! **What is lost by a crash**: nothing. In the middle, a part is in the new directory and the rest
//! where it was; the volume has no position yet, so the rest is moved the next time, into a
//! directory with a number behind its name.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::backing::{HIDDEN, Volume, VolumeError};
use crate::sys;

/// What the name of a volume's directory gets.
const SUFFIX: &str = ".before-tandem";
/// How many of them may stand there. More than one means that something was cut short, or that a
/// node was set up anew: somebody should look.
const KEPT_MAX: u32 = 9;
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
    if entries.is_empty() {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Beneath what is mounted over the volume, as its own descriptor is.
    let parent = openat(top, "..", flags, Mode::empty());
    let parent = parent.map_err(failed("open the parent of", path()))?;
    let beside = create_beside(volume, parent.as_fd())?;
    let kept = volume.path.with_file_name(&beside);
    let name = beside.as_bytes();
    let into = openat(&parent, name, flags, Mode::empty());
    let into = into.map_err(failed("open", kept.clone()))?;
    for entry in &entries {
        rustix::fs::renameat(top, &*entry.name, &into, &*entry.name)
            .map_err(failed("keep what stands in", path()))?;
    }
    for directory in [into.as_fd(), top, parent.as_fd()] {
        rustix::fs::fsync(directory).map_err(failed("sync", kept.clone()))?;
    }
    Ok(Some(kept))
}

/// Makes a directory with the owner and mode of the volume's.
fn create_beside(
    volume: &Volume,
    parent: rustix::fd::BorrowedFd<'_>,
) -> Result<OsString, VolumeError> {
    let failed = |errno: Errno| VolumeError::Io {
        act: "create a directory for what stands in",
        path: volume.path.clone(),
        source: errno.into(),
    };
    let stat = sys::stat(volume.directory.as_fd()).map_err(failed)?;
    let own = volume.path.file_name().unwrap_or_default();
    for number in 1..=KEPT_MAX {
        let mut name = own.to_owned();
        name.push(SUFFIX);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        match rustix::fs::mkdirat(parent, name.as_bytes(), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let made = openat(parent, name.as_bytes(), flags, Mode::empty()).map_err(failed)?;
        sys::set_owner(made.as_fd(), Some(stat.st_uid), Some(stat.st_gid)).map_err(failed)?;
        sys::set_mode(made.as_fd(), stat.st_mode & 0o7777).map_err(failed)?;
        return Ok(name);
    }
    Err(failed(Errno::EXIST))
}
