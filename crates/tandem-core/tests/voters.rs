//! When a change of the record counts, with two voters and with three.

use std::cell::Cell;
use tandem_core::voters::{accepts, counts, may_decide_alone, renewed};
use tandem_core::{
    Epoch, GenerationId, InSync, Instant, Lineage, NodeId, Record, Version, Vote, Voter,
};

/// A voter that has this on its disk.
struct Disk {
    record: Option<Record>,
    renewed: Option<(Epoch, Instant)>,
    asked: Cell<u32>,
}

impl Disk {
    fn with(record: Option<Record>) -> Self {
        Self {
            record,
            renewed: None,
            asked: Cell::new(0),
        }
    }
}

impl Voter for Disk {
    fn read(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    fn propose(&self, new: &Record) -> Vote {
        self.asked.set(self.asked.get() + 1);
        match self.read() {
            Some(stored) if stored.same_decision(new) => Vote::Stored,
            Some(_) | None => Vote::Unknown,
        }
    }

    fn renew(&self, epoch: Epoch) -> Option<Instant> {
        self.renewed
            .filter(|(of, _)| *of == epoch)
            .map(|(_, at)| at)
    }
}

/// Both in sync, node 1 serves.
fn base() -> Record {
    Record {
        version: Version(7),
        epoch: Epoch(3),
        holder: NodeId::One,
        insync: InSync::Both,
        lineage: Lineage::first(GenerationId(1)),
        clean: false,
        confirmed: true,
        forced: false,
        level_at: None,
    }
}

/// `node` goes on without the other one.
fn alone(node: NodeId, generation: u64) -> Record {
    let base = base();
    Record {
        version: base.version.next(),
        holder: node,
        insync: InSync::Only(node),
        lineage: base.lineage.grow(GenerationId(generation), base.holder),
        ..base
    }
}

#[test]
fn of_two_voters_both_are_needed() {
    let new = alone(NodeId::One, 2);
    assert!(!counts(&new, &[&Disk::with(Some(base()))]));
    assert!(!counts(&new, &[&Disk::with(None)]));
    assert!(counts(&new, &[&Disk::with(Some(new.clone()))]));
}

#[test]
fn of_three_voters_two_are_enough_whichever_they_are() {
    let new = alone(NodeId::One, 2);
    let has = Disk::with(Some(new.clone()));
    let has_not = Disk::with(Some(base()));
    assert!(counts(&new, &[&has, &has_not]));
    assert!(counts(&new, &[&has_not, &has]));
    assert!(!counts(&new, &[&has_not, &Disk::with(None)]));
}

#[test]
fn of_three_voters_no_two_records_of_one_version_ever_count() {
    let choices = [base(), alone(NodeId::One, 2), alone(NodeId::Two, 3)];
    // Each proposer has its own on disk; each voter has one of them, or neither.
    for witness in &choices {
        let witness = Disk::with(Some(witness.clone()));
        let [one, two] = [&choices[1], &choices[2]];
        let counted = [
            counts(one, &[&Disk::with(Some(two.clone())), &witness]),
            counts(two, &[&Disk::with(Some(one.clone())), &witness]),
        ];
        assert_ne!(counted, [true, true]);
    }
}

#[test]
fn every_voter_is_asked_and_the_newest_renewal_stands() {
    let (mut peer, mut witness) = (Disk::with(None), Disk::with(None));
    peer.renewed = Some((Epoch(3), Instant(10)));
    witness.renewed = Some((Epoch(3), Instant(20)));
    assert_eq!(renewed(Epoch(3), &[&peer, &witness]), Some(Instant(20)));
    assert_eq!(renewed(Epoch(4), &[&peer, &witness]), None);
    assert!(!counts(&base(), &[&peer, &witness]));
    assert_eq!((peer.asked.get(), witness.asked.get()), (1, 1));
}

#[test]
fn with_a_third_voter_nobody_decides_alone() {
    let (peer, witness) = (Disk::with(None), Disk::with(None));
    assert!(may_decide_alone(&[&peer]));
    assert!(!may_decide_alone(&[&peer, &witness]));
}

#[test]
fn a_voter_takes_one_proposal_for_a_version_and_only_from_a_member() {
    let held = base();
    assert!(accepts(&held, &alone(NodeId::One, 2), NodeId::One));
    // It has taken that one now; another one of the same version comes too late.
    let taken = alone(NodeId::One, 2);
    assert!(!accepts(&taken, &alone(NodeId::Two, 3), NodeId::Two));
    // Node 2 is out.
    let next = Record {
        version: taken.version.next(),
        ..taken.clone()
    };
    assert!(accepts(&taken, &next, NodeId::One));
    assert!(!accepts(&taken, &next, NodeId::Two));
    // A sole member decides alone, so it may be ahead; two members are not.
    let later = Record {
        version: Version(20),
        ..taken.clone()
    };
    assert!(accepts(&taken, &later, NodeId::One));
    let both = Record {
        insync: InSync::Both,
        ..taken.clone()
    };
    assert!(!accepts(&both, &later, NodeId::One));
}

#[test]
fn a_voter_takes_nothing_of_another_line_of_history() {
    let stranger = Record {
        lineage: Lineage::first(GenerationId(9)),
        ..alone(NodeId::One, 2)
    };
    assert!(!accepts(&base(), &stranger, NodeId::One));
}
