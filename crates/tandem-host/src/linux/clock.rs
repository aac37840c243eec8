//! The clock of the control plane, and what tells one boot of the machine from another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};
use tandem_core::Instant;

/// Changes with every boot; in a container, with every start of the container.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The name of the marker in the runtime directory.
const MARKER: &str = "boot-id";

/// A boot could not be told from another one.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The kernel's boot identifier could not be read.
    #[error("read the boot identifier {BOOT_ID}")]
    BootId(#[source] io::Error),
    /// The marker of this boot could not be read or written.
    #[error("keep the marker of this boot in {}", path.display())]
    Marker {
        /// The marker.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Now on `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the time since boot is not negative");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("a part of a second is not negative");
    Instant(seconds * 1_000_000_000 + nanoseconds)
}

/// Identifies this boot of the machine.
///
/// # Errors
/// `/proc` is not there.
pub fn boot_id() -> Result<String, ClockError> {
    let text = fs::read_to_string(BOOT_ID).map_err(ClockError::BootId)?;
    Ok(text.trim().to_owned())
}

/// Tells whether this is the first call with this runtime directory since the machine booted, and
/// remembers that it was made. The runtime directory may lie on a disk.
///
/// # Errors
/// The marker can be neither read nor written.
pub fn machine_booted_marker(runtime_dir: &Path) -> Result<bool, ClockError> {
    let path = runtime_dir.join(MARKER);
    let boot_id = boot_id()?;
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == boot_id => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ClockError::Marker { path, source }),
    }
    let written = fs::create_dir_all(runtime_dir).and_then(|()| fs::write(&path, boot_id));
    match written {
        Ok(()) => Ok(true),
        Err(source) => Err(ClockError::Marker { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward() {
        let earlier = now();
        let later = now();
        assert!(later >= earlier && earlier.0 > 0);
    }

    #[test]
    fn only_the_first_start_since_boot_is_the_first() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(machine_booted_marker(dir.path()).expect("marker"));
        assert!(!machine_booted_marker(dir.path()).expect("marker"));
        fs::write(dir.path().join(MARKER), "another boot\n").expect("write");
        assert!(machine_booted_marker(dir.path()).expect("marker"));
    }
}
