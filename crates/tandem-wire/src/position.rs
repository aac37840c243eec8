//! The small files of a mirror: where a volume stands in the module's stream (`.tandem/position`
//! inside the volume, and the same bytes in the state directory), and the highest epoch that the
//! mirror ever took part in (state directory).
//!
//! Each is eight bytes of magic with its version, the crc32c of what follows, and postcard. A file
//! that does not decode is damaged: its reader trusts nothing and compares everything. The magic of
//! a later version is another one, so an older release takes it for damaged, which is safe.

use crate::stream::ComparisonId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const POSITION_MAGIC: [u8; 8] = *b"TNDMPOS3";
const EPOCH_MAGIC: [u8; 8] = *b"TNDMEPO1";
/// The largest file in bytes: three names of 255 bytes, and numbers.
pub const FILE_BYTES_MAX: usize = 4096;

/// Where a volume stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    /// The cluster's identifier.
    pub cluster: String,
    /// The module's name.
    pub module: String,
    /// The volume's name.
    pub volume: String,
    /// 1 or 2.
    pub node: u8,
    /// The epoch in which this was written.
    pub epoch: u64,
    /// The generation of the data.
    pub generation: u64,
    /// The mirror process whose numbers the next two are.
    pub stream_incarnation: u64,
    /// The last number that was applied when this was written.
    pub applied: u64,
    /// Everything up to here is on disk.
    pub checkpointed: u64,
    /// The volume's content is exactly that of `applied`, on disk, and nothing changed since: a
    /// clean end. Written after everything was synced, and withdrawn, durably, before the first
    /// change that follows. A peer that recorded the same number of the same generation cleanly
    /// has the same content.
    pub clean: bool,
    /// The volume is nothing that its source ever had: a comparison began and has not ended, or
    /// the volume was set back. Written before the first change that a comparison makes, and
    /// withdrawn after the last one is on disk.
    pub inconsistent: bool,
    /// The comparison that was interrupted in good order: everything that was applied of it is on
    /// disk, and nothing changed since. Withdrawn as `clean` is.
    pub comparison: Option<ComparisonId>,
    /// How often a position was written on this node for this volume, this one included. It is
    /// written inside the volume first, so that the other place is never ahead of it.
    pub written: u64,
    /// Drawn at each writing: two positions with one number and two stamps have two histories.
    pub stamp: u64,
    /// The mark of what is not mirrored. Under another one, what was left out may differ, so this
    /// is no clean end.
    pub excluded: u64,
}

/// A file that does not say what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damaged {
    /// Another file, or one of a later release.
    #[error("the file does not begin as expected")]
    Magic,
    /// Torn or altered.
    #[error("the checksum does not match")]
    Checksum,
    /// The checksum matches, the contents do not decode.
    #[error("the contents do not decode")]
    Contents,
}

impl Position {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        seal(POSITION_MAGIC, self)
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        open(POSITION_MAGIC, bytes)
    }
}

/// The bytes of the file with the highest epoch.
#[must_use]
pub fn encode_epoch(epoch: u64) -> Vec<u8> {
    seal(EPOCH_MAGIC, &epoch)
}

/// Reads the file with the highest epoch.
///
/// # Errors
/// [`Damaged`]
pub fn decode_epoch(bytes: &[u8]) -> Result<u64, Damaged> {
    open(EPOCH_MAGIC, bytes)
}

pub(crate) fn seal<T: Serialize>(magic: [u8; 8], value: &T) -> Vec<u8> {
    let contents = postcard::to_stdvec(value).expect("plain values encode into memory");
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&contents).to_le_bytes());
    bytes.extend_from_slice(&contents);
    bytes
}

pub(crate) fn open<T: DeserializeOwned>(magic: [u8; 8], bytes: &[u8]) -> Result<T, Damaged> {
    let rest = bytes.strip_prefix(&magic).ok_or(Damaged::Magic)?;
    let (checksum, contents) = rest.split_first_chunk::<4>().ok_or(Damaged::Checksum)?;
    if crc32c::crc32c(contents).to_le_bytes() != *checksum {
        return Err(Damaged::Checksum);
    }
    match postcard::take_from_bytes(contents) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Damaged::Contents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position {
            cluster: "c".into(),
            module: "m".into(),
            volume: "v".into(),
            node: 2,
            epoch: 3,
            generation: u64::MAX,
            stream_incarnation: 5,
            applied: 7,
            checkpointed: 6,
            clean: true,
            inconsistent: false,
            comparison: Some(7),
            written: 3,
            stamp: u64::MAX,
            excluded: 16,
        }
    }

    #[test]
    fn a_position_survives_its_file() {
        let bytes = position().encode();
        assert!(bytes.len() < FILE_BYTES_MAX);
        assert_eq!(Position::decode(&bytes), Ok(position()));
        assert_eq!(decode_epoch(&encode_epoch(9)), Ok(9));
    }

    #[test]
    fn any_altered_or_missing_byte_is_noticed() {
        let bytes = position().encode();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x10;
            assert!(Position::decode(&altered).is_err(), "byte {at} altered");
            assert!(Position::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(Position::decode(&encode_epoch(9)), Err(Damaged::Magic));
    }
}
