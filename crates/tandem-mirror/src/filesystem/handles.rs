//! What the kernel holds open: files and directories by their handles.

use crate::inodes::Inode;
use crate::operations::OpenFile;
use crate::order::{Refusal, Tree};
use crate::sys::{self, DirectoryEntry};
use fuser::{FileHandle, FopenFlags};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tandem_wire::stream::Name;

/// The open files and directories of a volume.
#[derive(Default)]
pub(super) struct Handles {
    files: RwLock<HashMap<u64, Arc<OpenFile>>>,
    directories: Mutex<HashMap<u64, Arc<OpenDirectory>>>,
    given: AtomicU64,
}

/// An open directory.
pub(super) struct OpenDirectory {
    pub(super) inode: Arc<Inode>,
    /// Read as a whole at offset 0, so that offsets stay what they are.
    entries: Mutex<Vec<DirectoryEntry>>,
}

impl Handles {
    fn next(&self) -> u64 {
        self.given.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn file(&self, handle: FileHandle) -> Result<Arc<OpenFile>, Refusal> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(&handle.0).cloned();
        file.ok_or(Refusal::Because(Errno::BADF))
    }

    pub(super) fn keep_file(&self, file: OpenFile) -> (FileHandle, FopenFlags) {
        let flags = if file.direct {
            FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
        } else {
            FopenFlags::FOPEN_KEEP_CACHE
        };
        let handle = self.next();
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(handle, Arc::new(file));
        (FileHandle(handle), flags)
    }

    pub(super) fn release_file(&self, handle: FileHandle) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let file = files.remove(&handle.0);
        drop(files);
        // Closed without the lock.
        drop(file);
    }

    pub(super) fn directory(&self, handle: FileHandle) -> Result<Arc<OpenDirectory>, Refusal> {
        let directory = self.directories().get(&handle.0).cloned();
        directory.ok_or(Refusal::Because(Errno::BADF))
    }

    pub(super) fn keep_directory(&self, inode: Arc<Inode>) -> FileHandle {
        let handle = self.next();
        let entries = Mutex::default();
        let directory = Arc::new(OpenDirectory { inode, entries });
        self.directories().insert(handle, directory);
        FileHandle(handle)
    }

    pub(super) fn release_directory(&self, handle: FileHandle) {
        let directory = self.directories().remove(&handle.0);
        drop(directory);
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenDirectory>>> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenDirectory {
    /// The entries of a directory, `.` and `..` first; read again at offset 0.
    pub(super) fn entries(
        &self,
        tree: &Tree,
        offset: u64,
    ) -> Result<MutexGuard<'_, Vec<DirectoryEntry>>, Errno> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            let node = self.inode.node;
            let parent = self.inode.place().map_or(node, |place| place.parent.node);
            let kind = rustix::fs::FileType::Directory;
            let named = |name: &[u8], inode| DirectoryEntry {
                name: name.into(),
                inode,
                kind,
            };
            let descriptor = self.inode.descriptor()?;
            let listed = sys::list(descriptor.as_fd())?;
            *entries = vec![named(b".", node), named(b"..", parent)];
            entries.extend(listed.into_iter().filter(|entry| {
                let name = Name::new(&entry.name);
                name.is_ok_and(|name| !tree.hides(&self.inode, &name))
            }));
        }
        Ok(entries)
    }
}
