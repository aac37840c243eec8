//! The plain directory of a volume, seen through whatever is mounted over its path, and its hidden
//! `.tandem/` with the lock and the position file.
//!
//! The descriptor comes from a private, non-recursive clone of the mount that the path's parent
//! lies on (`open_tree`): what Tandem mounts over the path, now or later, is not in it, and neither
//! is any other mount inside the volume. So the path can show a read-only bind or a FUSE mount
//! while this module reads and writes what lies beneath.
//!
//! What a crash loses. The position file is replaced by: write a temporary file, fsync it, rename,
//! fsync the directory. A crash before the rename leaves the old position, which is lower and
//! therefore safe: it claims less than the disk has. A crash after it leaves the new one, which is
//! true because its caller synced the volume first. A torn file fails its checksum, and a reader
//! that finds none or a damaged one has to compare everything.
//!
//! It deliberately mounts nothing, and decides nothing by what a position says.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, StatxFlags, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use tandem_wire::exclude::Exclude;
use tandem_wire::position::{Damaged, FILE_BYTES_MAX, Position};

use crate::linux::FileHandle;
use crate::mountinfo::{self, Mount};

/// The directory of Tandem's own files in the top directory of each volume. Not mirrored.
pub const HIDDEN: &str = ".tandem";
/// The source and the sub-type of Tandem's FUSE mounts: what stands in `/proc/mounts`, by which a
/// mount that a killed mirror left is recognised as ours.
pub const FUSE_NAME: &str = "tandem";

const LOCK: &str = "lock";
const POSITION: &str = "position";

/// A volume whose backing directory is open and locked for this process.
#[derive(Debug)]
pub struct Volume {
    /// Its place in the configuration.
    pub index: u16,
    /// Its name in the configuration.
    pub name: String,
    /// Where the application finds it.
    pub path: PathBuf,
    /// The backing directory itself.
    pub directory: OwnedFd,
    /// The device number of its file system, as in `st_dev`.
    pub device: u64,
    /// The inode of the top directory.
    pub inode: u64,
    /// What of it is not mirrored; nothing, as it is opened.
    pub exclude: Exclude,
    hidden: OwnedFd,
    /// Opening it made the mark.
    marked_here: bool,
    /// Held for its lock.
    _lock: OwnedFd,
}

/// Why a directory cannot be mirrored, or Tandem's own files in it not be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A relative path, `/`, or one with `..` in it.
    #[error("{0} cannot be a volume: an absolute path of a directory below / is needed")]
    Path(PathBuf),
    /// Nothing is there.
    #[error("{0} does not exist: create it, with the owner and mode that the application needs")]
    Missing(PathBuf),
    /// Something else is there.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// The last component of the path is a symbolic link.
    #[error("{path} is a symbolic link: name the directory itself, {target}")]
    SymbolicLink {
        /// The path as configured.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// Something is mounted there.
    #[error(
        "{path} is itself a mount point (of {source_name}, {file_system}): \
         mirror a directory inside it, for example {path}/data"
    )]
    MountPoint {
        /// The path.
        path: PathBuf,
        /// What is mounted.
        source_name: String,
        /// Its kind.
        file_system: String,
    },
    /// The file system cannot name its files.
    #[error(
        "{path} is on {file_system}, which has no stable file handles: \
         put it on a plain file system such as ext4 or xfs"
    )]
    NoFileHandles {
        /// The path.
        path: PathBuf,
        /// The kind of its file system.
        file_system: String,
    },
    /// The lock is taken.
    #[error("another mirror uses this volume: {0} is locked by a running process")]
    Locked(PathBuf),
    /// Not root.
    #[error("no right to open {0} beneath its mounts: run as root (CAP_SYS_ADMIN)")]
    Privilege(PathBuf),
    /// A position file that cannot be believed.
    #[error("position file of volume {volume} is damaged")]
    PositionDamaged {
        /// The volume.
        volume: String,
        /// How.
        #[source]
        source: Damaged,
    },
    /// Any other refusal of the operating system.
    #[error("{act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens the plain directory at `path` and takes its lock.
///
/// # Errors
/// [`VolumeError`]; nothing was changed then, except that `.tandem/` may have been created.
pub fn open_volume(index: u16, name: &str, path: &Path) -> Result<Volume, VolumeError> {
    let (parent, last) = split(path)?;
    let directory = open_beneath(path, &parent, last)?;
    refuse_foreign_mount(path, &parent, last)?;
    refuse_without_handles(path, &directory)?;
    let stat = rustix::fs::fstat(&directory).map_err(io_error("look at", path))?;
    let (hidden, marked_here) = open_hidden(path, &directory)?;
    let lock = take_lock(path, &hidden)?;
    Ok(Volume {
        index,
        name: name.to_owned(),
        path: parent.join(last),
        directory,
        device: stat.st_dev,
        inode: stat.st_ino,
        exclude: Exclude::default(),
        hidden,
        marked_here,
        _lock: lock,
    })
}

impl Volume {
    /// Writes everything that the file system of this volume holds in memory to its disk.
    ///
    /// # Errors
    /// Also errors of writes that were answered long ago: they must not be taken for synced.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.directory)?)
    }

    /// Closes a volume that was only looked at: no mark stays that was not there before.
    ///
    /// It goes while the lock is held. Who opened it meanwhile has it without a name, cannot write a
    /// position there, and so changes nothing.
    pub fn leave(self) {
        if self.marked_here {
            let _ = unlinkat(&self.hidden, LOCK, AtFlags::empty());
            // It stays where anything else lies in it.
            let _ = unlinkat(&self.directory, HIDDEN, AtFlags::REMOVEDIR);
        }
    }

    /// The position that was written last; `None` in a volume that never had one.
    ///
    /// # Errors
    /// [`VolumeError::PositionDamaged`], [`VolumeError::Io`]
    pub fn position(&self) -> Result<Option<Position>, VolumeError> {
        let Some(bytes) = read_file(self.hidden.as_fd(), POSITION, FILE_BYTES_MAX)
            .map_err(|source| self.hidden_error("read", POSITION, source))?
        else {
            return Ok(None);
        };
        match Position::decode(&bytes) {
            Ok(position) => Ok(Some(position)),
            Err(source) => Err(VolumeError::PositionDamaged {
                volume: self.name.clone(),
                source,
            }),
        }
    }

    /// The state of the position's file.
    ///
    /// # Errors
    /// [`VolumeError::Io`]
    pub fn stat_position(&self) -> Result<rustix::fs::Stat, VolumeError> {
        rustix::fs::statat(&self.hidden, POSITION, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.hidden_error("look at", POSITION, errno.into()))
    }

    /// Replaces the position, durably; one caller at a time. What it claims must be on disk
    /// already.
    ///
    /// # Errors
    /// [`VolumeError::Io`]; the position is then the old or the new one.
    pub fn write_position(&self, position: &Position) -> Result<(), VolumeError> {
        replace_file(self.hidden.as_fd(), POSITION, &position.encode())
            .map_err(|source| self.hidden_error("write", POSITION, source))
    }

    fn hidden_error(&self, act: &'static str, name: &str, source: io::Error) -> VolumeError {
        let path = self.path.join(HIDDEN).join(name);
        VolumeError::Io { act, path, source }
    }
}

/// Syncs the file systems of all volumes, each once.
///
/// # Errors
/// [`SyncAllError`], as of [`Volume::sync`].
pub fn sync_all(volumes: &[Volume]) -> Result<(), SyncAllError> {
    let mut devices = Vec::new();
    for volume in volumes {
        if devices.contains(&volume.device) {
            continue;
        }
        devices.push(volume.device);
        volume.sync().map_err(|source| SyncAllError {
            volume: volume.name.clone(),
            source,
        })?;
    }
    Ok(())
}

/// A file system could not be synced: it must not be used any more.
#[derive(Debug, thiserror::Error)]
#[error("sync the file system of volume {volume}: {source}")]
pub struct SyncAllError {
    volume: String,
    source: io::Error,
}

/// Reads a small file; `None` where there is none.
pub(crate) fn read_file(
    directory: BorrowedFd<'_>,
    name: &str,
    bytes_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    // One byte more than any valid file: what is longer fails its checksum.
    std::fs::File::from(file)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces a small file so that a crash leaves the old or the new one, and a return the new one.
pub(crate) fn replace_file(directory: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let temporary = format!("{name}.new");
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::TRUNC
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK;
    let file = openat(directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    file.sync_all()?;
    rustix::fs::renameat_with(directory, &temporary, directory, name, RenameFlags::empty())?;
    rustix::fs::fsync(directory)?;
    Ok(())
}

fn io_error(act: &'static str, path: &Path) -> impl FnOnce(Errno) -> VolumeError {
    let path = path.to_owned();
    move |errno| VolumeError::Io {
        act,
        path,
        source: errno.into(),
    }
}

/// The parent without symbolic links, and the last component.
fn split(path: &Path) -> Result<(PathBuf, &OsStr), VolumeError> {
    let plain = path.is_absolute() && !path.components().any(|c| c == Component::ParentDir);
    let (Some(parent), Some(last), true) = (path.parent(), path.file_name(), plain) else {
        return Err(VolumeError::Path(path.to_owned()));
    };
    match std::fs::canonicalize(parent) {
        Ok(parent) => Ok((parent, last)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(VolumeError::Missing(path.to_owned()))
        }
        Err(source) => Err(VolumeError::Io {
            act: "find the parent of",
            path: path.to_owned(),
            source,
        }),
    }
}

fn open_beneath(path: &Path, parent: &Path, last: &OsStr) -> Result<OwnedFd, VolumeError> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = match open_tree(CWD, parent, clone) {
        Ok(tree) => tree,
        Err(Errno::PERM) => return Err(VolumeError::Privilege(path.to_owned())),
        Err(error) => return Err(io_error("look beneath the mounts of", path)(error)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&tree, last, flags, Mode::empty()) {
        Ok(directory) => Ok(directory),
        Err(Errno::NOENT) => Err(VolumeError::Missing(path.to_owned())),
        Err(Errno::NOTDIR | Errno::LOOP) => match rustix::fs::readlinkat(&tree, last, Vec::new()) {
            Ok(target) => Err(VolumeError::SymbolicLink {
                path: path.to_owned(),
                target: parent.join(OsStr::new(&*target.to_string_lossy())),
            }),
            Err(_) => Err(VolumeError::NotADirectory(path.to_owned())),
        },
        Err(error) => Err(io_error("open", path)(error)),
    }
}

/// Refuses a path over which something is mounted that is neither a bind of the directory over
/// itself nor a FUSE mount of Tandem's: then the plain directory beneath is not what people mean.
fn refuse_foreign_mount(path: &Path, parent: &Path, last: &OsStr) -> Result<(), VolumeError> {
    let mounts = own_mounts(path)?;
    let point = parent.join(last);
    let beneath = mount_beneath(&mounts, parent, path)?;
    let shown = beneath.inside(&point);
    let ours = |mount: &Mount| {
        let bind = mount.device == beneath.device && Some(&mount.root) == shown.as_ref();
        mount.is_mirror() || bind
    };
    match mounts.iter().find(|m| m.mount_point == point && !ours(m)) {
        None => Ok(()),
        Some(foreign) => Err(VolumeError::MountPoint {
            path: path.to_owned(),
            source_name: foreign.source.clone(),
            file_system: foreign.file_system.clone(),
        }),
    }
}

pub(crate) fn own_mounts(path: &Path) -> Result<Vec<Mount>, VolumeError> {
    mountinfo::mounts_of("self").map_err(|source| VolumeError::Io {
        act: "read the mounts around",
        path: path.to_owned(),
        source,
    })
}

/// The mount on which the parent of a volume lies.
pub(crate) fn mount_beneath<'a>(
    mounts: &'a [Mount],
    parent: &Path,
    path: &Path,
) -> Result<&'a Mount, VolumeError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(CWD, parent, flags, StatxFlags::MNT_ID)
        .map_err(io_error("look at the parent of", path))?;
    mounts
        .iter()
        .find(|mount| mount.id == stat.stx_mnt_id)
        .ok_or_else(|| io_error("find the mount of", path)(Errno::NOENT))
}

fn refuse_without_handles(path: &Path, directory: &OwnedFd) -> Result<(), VolumeError> {
    let error = match FileHandle::of(directory.as_fd()) {
        // overlayfs may hand out handles that it cannot open again.
        Ok(handle) => match handle.open(directory.as_fd(), OFlags::PATH) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let unsupported = [libc::EOPNOTSUPP, libc::ESTALE, libc::EOVERFLOW];
    match error.raw_os_error() {
        Some(code) if unsupported.contains(&code) => Err(VolumeError::NoFileHandles {
            path: path.to_owned(),
            file_system: kind_of_file_system(path),
        }),
        Some(libc::EPERM) => Err(VolumeError::Privilege(path.to_owned())),
        _ => Err(VolumeError::Io {
            act: "open by its handle",
            path: path.to_owned(),
            source: error,
        }),
    }
}

fn kind_of_file_system(path: &Path) -> String {
    let parent = path.parent().unwrap_or(path);
    own_mounts(path)
        .and_then(|mounts| Ok(mount_beneath(&mounts, parent, path)?.file_system.clone()))
        .unwrap_or_else(|_| "a file system".to_owned())
}

/// Gives back also whether it was not there before.
fn open_hidden(path: &Path, directory: &OwnedFd) -> Result<(OwnedFd, bool), VolumeError> {
    let hidden = path.join(HIDDEN);
    let new = match rustix::fs::mkdirat(directory, HIDDEN, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(io_error("create", &hidden)(error)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, HIDDEN, flags, Mode::empty());
    Ok((opened.map_err(io_error("open", &hidden))?, new))
}

/// An OFD lock: it belongs to the open file, so it ends exactly with the process (or with the
/// descriptor), and a second open in the same process is refused as well.
fn take_lock(path: &Path, hidden: &OwnedFd) -> Result<OwnedFd, VolumeError> {
    let file = path.join(HIDDEN).join(LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock =
        openat(hidden, LOCK, flags, Mode::RUSR | Mode::WUSR).map_err(io_error("open", &file))?;
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(&lock, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(lock),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {
            Err(VolumeError::Locked(file))
        }
        Err(errno) => Err(VolumeError::Io {
            act: "lock",
            path: file,
            source: errno.into(),
        }),
    }
}
