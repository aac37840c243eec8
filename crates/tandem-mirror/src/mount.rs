//! What stands over the path of a volume.
//!
//! Whenever the module does not serve: a read-only bind mount of the directory over itself, so that
//! nobody writes to the plain directory by its path. While it serves: a FUSE mount on top of that.
//! The bind stays beneath, so that the plain directory is at no moment writable by its path.
//!
//! **Ending.** A session is always aborted, never only unmounted: after a lazy unmount, a process
//! that has a file open would still write to it and be told success (R8). That the kernel has given
//! the connection up is looked at, and if it has not, the process ends, which closes the connection
//! for good.
//!
//! A mirror that died leaves its FUSE mount behind, without a server. [`protect`] takes it away
//! when the next one starts, which holds the volume's lock by then.

use crate::backing::{FUSE_NAME, Volume};
use crate::filesystem::Mounted;
use crate::mountinfo::{self, Mount};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that read requests. With two cores, two beat four by a third: they never wait, so more
/// of them only wake each other up.
const REQUEST_THREADS: usize = 2;
/// How long the threads of an aborted session may take to return from the disk.
const JOIN_LIMIT: Duration = Duration::from_secs(2);
/// How long the kernel may take to give an aborted connection up, in milliseconds. It does so
/// before it returns.
const ABORT_LIMIT_MS: u16 = 1000;
/// Stale mounts of one volume that are taken away: each dead incarnation leaves at most one.
const STALE_MAX: usize = 16;
/// The exit status when a session could not be ended in any other way.
const EXIT_SESSION_ALIVE: i32 = 70;

/// Why nothing stands over a path.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The system refused.
    #[error("{act} {path}")]
    System {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// The kernel and we did not agree.
    #[error("begin a FUSE session on {path}")]
    Session {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Makes the path read-only: takes away what a dead mirror left and binds the directory over
/// itself, unless that is so already.
///
/// # Errors
/// [`MountError`]
pub fn protect(volume: &Volume) -> Result<(), MountError> {
    remove_stale(volume)?;
    let top = mounts_at(volume)?.pop();
    let path = &volume.path;
    if top.is_some_and(|mount| mount.is_read_only()) {
        return Ok(());
    }
    let system = |act| {
        move |source| MountError::System {
            act,
            path: path.clone(),
            source,
        }
    };
    rustix::mount::mount_bind(path, path).map_err(system("bind over itself"))?;
    // The kernel insists on keeping the restrictions of the mount beneath.
    let flags = restrictions(path) | MountFlags::RDONLY | MountFlags::BIND;
    rustix::mount::mount_remount(path, flags, c"").map_err(system("make read-only"))?;
    tracing::info!(path = %path.display(), "directory is read-only");
    Ok(())
}

/// Takes away the FUSE mounts of dead mirrors: who has opened a volume holds its lock, so no other
/// mirror lives.
///
/// # Errors
/// [`MountError`]
pub fn remove_stale(volume: &Volume) -> Result<(), MountError> {
    for _ in 0..STALE_MAX {
        let stale = mounts_at(volume)?.pop().filter(Mount::is_mirror);
        if stale.is_none() {
            return Ok(());
        }
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
        rustix::mount::unmount(&volume.path, flags).map_err(|source| MountError::System {
            act: "take away the mount of a dead mirror on",
            path: volume.path.clone(),
            source,
        })?;
        tracing::info!(path = %volume.path.display(), "mount of a dead mirror taken away");
    }
    Ok(())
}

/// The mounts on a volume's path, the visible one last.
fn mounts_at(volume: &Volume) -> Result<Vec<Mount>, MountError> {
    let mounts = mountinfo::mounts_of("self").map_err(|error| MountError::System {
        act: "read the mounts of",
        path: volume.path.clone(),
        source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })?;
    let mut here: Vec<Mount> = mounts
        .into_iter()
        .filter(|mount| mount.mount_point == volume.path)
        .collect();
    // The list is not sorted by age; the visible mount is the one that a lookup ends in.
    if let Ok(visible) = visible_mount(&volume.path) {
        here.sort_by_key(|mount| mount.id == visible);
    }
    Ok(here)
}

/// The number of the mount that a lookup of the path ends in. Asks no file system.
fn visible_mount(path: &Path) -> Result<u64, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    mount_number(place.as_fd())
}

fn mount_number(place: BorrowedFd<'_>) -> Result<u64, Errno> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_raw_fd()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))
        .and_then(|number| number.trim().parse().ok())
        .ok_or(Errno::NOENT)
}

/// What the file system beneath forbids, the mount above forbids as well.
fn restrictions(path: &Path) -> MountFlags {
    let Ok(state) = rustix::fs::statvfs(path) else {
        return MountFlags::empty();
    };
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    pairs
        .into_iter()
        .filter(|(found, _)| state.f_flag.contains(*found))
        .fold(MountFlags::empty(), |flags, (_, flag)| flags | flag)
}

/// A FUSE session over a volume's path.
pub struct Session {
    path: PathBuf,
    /// Refers to exactly this mount, whatever is mounted over it later.
    place: OwnedFd,
    /// The kernel's side of the connection.
    connection: OwnedFd,
    minor: u32,
    runner: JoinHandle<()>,
}

impl Session {
    /// Mounts a volume for the application. `ended` is called when the session ends by itself.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub fn begin(
        volume: &Volume,
        mounted: Mounted,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, MountError> {
        let path = volume.path.clone();
        let system = |act| {
            let path = path.clone();
            move |source| MountError::System { act, path, source }
        };
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(system("open /dev/fuse for"))?;
        let mode = rustix::fs::fstat(&volume.directory)
            .map_err(system("look at"))?
            .st_mode;
        let options = format!(
            "fd={},rootmode={mode:o},user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("numbers have no NUL");
        let flags = restrictions(&path) - MountFlags::RELATIME;
        let kind = format!("fuse.{FUSE_NAME}");
        rustix::mount::mount(FUSE_NAME, &path, kind.as_str(), flags, options.as_c_str())
            .map_err(system("mount FUSE over"))?;
        let session = Self::start(&path, device, mounted, ended);
        if session.is_err() {
            let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(&path, flags);
        }
        session
    }

    fn start(
        path: &Path,
        device: OwnedFd,
        mounted: Mounted,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, MountError> {
        let system = |act| {
            move |source| MountError::System {
                act,
                path: path.to_owned(),
                source,
            }
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(system("find the new mount on"))?;
        let connection = rustix::io::fcntl_dupfd_cloexec(&device, 3)
            .map_err(system("keep the connection of"))?;
        let mut config = fuser::Config::default();
        config.n_threads = Some(REQUEST_THREADS);
        config.acl = fuser::SessionACL::All;
        let session = fuser::Session::from_fd(mounted, device, fuser::SessionACL::All, config)
            .map_err(|source| MountError::Session {
                path: path.to_owned(),
                source,
            })?;
        let runner = std::thread::Builder::new()
            .name("fuse".to_owned())
            .spawn(move || {
                if let Err(error) = session.run() {
                    tracing::warn!(%error, "FUSE session ended");
                }
                ended();
            })
            .expect("a thread can be started");
        let minor = tune(place.as_fd());
        Ok(Self {
            path: path.to_owned(),
            place,
            connection,
            minor,
            runner,
        })
    }

    /// Aborts the session, unmounts it, and waits for its threads. When this returns, no request
    /// of it gets an answer any more. Says whether all threads have come back.
    #[must_use]
    pub fn end(self) -> Ended {
        let itself = format!("/proc/self/fd/{}", self.place.as_raw_fd());
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
        // Force is what aborts; detach takes the mount away although files are open.
        if let Err(errno) = rustix::mount::unmount(itself.as_str(), flags) {
            tracing::warn!(path = %self.path.display(), %errno, "unmount FUSE session");
        }
        if !self.is_aborted() {
            // Somebody unmounted it before: then the connection lives on without a mount.
            let control = format!("/sys/fs/fuse/connections/{}/abort", self.minor);
            if let Err(error) = std::fs::write(&control, "1") {
                tracing::warn!(%error, control, "abort FUSE session");
            }
        }
        if !self.is_aborted() {
            tracing::error!(
                path = %self.path.display(),
                "FUSE session cannot be aborted: ending the process, which closes it"
            );
            std::process::exit(EXIT_SESSION_ALIVE);
        }
        drop(self.place);
        let begin = Instant::now();
        while !self.runner.is_finished() {
            if begin.elapsed() > JOIN_LIMIT {
                return Ended::ThreadsStuck;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.runner.join();
        Ended::Completely
    }

    /// Whether the kernel has given the connection up.
    fn is_aborted(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut polled = [PollFd::new(self.connection.as_fd(), PollFlags::empty())];
        match poll(&mut polled, PollTimeout::from(ABORT_LIMIT_MS)) {
            Ok(_) => polled[0]
                .revents()
                .is_some_and(|found| found.contains(PollFlags::POLLERR)),
            Err(_) => false,
        }
    }
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing of it is left.
    Completely,
    /// A thread has not returned from the disk. What it does there can still happen.
    ThreadsStuck,
}

/// Lifts the kernel's distrust of FUSE: by default one percent of memory may be dirty, which makes
/// writers to mapped files wait. Says the minor number of the mount's device.
fn tune(place: BorrowedFd<'_>) -> u32 {
    let number = mount_number(place).unwrap_or(0);
    let mounts = mountinfo::mounts_of("self").unwrap_or_default();
    let Some(mount) = mounts.into_iter().find(|mount| mount.id == number) else {
        return 0;
    };
    let (major, minor) = mount.device;
    let values = [
        ("max_ratio", "100"),
        ("strict_limit", "0"),
        ("read_ahead_kb", "1024"),
    ];
    for (name, value) in values {
        let knob = format!("/sys/class/bdi/{major}:{minor}/{name}");
        if let Err(error) = std::fs::write(&knob, value) {
            // Slower, not wrong: a container may show /sys read-only.
            tracing::debug!(%error, knob, "knob not set");
        }
    }
    minor
}
