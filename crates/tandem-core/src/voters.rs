//! The voters: who keeps the record, and when a change of it counts (R1).
//!
//! A node sees each voter other than itself through three calls: what it has on its disk, whether
//! it has taken a proposal, and until when it renewed the right to serve. Everything that the node
//! concludes from them is concluded here, for any number of voters; a pair without a witness is
//! the form with two.
//!
//! The core performs no IO, so the questions themselves go out elsewhere: to the peer they travel
//! with every message. A [`Voter`] answers with what it said last. Nothing here knows which voter
//! is a node.

use crate::ids::{Epoch, NodeId};
use crate::record::{InSync, Kinship, Record};
use crate::time::Instant;

/// A voter other than this node, as far as it is known.
pub trait Voter {
    /// The record that it has on its disk.
    fn read(&self) -> Option<&Record>;

    /// What became of the proposal `new`, whose base is the version before it.
    fn propose(&self, new: &Record) -> Vote;

    /// The moment from which the right to serve in `epoch` counts that it renewed last.
    fn renew(&self, epoch: Epoch) -> Option<Instant>;
}

/// What a voter made of a proposal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vote {
    /// It has it on its disk, as its record.
    Stored,
    /// It did not say so. It may have it all the same.
    Unknown,
}

/// Whether the record `new`, which is on this node's own disk, counts: more than half of the
/// voters have it. So no two records of one version ever count, as each voter takes one.
#[must_use]
pub fn counts(new: &Record, others: &[&dyn Voter]) -> bool {
    let stored = others.iter().filter(|v| v.propose(new) == Vote::Stored);
    let votes = 1 + stored.count();
    let voters = 1 + others.len();
    votes * 2 > voters
}

/// Whether a node may ever shrink `insync` to itself without a vote, `unconfirmed`. Only where the
/// peer is the one other voter: with a witness, a node that reaches neither is the one cut off.
#[must_use]
pub fn may_decide_alone(others: &[&dyn Voter]) -> bool {
    others.len() == 1
}

/// The moment from which the right to serve in `epoch` counts: the newest that any voter renewed.
/// Nobody begins to serve without two votes, and no voter gives its own before its renewal ended.
#[must_use]
pub fn renewed(epoch: Epoch, others: &[&dyn Voter]) -> Option<Instant> {
    others.iter().filter_map(|v| v.renew(epoch)).max()
}

/// Whether a voter that has `held` on its disk may take the proposal of `from`: one for a version,
/// on its own version, from a member of `insync`, on the same line of history. A sole member
/// decides alone, so the voter may have missed some of its decisions.
#[must_use]
pub fn accepts(held: &Record, proposal: &Record, from: NodeId) -> bool {
    let next = proposal.version == held.version.next();
    let of_sole = held.insync == InSync::Only(from) && proposal.version > held.version;
    let grows = matches!(
        held.lineage.kinship(&proposal.lineage),
        Kinship::Equal | Kinship::Behind
    );
    held.insync.contains(from) && grows && (next || of_sole)
}
