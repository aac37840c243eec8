//! Attributes: mode, owner, times, size, extended attributes.

use super::contents::{OpenFile, drop_privileges, truncate};
use crate::debt::Effect;
use crate::inodes::Inode;
use crate::order::{Outcome, Refusal, Teller, Tree};
use crate::sys;
use rustix::fd::AsFd;
use rustix::fs::Stat;
use rustix::fs::{Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::sync::Arc;
use tandem_wire::stream::{Operation, Timestamp};

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

impl Tree {
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
                    self.mark(inode, Effect::From(size));
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
