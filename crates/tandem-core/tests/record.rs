//! Lines of data history.

use tandem_core::record::{Ancestor, HISTORY_MAX};
use tandem_core::{GenerationId, Kinship, Lineage, NodeId};

fn id(number: u64) -> GenerationId {
    GenerationId(number)
}

#[test]
fn a_lineage_that_grew_is_ahead_of_its_ancestor() {
    let old = Lineage::first(id(1));
    let new = old.grow(id(2), NodeId::One).grow(id(3), NodeId::Two);
    assert_eq!(new.kinship(&old), Kinship::Ahead);
    assert_eq!(old.kinship(&new), Kinship::Behind);
    assert_eq!(new.kinship(&new.clone()), Kinship::Equal);
}

#[test]
fn two_branches_diverge_at_their_newest_common_generation() {
    let common = Lineage::first(id(1)).grow(id(2), NodeId::One);
    let left = common.grow(id(3), NodeId::Two);
    let right = common.grow(id(4), NodeId::Two);
    let expected = Kinship::Diverged(Ancestor {
        id: id(2),
        holder: NodeId::Two,
    });
    assert_eq!(left.kinship(&right), expected);
    assert_eq!(right.kinship(&left), expected);
}

#[test]
fn copies_without_a_common_generation_are_unrelated() {
    assert_eq!(
        Lineage::first(id(1)).kinship(&Lineage::first(id(2))),
        Kinship::Unrelated
    );
}

#[test]
fn the_history_is_bounded_and_keeps_the_newest() {
    let mut lineage = Lineage::first(id(0));
    for number in 1..200 {
        lineage = lineage.grow(id(number), NodeId::One);
    }
    assert_eq!(lineage.ancestors.len(), HISTORY_MAX);
    assert_eq!(lineage.ancestors[0].id, id(198));
}
