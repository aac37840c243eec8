//! Small files that must be there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only root reads it: keys, secrets, tokens.
pub(crate) const SECRET: u32 = 0o600;
/// Everybody may read it.
pub(crate) const PUBLIC: u32 = 0o644;

/// A file could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{act} {}", path.display())]
pub struct FileError {
    /// What was attempted.
    pub act: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Gives an error its context.
pub(crate) fn failed<'a>(
    act: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError {
        act,
        path: path.to_owned(),
        source,
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(failed("read", path))
}

/// Writes a new file and syncs it. It must not exist.
pub(crate) fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("create", path))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", path))
}

/// Puts a file in place, whole: temporary file, sync, rename, sync of the directory.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = beside(path);
    // Left over by a crash; nobody reads it.
    let _ = fs::remove_file(&temporary);
    create(&temporary, mode, bytes)?;
    fs::rename(&temporary, path).map_err(failed("put in place", path))?;
    sync_parent(path)
}

/// Removes a file, which need not be there.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What the names of temporary files end in.
const TEMPORARY: &str = ".new";

/// The temporary name of a file, in the same directory.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    path.with_file_name(name)
}

/// Removes the temporary files and directories that a crash left in one of the product's own
/// directories: nobody reads them.
pub(crate) fn sweep(directory: &Path) -> Result<(), FileError> {
    // Where there is no directory, there is nothing in it.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().ends_with(TEMPORARY.as_bytes()) {
            let path = entry.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

/// Makes a rename or a removal in a directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync the directory", parent))
}

/// Makes a directory, and those above it, for root only.
pub(crate) fn create_directory(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("create the directory", path))
}
