//! System calls of the following half that no crate wraps: file handles.
//!
//! A file handle names an inode beyond the life of a descriptor and across renames, so that the
//! follower can know ten million objects without holding ten million descriptors. Opening one
//! needs `CAP_DAC_READ_SEARCH` over the whole machine. Root of a user namespace has it over less: there
//! a handle holds its object open instead, one descriptor each, which is enough for a demonstration.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, LazyLock};

use rustix::fs::OFlags;

use crate::sys;

/// The kernel's bound for the bytes of a handle.
const HANDLE_BYTES_MAX: usize = 128;

/// Whether this process is root of a user namespace only.
static IS_CONFINED: LazyLock<bool> = LazyLock::new(|| {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    let confined = !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(whole);
    if confined {
        tracing::warn!("in a user namespace every mirrored file is held open, one descriptor each");
    }
    confined
});

/// Names an inode of one file system for as long as it exists.
#[derive(Clone, Debug)]
pub struct FileHandle {
    kind: i32,
    bytes: Box<[u8]>,
    /// Where the kernel opens no handles.
    held: Option<Arc<OwnedFd>>,
}

impl PartialEq for FileHandle {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.bytes) == (other.kind, &other.bytes)
    }
}

impl Eq for FileHandle {}

/// `struct file_handle` with room for the longest handle.
#[repr(C)]
struct RawHandle {
    bytes_used: u32,
    kind: i32,
    bytes: [u8; HANDLE_BYTES_MAX],
}

impl FileHandle {
    /// The handle of what a descriptor stands for.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: the file system has no handles.
    pub fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let mut raw = RawHandle {
            bytes_used: HANDLE_BYTES_MAX as u32,
            kind: 0,
            bytes: [0; HANDLE_BYTES_MAX],
        };
        let mut mount: i32 = 0;
        let empty = CString::default();
        // SAFETY: `raw` has the layout of struct file_handle and room for the bytes it announces;
        // the path is a NUL-terminated string; all pointers are live for the call.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                descriptor.as_raw_fd(),
                empty.as_ptr(),
                std::ptr::from_mut(&mut raw),
                std::ptr::from_mut(&mut mount),
                libc::AT_EMPTY_PATH,
            )
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        let used = (raw.bytes_used as usize).min(HANDLE_BYTES_MAX);
        let held = match *IS_CONFINED {
            true => Some(Arc::new(descriptor.try_clone_to_owned()?)),
            false => None,
        };
        Ok(Self {
            kind: raw.kind,
            bytes: raw.bytes[..used].into(),
            held,
        })
    }

    /// Opens the inode; `mount` is any descriptor on its file system's mount.
    ///
    /// # Errors
    /// `ESTALE`: the inode is gone.
    pub fn open(&self, mount: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
        if let Some(held) = &self.held {
            return match flags.contains(OFlags::PATH) {
                true => held.try_clone(),
                false => Ok(sys::reopen(held.as_fd(), flags)?),
            };
        }
        let mut raw = RawHandle {
            bytes_used: self.bytes.len() as u32,
            kind: self.kind,
            bytes: [0; HANDLE_BYTES_MAX],
        };
        raw.bytes[..self.bytes.len()].copy_from_slice(&self.bytes);
        // SAFETY: `raw` has the layout of struct file_handle and is live for the call.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                std::ptr::from_mut(&mut raw),
                (flags | OFlags::CLOEXEC).bits() as i32,
            )
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }
}

/// Sets the user as which this thread, and no other, acts on file systems.
pub fn set_file_system_user(uid: u32) {
    // SAFETY: changes one number of the calling thread and touches no memory. It cannot fail for a
    // thread that may change its user, and says nothing for one that may not.
    unsafe {
        libc::setfsuid(uid);
    }
}

/// Sets the group as which this thread, and no other, acts on file systems.
pub fn set_file_system_group(gid: u32) {
    // SAFETY: as above.
    unsafe {
        libc::setfsgid(gid);
    }
}
