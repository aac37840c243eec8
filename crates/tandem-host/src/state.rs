//! The state file: the few bytes of a node that must survive everything, or be known to be lost.
//!
//! A write goes to a temporary file, which is synced and renamed over the old one, and the directory
//! is synced. So a reader finds the old bytes or the new ones. A file that is neither (torn by a
//! disk, cut, of another program) is an error: it stays where it is, a link to it is kept aside, and
//! it is never taken for an empty state, because "no record anywhere" permits what "the record is
//! lost" must not.
//!
//! What the bytes mean is not known here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::durable;
use crate::linux::lock::try_lock;

const MAGIC: [u8; 8] = *b"TANDEMst";

/// The version of the envelope, not of what is in it.
const VERSION: u32 = 1;

/// Magic, version, length of the payload, checksum of all before it and of the payload.
const HEADER_BYTES: usize = 8 + 4 + 4 + 4;

/// The payload is a record and a short history; a length beyond this is damage.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Damaged files that are kept aside; each is a rare event that a person looks at.
const KEPT_ASIDE_MAX: u32 = 100;

/// The state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A system call failed.
    #[error("{act} {}", path.display())]
    Io {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another daemon works with this directory.
    #[error("{} is in use by another daemon{}", dir.display(), holder(*pid))]
    InUse {
        /// The state directory.
        dir: PathBuf,
        /// The other daemon's process, if it said so.
        pid: Option<u32>,
    },
    /// The file is not what was written. It stays in place, so that it is found again.
    #[error("the state file {} cannot be trusted: {damage}; a copy is kept as {}", path.display(), kept.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
        /// Where it is kept.
        kept: PathBuf,
    },
    /// More bytes than a state can have.
    #[error("a state of {0} bytes is longer than {PAYLOAD_BYTES_MAX}")]
    TooLong(usize),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What is wrong with a state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// It ends too early, or goes on too long.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes that should be there.
        expected: usize,
    },
    /// Another program wrote it.
    #[error("it does not begin like a state file of this product")]
    Foreign,
    /// A later release wrote it.
    #[error("it has version {0}, this release reads version {VERSION}")]
    Version(u32),
    /// Its bytes changed.
    #[error("its checksum does not match its bytes")]
    Checksum,
}

/// The state file of one node, held by one process.
#[derive(Debug)]
pub struct StateFile {
    dir: PathBuf,
    // Keeps the lock.
    _lock: File,
}

impl StateFile {
    /// Takes the state directory for this process. Creates it if it is missing.
    ///
    /// # Errors
    /// Another daemon has it, or the directory cannot be used.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(dir).map_err(failed("create the directory", dir))?;
        let path = dir.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open the lock file", &path))?;
        if !try_lock(&lock).map_err(failed("lock", &path))? {
            let mut text = String::new();
            // The other process may be about to write it: then it stays unnamed.
            let _ = lock.read_to_string(&mut text);
            return Err(StateError::InUse {
                dir: dir.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        let note = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all(note.as_bytes()))
            .map_err(failed("write", &path))?;
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Reads the newest state. `None`: none was ever written here.
    ///
    /// # Errors
    /// It cannot be read, or cannot be trusted.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read the state file", &path)(error)),
        };
        match unseal(&bytes) {
            Ok(payload) => Ok(Some(payload.to_vec())),
            Err(damage) => Err(StateError::Damaged {
                kept: keep_aside(&path)?,
                path,
                damage,
            }),
        }
    }

    /// Writes a new state. When this returns, it is on the disk.
    ///
    /// # Errors
    /// It may or may not be on the disk. The next write settles that.
    pub fn write(&self, payload: &[u8]) -> Result<(), StateError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(StateError::TooLong(payload.len()));
        }
        let path = self.path();
        durable::replace(&path, &seal(payload)).map_err(failed("write the state file", &path))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// Reads the newest state of a directory that a daemon may be working with. A damaged file is an
/// error, and stays as it is.
///
/// # Errors
/// It cannot be read, or cannot be trusted.
pub fn peek(dir: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dir.join("state")) {
        Ok(bytes) => match unseal(&bytes) {
            Ok(payload) => Ok(Some(payload.to_vec())),
            Err(damage) => Err(io::Error::new(io::ErrorKind::InvalidData, damage)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed<'a>(act: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |source| StateError::Io {
        act,
        path: path.to_owned(),
        source,
    }
}

/// Links the damaged file to a name of its own, so that the next write does not destroy it. A file
/// that was kept before is not kept twice.
fn keep_aside(path: &Path) -> Result<PathBuf, StateError> {
    use std::os::unix::fs::MetadataExt;
    let act = "keep a copy of the damaged file";
    let damaged = fs::metadata(path).map_err(failed(act, path))?;
    let mut number = 1;
    loop {
        let kept = path.with_extension(format!("damaged-{number}"));
        match fs::hard_link(path, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(act, &kept)(error)),
        }
        let other = fs::metadata(&kept).map_err(failed(act, &kept))?;
        if other.ino() == damaged.ino() {
            return Ok(kept);
        }
        if number == KEPT_ASIDE_MAX {
            return Err(failed(act, &kept)(io::ErrorKind::AlreadyExists.into()));
        }
        number += 1;
    }
}

fn seal(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("bounded by PAYLOAD_BYTES_MAX");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes, payload);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn unseal(bytes: &[u8]) -> Result<&[u8], Damage> {
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Damage::Length {
            found: bytes.len(),
            expected: HEADER_BYTES,
        });
    };
    let word = |at: usize| {
        u32::from_le_bytes(
            header[at..at + 4]
                .try_into()
                .expect("the range has four bytes"),
        )
    };
    if header[..8] != MAGIC {
        return Err(Damage::Foreign);
    }
    if word(8) != VERSION {
        return Err(Damage::Version(word(8)));
    }
    let expected = HEADER_BYTES + word(12) as usize;
    if bytes.len() != expected {
        return Err(Damage::Length {
            found: bytes.len(),
            expected,
        });
    }
    if word(16) != checksum(&header[..16], payload) {
        return Err(Damage::Checksum);
    }
    Ok(payload)
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateFile) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = StateFile::open(dir.path()).expect("open");
        (dir, state)
    }

    fn damaged_copies(dir: &Path) -> usize {
        fs::read_dir(dir)
            .expect("list")
            .filter(|entry| {
                let name = entry.as_ref().expect("entry").file_name();
                name.to_string_lossy().contains("damaged")
            })
            .count()
    }

    #[test]
    fn what_was_written_is_read() {
        let (_dir, state) = state();
        assert_eq!(state.read().expect("read"), None);
        state.write(b"one").expect("write");
        assert_eq!(state.read().expect("read").as_deref(), Some(&b"one"[..]));
        state.write(b"").expect("write");
        assert_eq!(state.read().expect("read").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_second_daemon_is_refused_and_told_the_process_of_the_first() {
        let (dir, first) = state();
        match StateFile::open(dir.path()) {
            Err(StateError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        StateFile::open(dir.path()).expect("the lock ends with its holder");
    }

    #[test]
    fn a_state_torn_at_any_byte_is_never_taken_as_valid_or_empty() {
        let (_dir, state) = state();
        state.write(b"the record of a module").expect("write");
        let whole = fs::read(state.path()).expect("read");
        for length in 0..whole.len() {
            fs::write(state.path(), &whole[..length]).expect("write");
            assert!(
                matches!(state.read(), Err(StateError::Damaged { .. })),
                "cut at {length}"
            );
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                fs::write(state.path(), &bytes).expect("write");
                assert!(
                    matches!(state.read(), Err(StateError::Damaged { .. })),
                    "byte {at} changed"
                );
            }
            let mut bytes = whole.clone();
            bytes[at..].fill(0);
            if bytes != whole {
                fs::write(state.path(), &bytes).expect("write");
                assert!(
                    matches!(state.read(), Err(StateError::Damaged { .. })),
                    "zeros from {at}"
                );
            }
        }
        let mut longer = whole.clone();
        longer.push(0);
        fs::write(state.path(), &longer).expect("write");
        assert!(matches!(state.read(), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn a_foreign_file_stays_an_error_and_survives_the_next_write() {
        let (dir, state) = state();
        fs::write(state.path(), b"# somebody's notes, not ours at all\n").expect("write");
        for _ in 0..2 {
            match state.read() {
                Err(error @ StateError::Damaged { .. }) => {
                    assert!(error.to_string().contains("does not begin like"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(damaged_copies(dir.path()), 1);
        state.write(b"new").expect("write");
        assert_eq!(state.read().expect("read").as_deref(), Some(&b"new"[..]));
        let kept = fs::read(dir.path().join("state.damaged-1")).expect("kept");
        assert!(kept.starts_with(b"# somebody's"));
    }

    #[test]
    fn a_temporary_file_left_by_a_crash_is_not_the_state() {
        let (dir, state) = state();
        state.write(b"old").expect("write");
        fs::write(dir.path().join("state.new"), b"TANDEMst half").expect("write");
        assert_eq!(state.read().expect("read").as_deref(), Some(&b"old"[..]));
        state.write(b"new").expect("write");
        assert_eq!(state.read().expect("read").as_deref(), Some(&b"new"[..]));
    }
}
