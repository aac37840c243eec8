//! The highest epoch that this node's mirror ever took part in, on disk before the first frame of
//! that epoch is accepted, or its first write served: a source of an older epoch never gets in
//! again, not even after a restart.
//!
//! What a crash loses: nothing that was answered. [`HighestEpoch::raise`] returns after the new
//! number is on disk; a crash before leaves the old one, and no session of the new epoch began.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tandem_wire::position::{Damaged, FILE_BYTES_MAX, decode_epoch, encode_epoch};

use crate::backing::{read_file, replace_file};

/// The highest epoch, in a file of the state directory.
#[derive(Debug)]
pub struct HighestEpoch {
    directory: OwnedFd,
    name: String,
    path: PathBuf,
    highest: Mutex<u64>,
}

/// Why the highest epoch is not known, or not on disk.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operating system refused.
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
    /// The file is there and cannot be believed. It is not taken for zero: that would let an old
    /// source in.
    #[error("{path} is damaged: restore it from a backup, or remove it and compare both copies")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: Damaged,
    },
}

impl HighestEpoch {
    /// Reads the file; zero where there is none.
    ///
    /// # Errors
    /// [`EpochError`]
    pub fn open(state_dir: &Path, module: &str) -> Result<Self, EpochError> {
        let name = format!("{module}.epoch");
        let path = state_dir.join(&name);
        let failed = |act| {
            let path = path.clone();
            move |source| EpochError::Io { act, path, source }
        };
        let directory = File::open(state_dir).map_err(failed("open the directory of"))?;
        let highest =
            match read_file(directory.as_fd(), &name, FILE_BYTES_MAX).map_err(failed("read"))? {
                None => 0,
                Some(bytes) => decode_epoch(&bytes).map_err(|source| EpochError::Damaged {
                    path: path.clone(),
                    source,
                })?,
            };
        Ok(Self {
            directory: directory.into(),
            name,
            path,
            highest: Mutex::new(highest),
        })
    }

    /// The highest epoch so far.
    #[must_use]
    pub fn highest(&self) -> u64 {
        *self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part in an epoch: when this returns true, it is on disk as the highest. False: a
    /// higher one is.
    ///
    /// # Errors
    /// [`EpochError::Io`]; the epoch must not be taken part in then.
    pub fn raise(&self, epoch: u64) -> Result<bool, EpochError> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch > *highest {
            replace_file(self.directory.as_fd(), &self.name, &encode_epoch(epoch)).map_err(
                |source| EpochError::Io {
                    act: "write",
                    path: self.path.clone(),
                    source,
                },
            )?;
            *highest = epoch;
        }
        Ok(epoch == *highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_never_falls_also_over_a_restart() {
        let state = tempfile::tempdir().expect("make a directory");
        let epochs = HighestEpoch::open(state.path(), "m").expect("open");
        assert_eq!(epochs.highest(), 0);
        assert!(epochs.raise(5).expect("raise"));
        assert!(epochs.raise(5).expect("same again"));
        assert!(!epochs.raise(4).expect("lower"));
        let again = HighestEpoch::open(state.path(), "m").expect("open");
        assert_eq!(again.highest(), 5);
        assert!(!again.raise(4).expect("lower"));
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_zero() {
        let state = tempfile::tempdir().expect("make a directory");
        std::fs::write(state.path().join("m.epoch"), b"TNDMEPO1xxxx").expect("write");
        let damaged = HighestEpoch::open(state.path(), "m");
        assert!(
            matches!(damaged, Err(EpochError::Damaged { .. })),
            "{damaged:?}"
        );
    }
}
