//! Why an operation could not be applied: each ends the stream.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use tandem_wire::stream::ObjectNumber;

/// Why an operation could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The operating system refused.
    #[error("{act} {subject}: {source}")]
    System {
        /// What was tried.
        act: &'static str,
        /// On what, as people know it.
        subject: String,
        /// Why not.
        source: Errno,
    },
    /// The source names something that it never introduced.
    #[error("object {0} is not known here")]
    Unknown(ObjectNumber),
    /// The source introduces something twice.
    #[error("object {0} is known here already")]
    Known(ObjectNumber),
    /// The source introduces one thing under two numbers.
    #[error("object {object} is known here already, as object {other}")]
    KnownAs {
        /// The new number.
        object: ObjectNumber,
        /// The number that it has.
        other: ObjectNumber,
    },
    /// There is no such volume.
    #[error("there is no volume {0}")]
    Volume(u16),
    /// The object is something else than the operation is for.
    #[error("object {0} is of a kind that this operation is not for")]
    Kind(ObjectNumber),
    /// A name of Tandem's own.
    #[error("the name .tandem in the top directory belongs to Tandem")]
    Hidden,
    /// No point in time.
    #[error("{0} is no number of nanoseconds")]
    Time(u32),
    /// A piece that is not compared.
    #[error("a piece of {0} bytes at {1} cannot be compared now")]
    Piece(u32, u64),
    /// A listing whose beginning is missing.
    #[error("the beginning of the listing of object {0} is missing")]
    Listing(ObjectNumber),
    /// Not to be used as an attribute's name.
    #[error("the name of an extended attribute has a NUL in it")]
    XattrName,
}

impl ApplyError {
    /// Whether the disk itself failed: then this copy is lost, whatever is tried again.
    #[must_use]
    pub fn is_disk(&self) -> bool {
        match self {
            Self::System { source, .. } => {
                matches!(
                    *source,
                    Errno::IO | Errno::ROFS | Errno::UCLEAN | Errno::NXIO
                )
            }
            Self::Unknown(_)
            | Self::Known(_)
            | Self::KnownAs { .. }
            | Self::Volume(_)
            | Self::Kind(_)
            | Self::Hidden
            | Self::Time(_)
            | Self::Piece(..)
            | Self::Listing(_)
            | Self::XattrName => false,
        }
    }
}

/// Turns a refusal of the operating system into an error about a descriptor.
pub(super) fn on(act: &'static str, what: BorrowedFd<'_>) -> impl FnOnce(Errno) -> ApplyError {
    move |source| ApplyError::System {
        act,
        subject: Shown(what, None).to_string(),
        source,
    }
}

/// The same about a name in a directory.
pub(super) fn on_name(
    act: &'static str,
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> impl FnOnce(Errno) -> ApplyError {
    move |source| ApplyError::System {
        act,
        subject: Shown(directory, Some(name)).to_string(),
        source,
    }
}

/// A descriptor's path as the kernel shows it, and a name below it.
pub(super) struct Shown<'a>(pub(super) BorrowedFd<'a>, pub(super) Option<&'a [u8]>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd())) {
            Ok(path) => write!(f, "{}", path.display())?,
            Err(_) => f.write_str("?")?,
        }
        match self.1 {
            Some(name) => write!(f, "/{}", name.escape_ascii()),
            None => Ok(()),
        }
    }
}
