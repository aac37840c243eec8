//! Applies the peer's operations to the plain directories, one after the other, exactly as they
//! happened at the source.
//!
//! [`Replica`] is the whole of it: it takes one decoded operation at a time and touches the disk.
//! It has no threads, no connection and no opinion on what to acknowledge; `follower::worker` owns
//! it and does that.
//!
//! **Names are never paths.** An operation names its directory by an object number, and the object
//! is reached by a descriptor or a file handle; what it adds is one name, without a slash, looked
//! up by `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`. A symbolic link that the
//! application planted is an object like any other: it is created, renamed and removed, and
//! nothing is ever opened through it.
//!
//! **Times.** Whatever the standby does to a file sets its modification time to now. The source's
//! time is remembered per object and set later (before a full sync of the object, at a checkpoint,
//! at the end of a session): once for a thousand writes.
//!
//! **What a crash loses.** Nothing here is durable by itself; everything applied since the last
//! sync may be there in part, and deferred times are lost. That is why only `Sync`, `Checkpoint`
//! and `Level` are answered as durable, and why a restarted mirror is compared as a whole: its
//! position is not clean (see [`tandem_wire::position::Position::clean`]). A directory that is
//! being removed is moved to `.tandem/removed` first; a crash leaves it there, and the next
//! comparison removes it.
//!
//! **Errors.** Every error ends the stream: after it this copy is not what the source believes.
//! Nothing is skipped and nothing is tried again.

mod attributes;
mod contents;
mod error;
mod listing;
mod names;
mod objects;
mod verify;

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tandem_wire::stream::{
    Differs, FLAG_DURABLE, FrameHeader, Name, ObjectNumber, Operation, ROOT_OBJECT, Timestamp,
};

pub use self::error::ApplyError;
use self::objects::Objects;
pub use self::verify::Difference;
use crate::backing::{HIDDEN, Volume};

/// How many modification times are deferred at most, so that setting them stays a short pause.
const DEFERRED_TIMES_MAX: usize = 4096;

/// An object of one of the module's volumes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The volume's place in the configuration.
    pub volume: u16,
    /// The object's number.
    pub object: ObjectNumber,
}

/// What an operation asks for beyond being applied.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing.
    Applied,
    /// An object is to be synced.
    Sync(SyncRequest),
    /// Everything is to be synced and the position remembered.
    Checkpoint,
    /// The source is to be told what differs.
    Differs(Vec<Differs>),
    /// What a verification asked about is not the same here.
    Unequal(Difference),
    /// The comparison has reached everything.
    CompareEnd,
    /// Everything is to be synced; this copy is level then.
    Level,
}

/// An object that is to be synced.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Which; requests for the same object can share one call.
    pub place: Place,
    /// The object itself. `None`: it cannot be synced alone, so its file system is.
    pub descriptor: Option<Arc<OwnedFd>>,
    /// `fdatasync` is enough.
    pub data_only: bool,
}

/// The copies of a module's volumes, and what is known of their objects in this stream.
#[derive(Debug)]
pub struct Replica {
    volumes: Arc<[Volume]>,
    objects: Vec<Objects>,
    times: HashMap<Place, Timestamp>,
    /// The names of directories whose listing has not ended.
    listings: HashMap<Place, HashSet<Name>>,
    /// The key of the hashes, while everything is being compared.
    comparing: Option<[u8; 32]>,
    /// Files that a listing has just made: they stand empty.
    made: Vec<ObjectNumber>,
    buffer: Vec<u8>,
}

impl Replica {
    /// Copies of which nothing is known but their top directories.
    #[must_use]
    pub fn new(volumes: &Arc<[Volume]>) -> Self {
        Self {
            volumes: Arc::clone(volumes),
            objects: (0..volumes.len())
                .map(|at| Objects::new(volumes, at))
                .collect(),
            times: HashMap::new(),
            listings: HashMap::new(),
            comparing: None,
            made: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins a stream in which everything is compared: forgets all objects.
    ///
    /// # Errors
    /// When what a crash left of a removal cannot be removed, or deferred times not be set.
    pub fn begin_compare(&mut self, secret: [u8; 32]) -> Result<(), ApplyError> {
        self.set_deferred_times()?;
        self.forget_everything();
        self.comparing = Some(secret);
        for at in 0..self.volumes.len() {
            self.finish_removals(at as u16)?;
        }
        Ok(())
    }

    /// Begins a stream that goes on from where both copies were known to be equal: objects have
    /// new numbers, which the source introduces.
    ///
    /// # Errors
    /// When deferred times cannot be set.
    pub fn begin_equal(&mut self) -> Result<(), ApplyError> {
        self.set_deferred_times()?;
        self.forget_everything();
        self.comparing = None;
        Ok(())
    }

    /// The comparison is over: from now on both copies are equal.
    pub fn end_compare(&mut self) {
        self.comparing = None;
        self.listings.clear();
    }

    fn forget_everything(&mut self) {
        self.listings.clear();
        for objects in &mut self.objects {
            objects.reset();
        }
    }

    /// Applies a write.
    ///
    /// # Errors
    /// [`ApplyError`]; the stream is over.
    pub fn write(&mut self, header: &FrameHeader, data: &[u8]) -> Result<Outcome, ApplyError> {
        let place = Place {
            volume: header.volume.get(),
            object: header.object.get(),
        };
        self.write_data(place, header.offset.get(), data, header.mtime())?;
        if header.flags.get() & FLAG_DURABLE == 0 {
            return Ok(Outcome::Applied);
        }
        self.sync_request(place, DataOnly(true))
    }

    /// Applies an operation.
    ///
    /// # Errors
    /// [`ApplyError`]; the stream is over.
    pub fn apply(&mut self, volume: u16, operation: &Operation) -> Result<Outcome, ApplyError> {
        let at = |object: &ObjectNumber| Place {
            volume,
            object: *object,
        };
        match operation {
            Operation::Introduce {
                object,
                parent,
                name,
            } => self.introduce(at(object), at(parent), name)?,
            Operation::Create {
                object,
                parent,
                name,
                kind,
                attributes,
                parent_mtime,
            } => {
                self.create(at(object), at(parent), name, kind)?;
                self.set_attributes(at(object), attributes)?;
                self.defer_time(at(parent), *parent_mtime)?;
            }
            Operation::CreateUnnamed { object, attributes } => {
                self.create_unnamed(at(object))?;
                self.set_attributes(at(object), attributes)?;
            }
            Operation::Link {
                object,
                parent,
                name,
                parent_mtime,
            } => {
                self.link(at(object), at(parent), name)?;
                self.defer_time(at(parent), *parent_mtime)?;
            }
            Operation::Unlink {
                parent,
                name,
                parent_mtime,
            } => {
                self.unlink(at(parent), name)?;
                self.defer_time(at(parent), *parent_mtime)?;
            }
            Operation::RemoveDirectory {
                parent,
                name,
                parent_mtime,
            } => {
                self.remove_directory(at(parent), name)?;
                self.defer_time(at(parent), *parent_mtime)?;
            }
            Operation::Rename {
                from_parent,
                from_name,
                to_parent,
                to_name,
                exchange,
                from_parent_mtime,
                to_parent_mtime,
            } => {
                let (from, to) = (at(from_parent), at(to_parent));
                if *exchange {
                    self.exchange((from, from_name), (to, to_name))?;
                } else {
                    self.rename((from, from_name), (to, to_name))?;
                }
                self.defer_time(from, *from_parent_mtime)?;
                self.defer_time(to, *to_parent_mtime)?;
            }
            Operation::SetAttributes { object, attributes } => {
                self.set_attributes(at(object), attributes)?;
            }
            Operation::Truncate {
                object,
                size,
                mtime,
            } => self.truncate(at(object), *size, *mtime)?,
            Operation::Allocate {
                object,
                mode,
                offset,
                bytes,
                mtime,
            } => {
                let range = contents::Range {
                    offset: *offset,
                    bytes: *bytes,
                };
                self.allocate(at(object), *mode, range, *mtime)?;
            }
            Operation::Hole {
                object,
                offset,
                bytes,
                mtime,
            } => {
                let range = contents::Range {
                    offset: *offset,
                    bytes: *bytes,
                };
                self.make_hole(at(object), range, *mtime)?;
            }
            Operation::SetXattr {
                object,
                name,
                value,
            } => self.set_xattr(at(object), name, value)?,
            Operation::RemoveXattr { object, name } => self.remove_xattr(at(object), name)?,
            Operation::Sync { object, data_only } => {
                return self.sync_request(at(object), DataOnly(*data_only));
            }
            Operation::Checkpoint => return Ok(Outcome::Checkpoint),
            Operation::Forget { objects } => {
                for object in objects {
                    self.forget(at(object))?;
                }
            }
            Operation::ListDirectory {
                object,
                entries,
                first,
                last,
            } => {
                let part = listing::Part {
                    first: *first,
                    last: *last,
                };
                self.list_directory(at(object), entries, &part)?;
                return Ok(self.tell_made(volume));
            }
            Operation::Describe {
                object,
                attributes,
                size,
                xattrs,
            } => self.describe(at(object), attributes, *size, xattrs)?,
            Operation::Compare {
                object,
                offset,
                bytes,
                hash,
            } => return self.compare(at(object), *offset, *bytes, hash),
            Operation::CompareEnd => return Ok(Outcome::CompareEnd),
            Operation::Level => return Ok(Outcome::Level),
            Operation::VerifyNames {
                object,
                secret,
                hash,
            } => return verify::answer(self.verify_names(at(object), secret, hash)),
            Operation::VerifyName {
                object,
                parent,
                name,
            } => return verify::answer(self.verify_name(at(object), at(parent), name)),
            Operation::VerifyAttributes {
                object,
                attributes,
                size,
                xattrs,
            } => {
                let verified = self.verify_attributes(at(object), attributes, *size, xattrs);
                return verify::answer(verified);
            }
            Operation::VerifyContents {
                object,
                offset,
                bytes,
                secret,
                hash,
            } => {
                let piece = verify::Piece {
                    offset: *offset,
                    bytes: *bytes,
                    secret,
                    hash: hash.as_ref(),
                };
                return verify::answer(self.verify_contents(at(object), &piece));
            }
        }
        Ok(Outcome::Applied)
    }

    /// Sets all modification times that were deferred.
    ///
    /// # Errors
    /// [`ApplyError`]
    pub fn set_deferred_times(&mut self) -> Result<(), ApplyError> {
        let places: Vec<Place> = self.times.keys().copied().collect();
        places
            .into_iter()
            .try_for_each(|place| self.set_deferred_time(place))
    }

    fn defer_time(&mut self, place: Place, mtime: Timestamp) -> Result<(), ApplyError> {
        attributes::check_time(mtime)?;
        // A name that is gone may have been all that led to its directory.
        self.objects_of(place.volume)?.get(place.object)?;
        if self.times.len() >= DEFERRED_TIMES_MAX {
            self.set_deferred_times()?;
        }
        self.times.insert(place, mtime);
        Ok(())
    }

    fn forget(&mut self, place: Place) -> Result<(), ApplyError> {
        if place.object == ROOT_OBJECT || !self.objects_of(place.volume)?.knows(place.object) {
            return Ok(());
        }
        self.set_deferred_time(place)?;
        self.objects_of(place.volume)?.forget(place.object);
        Ok(())
    }

    fn sync_request(&mut self, place: Place, how: DataOnly) -> Result<Outcome, ApplyError> {
        if !how.0 {
            // A sync of the data alone need not make the time durable.
            self.set_deferred_time(place)?;
        }
        let objects = self.objects_of(place.volume)?;
        // The source names the top directory also for what it cannot name; and what is neither
        // file nor directory has no sync of its own.
        let alone = place.object != ROOT_OBJECT && objects.get(place.object)?.has_contents();
        let descriptor = match alone {
            true => Some(objects.descriptor(place.object)?),
            false => None,
        };
        Ok(Outcome::Sync(SyncRequest {
            place,
            descriptor,
            data_only: how.0,
        }))
    }

    fn objects_of(&mut self, volume: u16) -> Result<&mut Objects, ApplyError> {
        self.objects
            .get_mut(usize::from(volume))
            .ok_or(ApplyError::Volume(volume))
    }

    /// Refuses what would reach Tandem's own files.
    fn check_name(parent: Place, name: &Name) -> Result<(), ApplyError> {
        if is_hidden(parent, name.as_bytes()) {
            return Err(ApplyError::Hidden);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct DataOnly(bool);

fn is_hidden(parent: Place, name: &[u8]) -> bool {
    parent.object == ROOT_OBJECT && name == HIDDEN.as_bytes()
}
