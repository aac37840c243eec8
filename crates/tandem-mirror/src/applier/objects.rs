//! What the follower knows of one volume's objects: number → file handle, and the descriptors that
//! are open.
//!
//! A handle finds an inode wherever it was renamed to and costs no descriptor, so millions of
//! objects are only a table. Descriptors in use are kept open, the least recently used closed. An
//! object without a name left, which the application may still have open at the source, would
//! vanish with its descriptor: it is *pinned* (its descriptor held) until the source forgets it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use tandem_wire::stream::{ObjectNumber, ROOT_OBJECT};

use super::error::{ApplyError, on};
use crate::backing::Volume;
use crate::linux::FileHandle;

/// Descriptors held open for each volume, beside those that are pinned. The files that a database
/// writes to at one time are fewer; 32 volumes of them fit into the usual limits.
const DESCRIPTORS_MAX: usize = 1024;

/// How an object is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    /// FIFO, socket, device: never opened, only named.
    Special,
}

impl Kind {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Self::Special,
        }
    }

    /// A standby leaves access times alone, and never opens what is not a file or directory.
    const fn flags(self) -> OFlags {
        match self {
            Self::File => OFlags::RDWR.union(OFlags::NOATIME),
            Self::Directory => OFlags::RDONLY
                .union(OFlags::DIRECTORY)
                .union(OFlags::NOATIME),
            Self::Symlink | Self::Special => OFlags::PATH.union(OFlags::NOFOLLOW),
        }
    }
}

/// One object.
#[derive(Debug)]
pub(super) struct Object {
    handle: FileHandle,
    pub(super) inode: u64,
    pub(super) kind: Kind,
    pinned: Option<Arc<OwnedFd>>,
}

impl Object {
    /// Whether it can be written, or listed, and therefore synced.
    pub(super) fn has_contents(&self) -> bool {
        match self.kind {
            Kind::File | Kind::Directory => true,
            Kind::Symlink | Kind::Special => false,
        }
    }

    /// Whether this is what was found at a name. The inode's number alone does not say it: a file
    /// system gives that of a removed file away soon.
    pub(super) fn is(&self, found: BorrowedFd<'_>, stat: &Stat) -> Result<bool, ApplyError> {
        Ok(stat.st_ino == self.inode && handle_of(found)? == self.handle)
    }
}

/// The objects of one volume.
#[derive(Debug)]
pub(super) struct Objects {
    volumes: Arc<[Volume]>,
    volume: usize,
    by_number: HashMap<ObjectNumber, Object>,
    by_inode: HashMap<u64, ObjectNumber>,
    open: OpenDescriptors,
}

impl Objects {
    pub(super) fn new(volumes: &Arc<[Volume]>, volume: usize) -> Self {
        let mut objects = Self {
            volumes: Arc::clone(volumes),
            volume,
            by_number: HashMap::new(),
            by_inode: HashMap::new(),
            open: OpenDescriptors::default(),
        };
        objects.reset();
        objects
    }

    /// Forgets everything but the top directory.
    pub(super) fn reset(&mut self) {
        self.by_number.clear();
        self.by_inode.clear();
        self.open = OpenDescriptors::default();
        let volume = &self.volumes[self.volume];
        if let Ok(handle) = FileHandle::of(volume.directory.as_fd()) {
            let inode = volume.inode;
            let root = Object {
                handle,
                inode,
                kind: Kind::Directory,
                pinned: None,
            };
            self.by_number.insert(ROOT_OBJECT, root);
            self.by_inode.insert(inode, ROOT_OBJECT);
        }
    }

    pub(super) fn volume(&self) -> &Volume {
        &self.volumes[self.volume]
    }

    pub(super) fn knows(&self, number: ObjectNumber) -> bool {
        self.by_number.contains_key(&number)
    }

    pub(super) fn get(&self, number: ObjectNumber) -> Result<&Object, ApplyError> {
        self.by_number
            .get(&number)
            .ok_or(ApplyError::Unknown(number))
    }

    /// The object that an inode is known as.
    pub(super) fn bound(&self, inode: u64) -> Option<ObjectNumber> {
        self.by_inode.get(&inode).copied()
    }

    /// Gives an object its number.
    pub(super) fn bind(
        &mut self,
        number: ObjectNumber,
        descriptor: BorrowedFd<'_>,
        stat: &Stat,
    ) -> Result<(), ApplyError> {
        if self.knows(number) {
            return Err(ApplyError::Known(number));
        }
        let handle = handle_of(descriptor)?;
        if let Some(other) = self.bound(stat.st_ino) {
            // Another handle: what it was known as was removed beneath the mirror, and its inode's
            // number given away.
            if self.get(other)?.handle == handle {
                return Err(ApplyError::KnownAs {
                    object: number,
                    other,
                });
            }
        }
        let object = Object {
            handle,
            inode: stat.st_ino,
            kind: Kind::of(stat),
            pinned: None,
        };
        self.by_number.insert(number, object);
        self.by_inode.insert(stat.st_ino, number);
        Ok(())
    }

    /// Keeps a descriptor that was opened for an object just bound.
    pub(super) fn keep(&mut self, number: ObjectNumber, descriptor: OwnedFd) {
        self.open.insert(number, Arc::new(descriptor));
    }

    /// The object's descriptor: readable and writable for a file, readable for a directory.
    pub(super) fn descriptor(&mut self, number: ObjectNumber) -> Result<Arc<OwnedFd>, ApplyError> {
        if let Some(open) = self.open.get(number) {
            return Ok(open);
        }
        let object = self.get(number)?;
        if let Some(pinned) = &object.pinned {
            return Ok(Arc::clone(pinned));
        }
        let root = self.volume().directory.as_fd();
        let mut opened = object.handle.open(root, object.kind.flags());
        if opened.as_ref().is_err_and(is_out_of_descriptors) {
            self.open = OpenDescriptors::default();
            let object = self.get(number)?;
            opened = object
                .handle
                .open(self.volume().directory.as_fd(), object.kind.flags());
        }
        let opened = opened.map_err(|error| ApplyError::System {
            act: "open",
            subject: format!("object {number} of volume {}", self.volume().name),
            source: errno(error),
        })?;
        let opened = Arc::new(opened);
        self.open.insert(number, Arc::clone(&opened));
        Ok(opened)
    }

    /// As [`Self::descriptor`], of a directory.
    pub(super) fn directory(&mut self, number: ObjectNumber) -> Result<Arc<OwnedFd>, ApplyError> {
        match self.get(number)?.kind {
            Kind::Directory => self.descriptor(number),
            Kind::File | Kind::Symlink | Kind::Special => Err(ApplyError::Kind(number)),
        }
    }

    /// As [`Self::descriptor`], of a regular file.
    pub(super) fn file(&mut self, number: ObjectNumber) -> Result<Arc<OwnedFd>, ApplyError> {
        match self.get(number)?.kind {
            Kind::File => self.descriptor(number),
            Kind::Directory | Kind::Symlink | Kind::Special => Err(ApplyError::Kind(number)),
        }
    }

    /// Holds the object although its last name goes away.
    pub(super) fn pin(&mut self, number: ObjectNumber) -> Result<(), ApplyError> {
        let descriptor = self.descriptor(number)?;
        self.open.remove(number);
        if let Some(object) = self.by_number.get_mut(&number) {
            object.pinned = Some(descriptor);
        }
        Ok(())
    }

    /// The object has a name (again).
    pub(super) fn unpin(&mut self, number: ObjectNumber) {
        let pinned = self
            .by_number
            .get_mut(&number)
            .and_then(|o| o.pinned.take());
        if let Some(descriptor) = pinned {
            self.open.insert(number, descriptor);
        }
    }

    /// The source will not name it any more.
    pub(super) fn forget(&mut self, number: ObjectNumber) {
        self.open.remove(number);
        if let Some(object) = self.by_number.remove(&number)
            && self.bound(object.inode) == Some(number)
        {
            self.by_inode.remove(&object.inode);
        }
    }
}

fn handle_of(descriptor: BorrowedFd<'_>) -> Result<FileHandle, ApplyError> {
    FileHandle::of(descriptor)
        .map_err(errno)
        .map_err(on("take the handle of", descriptor))
}

pub(super) fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Open descriptors, the least recently used closed when there are too many.
#[derive(Debug, Default)]
struct OpenDescriptors {
    by_number: HashMap<ObjectNumber, (u64, Arc<OwnedFd>)>,
    by_use: BTreeMap<u64, ObjectNumber>,
    uses: u64,
}

impl OpenDescriptors {
    fn get(&mut self, number: ObjectNumber) -> Option<Arc<OwnedFd>> {
        let (used, descriptor) = self.by_number.get_mut(&number)?;
        // Repeated use of the same object, as by a log, leaves the order alone.
        if *used != self.uses {
            self.by_use.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.by_use.insert(*used, number);
        }
        Some(Arc::clone(descriptor))
    }

    fn insert(&mut self, number: ObjectNumber, descriptor: Arc<OwnedFd>) {
        self.remove(number);
        if self.by_number.len() >= DESCRIPTORS_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_number.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, number);
        self.by_number.insert(number, (self.uses, descriptor));
    }

    fn remove(&mut self, number: ObjectNumber) {
        if let Some((used, _)) = self.by_number.remove(&number) {
            self.by_use.remove(&used);
        }
    }
}
