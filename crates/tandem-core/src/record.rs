//! The in-sync record: the small replicated fact on which every decision rests (R1, R3).
//!
//! A change of the record counts when two voters have it on disk. A proposal is durable at its
//! proposer before it is sent, so the first other voter that accepts it makes it count: a voter
//! other than the proposer therefore stores what it accepts directly as its record.

use crate::ids::{CheckerId, Epoch, GenerationId, NodeId, Sequence, Version};
use crate::time::Instant;
use alloc::vec::Vec;

/// The number of earlier generations that a record remembers.
pub const HISTORY_MAX: usize = 64;

/// Which copies hold every acknowledged write, and go on receiving them. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InSync {
    /// Both nodes.
    Both,
    /// This one only.
    Only(NodeId),
}

impl InSync {
    /// Whether `node` is a member.
    #[must_use]
    pub fn contains(self, node: NodeId) -> bool {
        match self {
            Self::Both => true,
            Self::Only(one) => one == node,
        }
    }
}

/// A generation that the current one grew from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ancestor {
    /// The generation.
    pub id: GenerationId,
    /// Who served when it ended. Decides who goes on after a divergence.
    pub holder: NodeId,
}

/// The current generation and those that it grew from, newest first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lineage {
    /// The current generation.
    pub current: GenerationId,
    /// At most [`HISTORY_MAX`], newest first.
    pub ancestors: Vec<Ancestor>,
}

/// How two lineages relate, from the first one's point of view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinship {
    /// The same generation. Not yet: equal data.
    Equal,
    /// The other one grew from this one.
    Behind,
    /// This one grew from the other one.
    Ahead,
    /// Both grew from a common ancestor.
    Diverged(Ancestor),
    /// Nothing in common.
    Unrelated,
}

impl Lineage {
    /// The first generation of a module.
    #[must_use]
    pub const fn first(id: GenerationId) -> Self {
        Self {
            current: id,
            ancestors: Vec::new(),
        }
    }

    /// A new generation that grows from this one, which ended with `holder` serving.
    #[must_use]
    pub fn grow(&self, id: GenerationId, holder: NodeId) -> Self {
        let mut ancestors = Vec::with_capacity(HISTORY_MAX.min(self.ancestors.len() + 1));
        ancestors.push(Ancestor {
            id: self.current,
            holder,
        });
        ancestors.extend(self.ancestors.iter().copied().take(HISTORY_MAX - 1));
        Self {
            current: id,
            ancestors,
        }
    }

    /// Whether `id` is the current generation or an ancestor.
    #[must_use]
    pub fn contains(&self, id: GenerationId) -> bool {
        self.current == id || self.ancestors.iter().any(|a| a.id == id)
    }

    /// How this lineage relates to `other`.
    #[must_use]
    pub fn kinship(&self, other: &Self) -> Kinship {
        if self.current == other.current {
            return Kinship::Equal;
        }
        if other.contains(self.current) {
            return Kinship::Behind;
        }
        if self.contains(other.current) {
            return Kinship::Ahead;
        }
        match self.ancestors.iter().find(|a| other.contains(a.id)) {
            Some(common) => Kinship::Diverged(*common),
            None => Kinship::Unrelated,
        }
    }
}

/// The in-sync record of one module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Grows by one with each change.
    pub version: Version,
    /// Grows with each change of who serves.
    pub epoch: Epoch,
    /// Who serves, or served last.
    pub holder: NodeId,
    /// Who holds every acknowledged write.
    pub insync: InSync,
    /// The line of data history.
    pub lineage: Lineage,
    /// Whether the last term of service ended with both copies brought level.
    pub clean: bool,
    /// Whether a second voter had it on disk. `false`: made alone, with every channel silent.
    pub confirmed: bool,
    /// Whether an operator forced it.
    pub forced: bool,
    /// The last number of the stream that a member must have applied before it may accept to be
    /// promoted by this record. Set by a drain.
    pub level_at: Option<Sequence>,
}

impl Record {
    /// Whether `self` and `other` are the same decision, `confirmed` aside.
    #[must_use]
    pub fn same_decision(&self, other: &Self) -> bool {
        self.version == other.version
            && self.epoch == other.epoch
            && self.holder == other.holder
            && self.insync == other.insync
            && self.lineage.current == other.lineage.current
            && self.clean == other.clean
    }
}

/// What the core keeps on disk. Written whole and atomically; trusted only after
/// [`crate::Event::Persisted`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durable {
    /// The record as this voter has it; `None` before the first start.
    pub record: Option<Record>,
    /// This node's own proposal that is not known to count yet.
    pub proposal: Option<Record>,
    /// The highest epoch that this node has seen accepted or proposed.
    pub highest_epoch: Epoch,
    /// Whether the operator wants the module to run on this node.
    pub wanted: Wanted,
    /// What the operator switched on and off on this node.
    pub switches: Switches,
    /// What is to be thought of the copy of this node, beside the record.
    pub trust: Trust,
    /// The newest restarts in place that count, oldest first. After a boot of the machine, whose
    /// clock begins anew, they count from the boot.
    pub restarts: Vec<Instant>,
    /// For what this node gave the service away lately, oldest first; counted like that too.
    pub moves: Vec<Move>,
    /// An operator wants all of this copy compared with the primary's: its mirror has to forget
    /// what it knows of it, and has not said yet that it did.
    pub full_sync: bool,
}

/// The service was given away for a checker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The checker.
    pub checker: CheckerId,
    /// When.
    pub at: Instant,
    /// It came back: the other node could not serve.
    pub returned: bool,
}

/// What is to be thought of a node's copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Trust {
    /// What the record says.
    #[default]
    Recorded,
    /// Less: the other node showed a decision that this one had taken part in and does not have, so
    /// its disks were set back to an older state. Served only by force, until it was made level.
    SetBack,
    /// More: an operator forced it, whatever it is, and it has not been served since.
    Forced,
}

/// What an operator switches on and off, for a module on one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Switches {
    /// The service may move between the nodes by itself.
    pub failover: bool,
    /// What checkers and services report has consequences.
    pub checkers: bool,
    /// The module starts by itself after a boot.
    pub boot_start: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            failover: true,
            checkers: true,
            boot_start: false,
        }
    }
}

/// What the operator last asked of this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Wanted {
    /// Stopped, or never started.
    #[default]
    Stopped,
    /// Started.
    Running,
}
