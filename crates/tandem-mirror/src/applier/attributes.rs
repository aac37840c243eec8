//! Owners, modes, times and extended attributes of an object.
//!
//! Order matters, because the kernel couples them: a change of owner clears set-user-id bits and
//! file capabilities, an access list rewrites the mode, the mode rewrites the access list's mask,
//! and a new size rewrites the times. So: owner, size, extended attributes, mode, times.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use tandem_wire::stream::{Attributes, Timestamp};

use super::error::{ApplyError, on};
use super::objects::Kind;
use super::{Place, Replica};
use crate::sys;

impl Replica {
    /// Sets owner, mode and times as they were after the operation at the source.
    pub(super) fn set_attributes(
        &mut self,
        place: Place,
        attributes: &Attributes,
    ) -> Result<(), ApplyError> {
        let objects = self.objects_of(place.volume)?;
        let kind = objects.get(place.object)?.kind;
        let descriptor = objects.descriptor(place.object)?;
        let object = descriptor.as_fd();
        set_owner(object, attributes)?;
        set_mode(object, kind, attributes)?;
        set_times(object, attributes)?;
        self.times.remove(&place);
        Ok(())
    }

    /// Makes attributes, extended attributes and size exactly those of the source.
    pub(super) fn describe(
        &mut self,
        place: Place,
        attributes: &Attributes,
        size: u64,
        xattrs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), ApplyError> {
        let objects = self.objects_of(place.volume)?;
        let kind = objects.get(place.object)?.kind;
        let descriptor = objects.descriptor(place.object)?;
        let object = descriptor.as_fd();
        set_owner(object, attributes)?;
        if kind == Kind::File && stat(object)?.st_size.cast_unsigned() != size {
            rustix::fs::ftruncate(object, size).map_err(on("set the size of", object))?;
        }
        reconcile_xattrs(object, xattrs)?;
        set_mode(object, kind, attributes)?;
        set_times(object, attributes)?;
        self.times.remove(&place);
        Ok(())
    }

    pub(super) fn set_xattr(
        &mut self,
        place: Place,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.descriptor(place.object)?;
        set_one_xattr(descriptor.as_fd(), name, value)
    }

    pub(super) fn remove_xattr(&mut self, place: Place, name: &[u8]) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.descriptor(place.object)?;
        remove_one_xattr(descriptor.as_fd(), name)
    }

    /// Sets the modification time of one object, if one was deferred.
    pub(super) fn set_deferred_time(&mut self, place: Place) -> Result<(), ApplyError> {
        let Some(mtime) = self.times.get(&place).copied() else {
            return Ok(());
        };
        let descriptor = self.objects_of(place.volume)?.descriptor(place.object)?;
        set_modification_time(descriptor.as_fd(), mtime)?;
        self.times.remove(&place);
        Ok(())
    }

    /// Makes sure that what is done to an object now leaves its modification time as it is.
    pub(super) fn preserve_time(&mut self, place: Place) -> Result<(), ApplyError> {
        if self.times.contains_key(&place) {
            return Ok(());
        }
        let descriptor = self.objects_of(place.volume)?.descriptor(place.object)?;
        let now = sys::modification_time(&stat(descriptor.as_fd())?);
        self.defer_time(place, now)
    }
}

/// Refuses what the kernel would take for a command (`UTIME_NOW`, `UTIME_OMIT`).
pub(super) fn check_time(time: Timestamp) -> Result<(), ApplyError> {
    if time.nanoseconds < 1_000_000_000 {
        Ok(())
    } else {
        Err(ApplyError::Time(time.nanoseconds))
    }
}

/// Sets the modification time, and leaves the access time as it is.
pub(super) fn set_modification_time(
    object: BorrowedFd<'_>,
    mtime: Timestamp,
) -> Result<(), ApplyError> {
    let omit = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: omit,
        last_modification: timespec(mtime)?,
    };
    sys::set_times(object, &times).map_err(on("set the times of", object))
}

fn timespec(time: Timestamp) -> Result<Timespec, ApplyError> {
    check_time(time)?;
    Ok(Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    })
}

pub(super) fn stat(object: BorrowedFd<'_>) -> Result<Stat, ApplyError> {
    sys::stat(object).map_err(on("look at", object))
}

fn set_owner(object: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), ApplyError> {
    let now = stat(object)?;
    // Not done for nothing: it would clear set-user-id bits and file capabilities.
    if (now.st_uid, now.st_gid) == (attributes.uid, attributes.gid) {
        return Ok(());
    }
    sys::set_owner(object, Some(attributes.uid), Some(attributes.gid))
        .map_err(on("set the owner of", object))
}

fn set_mode(object: BorrowedFd<'_>, kind: Kind, attributes: &Attributes) -> Result<(), ApplyError> {
    let same = stat(object)?.st_mode & 0o7777 == attributes.mode & 0o7777;
    // A symbolic link has no mode of its own.
    if same || kind == Kind::Symlink {
        return Ok(());
    }
    sys::set_mode(object, attributes.mode).map_err(on("set the mode of", object))
}

fn set_times(object: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), ApplyError> {
    let times = Timestamps {
        last_access: timespec(attributes.atime)?,
        last_modification: timespec(attributes.mtime)?,
    };
    sys::set_times(object, &times).map_err(on("set the times of", object))
}

fn reconcile_xattrs(
    object: BorrowedFd<'_>,
    wanted: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), ApplyError> {
    let present = sys::xattrs(object).map_err(on("list the extended attributes of", object))?;
    for (name, _) in &present {
        if !wanted.iter().any(|(other, _)| other == name) {
            remove_one_xattr(object, name)?;
        }
    }
    for (name, value) in wanted {
        if !present.iter().any(|(n, v)| (n, v) == (name, value)) {
            set_one_xattr(object, name, value)?;
        }
    }
    Ok(())
}

fn set_one_xattr(object: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<(), ApplyError> {
    check_xattr_name(name)?;
    // By the descriptor's path, because what is opened only by name takes no attributes itself.
    rustix::fs::setxattr(
        sys::descriptor_path(object),
        name,
        value,
        XattrFlags::empty(),
    )
    .map_err(on("set an extended attribute of", object))
}

fn remove_one_xattr(object: BorrowedFd<'_>, name: &[u8]) -> Result<(), ApplyError> {
    check_xattr_name(name)?;
    match rustix::fs::removexattr(sys::descriptor_path(object), name) {
        // The kernel removes an access list by itself when it says no more than the mode.
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(error) => Err(on("remove an extended attribute of", object)(error)),
    }
}

fn check_xattr_name(name: &[u8]) -> Result<(), ApplyError> {
    if name.contains(&0) {
        Err(ApplyError::XattrName)
    } else {
        Ok(())
    }
}
