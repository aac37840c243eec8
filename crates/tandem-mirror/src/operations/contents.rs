//! Contents of files: opened, read, written, allocated, synced.

use crate::debt::Effect;
use crate::inodes::Inode;
use crate::order::{Outcome, Refusal, Teller, Tree, open_file};
use crate::source::{Answer, SessionId, SyncTarget, Ticket};
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom};
use rustix::io::Errno;
use std::sync::Arc;
use tandem_wire::stream::{Operation, ROOT_OBJECT, WritePlace};

/// The flags of an open that concern the backing file: access mode alone. The kernel has resolved
/// `O_APPEND` into offsets; durability is ours; `O_DIRECT` would need aligned memory.
const ACCESS_MODES: i32 = libc::O_ACCMODE;

/// An open file.
pub struct OpenFile {
    /// The object.
    pub inode: Arc<Inode>,
    /// The backing file.
    pub backing: OwnedFd,
    /// Opened with `O_DIRECT`: the kernel does not cache it.
    pub direct: bool,
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct WriteAt {
    /// Where.
    pub offset: u64,
    /// Whether set-user-id bits and the like are to be dropped.
    pub drop_privileges: bool,
}

impl Tree {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(&self, inode: &Arc<Inode>, flags: i32) -> Outcome<OpenFile> {
        let access = match flags & ACCESS_MODES {
            libc::O_RDONLY => OFlags::RDONLY,
            // Also for O_WRONLY: pages that are written in part may have to be read.
            _ => OFlags::RDWR,
        };
        if inode.kind != FileType::RegularFile {
            // Pipes, sockets and devices are the kernel's own business.
            return Err(Refusal::Because(Errno::OPNOTSUPP));
        }
        let backing = open_file(inode, access | OFlags::NOATIME)?;
        Ok(OpenFile {
            inode: inode.clone(),
            backing,
            direct: flags & libc::O_DIRECT != 0,
        })
    }

    /// Reads. Short only at the end of the file.
    ///
    /// # Errors
    /// Those of `pread(2)`. Reading does not declare the copy lost: the application is told.
    pub fn read(&self, file: &OpenFile, offset: u64, buffer: &mut Vec<u8>) -> Outcome<()> {
        let wanted = buffer.capacity();
        while buffer.len() < wanted {
            let at = offset + buffer.len() as u64;
            let spare = rustix::buffer::spare_capacity(buffer);
            match rustix::io::pread(&file.backing, spare, at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Writes, and says how much.
    ///
    /// # Errors
    /// Those of `pwrite(2)`.
    pub fn write(&self, file: &OpenFile, at: WriteAt, data: &[u8]) -> Outcome<usize> {
        let inode = &file.inode;
        self.change(inode, |teller| {
            if at.drop_privileges && drop_privileges(&file.backing)? {
                let stat = self.must(sys::stat(file.backing.as_fd()))?;
                teller.tell(|| Operation::SetAttributes {
                    object: inode.object(),
                    attributes: sys::attributes(&stat),
                });
            }
            let bytes = data.len() as u64;
            let offset = at.offset;
            self.mark(inode, Effect::Bytes { offset, bytes });
            let written = match write_all(&file.backing, at.offset, data) {
                Ok(written) => written,
                Err(errno) => return Err(self.after_failure(teller, file, errno)),
            };
            if teller.session.exists() {
                let stat = self.must(sys::stat(file.backing.as_fd()))?;
                let place = WritePlace {
                    object: inode.object(),
                    offset: at.offset,
                    mtime: sys::modification_time(&stat),
                };
                teller.tell_write(place, &data[..written]);
            } else {
                teller.count_alone(written as u64);
            }
            Ok(written)
        })
    }

    /// `fallocate`
    ///
    /// # Errors
    /// Those of `fallocate(2)`.
    pub fn allocate(&self, file: &OpenFile, mode: i32, offset: u64, bytes: u64) -> Outcome<()> {
        let inode = &file.inode;
        self.change(inode, |teller| {
            let flags = FallocateFlags::from_bits_retain(mode as u32);
            self.mark(inode, Effect::Bytes { offset, bytes });
            if let Err(errno) = rustix::fs::fallocate(&file.backing, flags, offset, bytes) {
                return Err(self.after_failure(teller, file, errno));
            }
            let stat = self.must(sys::stat(file.backing.as_fd()))?;
            teller.tell(|| Operation::Allocate {
                object: inode.object(),
                mode: mode as u32,
                offset,
                bytes,
                mtime: sys::modification_time(&stat),
            });
            Ok(())
        })
    }

    /// A write without room has already changed the file's times: what really happened is told.
    fn after_failure(&self, teller: &Teller<'_>, file: &OpenFile, errno: Errno) -> Refusal {
        if !teller.session.exists() || crate::order::is_disk_failure(errno) {
            return errno.into();
        }
        match self.must(sys::stat(file.backing.as_fd())) {
            Ok(stat) => {
                teller.tell(|| Operation::SetAttributes {
                    object: file.inode.object(),
                    attributes: sys::attributes(&stat),
                });
                errno.into()
            }
            Err(lost) => lost,
        }
    }

    /// Registers a sync of an object; the caller then syncs the local copy and reports it.
    pub fn begin_sync(&self, inode: &Arc<Inode>, data_only: bool, answer: Answer) -> Ticket {
        let session = self.source.session();
        if inode.is_excluded() {
            return self.source.begin_sync_alone(self.index, answer);
        }
        if session.exists() && !inode.is_known(session) {
            let _names = self.hold_names();
            self.make_known(inode, session);
        }
        // While comparing, the number may change: then it is not used either.
        let known = session.exists() && inode.is_known(session);
        let target = SyncTarget {
            session: if known { session } else { SessionId::NONE },
            volume: self.index,
            object: if known { inode.object() } else { ROOT_OBJECT },
            data_only,
        };
        self.source.begin_sync(target, answer)
    }
}

/// Finds the next data or hole.
///
/// # Errors
/// `ENXIO` behind the end.
pub fn seek(file: &OpenFile, offset: i64, whence: i32) -> Result<u64, Errno> {
    let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
    match whence {
        libc::SEEK_DATA => rustix::fs::seek(&file.backing, SeekFrom::Data(offset)),
        libc::SEEK_HOLE => rustix::fs::seek(&file.backing, SeekFrom::Hole(offset)),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn truncate(
    inode: &Arc<Inode>,
    file: Option<&OpenFile>,
    size: u64,
) -> Result<(), Errno> {
    let writable = file.filter(|file| {
        rustix::fs::fcntl_getfl(&file.backing).is_ok_and(|flags| flags.contains(OFlags::RDWR))
    });
    match writable {
        Some(file) => rustix::fs::ftruncate(&file.backing, size),
        None => rustix::fs::ftruncate(open_file(inode, OFlags::WRONLY)?, size),
    }
}

/// Drops set-user-id and set-group-id bits, as a write by an ordinary user does. The kernel asks us
/// to, because our own writes are those of root.
pub(super) fn drop_privileges(file: &OwnedFd) -> Result<bool, Errno> {
    let mode = sys::stat(file.as_fd())?.st_mode;
    let group_runs = mode & (libc::S_ISGID | libc::S_IXGRP) == libc::S_ISGID | libc::S_IXGRP;
    let dropped = libc::S_ISUID | if group_runs { libc::S_ISGID } else { 0 };
    if mode & dropped == 0 {
        return Ok(false);
    }
    sys::set_mode(file.as_fd(), mode & !dropped)?;
    Ok(true)
}

/// Writes all, or as much as goes before an error; the error only if nothing went.
fn write_all(file: &OwnedFd, offset: u64, data: &[u8]) -> Result<usize, Errno> {
    let mut written = 0;
    while written < data.len() {
        match rustix::io::pwrite(file, &data[written..], offset + written as u64) {
            Ok(0) => break,
            Ok(bytes) => written += bytes,
            Err(Errno::INTR) => {}
            Err(errno) if written == 0 || crate::order::is_disk_failure(errno) => {
                return Err(errno);
            }
            Err(_) => break,
        }
    }
    Ok(written)
}
