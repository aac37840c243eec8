//! The state file of one module on one node: [`Durable`] in bytes.
//!
//! `TNDS`, a version (u16, little-endian), the length of the body (u32), the body in postcard, and
//! the blake3 hash of all that. A torn or damaged file is told from an absent one: it must not be
//! taken for a first start. Writing atomically is the business of `tandem-host`.

use crate::record::{Impossible, RecordBytes};
use serde::{Deserialize, Serialize};
use tandem_core::record::Wanted;
use tandem_core::{Durable, Epoch, Record};

/// The version that this release writes.
pub const VERSION: u16 = 1;
/// The largest file in bytes: two records with full history are below 3 KiB.
pub const FILE_MAX: usize = 64 << 10;

const MAGIC: [u8; 4] = *b"TNDS";
const HEADER_BYTES: usize = 10;
const HASH_BYTES: usize = 32;

/// Why bytes are no state of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurableError {
    /// Too short, too long, or another file.
    #[error("this is not a state file of tandem")]
    NotAStateFile,
    /// Written by a release that this one does not know.
    #[error("the state file has version {found}, this release reads version {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The hash does not match: torn or damaged.
    #[error("the state file is damaged: its checksum does not match")]
    Damaged,
    /// The hash matches and the content makes no sense.
    #[error("the state file cannot be read")]
    Malformed(#[source] postcard::Error),
    /// A field with a value that no release ever wrote.
    #[error("the state file cannot be read")]
    Impossible(#[from] Impossible),
    /// The state of another module or node: a copied file.
    #[error("the state file belongs to node{node} of module {module}")]
    Foreign {
        /// Whose it is.
        node: u8,
        /// Of which module.
        module: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Body {
    node: u8,
    module: String,
    record: Option<RecordBytes>,
    proposal: Option<RecordBytes>,
    highest_epoch: u64,
    wanted: bool,
}

/// Whose state it is, so that a file that was copied between nodes is noticed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// 1 or 2.
    pub node: u8,
    /// The module's name.
    pub module: String,
}

/// The bytes of a state.
#[must_use]
pub fn encode(owner: &Owner, durable: &Durable) -> Vec<u8> {
    let body = postcard::to_stdvec(&Body {
        node: owner.node,
        module: owner.module.clone(),
        record: durable.record.as_ref().map(RecordBytes::from),
        proposal: durable.proposal.as_ref().map(RecordBytes::from),
        highest_epoch: durable.highest_epoch.0,
        wanted: durable.wanted == Wanted::Running,
    })
    .expect("a state has no map and no unsized field, so postcard cannot fail");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + HASH_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// The state in these bytes.
///
/// # Errors
/// [`DurableError`]
pub fn decode(owner: &Owner, bytes: &[u8]) -> Result<Durable, DurableError> {
    if bytes.len() < HEADER_BYTES + HASH_BYTES || bytes.len() > FILE_MAX || bytes[..4] != MAGIC {
        return Err(DurableError::NotAStateFile);
    }
    let found = u16::from_le_bytes([bytes[4], bytes[5]]);
    if found != VERSION {
        return Err(DurableError::Version { found });
    }
    let (signed, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
    let body = &signed[HEADER_BYTES..];
    let length = u32::from_le_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]);
    if length as usize != body.len()
        || blake3::hash(signed) != *<&[u8; 32]>::try_from(hash).expect("split at 32")
    {
        return Err(DurableError::Damaged);
    }
    let (body, _later_fields) =
        postcard::take_from_bytes::<Body>(body).map_err(DurableError::Malformed)?;
    if body.node != owner.node || body.module != owner.module {
        return Err(DurableError::Foreign {
            node: body.node,
            module: body.module,
        });
    }
    Ok(Durable {
        record: body.record.map(Record::try_from).transpose()?,
        proposal: body.proposal.map(Record::try_from).transpose()?,
        highest_epoch: Epoch(body.highest_epoch),
        wanted: match body.wanted {
            true => Wanted::Running,
            false => Wanted::Stopped,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_core::{GenerationId, InSync, Lineage, NodeId, Sequence, Version};

    fn owner() -> Owner {
        Owner {
            node: 2,
            module: "videeos".into(),
        }
    }

    fn durable() -> Durable {
        let lineage = Lineage::first(GenerationId(7)).grow(GenerationId(9), NodeId::Two);
        let record = Record {
            version: Version(4),
            epoch: Epoch(3),
            holder: NodeId::One,
            insync: InSync::Only(NodeId::One),
            lineage,
            clean: true,
            confirmed: false,
            forced: true,
            level_at: Some(Sequence(12)),
        };
        Durable {
            record: Some(record.clone()),
            proposal: Some(Record {
                insync: InSync::Both,
                level_at: None,
                ..record
            }),
            highest_epoch: Epoch(3),
            wanted: Wanted::Running,
        }
    }

    #[test]
    fn a_state_survives_the_disk() {
        for state in [durable(), Durable::default()] {
            assert_eq!(decode(&owner(), &encode(&owner(), &state)), Ok(state));
        }
    }

    #[test]
    fn a_damaged_state_is_never_taken_for_a_first_start() {
        let bytes = encode(&owner(), &durable());
        for place in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[place] ^= 0x10;
            assert!(decode(&owner(), &torn).is_err(), "byte {place}");
            assert!(decode(&owner(), &bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn the_state_of_another_node_is_refused() {
        let other = Owner { node: 1, ..owner() };
        assert_eq!(
            decode(&owner(), &encode(&other, &durable())),
            Err(DurableError::Foreign {
                node: 1,
                module: "videeos".into()
            })
        );
    }

    #[test]
    fn fields_of_a_later_release_are_skipped() {
        let mut bytes = encode(&owner(), &durable());
        bytes.truncate(bytes.len() - HASH_BYTES);
        bytes.extend_from_slice(b"later");
        let length = (bytes.len() - HEADER_BYTES) as u32;
        bytes[6..10].copy_from_slice(&length.to_le_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        assert_eq!(decode(&owner(), &bytes), Ok(durable()));
    }
}
