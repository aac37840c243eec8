//! System calls on objects that are held by descriptors. What no crate offers safely stands in
//! [`crate::linux`].
//!
//! Objects are reached by descriptors that were opened with `O_PATH` and by `/proc/self/fd`, never
//! by a path below the volume: a symbolic link planted by the application must not make a process
//! that runs as root touch something else.

use crate::linux;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::stream::{Attributes, ObjectKind, Timestamp};

/// The largest value of an extended attribute (`XATTR_SIZE_MAX`).
pub const XATTR_VALUE_MAX: usize = 64 << 10;
/// The longest list of names of extended attributes (`XATTR_LIST_MAX`).
pub const XATTR_LIST_MAX: usize = 64 << 10;

/// Now, on the clock that goes on while the machine sleeps.
#[must_use]
pub fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant(
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
    )
}

/// A number that no other process draws.
#[must_use]
pub fn random_number() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    // 0 means "none" in several places.
    u64::from_le_bytes(bytes) | 1
}

/// Acts on the file system as another user until dropped. With
/// [`keep_capabilities_across_users`] in force, permissions are not checked again: the kernel did
/// that before it asked us. Only the owner of what is created comes from here.
pub struct ActingAs(());

impl ActingAs {
    /// Sets this thread's file system user and group.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Self {
        linux::set_file_system_group(gid);
        linux::set_file_system_user(uid);
        Self(())
    }
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        linux::set_file_system_user(0);
        linux::set_file_system_group(0);
    }
}

/// Lets this thread, and those that it starts, keep their capabilities while they act as another
/// file system user.
///
/// # Errors
/// Not root.
pub fn keep_capabilities_across_users() -> Result<(), Errno> {
    let bits = rustix::thread::capabilities_secure_bits()?;
    rustix::thread::set_capabilities_secure_bits(
        bits | rustix::thread::CapabilitiesSecureBits::NO_SETUID_FIXUP,
    )
}

/// The path that leads to the object behind a descriptor, whatever became of its name.
#[must_use]
pub fn descriptor_path(object: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", object.as_raw_fd())).expect("digits have no NUL")
}

/// Opens the object behind an `O_PATH` descriptor for reading or writing.
///
/// # Errors
/// Those of `open(2)`.
pub fn reopen(object: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(
        descriptor_path(object),
        flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK,
        Mode::empty(),
    )
}

/// The state of the object behind any descriptor.
///
/// # Errors
/// Those of `fstat(2)`.
pub fn stat(object: BorrowedFd<'_>) -> Result<Stat, Errno> {
    rustix::fs::fstat(object)
}

/// Sets permission bits through an `O_PATH` descriptor; not for symbolic links, which have none.
///
/// # Errors
/// Those of `chmod(2)`.
pub fn set_mode(object: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    rustix::fs::chmod(descriptor_path(object), Mode::from_raw_mode(mode & 0o7777))
}

/// Sets owner and group through an `O_PATH` descriptor.
///
/// # Errors
/// Those of `chown(2)`.
pub fn set_owner(object: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    rustix::fs::chownat(
        object,
        c"",
        uid.map(rustix::fs::Uid::from_raw),
        gid.map(rustix::fs::Gid::from_raw),
        AtFlags::EMPTY_PATH,
    )
}

/// Sets access and modification time through an `O_PATH` descriptor.
///
/// # Errors
/// Those of `utimensat(2)`.
pub fn set_times(object: BorrowedFd<'_>, times: &rustix::fs::Timestamps) -> Result<(), Errno> {
    rustix::fs::utimensat(object, c"", times, AtFlags::EMPTY_PATH)
}

/// One entry of a directory as the file system lists it.
#[derive(Clone, Debug)]
pub struct DirectoryEntry {
    /// The name; `.` and `..` are left out.
    pub name: Box<[u8]>,
    /// The inode's number.
    pub inode: u64,
    /// The kind, where the file system says it.
    pub kind: FileType,
}

/// Lists a directory.
///
/// # Errors
/// Those of `open(2)` and `getdents(2)`.
pub fn list(directory: BorrowedFd<'_>) -> Result<Vec<DirectoryEntry>, Errno> {
    let open = rustix::fs::openat(
        directory,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOATIME | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut reader = RawDir::new(&open, buffer.spare_capacity_mut());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(DirectoryEntry {
                name: name.into(),
                inode: entry.ino(),
                kind: entry.file_type(),
            });
        }
    }
    Ok(entries)
}

/// Name and value of an extended attribute.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// All extended attributes of the object behind an `O_PATH` descriptor.
///
/// # Errors
/// Those of `listxattr(2)`; a file system without them gives an empty list.
pub fn xattrs(object: BorrowedFd<'_>) -> Result<Vec<Xattr>, Errno> {
    let path = descriptor_path(object);
    let needed = match rustix::fs::listxattr_query(&path) {
        Ok(needed) => needed,
        Err(Errno::NOTSUP | Errno::NODATA) => 0,
        Err(error) => return Err(error),
    };
    if needed == 0 {
        return Ok(Vec::new());
    }
    let mut names = Vec::<u8>::with_capacity(XATTR_LIST_MAX);
    rustix::fs::listxattr(&path, rustix::buffer::spare_capacity(&mut names))?;
    let mut attributes = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        match xattr(object, name) {
            Ok(value) => attributes.push((name.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    attributes.sort();
    Ok(attributes)
}

/// The value of an extended attribute.
///
/// # Errors
/// Those of `getxattr(2)`.
pub fn xattr(object: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let path = descriptor_path(object);
    let needed = rustix::fs::getxattr_query(&path, name)?;
    let mut value = Vec::<u8>::with_capacity(needed.max(1).max(if needed == 0 { 1 } else { 256 }));
    match rustix::fs::getxattr(&path, name, rustix::buffer::spare_capacity(&mut value)) {
        Ok(_) => Ok(value),
        Err(Errno::RANGE) => {
            let mut value = Vec::<u8>::with_capacity(XATTR_VALUE_MAX);
            rustix::fs::getxattr(&path, name, rustix::buffer::spare_capacity(&mut value))?;
            Ok(value)
        }
        Err(error) => Err(error),
    }
}

/// The attributes that both copies have in common.
#[must_use]
pub fn attributes(stat: &Stat) -> Attributes {
    Attributes {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        atime: access_time(stat),
        mtime: modification_time(stat),
    }
}

/// The modification time.
#[must_use]
pub fn modification_time(stat: &Stat) -> Timestamp {
    Timestamp {
        seconds: stat.st_mtime,
        nanoseconds: stat.st_mtime_nsec as u32,
    }
}

/// The access time.
#[must_use]
pub fn access_time(stat: &Stat) -> Timestamp {
    Timestamp {
        seconds: stat.st_atime,
        nanoseconds: stat.st_atime_nsec as u32,
    }
}

/// The kind of an object, without where a symbolic link points.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The kind of the object behind an `O_PATH` descriptor, as the stream says it.
///
/// # Errors
/// Those of `readlink(2)`, or `EIO` for a kind that Linux does not have.
pub fn object_kind(object: BorrowedFd<'_>, stat: &Stat) -> Result<ObjectKind, Errno> {
    Ok(match file_type(stat) {
        FileType::RegularFile => ObjectKind::File,
        FileType::Directory => ObjectKind::Directory,
        FileType::Symlink => ObjectKind::Symlink(read_link(object)?),
        FileType::Fifo => ObjectKind::Fifo,
        FileType::Socket => ObjectKind::Socket,
        FileType::CharacterDevice => ObjectKind::CharacterDevice(stat.st_rdev),
        FileType::BlockDevice => ObjectKind::BlockDevice(stat.st_rdev),
        FileType::Unknown => return Err(Errno::IO),
    })
}

/// Where the symbolic link behind an `O_PATH` descriptor points.
///
/// # Errors
/// Those of `readlinkat(2)`.
pub fn read_link(object: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    Ok(rustix::fs::readlinkat(object.as_fd(), c"", Vec::new())?.into_bytes())
}

/// Raises the limit of open files to what is allowed and says what it is.
#[must_use]
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(1024),
    }
}

/// A duration from an earlier moment of [`now`] until now.
#[must_use]
pub fn since(moment: Instant) -> Duration {
    now().since(moment)
}
