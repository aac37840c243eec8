//! A mirrored directory: what it lies on, whose it is, and who writes there past the mirror.

use super::mounts::{self, Mount};
use crate::facts::{Looked, VolumeFacts};
use crate::subject::Volume;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More are as bad as these.
const WRITERS_MAX: usize = 8;

pub fn look(volume: &Volume, mounts: &[Mount]) -> VolumeFacts {
    let Volume { name, path } = volume;
    // The mirror and its guard are mounted on the directory itself; the file system that keeps the
    // data is that of the directory above.
    let above = path.parent().unwrap_or(path);
    let beneath = mounts::of(mounts, above);
    let served = mounts::at(mounts, path).is_some_and(|mount| mount.kind.starts_with("fuse"));
    let version = fs::read_to_string(path.join("PG_VERSION")).ok();
    VolumeFacts {
        name: name.clone(),
        path: path.clone(),
        owner: fs::metadata(path).ok().map(|file| (file.uid(), file.gid())),
        file_system: beneath.map(|mount| mount.kind.clone()).map_or_else(
            || Looked::Unknown("its file system is not in the list of mounts".to_owned()),
            Looked::Seen,
        ),
        options: beneath.map_or(Vec::new(), |mount| mount.options.clone()),
        free_bytes: free(above),
        postgresql: version.map(|text| text.trim().to_owned()),
        served,
        writers: match served {
            true => Looked::Seen(Vec::new()),
            false => writers(path),
        },
    }
}

/// What is free at a path, or at the nearest directory above it that is there.
pub fn free(path: &Path) -> Looked<u64> {
    let mut place = path;
    loop {
        match rustix::fs::statvfs(place) {
            Ok(found) => return Looked::Seen(found.f_bavail.saturating_mul(found.f_frsize)),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Looked::Unknown(format!("{}: {error}", place.display())),
        }
        match place.parent() {
            Some(above) => place = above,
            None => return Looked::Unknown(format!("{} is not there", path.display())),
        }
    }
}

/// Programs other than Tandem that have something below a path open for writing.
fn writers(path: &Path) -> Looked<Vec<String>> {
    if !rustix::process::geteuid().is_root() {
        return Looked::Unknown("only root sees what other programs have open".to_owned());
    }
    let processes = match fs::read_dir("/proc") {
        Ok(processes) => processes,
        Err(error) => return Looked::Unknown(format!("/proc: {error}")),
    };
    let mut found = Vec::new();
    for process in processes.flatten() {
        let directory = process.path();
        // Those that end meanwhile are nobody's trouble.
        let Ok(name) = fs::read_to_string(directory.join("comm")) else {
            continue;
        };
        let name = name.trim();
        if name != "tandem" && writes_below(&directory, path) {
            found.push(format!(
                "{name} ({})",
                process.file_name().to_string_lossy()
            ));
        }
        if found.len() >= WRITERS_MAX {
            break;
        }
    }
    Looked::Seen(found)
}

fn writes_below(process: &Path, path: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let target: PathBuf = fs::read_link(descriptor.path()).unwrap_or_default();
        if !target.starts_with(path) {
            return false;
        }
        let information = process.join("fdinfo").join(descriptor.file_name());
        is_writable(&fs::read_to_string(information).unwrap_or_default())
    })
}

/// Whether the access mode in `flags:` (octal) allows writing.
fn is_writable(information: &str) -> bool {
    let mut lines = information.lines();
    let flags = lines.find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_writes_is_seen_and_one_that_reads_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::write(path.join("file"), "x").expect("written");
        let own = PathBuf::from("/proc/self");
        let reading = fs::File::open(path.join("file")).expect("opened");
        assert!(!writes_below(&own, path));
        drop(reading);
        let writing = fs::OpenOptions::new().append(true).open(path.join("file"));
        assert!(writing.is_ok());
        assert!(writes_below(&own, path));
    }

    #[test]
    fn free_space_is_that_of_the_nearest_directory() {
        let there = free(Path::new("/"));
        let missing = free(Path::new("/no/such/directory"));
        assert!(there.seen().is_some() && missing.seen().is_some());
    }
}
