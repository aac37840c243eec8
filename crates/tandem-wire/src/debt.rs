//! The file in which a mirror that ends in good order leaves what the peer's copy may lack.
//!
//! It is believed once: it names the positions of the volumes that were written just before it, and
//! whoever begins to change a volume writes a new position first.

use crate::position::{Damaged, open, seal};
use crate::stream::DebtBase;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"TNDMDBT1";
/// The largest file in bytes. What would be larger is not written: everything is compared then.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// What is owed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedDebt {
    /// The volumes as they were left, in order.
    pub volumes: Vec<LeftVolume>,
    /// Against which copies it counts.
    pub base: DebtBase,
    /// The contents that are owed.
    pub files: Vec<OwedFile>,
}

/// What tells a volume from each other one, and from itself at another time: which position was
/// written last, and where. A copy of the files has another inode, and a time of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftVolume {
    /// `Position::written`
    pub written: u64,
    /// `Position::stamp`
    pub stamp: u64,
    /// The inode of the position's file.
    pub inode: u64,
    /// Its change time: seconds.
    pub changed_seconds: i64,
    /// Its change time: nanoseconds.
    pub changed_nanoseconds: u64,
}

/// The contents of one file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwedFile {
    /// The volume.
    pub volume: u16,
    /// The inode number.
    pub node: u64,
    /// What of it is owed.
    pub contents: OwedContents,
}

/// What of a file is owed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OwedContents {
    /// All of it.
    Whole,
    /// Pieces of [`crate::stream::COMPARE_BYTES`] by their numbers, and each from `tail` on.
    Pieces {
        numbers: Vec<u64>,
        tail: Option<u64>,
    },
}

impl SavedDebt {
    /// The bytes of the file; `None` where there would be too many.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let bytes = seal(MAGIC, self);
        (bytes.len() <= FILE_BYTES_MAX).then_some(bytes)
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        open(MAGIC, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_survives_its_file_and_an_altered_one_is_noticed() {
        let debt = SavedDebt {
            volumes: vec![LeftVolume {
                written: 1,
                stamp: u64::MAX,
                inode: 12,
                changed_seconds: -1,
                changed_nanoseconds: 999_999_999,
            }],
            base: DebtBase {
                incarnation: 5,
                epoch: 4,
                generation: 3,
                number: 2,
                last: 9,
                complete: true,
                comparison: None,
            },
            files: vec![
                OwedFile {
                    volume: 0,
                    node: 11,
                    contents: OwedContents::Whole,
                },
                OwedFile {
                    volume: 31,
                    node: u64::MAX,
                    contents: OwedContents::Pieces {
                        numbers: vec![0, 7],
                        tail: Some(9),
                    },
                },
            ],
        };
        let bytes = debt.encode().expect("small");
        assert_eq!(SavedDebt::decode(&bytes), Ok(debt));
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x10;
            assert!(SavedDebt::decode(&altered).is_err(), "byte {at} altered");
            assert!(SavedDebt::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
