//! The operations of the application, as FUSE brings them: decoded, admitted, carried out by
//! [`crate::operations`], answered.
//!
//! Cached write-through: the kernel keeps pages (`FOPEN_KEEP_CACHE`) and sends every write at once,
//! in the order of the application. No write-back cache (the kernel would own order and times), no
//! `ATOMIC_O_TRUNC` (an open would overtake a write). Only a file opened with `O_DIRECT` bypasses
//! the cache.
//!
//! Every operation is answered on purpose. `ENOSYS` is an answer that the kernel remembers, and is
//! given knowingly to: `flush` (nothing happens at close; the kernel still writes its pages back),
//! `access` (permissions are the kernel's), `poll` (files are always ready), `bmap`,
//! `copy_file_range` (the kernel reads and writes instead, which is numbered), locks (the kernel's
//! own are enough for one node). Unnamed temporary files are not offered by the FUSE library: the
//! kernel answers `EOPNOTSUPP` and applications fall back to a name.
//!
//! It never invalidates what the kernel caches: nobody but the kernel changes the tree.

mod convert;
mod handles;
mod replies;

use self::convert::{attributes, caller, device_number, errno_of, file_type, name_of, new_time};
use self::handles::{Handles, OpenDirectory};
use self::replies::{Refuse, answer, entry, sized};
use crate::WaitForPeer;
use crate::admission::{Admission, Verdict};
use crate::inodes::Inode;
use crate::operations::{self, Caller, Changes, NewName, NewObject, OpenFile, WriteAt};
use crate::order::{Refusal, Tree, node_of};
use crate::sync::{SyncJob, Syncs};
use crate::sys;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fd::AsFd;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tandem_wire::exclude::Below;
use tandem_wire::stream::PAYLOAD_MAX;

/// How long the kernel may believe what it was told. Only the kernel itself changes the tree, and
/// it knows what it changed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// Inode numbers are not reused while the kernel knows them.
const GENERATION: Generation = Generation(0);
/// Requests that the kernel may have under way in the background: read-ahead and asynchronous
/// direct writes.
const BACKGROUND_MAX: u16 = 64;

/// One mounted volume. Clones are the same volume.
#[derive(Clone)]
pub struct Mounted {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<Tree>,
    admission: Arc<Admission>,
    syncs: Syncs,
    wait_for_peer: WaitForPeer,
    handles: Handles,
}

impl Mounted {
    /// A volume to be mounted.
    #[must_use]
    pub fn new(
        tree: Arc<Tree>,
        admission: Arc<Admission>,
        syncs: Syncs,
        wait_for_peer: WaitForPeer,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                tree,
                admission,
                syncs,
                wait_for_peer,
                handles: Handles::default(),
            }),
        }
    }

    fn tree(&self) -> &Tree {
        &self.shared.tree
    }

    fn inode(&self, node: INodeNo) -> Result<Arc<Inode>, Refusal> {
        let inode = self.tree().table.held(node.0);
        inode.ok_or(Refusal::Because(rustix::io::Errno::STALE))
    }

    fn file(&self, handle: FileHandle) -> Result<Arc<OpenFile>, Refusal> {
        self.shared.handles.file(handle)
    }

    fn directory(&self, handle: FileHandle) -> Result<Arc<OpenDirectory>, Refusal> {
        self.shared.handles.directory(handle)
    }

    /// Carries out a mutation when it is admitted, and answers when that is permitted. A sync of
    /// `changed` makes its effect durable: the object itself, or the directory of its name.
    fn mutate<R, T>(
        &self,
        changed: INodeNo,
        reply: R,
        operation: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
    {
        let this = self.clone();
        self.shared.admission.enter(move |verdict| {
            if verdict == Verdict::Refused {
                return reply.refuse(Errno::EROFS);
            }
            let admission = &this.shared.admission;
            match operation(&this) {
                Ok(result) => this.conclude(changed, move || answer(reply, result)),
                Err(Refusal::Because(errno)) => reply.refuse(errno_of(errno)),
                Err(Refusal::Never) => admission.keep(move || reply.refuse(Errno::EIO)),
            }
        });
    }

    fn sync(&self, sync: Wanted, reply: ReplyEmpty) {
        let this = self.clone();
        self.shared.admission.enter(move |verdict| {
            if verdict == Verdict::Refused {
                return reply.refuse(Errno::EROFS);
            }
            this.begin_sync(sync, move || reply.ok());
        });
    }

    /// Brings an object to the disks that an acknowledgement promises, then answers.
    fn begin_sync(&self, sync: Wanted, reply: impl FnOnce() + Send + 'static) {
        let Wanted {
            inode,
            file,
            data_only,
        } = sync;
        let admission = self.shared.admission.clone();
        let answer = Box::new(move || {
            let door = admission.clone();
            door.answer(reply);
        });
        let ticket = self.tree().begin_sync(&inode, data_only, answer);
        self.shared.syncs.request(SyncJob {
            tree: self.shared.tree.clone(),
            ticket,
            inode,
            file,
            data_only,
        });
    }

    /// Answers a mutation that was carried out: at once, or, where the volume wants every operation
    /// to wait for the peer, when this object is where an acknowledgement has to be.
    fn conclude(&self, changed: INodeNo, reply: impl FnOnce() + Send + 'static) {
        let waits = self.shared.wait_for_peer == WaitForPeer::Write;
        match self.inode(changed) {
            Ok(inode) if waits && !inode.is_excluded() && *inode.below() != Below::Excluded => {
                let sync = Wanted {
                    inode,
                    file: None,
                    data_only: false,
                };
                self.begin_sync(sync, reply);
            }
            Ok(_) | Err(_) => self.shared.admission.answer(reply),
        }
    }
}

/// A sync of an object.
struct Wanted {
    inode: Arc<Inode>,
    file: Option<Arc<OpenFile>>,
    data_only: bool,
}

/// A write that was asked for.
struct Write {
    file: Arc<OpenFile>,
    at: WriteAt,
    durable: bool,
}

impl Filesystem for Mounted {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = [
            // Lookups and listings of one directory side by side.
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_CACHE_SYMLINKS,
            // Our own changes of times must not drop cached pages.
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
            // Lists of permissions are checked by the kernel; the mask is then applied by us.
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_DONT_MASK,
            // Without it, every write is preceded by a question for an extended attribute.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ];
        for flag in wanted {
            // An older kernel serves without.
            let _ = config.add_capabilities(flag);
        }
        if config.set_max_write(PAYLOAD_MAX).is_err() {
            return Err(std::io::Error::other("a write does not fit into a frame"));
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let result = (|| self.tree().lookup(&self.inode(parent)?, &name_of(name)?))();
        answer(reply, result, entry);
    }

    fn forget(&self, _request: &Request, node: INodeNo, times: u64) {
        self.tree().table.forget(node.0, times);
    }

    fn getattr(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let result = (|| Ok(self.tree().stat(&self.inode(node)?)?))();
        answer(reply, result, |reply, stat| {
            reply.attr(&BELIEVED, &attributes(node.0, &stat));
        });
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = Changes {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(new_time),
            mtime: mtime.map(new_time),
            unprivileged: request.uid() != 0,
        };
        self.mutate(
            node,
            reply,
            move |this| {
                let inode = this.inode(node)?;
                let file = handle.and_then(|handle| this.file(handle).ok());
                this.tree()
                    .set_attributes(&inode, file.as_deref(), &changes)
            },
            move |reply, stat| reply.attr(&BELIEVED, &attributes(node.0, &stat)),
        );
    }

    fn readlink(&self, _request: &Request, node: INodeNo, reply: ReplyData) {
        let result = (|| {
            let descriptor = self.inode(node)?.descriptor()?;
            Ok(sys::read_link(descriptor.as_fd())?)
        })();
        answer(reply, result, |reply, target| reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let device = device_number(rdev);
        let object = NewObject::Node { mode, device };
        self.make(NewHere::new(request, parent, name, umask), object, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let object = NewObject::Directory { mode };
        self.make(NewHere::new(request, parent, name, umask), object, reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.mutate(
            parent,
            reply,
            move |this| this.tree().unlink(&this.inode(parent)?, &name_of(&name)?),
            |reply, ()| reply.ok(),
        );
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.mutate(
            parent,
            reply,
            move |this| {
                this.tree()
                    .remove_directory(&this.inode(parent)?, &name_of(&name)?)
            },
            |reply, ()| reply.ok(),
        );
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str().as_bytes().to_vec();
        let object = NewObject::Symlink { target };
        self.make(NewHere::new(request, parent, name, 0), object, reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.mutate(
            new_parent,
            reply,
            move |this| {
                let (from, to) = (this.inode(parent)?, this.inode(new_parent)?);
                let (from_name, to_name) = (name_of(&name)?, name_of(&new_name)?);
                this.tree()
                    .rename((&from, &from_name), (&to, &to_name), flags.bits())
            },
            |reply, ()| reply.ok(),
        );
    }

    fn link(
        &self,
        _request: &Request,
        node: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let name = new_name.to_owned();
        self.mutate(
            new_parent,
            reply,
            move |this| {
                let (inode, parent) = (this.inode(node)?, this.inode(new_parent)?);
                this.tree().link(&inode, &parent, &name_of(&name)?)
            },
            entry,
        );
    }

    fn open(&self, _request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let result = (|| self.tree().open(&self.inode(node)?, flags.0))();
        answer(reply, result, |reply, file| {
            let (handle, flags) = self.shared.handles.keep_file(file);
            reply.opened(handle, flags);
        });
    }

    fn read(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buffer = Vec::with_capacity(size as usize);
        let result = (|| self.tree().read(&*self.file(handle)?, offset, &mut buffer))();
        answer(reply, result, |reply, ()| reply.data(&buffer));
    }

    fn write(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let file = match self.file(handle) {
            Ok(file) => file,
            Err(_) => return reply.error(Errno::EBADF),
        };
        let at = WriteAt {
            offset,
            drop_privileges: write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        };
        // For a cached file the kernel follows up with a sync of its own.
        let durable = file.direct && flags.0 & libc::O_DSYNC != 0
            || self.shared.wait_for_peer == WaitForPeer::Write && !file.inode.is_excluded();
        let write = Write { file, at, durable };
        if let Some(_running) = self.shared.admission.begin() {
            self.write_now(write, data, reply);
            return;
        }
        // The data is the library's buffer, which the next request needs.
        let data = data.to_vec();
        let this = self.clone();
        self.shared.admission.enter(move |verdict| match verdict {
            Verdict::Accepted => this.write_now(write, &data, reply),
            Verdict::Refused => reply.error(Errno::EROFS),
        });
    }

    fn flush(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.shared.handles.release_file(handle);
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        node: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        match (self.inode(node), self.file(handle)) {
            (Ok(inode), Ok(file)) => {
                let file = Some(file);
                let sync = Wanted {
                    inode,
                    file,
                    data_only,
                };
                self.sync(sync, reply);
            }
            (Err(_), _) | (_, Err(_)) => reply.error(Errno::EBADF),
        }
    }

    fn opendir(&self, _request: &Request, node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        answer(reply, self.inode(node), |reply, inode| {
            let handle = self.shared.handles.keep_directory(inode);
            reply.opened(handle, FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let directory = match self.directory(handle) {
            Ok(directory) => directory,
            Err(_) => return reply.error(Errno::EBADF),
        };
        let entries = match directory.entries(self.tree(), offset) {
            Ok(entries) => entries,
            Err(errno) => return reply.error(errno_of(errno)),
        };
        for (next, entry) in (offset + 1..).zip(entries.iter().skip(offset as usize)) {
            let name = OsStr::from_bytes(&entry.name);
            if reply.add(INodeNo(entry.inode), next, file_type(entry.kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let directory = match self.directory(handle) {
            Ok(directory) => directory,
            Err(_) => return reply.error(Errno::EBADF),
        };
        let entries = match directory.entries(self.tree(), offset) {
            Ok(entries) => entries,
            Err(errno) => return reply.error(errno_of(errno)),
        };
        for (next, entry) in (offset + 1..).zip(entries.iter().skip(offset as usize)) {
            let name = OsStr::from_bytes(&entry.name);
            if &*entry.name == b"." || &*entry.name == b".." {
                // The kernel takes only the name and the number of these two.
                let Ok(stat) = self.tree().stat(&directory.inode) else {
                    continue;
                };
                let attr = attributes(entry.inode, &stat);
                if reply.add(attr.ino, next, name, &BELIEVED, &attr, GENERATION) {
                    break;
                }
                continue;
            }
            let Ok(named) = name_of(name) else {
                continue;
            };
            // Removed since the listing: left out.
            let Ok((inode, stat)) = self.tree().lookup(&directory.inode, &named) else {
                continue;
            };
            let attr = attributes(inode.node, &stat);
            if reply.add(attr.ino, next, name, &BELIEVED, &attr, GENERATION) {
                self.tree().table.forget(inode.node, 1);
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.shared.handles.release_directory(handle);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        match self.inode(node) {
            Ok(inode) => {
                let file = None;
                let sync = Wanted {
                    inode,
                    file,
                    data_only,
                };
                self.sync(sync, reply);
            }
            Err(_) => reply.error(Errno::EBADF),
        }
    }

    fn statfs(&self, _request: &Request, _node: INodeNo, reply: ReplyStatfs) {
        let state = rustix::fs::fstatvfs(self.tree().table.volume());
        answer(reply, state.map_err(Refusal::Because), |reply, state| {
            reply.statfs(
                state.f_blocks,
                state.f_bfree,
                state.f_bavail,
                state.f_files,
                state.f_ffree,
                state.f_bsize as u32,
                state.f_namemax as u32,
                state.f_frsize as u32,
            );
        });
    }

    fn setxattr(
        &self,
        _request: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (name, value) = (name.as_bytes().to_vec(), value.to_vec());
        self.mutate(
            node,
            reply,
            move |this| {
                this.tree()
                    .set_xattr(&this.inode(node)?, &name, &value, flags)
            },
            |reply, ()| reply.ok(),
        );
    }

    fn getxattr(
        &self,
        _request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let result = (|| {
            let descriptor = self.inode(node)?.descriptor()?;
            Ok(sys::xattr(descriptor.as_fd(), name.as_bytes())?)
        })();
        answer(reply, result, |reply, value: Vec<u8>| {
            sized(reply, size, &value)
        });
    }

    fn listxattr(&self, _request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let result = (|| {
            let descriptor = self.inode(node)?.descriptor()?;
            let mut names = Vec::new();
            for (name, _) in sys::xattrs(descriptor.as_fd())? {
                names.extend_from_slice(&name);
                names.push(0);
            }
            Ok(names)
        })();
        answer(reply, result, |reply, names: Vec<u8>| {
            sized(reply, size, &names)
        });
    }

    fn removexattr(&self, _request: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.mutate(
            node,
            reply,
            move |this| this.tree().remove_xattr(&this.inode(node)?, &name),
            |reply, ()| reply.ok(),
        );
    }

    fn access(&self, _request: &Request, _node: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let new = NewHere::new(request, parent, name, umask);
        self.mutate(
            parent,
            reply,
            move |this| {
                let (stat, file) = this.tree().create_file(&new.find(this)?, mode, flags)?;
                Ok((stat, this.shared.handles.keep_file(file)))
            },
            |reply, (stat, (handle, flags))| {
                let attr = attributes(node_of(&stat), &stat);
                reply.created(&BELIEVED, &attr, GENERATION, handle, flags);
            },
        );
    }

    fn getlk(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        _start: u64,
        _end: u64,
        _kind: i32,
        _process: u32,
        reply: ReplyLock,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn setlk(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        _start: u64,
        _end: u64,
        _kind: i32,
        _process: u32,
        _sleep: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn bmap(&self, _request: &Request, _node: INodeNo, _size: u32, _index: u64, reply: ReplyBmap) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _input: &[u8],
        _output_size: u32,
        reply: ReplyIoctl,
    ) {
        // File flags and the like are not mirrored, so they cannot be set.
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _request: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.mutate(
            node,
            reply,
            move |this| {
                let file = this.file(handle)?;
                this.tree().allocate(&file, mode, offset, length)
            },
            |reply, ()| reply.ok(),
        );
    }

    fn lseek(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let result = (|| Ok(operations::seek(&*self.file(handle)?, offset, whence)?))();
        answer(reply, result, |reply, found: u64| {
            reply.offset(found.cast_signed())
        });
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _from: INodeNo,
        _from_handle: FileHandle,
        _from_offset: u64,
        _to: INodeNo,
        _to_handle: FileHandle,
        _to_offset: u64,
        _length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }
}

impl Mounted {
    fn write_now(&self, write: Write, data: &[u8], reply: ReplyWrite) {
        let Write { file, at, durable } = write;
        let admission = &self.shared.admission;
        match self.tree().write(&file, at, data) {
            Ok(written) if durable => {
                let sync = Wanted {
                    inode: file.inode.clone(),
                    file: Some(file),
                    data_only: true,
                };
                self.begin_sync(sync, move || reply.written(written as u32));
            }
            Ok(written) => admission.answer(move || reply.written(written as u32)),
            Err(Refusal::Because(errno)) => reply.error(errno_of(errno)),
            Err(Refusal::Never) => admission.keep(move || reply.error(Errno::EIO)),
        }
    }

    fn make(&self, new: NewHere, object: NewObject, reply: ReplyEntry) {
        self.mutate(
            new.parent,
            reply,
            move |this| this.tree().create(&new.find(this)?, &object),
            entry,
        );
    }
}

/// A new name as it was asked for: it is resolved when the mutation is admitted.
struct NewHere {
    parent: INodeNo,
    name: OsString,
    caller: Caller,
    umask: u32,
}

impl NewHere {
    fn new(request: &Request, parent: INodeNo, name: &OsStr, umask: u32) -> Self {
        Self {
            parent,
            name: OsString::from_vec(name.as_bytes().to_vec()),
            caller: caller(request),
            umask,
        }
    }

    fn find(&self, mounted: &Mounted) -> Result<NewName, Refusal> {
        Ok(NewName {
            parent: mounted.inode(self.parent)?,
            name: name_of(&self.name)?,
            caller: self.caller,
            umask: self.umask,
        })
    }
}
