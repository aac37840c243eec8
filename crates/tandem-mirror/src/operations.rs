//! What the application asks, carried out on the backing directory and told to the follower.
//!
//! Each operation that changes something runs inside [`Tree::change`] or [`Tree::change_in`]: one
//! system call, then whatever has to be read to describe its effect, then the number. What is told
//! is the effect that happened (the length written, the resulting mode and times), never the
//! request; what failed is not told.
//!
//! Permissions were checked by the kernel (`default_permissions`); here everything runs as root,
//! and only the owner of a new object is the caller's.
//!
//! **What is lost by a crash**: see [`crate::order`]; nothing here is answered before it is
//! numbered.

use crate::inodes::{Inode, Place};
use crate::order::{Outcome, Refusal, Teller, Tree, open_file};
use crate::source::{Answer, SyncTarget, Ticket};
use crate::sys::{self, ActingAs};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, SeekFrom, Stat, Timespec,
    Timestamps, XattrFlags,
};
use rustix::io::Errno;
use std::sync::Arc;
use tandem_wire::stream::{Name, Operation, ROOT_OBJECT, Timestamp, WritePlace};

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

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What is to be created.
#[derive(Clone, Debug)]
pub enum NewObject {
    /// A file, FIFO, socket or device by its mode.
    Node { mode: u32, device: u64 },
    /// A directory.
    Directory { mode: u32 },
    /// A symbolic link.
    Symlink { target: Vec<u8> },
}

/// A new name.
#[derive(Clone, Debug)]
pub struct NewName {
    /// The directory.
    pub parent: Arc<Inode>,
    /// The name.
    pub name: Name,
    /// Who asks.
    pub caller: Caller,
    /// The caller's mask.
    pub umask: u32,
}

/// Attributes to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size.
    pub size: Option<u64>,
    /// Access time.
    pub atime: Option<NewTime>,
    /// Modification time.
    pub mtime: Option<NewTime>,
    /// The caller may not keep set-user-id bits over a change of the content.
    pub unprivileged: bool,
}

/// A time to be set.
#[derive(Clone, Copy, Debug)]
pub enum NewTime {
    /// The moment of the operation.
    Now,
    /// This one.
    At(Timestamp),
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct WriteAt {
    /// Where.
    pub offset: u64,
    /// Whether set-user-id bits and the like are to be dropped.
    pub drop_privileges: bool,
}

impl std::fmt::Debug for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} object {}", self.node, self.object())
    }
}

impl Tree {
    /// Looks a name up, on behalf of the kernel.
    ///
    /// # Errors
    /// `ENOENT` and those of the file system.
    pub fn lookup(&self, parent: &Arc<Inode>, name: &Name) -> Outcome<(Arc<Inode>, Stat)> {
        let _names = self.hold_names();
        let (inode, stat) = self.child(parent, name)?;
        self.table.remember(&inode);
        Ok((inode, stat))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// Those of `mknod(2)`, `mkdir(2)`, `symlink(2)`.
    pub fn create(&self, new: &NewName, object: &NewObject) -> Outcome<(Arc<Inode>, Stat)> {
        self.refuse_hidden(&new.parent, &new.name)?;
        self.change_in(&[&new.parent], |teller| {
            let directory = new.parent.descriptor()?;
            let name = new.name.as_bytes();
            match object {
                NewObject::Node { mode, device } => {
                    let mode = masked(&directory, *mode, new.umask);
                    let kind = FileType::from_raw_mode(mode);
                    let kind = match kind {
                        FileType::Unknown => FileType::RegularFile,
                        other => other,
                    };
                    let mode = Mode::from_raw_mode(mode & 0o7777);
                    let _acting = ActingAs::new(new.caller.uid, new.caller.gid);
                    rustix::fs::mknodat(&*directory, name, kind, mode, *device)?;
                }
                NewObject::Directory { mode } => {
                    let mode = masked(&directory, *mode, new.umask);
                    let mode = Mode::from_raw_mode(mode & 0o7777);
                    let _acting = ActingAs::new(new.caller.uid, new.caller.gid);
                    rustix::fs::mkdirat(&*directory, name, mode)?;
                }
                NewObject::Symlink { target } => {
                    let _acting = ActingAs::new(new.caller.uid, new.caller.gid);
                    rustix::fs::symlinkat(target.as_slice(), &*directory, name)?;
                }
            }
            self.tell_created(teller, new)
        })
    }

    /// Creates a file if there is none, and opens it.
    ///
    /// # Errors
    /// Those of `open(2)`; `EEXIST` with `O_EXCL`.
    pub fn create_file(&self, new: &NewName, mode: u32, flags: i32) -> Outcome<(Stat, OpenFile)> {
        let object = NewObject::Node { mode, device: 0 };
        let (inode, stat) = match self.create(new, &object) {
            Err(Refusal::Because(Errno::EXIST)) if flags & libc::O_EXCL == 0 => {
                self.lookup(&new.parent, &new.name)?
            }
            other => other?,
        };
        match self.open(&inode, flags) {
            Ok(file) => Ok((stat, file)),
            Err(refusal) => {
                // The kernel will not hear of the object.
                self.table.forget(inode.node, 1);
                Err(refusal)
            }
        }
    }

    fn tell_created(&self, teller: &Teller<'_>, new: &NewName) -> Outcome<(Arc<Inode>, Stat)> {
        let (inode, stat) = self.must(self.child(&new.parent, &new.name))?;
        let descriptor = self.must(inode.descriptor())?;
        if teller.session.exists() {
            let kind = self.must(sys::object_kind(descriptor.as_fd(), &stat))?;
            let parent_mtime = self.mtime(&new.parent)?;
            // Inherited lists of permissions, and labels of security modules.
            let inherited = self.must(sys::xattrs(descriptor.as_fd()))?;
            teller.tell(|| Operation::Create {
                object: inode.object(),
                parent: new.parent.object(),
                name: new.name.clone(),
                kind,
                attributes: sys::attributes(&stat),
                parent_mtime,
            });
            self.created(&inode, teller.session);
            let object = inode.object();
            for (name, value) in inherited {
                teller.tell(|| Operation::SetXattr {
                    object,
                    name,
                    value,
                });
            }
        } else {
            self.source.count_alone(0);
        }
        self.table.remember(&inode);
        Ok((inode, stat))
    }

    /// Gives an object one more name.
    ///
    /// # Errors
    /// Those of `link(2)`.
    pub fn link(
        &self,
        inode: &Arc<Inode>,
        parent: &Arc<Inode>,
        name: &Name,
    ) -> Outcome<(Arc<Inode>, Stat)> {
        self.refuse_hidden(parent, name)?;
        self.change_in(&[parent], |teller| {
            let known = teller.session.exists() && self.make_known_for_link(inode, teller);
            let object = inode.descriptor()?;
            let directory = parent.descriptor()?;
            let flags = AtFlags::EMPTY_PATH;
            rustix::fs::linkat(&*object, c"", &*directory, name.as_bytes(), flags)?;
            inode.offer_place(parent, name);
            let stat = self.must(self.stat(inode))?;
            let parent_mtime = self.mtime(parent)?;
            if known {
                teller.tell(|| Operation::Link {
                    object: inode.object(),
                    parent: parent.object(),
                    name: name.clone(),
                    parent_mtime,
                });
                self.linked(inode, teller.session);
            } else if teller.session.exists() {
                // Its other names were all removed before the comparison began.
                let reason = "an object got a name that the peer cannot know";
                self.source.compare_again(teller.session, reason);
            }
            self.table.remember(inode);
            Ok((inode.clone(), stat))
        })
    }

    /// A comparison that has not reached the object yet lists the directory of its other name.
    fn make_known_for_link(&self, inode: &Arc<Inode>, teller: &Teller<'_>) -> bool {
        let session = teller.session;
        self.make_known(inode, session)
            || inode.place().is_some_and(|place| {
                self.make_listed(&place.parent, session) == Ok(true)
                    && self.make_known(inode, session)
            })
    }

    /// Removes a name of something that is no directory.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn unlink(&self, parent: &Arc<Inode>, name: &Name) -> Outcome<()> {
        self.refuse_hidden(parent, name)?;
        self.change_in(&[parent], |teller| {
            let directory = parent.descriptor()?;
            let victim = self.prepare_removal(teller, parent, name)?;
            let removed = rustix::fs::unlinkat(&*directory, name.as_bytes(), AtFlags::empty());
            let victim = victim.conclude(removed)?;
            let parent_mtime = self.mtime(parent)?;
            teller.tell(|| Operation::Unlink {
                parent: parent.object(),
                name: name.clone(),
                parent_mtime,
            });
            victim.leave(self, teller);
            Ok(())
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of `rmdir(2)`.
    pub fn remove_directory(&self, parent: &Arc<Inode>, name: &Name) -> Outcome<()> {
        self.refuse_hidden(parent, name)?;
        self.change_in(&[parent], |teller| {
            let directory = parent.descriptor()?;
            let victim = self.prepare_removal(teller, parent, name)?;
            let removed = rustix::fs::unlinkat(&*directory, name.as_bytes(), AtFlags::REMOVEDIR);
            victim.conclude(removed)?;
            let parent_mtime = self.mtime(parent)?;
            teller.tell(|| Operation::RemoveDirectory {
                parent: parent.object(),
                name: name.clone(),
                parent_mtime,
            });
            Ok(())
        })
    }

    /// Renames, replaces or exchanges.
    ///
    /// # Errors
    /// Those of `renameat2(2)`; `EINVAL` for a flag that cannot be mirrored.
    pub fn rename(
        &self,
        from: (&Arc<Inode>, &Name),
        to: (&Arc<Inode>, &Name),
        flags: u32,
    ) -> Outcome<()> {
        let ((from_parent, from_name), (to_parent, to_name)) = (from, to);
        self.refuse_hidden(from_parent, from_name)?;
        self.refuse_hidden(to_parent, to_name)?;
        let flags = RenameFlags::from_bits_retain(flags);
        let known = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
        if !known.contains(flags) {
            return Err(Refusal::Because(Errno::INVAL));
        }
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        self.change_in(&[from_parent, to_parent], |teller| {
            let from_directory = from_parent.descriptor()?;
            let to_directory = to_parent.descriptor()?;
            let (moved, _) = self.child(from_parent, from_name)?;
            let replaced = match self.child(to_parent, to_name) {
                Ok((inode, _)) => Some(inode),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(errno.into()),
            };
            let same = replaced
                .as_ref()
                .is_some_and(|r| r.object() == moved.object());
            let victim = match &replaced {
                Some(_) if !exchange && !same && !flags.contains(RenameFlags::NOREPLACE) => {
                    Some(self.prepare_removal(teller, to_parent, to_name)?)
                }
                Some(_) | None => None,
            };
            let renamed = rustix::fs::renameat_with(
                &*from_directory,
                from_name.as_bytes(),
                &*to_directory,
                to_name.as_bytes(),
                flags,
            );
            let victim = match victim {
                Some(victim) => Some(victim.conclude(renamed)?),
                None => {
                    renamed?;
                    None
                }
            };
            if same && !exchange {
                // Two names of one object: the system call does nothing.
                return Ok(());
            }
            move_place(&moved, from, to);
            if let (true, Some(other)) = (exchange, &replaced) {
                move_place(other, to, from);
            }
            let from_parent_mtime = self.mtime(from_parent)?;
            let to_parent_mtime = self.mtime(to_parent)?;
            teller.tell(|| Operation::Rename {
                from_parent: from_parent.object(),
                from_name: from_name.clone(),
                to_parent: to_parent.object(),
                to_name: to_name.clone(),
                exchange,
                from_parent_mtime,
                to_parent_mtime,
            });
            if let Some(victim) = victim {
                victim.leave(self, teller);
            }
            Ok(())
        })
    }

    /// An object is about to lose a name. If anything refers to it, the follower must know its
    /// number before the name is gone, and the object must stay if it was the last name.
    fn prepare_removal(
        &self,
        teller: &Teller<'_>,
        parent: &Arc<Inode>,
        name: &Name,
    ) -> Outcome<Victim> {
        let directory = parent.descriptor()?;
        let stat = rustix::fs::statat(&*directory, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
        let inode = self.table.find(crate::order::node_of(&stat));
        let last = stat.st_nlink <= 1 || sys::file_type(&stat) == FileType::Directory;
        if let Some(inode) = &inode {
            if teller.session.exists() {
                self.make_known(inode, teller.session);
            }
            if last {
                inode.pin()?;
            }
        }
        Ok(Victim {
            inode,
            last,
            place: Place {
                parent: parent.clone(),
                name: name.clone(),
            },
        })
    }

    /// Changes attributes, and says what they are then.
    ///
    /// # Errors
    /// Those of `chmod(2)`, `chown(2)`, `truncate(2)`, `utimensat(2)`.
    pub fn set_attributes(
        &self,
        inode: &Arc<Inode>,
        file: Option<&OpenFile>,
        changes: &Changes,
    ) -> Outcome<Stat> {
        self.change(inode, |teller| {
            let descriptor = inode.descriptor()?;
            let mut done = false;
            let mut attributes = changes.mode.is_some();
            let result = (|| {
                if let Some(size) = changes.size {
                    truncate(inode, file, size)?;
                    done = true;
                    attributes |= changes.unprivileged && drop_privileges(&descriptor)?;
                }
                if changes.uid.is_some() || changes.gid.is_some() {
                    sys::set_owner(descriptor.as_fd(), changes.uid, changes.gid)?;
                    done = true;
                    attributes = true;
                }
                if let Some(mode) = changes.mode {
                    // After the owner: a change of owner drops set-user-id bits.
                    sys::set_mode(descriptor.as_fd(), mode)?;
                    done = true;
                }
                if changes.atime.is_some() || changes.mtime.is_some() {
                    let times = Timestamps {
                        last_access: timespec(changes.atime),
                        last_modification: timespec(changes.mtime),
                    };
                    sys::set_times(descriptor.as_fd(), &times)?;
                    done = true;
                    attributes = true;
                }
                Ok::<(), Errno>(())
            })();
            // Several changes in one request: what was done before one failed, happened.
            if done || result.is_ok() {
                let stat = self.must(sys::stat(descriptor.as_fd()))?;
                if changes.size.is_some() {
                    teller.tell(|| Operation::Truncate {
                        object: inode.object(),
                        size: stat.st_size as u64,
                        mtime: sys::modification_time(&stat),
                    });
                }
                if attributes {
                    teller.tell(|| Operation::SetAttributes {
                        object: inode.object(),
                        attributes: sys::attributes(&stat),
                    });
                }
                result?;
                return Ok(stat);
            }
            result?;
            Err(Refusal::Because(Errno::IO))
        })
    }

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
            let written = write_all(&file.backing, at.offset, data)?;
            if teller.session.exists() {
                let stat = self.must(sys::stat(file.backing.as_fd()))?;
                let place = WritePlace {
                    object: inode.object(),
                    offset: at.offset,
                    mtime: sys::modification_time(&stat),
                };
                teller.tell_write(place, &data[..written]);
            } else {
                self.source.count_alone(written as u64);
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
            rustix::fs::fallocate(&file.backing, flags, offset, bytes)?;
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

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// Those of `setxattr(2)`.
    pub fn set_xattr(
        &self,
        inode: &Arc<Inode>,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Outcome<()> {
        self.change(inode, |teller| {
            let descriptor = inode.descriptor()?;
            let path = sys::descriptor_path(descriptor.as_fd());
            let flags = XattrFlags::from_bits_retain(flags as u32);
            rustix::fs::setxattr(&path, name, value, flags)?;
            teller.tell(|| Operation::SetXattr {
                object: inode.object(),
                name: name.to_vec(),
                value: value.to_vec(),
            });
            self.tell_mode_of_list(teller, inode, name)
        })
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// Those of `removexattr(2)`.
    pub fn remove_xattr(&self, inode: &Arc<Inode>, name: &[u8]) -> Outcome<()> {
        self.change(inode, |teller| {
            let descriptor = inode.descriptor()?;
            let path = sys::descriptor_path(descriptor.as_fd());
            rustix::fs::removexattr(&path, name)?;
            teller.tell(|| Operation::RemoveXattr {
                object: inode.object(),
                name: name.to_vec(),
            });
            self.tell_mode_of_list(teller, inode, name)
        })
    }

    /// A list of permissions changes the permission bits.
    fn tell_mode_of_list(
        &self,
        teller: &Teller<'_>,
        inode: &Arc<Inode>,
        name: &[u8],
    ) -> Outcome<()> {
        if name == b"system.posix_acl_access" && teller.session.exists() {
            let stat = self.must(self.stat(inode))?;
            teller.tell(|| Operation::SetAttributes {
                object: inode.object(),
                attributes: sys::attributes(&stat),
            });
        }
        Ok(())
    }

    /// Registers a sync of an object; the caller then syncs the local copy and reports it.
    pub fn begin_sync(&self, inode: &Arc<Inode>, data_only: bool, answer: Answer) -> Ticket {
        let session = self.source.session();
        if session.exists() && !inode.is_known(session) {
            let _names = self.hold_names();
            self.make_known(inode, session);
        }
        // While comparing, the number may change: then it is not used either.
        let known = session.exists() && inode.is_known(session);
        let target = SyncTarget {
            session: if known {
                session
            } else {
                crate::source::SessionId::NONE
            },
            volume: self.index,
            object: if known { inode.object() } else { ROOT_OBJECT },
            data_only,
        };
        self.source.begin_sync(target, answer)
    }

    fn refuse_hidden(&self, parent: &Inode, name: &Name) -> Outcome<()> {
        if self.hides(parent, name) {
            return Err(Refusal::Because(Errno::PERM));
        }
        Ok(())
    }

    fn mtime(&self, directory: &Arc<Inode>) -> Outcome<Timestamp> {
        let stat = self.must(self.stat(directory))?;
        Ok(sys::modification_time(&stat))
    }
}

/// An object that loses a name.
struct Victim {
    inode: Option<Arc<Inode>>,
    last: bool,
    place: Place,
}

impl Victim {
    /// Remembers whether it did.
    fn conclude(self, removed: Result<(), Errno>) -> Result<Self, Errno> {
        if let Some(inode) = &self.inode {
            match removed {
                Ok(()) => inode.forget_place(&self.place.parent, &self.place.name),
                Err(_) if self.last => inode.unpin(),
                Err(_) => {}
            }
        }
        removed.map(|()| self)
    }

    /// The follower was told.
    fn leave(&self, tree: &Tree, teller: &Teller<'_>) {
        if let (Some(inode), false) = (&self.inode, self.last) {
            tree.unlinked(inode, teller.session);
        }
    }
}

fn move_place(inode: &Arc<Inode>, from: (&Arc<Inode>, &Name), to: (&Arc<Inode>, &Name)) {
    inode.forget_place(from.0, from.1);
    // If another of its names is remembered, that one stays.
    inode.offer_place(to.0, to.1);
}

/// The mode of a new object: a directory with a default list of permissions replaces the mask.
fn masked(directory: &OwnedFd, mode: u32, umask: u32) -> u32 {
    match sys::xattr(directory.as_fd(), b"system.posix_acl_default") {
        Ok(_) => mode,
        Err(_) => mode & !(umask & 0o777),
    }
}

fn truncate(inode: &Arc<Inode>, file: Option<&OpenFile>, size: u64) -> Result<(), Errno> {
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
fn drop_privileges(file: &OwnedFd) -> Result<bool, Errno> {
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

fn timespec(time: Option<NewTime>) -> Timespec {
    match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        Some(NewTime::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        },
        Some(NewTime::At(time)) => Timespec {
            tv_sec: time.seconds,
            tv_nsec: i64::from(time.nanoseconds),
        },
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
