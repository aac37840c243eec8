//! The data stream between two mirrors: one TCP connection inside mutual TLS 1.3, opened by the
//! mirror that serves, accepted by the one that follows.
//!
//! Every frame is a [`FrameHeader`] of 64 bytes, little-endian, followed by `payload_bytes` of
//! payload. Frames whose kind is numbered ([`FrameKind::is_numbered`]) carry the next number of the
//! module's one sequence, across all volumes; a gap ends the session. Control payloads and
//! operations are postcard; the payload of [`FrameKind::Write`] is the data itself.
//!
//! Versions: [`VERSION`] is what this release speaks, [`VERSION_MIN`] the oldest that it accepts;
//! each side sends both in its hello, and the highest common one is used.

use serde::{Deserialize, Serialize};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of the stream that this release speaks.
pub const VERSION: u16 = 2;
/// The first version in which a copy can be verified: [`Operation::VerifyNames`] and what follows it.
pub const VERSION_VERIFY: u16 = 2;
/// The oldest version that this release accepts.
pub const VERSION_MIN: u16 = 1;
/// The first four bytes of each frame.
pub const MAGIC: u32 = 0x4d44_4e54;
/// The largest payload in bytes.
pub const PAYLOAD_MAX: u32 = 1 << 20;
/// The unit in which contents are compared, in bytes.
pub const COMPARE_BYTES: u32 = 256 << 10;
/// The unit in which a piece that differs is sent, in bytes: what most file systems allocate.
pub const BLOCK_BYTES: u32 = 4 << 10;

/// The header of a frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FrameHeader {
    /// [`MAGIC`]
    pub magic: U32,
    /// A [`FrameKind`]
    pub kind: U16,
    /// The volume's place in the configuration; 0 where none is meant.
    pub volume: U16,
    /// The length of the payload.
    pub payload_bytes: U32,
    /// crc32c of this header with this field zero, then of the payload.
    pub checksum: U32,
    /// The epoch of the session.
    pub epoch: U64,
    /// The number in the stream, or 0 for a frame that is not numbered.
    pub sequence: U64,
    /// Write: the object. Others: 0.
    pub object: U64,
    /// Write: the offset in bytes.
    pub offset: U64,
    /// Write: the modification time afterwards, seconds.
    pub mtime_seconds: U64,
    /// Write: nanoseconds of the modification time.
    pub mtime_nanoseconds: U32,
    /// Bit 0: a write that must be durable before it is answered (`O_DSYNC`); bit 1: part of a
    /// resynchronisation.
    pub flags: U32,
}

/// Flag: the write is durable before it is answered.
pub const FLAG_DURABLE: u32 = 1;
/// Flag: the frame belongs to a resynchronisation.
pub const FLAG_RESYNC: u32 = 2;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum FrameKind { $($(#[$doc])* $name = $number,)* }
        impl FrameKind {
            /// Parses the number of a kind.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// First frame of either side: [`Hello`].
    Hello = 1,
    /// The follower accepts: [`Welcome`].
    Welcome = 2,
    /// Either side ends the session: [`Refusal`].
    Refuse = 3,
    /// Either side: nothing, to be answered by [`Self::Pong`].
    Ping = 4,
    /// The answer.
    Pong = 5,
    /// Either side: an authenticated message of the daemon's, opaque here.
    Gossip = 6,
    /// Follower: [`Progress`].
    Progress = 7,
    /// Follower: [`Differs`].
    Differs = 8,
    /// Follower: an operation could not be applied: [`ApplyFailed`]; the session ends.
    ApplyFailed = 9,
    /// Follower: [`Unequal`].
    Unequal = 10,
    /// Numbered: an [`Operation`].
    Operation = 16,
    /// Numbered: data.
    Write = 17,
}

impl FrameKind {
    /// Whether frames of this kind carry a number of the sequence.
    #[must_use]
    pub const fn is_numbered(self) -> bool {
        matches!(self, Self::Operation | Self::Write)
    }
}

/// What each side says first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The newest version that the sender speaks.
    pub version: u16,
    /// The oldest version that the sender accepts.
    pub version_min: u16,
    /// The cluster's identifier.
    pub cluster: String,
    /// The module's name.
    pub module: String,
    /// The names of the volumes, in order.
    pub volumes: Vec<String>,
    /// 1 or 2.
    pub node: u8,
    /// The digest of the configuration that must be equal.
    pub configuration: u64,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: String,
    /// The mirror's process.
    pub incarnation: u64,
    /// The epoch in which the sender serves or follows.
    pub epoch: u64,
    /// The generation being written (source) or last followed (follower).
    pub generation: u64,
    /// The last number received in this session's stream (follower), or given (source).
    pub received: u64,
    /// The last number applied (follower). Source: the number before the first one that it can
    /// replay; `u64::MAX` where it can replay nothing, so that everything has to be compared.
    pub applied: u64,
    /// The last number up to which everything is on disk.
    pub checkpointed: u64,
    /// The mirror incarnation of the source whose numbers `received` and `applied` are.
    pub stream_incarnation: u64,
    /// From which number on acknowledgements wait for the follower; 0: not yet.
    pub gate: u64,
    /// From where on the source knows what it owes, if it does.
    pub debt: Option<DebtBase>,
    /// Fields of later versions: skipped by this one.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

/// Which copies lack no more than what the source knows that it owes (R7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DebtBase {
    /// The source whose numbers these are: the sender, or one that ended in good order.
    pub incarnation: u64,
    /// The epoch of its session.
    pub epoch: u64,
    /// The generation that both copies had.
    pub generation: u64,
    /// The last number that is not owed.
    pub number: u64,
    /// The last number of that stream.
    pub last: u64,
    /// A copy that is exactly what that stream was at one of these numbers lacks no more. If not,
    /// only one that is in the comparison does.
    pub complete: bool,
    /// A comparison that began there and has not ended: a copy that is somewhere in it lacks no
    /// more either.
    pub comparison: Option<ComparisonId>,
}

/// Names one comparison, however often it was interrupted; drawn by the follower.
pub type ComparisonId = u64;

/// How the session goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Welcome {
    /// The follower misses nothing that the source does not hold in its replay buffer: frames
    /// follow from this number on.
    Replay {
        /// The first number wanted.
        from: u64,
    },
    /// The whole content is compared by hash. Numbers go on where the source is.
    Compare {
        /// The key of the session's hashes, drawn by the follower.
        secret: [u8; 32],
        /// A new comparison.
        comparison: ComparisonId,
    },
    /// The follower is what the source's debt counts from: names and attributes are compared, and
    /// of contents what is owed.
    CompareOwed {
        /// The key of the session's hashes, drawn by the follower.
        secret: [u8; 32],
        /// A new comparison, or the one that goes on.
        comparison: ComparisonId,
    },
}

/// Why a session is refused or ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// A sentence for people, naming the field that differs.
    pub reason: String,
}

/// How far the follower is. Sent after each batch, and at once for each sync that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Everything up to here was received.
    pub received: u64,
    /// Everything up to here was applied.
    pub applied: u64,
    /// A sync, durable write, checkpoint or level operation with this number is on disk; 0: none.
    pub synced: u64,
    /// Everything up to here is on disk.
    pub checkpointed: u64,
}

/// A compared piece differs: the source ships it again as it is when its turn comes, but for the
/// blocks that then hash to what the follower has here. With `bytes` 0: a listed file was not there,
/// and stands empty now.
///
/// What was written in between changes nothing about that: a byte that was written is the same on
/// both sides by then, and one that was not is still what was hashed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Differs {
    /// The volume.
    pub volume: u16,
    /// The object.
    pub object: u64,
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u32,
    /// The hashes of the follower's blocks of [`BLOCK_BYTES`], the last one perhaps shorter; fewer
    /// where its file ends before the piece does.
    pub blocks: Vec<BlockHash>,
}

/// What a verification asked about is not the same here: the source says anew what it is by then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unequal {
    /// The number of the operation that asked.
    pub sequence: u64,
    /// What differs, for people.
    pub what: String,
    /// Contents: as [`Differs::blocks`].
    pub blocks: Vec<BlockHash>,
}

/// The first half of a keyed hash.
pub type BlockHash = [u8; 16];

/// An operation failed at the follower: it leaves insync.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApplyFailed {
    /// The operation's number.
    pub sequence: u64,
    /// What, as a sentence.
    pub reason: String,
}

/// Seconds and nanoseconds since 1970; seconds may be negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timestamp {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What an object is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device and its number.
    CharacterDevice(u64),
    /// A block device and its number.
    BlockDevice(u64),
}

/// The attributes that both copies have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Access time.
    pub atime: Timestamp,
    /// Modification time.
    pub mtime: Timestamp,
}

/// An object identifier: unique within one session of one source, never used twice.
/// [`ROOT_OBJECT`] is the volume's top directory.
pub type ObjectNumber = u64;

/// The volume's top directory.
pub const ROOT_OBJECT: ObjectNumber = 1;

/// A name in a directory: 1 to 255 bytes, without `/` and NUL, not `.` or `..`. Checked when
/// decoded, because it comes from another machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Name(Vec<u8>);

/// Bytes that are no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a file name: empty, too long, `.`, `..`, or with a slash or NUL in it")]
pub struct NotAName;

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NotAName`]
    pub fn new(bytes: &[u8]) -> Result<Self, NotAName> {
        let fits = !bytes.is_empty() && bytes.len() <= 255;
        let plain = bytes != b"." && bytes != b"..";
        if fits && plain && !bytes.iter().any(|b| *b == b'/' || *b == 0) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(NotAName)
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Self::new(&bytes).map_err(serde::de::Error::custom)
    }
}

/// One entry of a listed directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// The object. Listed twice: a hard link.
    pub object: ObjectNumber,
    /// What it is.
    pub kind: ObjectKind,
    /// Whether the source's inode has more than one name.
    pub linked: bool,
}

/// The effect of one operation that really happened at the source (R6).
///
/// `object` of a creating operation introduces the identifier. Times of a parent are those after
/// the operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// The object that stands at this name is from now on called `object`.
    Introduce {
        object: ObjectNumber,
        parent: ObjectNumber,
        name: Name,
    },
    /// A new object under a name.
    Create {
        object: ObjectNumber,
        parent: ObjectNumber,
        name: Name,
        kind: ObjectKind,
        attributes: Attributes,
        parent_mtime: Timestamp,
    },
    /// A new file without a name (`O_TMPFILE`).
    CreateUnnamed {
        object: ObjectNumber,
        attributes: Attributes,
    },
    /// One more name for an object.
    Link {
        object: ObjectNumber,
        parent: ObjectNumber,
        name: Name,
        parent_mtime: Timestamp,
    },
    /// A name is gone (not a directory's).
    Unlink {
        parent: ObjectNumber,
        name: Name,
        parent_mtime: Timestamp,
    },
    /// An empty directory is gone.
    RemoveDirectory {
        parent: ObjectNumber,
        name: Name,
        parent_mtime: Timestamp,
    },
    /// An object got another name; what stood there is gone, or exchanged.
    Rename {
        from_parent: ObjectNumber,
        from_name: Name,
        to_parent: ObjectNumber,
        to_name: Name,
        exchange: bool,
        from_parent_mtime: Timestamp,
        to_parent_mtime: Timestamp,
    },
    /// Attributes as they are after the operation.
    SetAttributes {
        object: ObjectNumber,
        attributes: Attributes,
    },
    /// The size, with the modification time after it.
    Truncate {
        object: ObjectNumber,
        size: u64,
        mtime: Timestamp,
    },
    /// `fallocate` with its mode bits.
    Allocate {
        object: ObjectNumber,
        mode: u32,
        offset: u64,
        bytes: u64,
        mtime: Timestamp,
    },
    /// An extended attribute.
    SetXattr {
        object: ObjectNumber,
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// An extended attribute is gone.
    RemoveXattr { object: ObjectNumber, name: Vec<u8> },
    /// Sync the object; answered by [`Progress::synced`] after everything before it was applied.
    Sync {
        object: ObjectNumber,
        data_only: bool,
    },
    /// Sync everything up to here and remember the position; answered by `checkpointed`.
    Checkpoint,
    /// The source will not name these any more.
    Forget { objects: Vec<ObjectNumber> },
    /// Resynchronisation: the directory has exactly these entries. Large directories come in
    /// parts; the last one removes what no part named.
    ListDirectory {
        object: ObjectNumber,
        entries: Vec<Entry>,
        first: bool,
        last: bool,
    },
    /// Resynchronisation: attributes, extended attributes and (files) size of an object.
    Describe {
        object: ObjectNumber,
        attributes: Attributes,
        size: u64,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// Resynchronisation: the keyed hash of a piece; answered by [`Differs`] if it is not equal.
    Compare {
        object: ObjectNumber,
        offset: u64,
        bytes: u32,
        hash: [u8; 32],
    },
    /// Resynchronisation: everything was listed and compared up to here. Answered by
    /// [`Progress::applied`] after all [`Differs`] before it.
    CompareEnd,
    /// Resynchronisation: nothing is open any more; from here on every acknowledgement waits.
    /// The follower syncs everything and answers by [`Progress::synced`].
    Level,
    /// Resynchronisation: this part of the file is a hole. Whatever data the follower has there is
    /// made one, so that nobody reads zeros.
    Hole {
        object: ObjectNumber,
        offset: u64,
        bytes: u64,
        mtime: Timestamp,
    },
    /// Verification: the keyed hash of the names in a directory and of what stands at each. As all
    /// of these, it is answered by [`Unequal`] if it is not so here, and repairs nothing.
    VerifyNames {
        object: ObjectNumber,
        secret: [u8; 32],
        hash: [u8; 32],
    },
    /// Verification: this name leads to this object.
    VerifyName {
        object: ObjectNumber,
        parent: ObjectNumber,
        name: Name,
    },
    /// Verification: attributes, extended attributes and (files) size of an object. Access times
    /// are not compared: whoever looks changes them.
    VerifyAttributes {
        object: ObjectNumber,
        attributes: Attributes,
        size: u64,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// Verification: the keyed hash of a piece of a file; without one, it is all zeros.
    VerifyContents {
        object: ObjectNumber,
        offset: u64,
        bytes: u32,
        secret: [u8; 32],
        hash: Option<[u8; 32]>,
    },
}

/// Bytes that are no frame of this protocol. Each of them ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Something else speaks at the other end, or bytes were lost.
    #[error("the bytes do not start with a frame")]
    Magic,
    /// A kind that this release does not know.
    #[error("unknown kind of frame {0}")]
    Kind(u16),
    /// Longer than [`PAYLOAD_MAX`].
    #[error("payload of {0} bytes, more than {PAYLOAD_MAX}")]
    TooLong(u32),
    /// Header or payload were altered on the way.
    #[error("checksum of the frame does not match")]
    Checksum,
    /// A payload that is not what its kind says.
    #[error("payload does not decode")]
    Payload,
}

impl FrameHeader {
    /// The length of a header in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// A header that is not numbered; length and checksum are filled in by [`Self::sealed`].
    #[must_use]
    pub const fn control(kind: FrameKind, epoch: u64) -> Self {
        Self {
            magic: U32::new(MAGIC),
            kind: U16::new(kind as u16),
            volume: U16::new(0),
            payload_bytes: U32::new(0),
            checksum: U32::new(0),
            epoch: U64::new(epoch),
            sequence: U64::new(0),
            object: U64::new(0),
            offset: U64::new(0),
            mtime_seconds: U64::new(0),
            mtime_nanoseconds: U32::new(0),
            flags: U32::new(0),
        }
    }

    /// The header of a numbered [`Operation`].
    #[must_use]
    pub const fn operation(epoch: u64, sequence: u64, volume: u16) -> Self {
        let mut header = Self::control(FrameKind::Operation, epoch);
        header.sequence = U64::new(sequence);
        header.volume = U16::new(volume);
        header
    }

    /// The header of a numbered write. The caller adds [`FLAG_DURABLE`] and [`FLAG_RESYNC`].
    #[must_use]
    pub const fn write(epoch: u64, sequence: u64, volume: u16, place: WritePlace) -> Self {
        let mut header = Self::control(FrameKind::Write, epoch);
        header.sequence = U64::new(sequence);
        header.volume = U16::new(volume);
        header.object = U64::new(place.object);
        header.offset = U64::new(place.offset);
        header.mtime_seconds = U64::new(place.mtime.seconds.cast_unsigned());
        header.mtime_nanoseconds = U32::new(place.mtime.nanoseconds);
        header
    }

    /// The header with magic, length and checksum for this payload.
    #[must_use]
    pub fn sealed(mut self, payload: &[u8]) -> Self {
        self.magic = U32::new(MAGIC);
        self.payload_bytes = U32::new(payload.len() as u32);
        self.checksum = U32::new(self.checksum_with(payload));
        self
    }

    /// Reads a header from the bytes before a payload, checking all that can be checked without
    /// the payload, so that a stranger's bytes never make the reader wait for more of them.
    ///
    /// # Errors
    /// [`FrameError`]; never asks for more than [`PAYLOAD_MAX`] bytes.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<(Self, FrameKind), FrameError> {
        let header = Self::read_from_bytes(bytes).map_err(|_| FrameError::Magic)?;
        if header.magic.get() != MAGIC {
            return Err(FrameError::Magic);
        }
        let number = header.kind.get();
        let kind = FrameKind::from_number(number).ok_or(FrameError::Kind(number))?;
        let length = header.payload_bytes.get();
        if length > PAYLOAD_MAX {
            return Err(FrameError::TooLong(length));
        }
        Ok((header, kind))
    }

    /// Checks header and payload against the checksum.
    ///
    /// # Errors
    /// [`FrameError::Checksum`]
    pub fn verify(&self, payload: &[u8]) -> Result<(), FrameError> {
        let same = payload.len() == self.payload_bytes.get() as usize
            && self.checksum_with(payload) == self.checksum.get();
        if same {
            Ok(())
        } else {
            Err(FrameError::Checksum)
        }
    }

    /// The header as it travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// The kind, where the header was checked.
    #[must_use]
    pub fn frame_kind(&self) -> Option<FrameKind> {
        FrameKind::from_number(self.kind.get())
    }

    /// The modification time of a write.
    #[must_use]
    pub fn mtime(&self) -> Timestamp {
        Timestamp {
            seconds: self.mtime_seconds.get().cast_signed(),
            nanoseconds: self.mtime_nanoseconds.get(),
        }
    }

    fn checksum_with(&self, payload: &[u8]) -> u32 {
        let mut plain = *self;
        plain.checksum = U32::new(0);
        crc32c::crc32c_append(crc32c::crc32c(plain.as_bytes()), payload)
    }
}

/// Where a write goes, and the modification time after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WritePlace {
    /// The object.
    pub object: ObjectNumber,
    /// The offset in bytes.
    pub offset: u64,
    /// The modification time afterwards.
    pub mtime: Timestamp,
}

/// Encodes a control payload or an [`Operation`].
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("the types of this module always encode into memory")
}

/// Decodes a control payload or an [`Operation`]. Bytes that are left over are an error: what
/// later versions add stands in [`Hello::extensions`] or behind a higher [`VERSION`].
///
/// # Errors
/// [`FrameError::Payload`]
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(FrameError::Payload),
    }
}
