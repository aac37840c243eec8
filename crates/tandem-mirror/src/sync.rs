//! Syncs of the local copy, off the threads that read requests: a sync takes as long as the disk
//! needs, and the peer's sync runs at the same time.
//!
//! A local sync that failed is not repeated: the page cache then claims to be clean. The copy is
//! declared lost, and the request is never answered.

use crate::inodes::Inode;
use crate::operations::OpenFile;
use crate::order::{Tree, open_file};
use crate::source::Ticket;
use crate::sys;
use crossbeam_channel::{Receiver, Sender};
use rustix::fd::AsFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::sync::Arc;
use std::thread::JoinHandle;

/// How many syncs run at once. The file system joins them in one commit, so that more than a few
/// only wait for each other; less would let one slow file hold up another.
const SYNC_THREADS: usize = 4;

/// A local sync to be done.
pub struct SyncJob {
    /// Its volume.
    pub tree: Arc<Tree>,
    /// What is waiting for it.
    pub ticket: Ticket,
    /// What is to be synced.
    pub inode: Arc<Inode>,
    /// An open file of it, if there is one.
    pub file: Option<Arc<OpenFile>>,
    /// `fdatasync`
    pub data_only: bool,
}

/// Takes syncs. Bounded by what the kernel lets an application have under way: one per thread.
#[derive(Clone)]
pub struct Syncs {
    jobs: Sender<SyncJob>,
}

impl Syncs {
    /// Starts the threads; they end when the last clone is dropped.
    #[must_use]
    pub fn start() -> (Self, Vec<JoinHandle<()>>) {
        let (jobs, requests) = crossbeam_channel::unbounded::<SyncJob>();
        let threads = (0..SYNC_THREADS)
            .map(|number| {
                let requests: Receiver<SyncJob> = requests.clone();
                std::thread::Builder::new()
                    .name(format!("sync-{number}"))
                    .spawn(move || requests.iter().for_each(|job| job.run()))
                    .expect("a thread can be started")
            })
            .collect();
        (Self { jobs }, threads)
    }

    /// Does a sync soon.
    pub fn request(&self, job: SyncJob) {
        // The threads live as long as this sender.
        let _ = self.jobs.send(job);
    }
}

impl SyncJob {
    fn run(self) {
        match self.sync() {
            Ok(()) => self.tree.source.local_done(self.ticket),
            Err(errno) => {
                let _ = self.tree.lose(errno);
            }
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        let opened;
        let descriptor = match &self.file {
            Some(file) => file.backing.as_fd(),
            None => {
                opened = match self.inode.kind {
                    FileType::Directory => sys::reopen(
                        self.inode.descriptor()?.as_fd(),
                        OFlags::RDONLY | OFlags::DIRECTORY,
                    )?,
                    // What has no contents has no sync of its own.
                    kind if kind != FileType::RegularFile => {
                        return rustix::fs::syncfs(self.tree.table.volume());
                    }
                    _ => open_file(&self.inode, OFlags::RDONLY)?,
                };
                opened.as_fd()
            }
        };
        loop {
            let synced = if self.data_only {
                rustix::fs::fdatasync(descriptor)
            } else {
                rustix::fs::fsync(descriptor)
            };
            if synced != Err(Errno::INTR) {
                return synced;
            }
        }
    }
}
