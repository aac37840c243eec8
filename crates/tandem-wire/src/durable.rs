//! The state of one module on one node: [`Durable`] in bytes.
//!
//! A version (u16, little-endian), then the body in postcard; fields of later versions follow it
//! and are skipped. Writing it atomically, and knowing a damaged file from an absent one, is the
//! business of `tandem-host`.

use crate::record::{Impossible, RecordBytes};
use serde::{Deserialize, Serialize};
use tandem_core::record::Wanted;
use tandem_core::{CheckerId, Durable, Epoch, Instant, Move, Record, Switches, Trust};

/// The version that this release writes.
pub const VERSION: u16 = 1;

const HEADER_BYTES: usize = 2;

/// Why bytes are no state of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurableError {
    /// Written by a release that this one does not know.
    #[error("the state has version {found}, this release reads version {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The content makes no sense.
    #[error("the state cannot be read")]
    Malformed(#[source] postcard::Error),
    /// A field with a value that no release ever wrote.
    #[error("the state cannot be read")]
    Impossible(#[from] Impossible),
    /// The state of another module or node: a copied file.
    #[error("the state belongs to node{node} of module {module}")]
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

/// Added by a later release: behind the body, absent in what an older one wrote.
#[derive(Serialize, Deserialize)]
struct Switched {
    failover: bool,
    checkers: bool,
    boot_start: bool,
}

/// Added later still, behind that.
#[derive(Serialize, Deserialize, Default)]
struct Remembered {
    /// 0: as recorded; 1: set back; 2: forced.
    trust: u8,
    /// When, on the machine's clock.
    restarts: Vec<u64>,
    /// Checker, when, whether it came back.
    moves: Vec<(u64, u64, bool)>,
}

/// Added after that.
#[derive(Serialize, Deserialize, Default)]
struct Asked {
    full_sync: bool,
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
    let body = Body {
        node: owner.node,
        module: owner.module.clone(),
        record: durable.record.as_ref().map(RecordBytes::from),
        proposal: durable.proposal.as_ref().map(RecordBytes::from),
        highest_epoch: durable.highest_epoch.0,
        wanted: durable.wanted == Wanted::Running,
    };
    let switches = durable.switches;
    let switched = Switched {
        failover: switches.failover,
        checkers: switches.checkers,
        boot_start: switches.boot_start,
    };
    let remembered = Remembered {
        trust: match durable.trust {
            Trust::Recorded => 0,
            Trust::SetBack => 1,
            Trust::Forced => 2,
        },
        restarts: durable.restarts.iter().map(|at| at.0).collect(),
        moves: (durable.moves.iter())
            .map(|cause| (cause.checker.0, cause.at.0, cause.returned))
            .collect(),
    };
    let asked = Asked {
        full_sync: durable.full_sync,
    };
    postcard::to_extend(
        &(body, switched, remembered, asked),
        VERSION.to_le_bytes().to_vec(),
    )
    .expect("a state has no map and no unsized field, so postcard cannot fail")
}

/// The state in these bytes.
///
/// # Errors
/// [`DurableError`]
pub fn decode(owner: &Owner, bytes: &[u8]) -> Result<Durable, DurableError> {
    let found = (bytes.first_chunk::<HEADER_BYTES>()).map_or(0, |two| u16::from_le_bytes(*two));
    if found != VERSION {
        return Err(DurableError::Version { found });
    }
    let (body, later_fields) = postcard::take_from_bytes::<Body>(&bytes[HEADER_BYTES..])
        .map_err(DurableError::Malformed)?;
    if body.node != owner.node || body.module != owner.module {
        return Err(DurableError::Foreign {
            node: body.node,
            module: body.module,
        });
    }
    // What an older release wrote ends earlier.
    let (switches, later_fields) = match later_fields {
        [] => (Switches::default(), later_fields),
        bytes => {
            let (switched, later) =
                postcard::take_from_bytes::<Switched>(bytes).map_err(DurableError::Malformed)?;
            (Switches::from(switched), later)
        }
    };
    let (remembered, later_fields) = match later_fields {
        [] => (Remembered::default(), later_fields),
        bytes => postcard::take_from_bytes::<Remembered>(bytes).map_err(DurableError::Malformed)?,
    };
    let asked = match later_fields {
        [] => Asked::default(),
        bytes => {
            let taken = postcard::take_from_bytes::<Asked>(bytes);
            let (asked, _later_fields) = taken.map_err(DurableError::Malformed)?;
            asked
        }
    };
    Ok(Durable {
        record: body.record.map(Record::try_from).transpose()?,
        proposal: body.proposal.map(Record::try_from).transpose()?,
        highest_epoch: Epoch(body.highest_epoch),
        wanted: match body.wanted {
            true => Wanted::Running,
            false => Wanted::Stopped,
        },
        switches,
        trust: match remembered.trust {
            0 => Trust::Recorded,
            1 => Trust::SetBack,
            2 => Trust::Forced,
            _ => return Err(Impossible("trust").into()),
        },
        restarts: remembered.restarts.into_iter().map(Instant).collect(),
        moves: (remembered.moves.into_iter())
            .map(|(checker, at, returned)| Move {
                checker: CheckerId(checker),
                at: Instant(at),
                returned,
            })
            .collect(),
        full_sync: asked.full_sync,
    })
}

impl From<Switched> for Switches {
    fn from(switched: Switched) -> Self {
        Self {
            failover: switched.failover,
            checkers: switched.checkers,
            boot_start: switched.boot_start,
        }
    }
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
            switches: Switches {
                failover: false,
                checkers: true,
                boot_start: true,
            },
            trust: Trust::SetBack,
            restarts: vec![Instant(5), Instant(1 << 40)],
            moves: vec![Move {
                checker: CheckerId(77),
                at: Instant(9),
                returned: true,
            }],
            full_sync: true,
        }
    }

    /// The bytes that releases without some of the later fields wrote.
    fn of_older() -> [(Vec<u8>, Durable); 3] {
        let remembering = Durable {
            full_sync: false,
            ..durable()
        };
        let switched = Durable {
            trust: Trust::Recorded,
            restarts: Vec::new(),
            moves: Vec::new(),
            ..remembering.clone()
        };
        let first = Durable {
            switches: Switches::default(),
            ..switched.clone()
        };
        // One byte each: the full sync; trust, no restarts, no moves; three switches.
        [(remembering, 1), (switched, 4), (first, 7)].map(|(state, later)| {
            let mut bytes = encode(&owner(), &state);
            bytes.truncate(bytes.len() - later);
            (bytes, state)
        })
    }

    #[test]
    fn a_state_survives_the_disk() {
        for state in [durable(), Durable::default()] {
            assert_eq!(decode(&owner(), &encode(&owner(), &state)), Ok(state));
        }
    }

    #[test]
    fn a_state_that_is_cut_short_is_an_error() {
        let bytes = encode(&owner(), &durable());
        // What older releases wrote ends earlier. (The file as a whole has a checksum.)
        let older = of_older().map(|(bytes, _)| bytes.len());
        for length in (0..bytes.len()).filter(|length| !older.contains(length)) {
            assert!(
                decode(&owner(), &bytes[..length]).is_err(),
                "cut at {length}"
            );
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
    fn a_state_of_an_older_release_has_the_defaults() {
        for (bytes, state) in of_older() {
            assert_eq!(decode(&owner(), &bytes), Ok(state));
        }
    }

    #[test]
    fn fields_of_a_later_release_are_skipped() {
        let mut bytes = encode(&owner(), &durable());
        bytes.extend_from_slice(b"later");
        assert_eq!(decode(&owner(), &bytes), Ok(durable()));
    }
}
