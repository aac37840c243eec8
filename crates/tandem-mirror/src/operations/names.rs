//! Names: looked up, created, linked, removed, renamed.
//!
//! All but looking up runs under the name lock ([`Tree::change_in`]); whatever may be told of an
//! object by its number later must be known by it before its name is gone.

use super::contents::OpenFile;
use crate::debt::Effect;
use crate::inodes::{Inode, Place};
use crate::order::{Outcome, Refusal, Teller, Tree};
use crate::sys::{self, ActingAs};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, Stat};
use rustix::io::Errno;
use std::sync::Arc;
use tandem_wire::exclude::Below;
use tandem_wire::stream::{Name, Operation, Timestamp};

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
        self.mark(&inode, Effect::Named);
        let descriptor = self.must(inode.descriptor())?;
        if inode.is_excluded() {
            self.tell_touched(teller, &new.parent)?;
        } else if teller.session.exists() {
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
            teller.count_alone(0);
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
        let excluded = self.covers(parent, name, inode.kind);
        if excluded != inode.is_excluded() {
            return Err(Refusal::Because(Errno::XDEV));
        }
        self.change_in(&[parent], |teller| {
            let known = teller.session.exists() && self.make_known_for_link(inode, teller);
            let object = inode.descriptor()?;
            let directory = parent.descriptor()?;
            let flags = AtFlags::EMPTY_PATH;
            self.mark(inode, Effect::Named);
            rustix::fs::linkat(&*object, c"", &*directory, name.as_bytes(), flags)?;
            inode.offer_place(parent, name);
            let stat = self.must(self.stat(inode))?;
            let parent_mtime = self.mtime(parent)?;
            if excluded {
                self.tell_touched(teller, parent)?;
            } else if known {
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
            if self.covers(parent, name, FileType::RegularFile) {
                return self.tell_touched(teller, parent);
            }
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
            if self.covers(parent, name, FileType::Directory) {
                return self.tell_touched(teller, parent);
            }
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
    /// Those of `renameat2(2)`; `EINVAL` for a flag that cannot be mirrored, `EXDEV` across the
    /// border of what is mirrored.
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
            let excluded = self.stays_on_its_side(&moved, from, to)?;
            if let (true, Some(other)) = (exchange, &replaced) {
                self.stays_on_its_side(other, to, from)?;
            }
            let same = replaced
                .as_ref()
                .is_some_and(|r| r.object() == moved.object());
            let victim = match &replaced {
                Some(_) if !exchange && !same && !flags.contains(RenameFlags::NOREPLACE) => {
                    Some(self.prepare_removal(teller, to_parent, to_name)?)
                }
                Some(_) | None => None,
            };
            self.mark(&moved, Effect::Named);
            if let (true, Some(other)) = (exchange, &replaced) {
                self.mark(other, Effect::Named);
            }
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
            if excluded {
                self.tell_touched(teller, from_parent)?;
                return self.tell_touched(teller, to_parent);
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

    /// Says whether what is moved from one name to another is excluded at both.
    fn stays_on_its_side(
        &self,
        moved: &Inode,
        from: (&Arc<Inode>, &Name),
        to: (&Arc<Inode>, &Name),
    ) -> Outcome<bool> {
        let at = |(parent, name): (&Arc<Inode>, &Name)| {
            let excluded = self.covers(parent, name, moved.kind);
            let below = match moved.kind {
                FileType::Directory if !excluded => self.exclude.below(parent.below(), name),
                _ => Below::Mirrored,
            };
            (excluded, below)
        };
        let (before, after) = (at(from), at(to));
        // Excluded directories are found by their path: no directory on it can be moved.
        if before.0 != after.0 || before.1 != Below::Mirrored || after.1 != Below::Mirrored {
            return Err(Refusal::Because(Errno::XDEV));
        }
        Ok(before.0)
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
