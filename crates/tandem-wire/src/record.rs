//! The in-sync record in bytes, as the state file and the daemons' messages both carry it.
//!
//! What is decoded comes from a disk or another machine: every number is checked before it becomes
//! a core type.

use serde::{Deserialize, Serialize};
use tandem_core::record::{Ancestor, HISTORY_MAX};
use tandem_core::{Epoch, GenerationId, InSync, Lineage, NodeId, Record, Sequence, Version};

/// A field with a value that no release ever wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the field {0} has an impossible value")]
pub struct Impossible(pub &'static str);

/// [`Record`] in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RecordBytes {
    version: u64,
    epoch: u64,
    holder: u8,
    /// 0: both; else the only node.
    insync: u8,
    generation: u64,
    /// Generation and holder, newest first.
    ancestors: Vec<(u64, u8)>,
    clean: bool,
    confirmed: bool,
    forced: bool,
    level_at: Option<u64>,
}

/// Checks the number of a node.
pub(crate) fn node(number: u8, field: &'static str) -> Result<NodeId, Impossible> {
    NodeId::from_number(number).ok_or(Impossible(field))
}

impl From<&Record> for RecordBytes {
    fn from(record: &Record) -> Self {
        Self {
            version: record.version.0,
            epoch: record.epoch.0,
            holder: record.holder.number(),
            insync: match record.insync {
                InSync::Both => 0,
                InSync::Only(one) => one.number(),
            },
            generation: record.lineage.current.0,
            ancestors: (record.lineage.ancestors.iter())
                .take(HISTORY_MAX)
                .map(|ancestor| (ancestor.id.0, ancestor.holder.number()))
                .collect(),
            clean: record.clean,
            confirmed: record.confirmed,
            forced: record.forced,
            level_at: record.level_at.map(|sequence| sequence.0),
        }
    }
}

impl TryFrom<RecordBytes> for Record {
    type Error = Impossible;

    fn try_from(bytes: RecordBytes) -> Result<Self, Impossible> {
        if bytes.ancestors.len() > HISTORY_MAX {
            return Err(Impossible("record.ancestors"));
        }
        let ancestors = (bytes.ancestors.iter())
            .map(|(id, holder)| {
                Ok(Ancestor {
                    id: GenerationId(*id),
                    holder: node(*holder, "record.ancestors.holder")?,
                })
            })
            .collect::<Result<_, Impossible>>()?;
        Ok(Self {
            version: Version(bytes.version),
            epoch: Epoch(bytes.epoch),
            holder: node(bytes.holder, "record.holder")?,
            insync: match bytes.insync {
                0 => InSync::Both,
                one => InSync::Only(node(one, "record.insync")?),
            },
            lineage: Lineage {
                current: GenerationId(bytes.generation),
                ancestors,
            },
            clean: bytes.clean,
            confirmed: bytes.confirmed,
            forced: bytes.forced,
            level_at: bytes.level_at.map(Sequence),
        })
    }
}
