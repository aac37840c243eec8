//! Looking whether this copy is what the source says it is, without changing it.
//!
//! A question is an operation like any other: it is answered when its turn comes, so that it meets
//! exactly the state that the source had when it numbered it. Nothing that is still on its way can
//! make a difference.
//!
//! Whoever changed a file beneath the mirror may have taken away what an object is known by: that
//! something known is not to be found is a difference, and no failure of the operation. Other
//! failures end the stream, as those of all operations do.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;
use tandem_wire::stream::{Attributes, BlockHash, COMPARE_BYTES, Name, ObjectKind};

use super::attributes::{set_modification_time, stat};
use super::error::{ApplyError, on, on_name};
use super::names::look;
use super::objects::Kind;
use super::{Outcome, Place, Replica, is_hidden};
use crate::pieces::block_hashes;
use crate::sabotage;
use crate::sys::{self, Xattr};
use crate::verification::{self, HOLE_BYTES_MAX, Listed};

/// What is not the same.
#[derive(Debug)]
pub struct Difference {
    /// For people.
    pub what: String,
    /// Contents: the hashes of the blocks that are here.
    pub blocks: Vec<BlockHash>,
}

impl Difference {
    fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            blocks: Vec::new(),
        }
    }
}

type Verified = Result<Option<Difference>, ApplyError>;

/// A piece of a file as it should be.
pub(super) struct Piece<'a> {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) secret: &'a [u8; 32],
    /// `None`: zeros.
    pub(super) hash: Option<&'a [u8; 32]>,
}

/// What a question comes to.
pub(super) fn answer(verified: Verified) -> Result<Outcome, ApplyError> {
    match verified {
        Ok(_) if sabotage::blind_verify() => Ok(Outcome::Applied),
        Ok(None) => Ok(Outcome::Applied),
        Ok(Some(difference)) => Ok(Outcome::Unequal(difference)),
        Err(ApplyError::System {
            act,
            subject,
            source: source @ (Errno::STALE | Errno::NOENT | Errno::NOTDIR | Errno::LOOP),
        }) => Ok(Outcome::Unequal(Difference::of(format!(
            "{act} {subject}: {source}"
        )))),
        Err(error) => Err(error),
    }
}

impl Replica {
    /// Names of a directory, and what stands at each.
    pub(super) fn verify_names(
        &mut self,
        place: Place,
        secret: &[u8; 32],
        hash: &[u8; 32],
    ) -> Verified {
        let directory = self.objects_of(place.volume)?.directory(place.object)?;
        let directory = directory.as_fd();
        let exclude = &self.volumes[usize::from(place.volume)].exclude;
        let mut names = Vec::new();
        for entry in sys::list(directory).map_err(on("list", directory))? {
            if is_hidden(place, &entry.name) {
                continue;
            }
            let kind = verification::listed_kind(directory, &entry).map_err(on_name(
                "look at",
                directory,
                &entry.name,
            ))?;
            if kind == ObjectKind::Directory || !exclude.matches(&entry.name) {
                names.push(Listed {
                    name: entry.name,
                    kind,
                });
            }
        }
        let count = names.len();
        if verification::hash_of_names(secret, &mut names) == *hash {
            return Ok(None);
        }
        let what = format!("its names, {count} here, or what stands at them");
        Ok(Some(Difference::of(what)))
    }

    /// That a name leads to an object.
    pub(super) fn verify_name(&mut self, place: Place, parent: Place, name: &Name) -> Verified {
        let objects = self.objects_of(place.volume)?;
        let directory = objects.directory(parent.object)?;
        let name = name.as_bytes();
        let Some(found) = look(directory.as_fd(), name)? else {
            return Ok(Some(Difference::of("it is not there")));
        };
        let same = objects
            .get(place.object)?
            .is(found.descriptor.as_fd(), &found.stat)?;
        Ok((!same).then(|| Difference::of("something else stands at its name")))
    }

    /// Attributes, extended attributes and size.
    pub(super) fn verify_attributes(
        &mut self,
        place: Place,
        attributes: &Attributes,
        size: u64,
        xattrs: &[Xattr],
    ) -> Verified {
        self.set_deferred_time(place)?;
        let objects = self.objects_of(place.volume)?;
        let kind = objects.get(place.object)?.kind;
        let descriptor = objects.descriptor(place.object)?;
        let object = descriptor.as_fd();
        let here = stat(object)?;
        let mut what = Vec::new();
        let (mode, wanted) = (here.st_mode & 0o7777, attributes.mode & 0o7777);
        // A symbolic link has no mode of its own.
        if mode != wanted && kind != Kind::Symlink {
            what.push(format!("mode {mode:o} instead of {wanted:o}"));
        }
        let (owner, wanted) = ((here.st_uid, here.st_gid), (attributes.uid, attributes.gid));
        if owner != wanted {
            what.push(format!(
                "owner {}:{} instead of {}:{}",
                owner.0, owner.1, wanted.0, wanted.1
            ));
        }
        let bytes = here.st_size.cast_unsigned();
        if kind == Kind::File && bytes != size {
            what.push(format!("{bytes} bytes instead of {size}"));
        }
        let found = sys::xattrs(object).map_err(on("list the extended attributes of", object))?;
        what.extend(different_xattrs(&found, xattrs));
        if differs_in_time(object, &here, attributes)? {
            what.push("modification time".to_owned());
        }
        Ok((!what.is_empty()).then(|| Difference::of(what.join(", "))))
    }

    /// A piece of a file.
    pub(super) fn verify_contents(&mut self, place: Place, piece: &Piece<'_>) -> Verified {
        let Piece { offset, bytes, .. } = *piece;
        let Some(hash) = piece.hash else {
            return self.verify_zeros(place, offset, bytes);
        };
        if bytes > COMPARE_BYTES {
            return Err(ApplyError::Piece(bytes, offset));
        }
        let here = self.read_piece(place, offset, bytes)?;
        let whole = here.len() == bytes as usize;
        if whole && blake3::keyed_hash(piece.secret, here) == *hash {
            return Ok(None);
        }
        let what = match whole {
            true => "contents".to_owned(),
            false => format!("contents: they end after {} bytes", here.len()),
        };
        let blocks = block_hashes(piece.secret, here).collect();
        Ok(Some(Difference { what, blocks }))
    }

    /// That a part of a file reads as zeros: holes are not read.
    fn verify_zeros(&mut self, place: Place, offset: u64, bytes: u32) -> Verified {
        if u64::from(bytes) > HOLE_BYTES_MAX {
            return Err(ApplyError::Piece(bytes, offset));
        }
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        let end = offset.saturating_add(u64::from(bytes));
        let size = stat(file)?.st_size.cast_unsigned();
        if size < end {
            let what = format!("contents: the file ends at {size}");
            return Ok(Some(Difference::of(what)));
        }
        let mut at = offset;
        while at < end {
            at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Ok(data) => data.max(at),
                Err(Errno::NXIO) => end,
                // A file system that cannot say it.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
                Err(error) => return Err(on("look for data in", file)(error)),
            };
            let left = end.saturating_sub(at).min(u64::from(COMPARE_BYTES)) as u32;
            let here = self.read_piece(place, at, left)?;
            if here.iter().any(|byte| *byte != 0) {
                return Ok(Some(Difference::of("contents instead of zeros")));
            }
            at += u64::from(left);
        }
        Ok(None)
    }
}

/// Whether the modification time is another one. A file system that keeps it less exactly than the
/// source's is not different: such a time stays what it is when it is set.
fn differs_in_time(
    object: BorrowedFd<'_>,
    here: &Stat,
    wanted: &Attributes,
) -> Result<bool, ApplyError> {
    let before = sys::modification_time(here);
    if before == wanted.mtime {
        return Ok(false);
    }
    set_modification_time(object, wanted.mtime)?;
    Ok(sys::modification_time(&stat(object)?) != before)
}

/// Labels that a node's own security module sets are its own business.
fn is_mirrored(name: &[u8]) -> bool {
    !name.starts_with(b"security.") || name == b"security.capability"
}

fn different_xattrs(here: &[Xattr], wanted: &[Xattr]) -> Vec<String> {
    let differs = |(name, value): &&Xattr, others: &[Xattr]| {
        let other = others.iter().find(|(other, _)| other == name);
        is_mirrored(name) && other.is_none_or(|(_, other)| other != value)
    };
    let show = |name: &[u8]| name.escape_ascii().to_string();
    let mut what: Vec<String> = (wanted.iter())
        .filter(|xattr| differs(xattr, here))
        .map(|(name, _)| format!("extended attribute {}", show(name)))
        .collect();
    what.extend(
        (here.iter())
            .filter(|(name, _)| is_mirrored(name) && wanted.iter().all(|(other, _)| other != name))
            .map(|(name, _)| {
                format!(
                    "extended attribute {}, which should not be there",
                    show(name)
                )
            }),
    );
    what
}
