//! Which other processes hold something inside a volume's directory: a process that opened a file
//! before the mount goes on writing to the plain directory, unmirrored and without an error.
//!
//! Looks at descriptors, working and root directories, and mapped files of every process. Each is
//! traced to its place in the file system by the mount it was opened through, so that a process in
//! a container that knows the directory by another path is found as well. What a process opens a
//! moment later is not found; what holds the tree for long, is. What was opened through a
//! read-only mount cannot be written to and does not count.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use crate::backing::{Volume, VolumeError, mount_beneath, own_mounts};
use crate::mountinfo::{self, Mount};

/// How many holders are named: enough to act on, few enough to read.
pub const HOLDERS_MAX: usize = 16;

/// A process that holds something inside a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process id.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// What it holds, by its own path.
    pub path: PathBuf,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (process {}) has {} open",
            self.name,
            self.process,
            self.path.display()
        )
    }
}

/// The processes, this one excepted, that hold something inside the volume; at most
/// [`HOLDERS_MAX`], one finding each.
///
/// # Errors
/// When the mounts of this process cannot be read.
pub fn holders(volume: &Volume) -> Result<Vec<Holder>, VolumeError> {
    let tree = Tree::of(volume)?;
    let own = std::process::id();
    let processes = fs::read_dir("/proc").map_err(|source| VolumeError::Io {
        act: "list processes that hold",
        path: volume.path.clone(),
        source,
    })?;
    Ok(processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| *process != own)
        .filter_map(|process| holding(process, &tree))
        .take(HOLDERS_MAX)
        .collect())
}

/// The volume's place in its file system.
struct Tree {
    device: (u32, u32),
    root: PathBuf,
    path: PathBuf,
}

impl Tree {
    fn of(volume: &Volume) -> Result<Self, VolumeError> {
        let mounts = own_mounts(&volume.path)?;
        let parent = volume.path.parent().unwrap_or(&volume.path);
        let beneath = mount_beneath(&mounts, parent, &volume.path)?;
        let root = beneath.inside(&volume.path);
        Ok(Self {
            device: (
                rustix::fs::major(volume.device),
                rustix::fs::minor(volume.device),
            ),
            root: root.unwrap_or_else(|| volume.path.clone()),
            path: volume.path.clone(),
        })
    }
}

/// A process that ends while it is looked at holds nothing: every failure to look is passed over.
fn holding(process: u32, tree: &Tree) -> Option<Holder> {
    let directory = PathBuf::from(format!("/proc/{process}"));
    let fixed = ["cwd", "root", "exe"].map(|name| directory.join(name));
    let listed = ["fd", "map_files"].map(|name| fs::read_dir(directory.join(name)));
    let links = listed
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    // Read only when something on the same file system was found, and then once.
    let mut mounts = None;
    let path = fixed
        .into_iter()
        .chain(links)
        .find_map(|link| held_path(&link, process, tree, &mut mounts))?;
    let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
    Some(Holder {
        process,
        name: name.trim_end().to_owned(),
        path,
    })
}

fn held_path(
    link: &Path,
    process: u32,
    tree: &Tree,
    mounts: &mut Option<Vec<Mount>>,
) -> Option<PathBuf> {
    let wanted = StatxFlags::MNT_ID;
    // Asks no file server: one that does not answer would hold this up for ever.
    let flags = AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(CWD, link, flags, wanted).ok()?;
    if (stat.stx_dev_major, stat.stx_dev_minor) != tree.device {
        return None;
    }
    let path = fs::read_link(link).ok()?;
    let mounts = mounts
        .get_or_insert_with(|| mountinfo::mounts_of(&process.to_string()).unwrap_or_default());
    let mount = mounts.iter().find(|mount| mount.id == stat.stx_mnt_id);
    if mount.is_some_and(Mount::is_read_only) {
        // Through our own read-only bind, for example: a shell that stands there does no harm.
        return None;
    }
    let inside = match mount.and_then(|mount| mount.inside(&path)) {
        Some(place) => place.starts_with(&tree.root),
        // A mount that the process no longer sees: its text is all there is.
        None => path.starts_with(&tree.path),
    };
    inside.then_some(path)
}
