//! What a service that ends in good order leaves in the state directory: what the peer's copy may
//! lack, for the service that begins next.
//!
//! **Believed once.** The file names the positions of all volumes: which writing of them was the
//! last, and in which file (see [`LeftVolume`]). Whoever begins to change a volume, serving or
//! following, has a new position on disk first, so that the file is of no use from there on,
//! whether or not it can still be removed. A volume that was set back, replaced, or copied to
//! another file system shows another position, or the same one in another file.
//!
//! **What is lost by a crash**, line by line of an end: before everything is on disk, or between
//! the position and this file, the file of before: it names positions that are no more. After it:
//! nothing, also if the machine fails, because all that the debt relies on was synced. Of a begin:
//! before the new position, nothing; between the new positions of two volumes, or after them, the
//! debt; then everything is compared.

use crate::MirrorConfig;
use crate::backing::{Volume, VolumeError, read_file, replace_file};
use crate::roles::sentence;
use crate::standing;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use tandem_wire::debt::{FILE_BYTES_MAX, LeftVolume, OwedFile, SavedDebt};
use tandem_wire::stream::DebtBase;

/// Writes it. The position of each volume was written, and everything is on disk. Says whether
/// there is a file now: there is none where it would be too large.
///
/// # Errors
/// [`VolumeError`]; there is then none that would be believed.
pub fn write(
    config: &MirrorConfig,
    volumes: &[Volume],
    (base, files): (DebtBase, Vec<OwedFile>),
) -> Result<bool, VolumeError> {
    let Some(left) = look_at(config, volumes)? else {
        return Ok(false);
    };
    let debt = SavedDebt {
        volumes: left,
        base,
        files,
    };
    let Some(bytes) = debt.encode() else {
        return Ok(false);
    };
    let (directory, name) = open(config)?;
    replace_file(directory.as_fd(), &name, &bytes)
        .map_err(|source| error(config, "write", source))?;
    Ok(true)
}

/// Reads it, if the volumes are as they were left.
#[must_use]
pub fn read(config: &MirrorConfig, volumes: &[Volume]) -> Option<(DebtBase, Vec<OwedFile>)> {
    let read = || -> Result<Option<SavedDebt>, VolumeError> {
        let (directory, name) = open(config)?;
        let bytes = read_file(directory.as_fd(), &name, FILE_BYTES_MAX)
            .map_err(|source| error(config, "read", source))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        match SavedDebt::decode(&bytes) {
            Ok(debt) => {
                Ok((look_at(config, volumes)?.as_ref() == Some(&debt.volumes)).then_some(debt))
            }
            Err(error) => {
                tracing::warn!(%error, "what the other copy lacks is damaged: it will be compared");
                Ok(None)
            }
        }
    };
    match read() {
        Ok(debt) => debt.map(|debt| (debt.base, debt.files)),
        Err(error) => {
            let error = sentence(&error);
            tracing::warn!(
                error,
                "what the other copy lacks is unknown: it will be compared"
            );
            None
        }
    }
}

/// Removes it. It is not believed any more in any case.
pub fn remove(config: &MirrorConfig) {
    if let Ok((directory, name)) = open(config) {
        let _ = unlinkat(directory, name, AtFlags::empty());
    }
}

/// How the volumes stand; `None` where one has no position in two equal places.
fn look_at(
    config: &MirrorConfig,
    volumes: &[Volume],
) -> Result<Option<Vec<LeftVolume>>, VolumeError> {
    let mut left = Vec::new();
    for volume in volumes {
        let Some(position) = standing::undisputed(config, volume)? else {
            return Ok(None);
        };
        let stat = volume.stat_position()?;
        left.push(LeftVolume {
            written: position.written,
            stamp: position.stamp,
            inode: stat.st_ino,
            changed_seconds: stat.st_ctime,
            changed_nanoseconds: stat.st_ctime_nsec,
        });
    }
    Ok(Some(left))
}

fn open(config: &MirrorConfig) -> Result<(OwnedFd, String), VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, &config.state_dir, flags, Mode::empty())
        .map_err(|errno| error(config, "open", errno.into()))?;
    Ok((directory, name(config)))
}

fn name(config: &MirrorConfig) -> String {
    format!("{}.debt", config.module)
}

fn error(config: &MirrorConfig, act: &'static str, source: std::io::Error) -> VolumeError {
    let path = config.state_dir.join(name(config));
    VolumeError::Io { act, path, source }
}
