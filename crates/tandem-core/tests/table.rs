//! The transition table as a whole.

use std::collections::BTreeSet;
use tandem_core::table::{Cause, Ruling, State, transition};

#[test]
fn every_row_of_the_handbook_is_in_the_table() {
    let mut rows = BTreeSet::new();
    for state in State::ALL {
        for &cause in Cause::ALL {
            if let Ruling::Go { row, .. } = transition(state, cause) {
                rows.insert(row.0);
            }
        }
    }
    assert_eq!(rows, (1..=18).collect());
}

#[test]
fn every_state_can_be_left_and_reached() {
    for state in State::ALL {
        let leaves = Cause::ALL
            .iter()
            .any(|&cause| matches!(transition(state, cause), Ruling::Go { to, .. } if to != state));
        assert!(leaves, "no transition leads out of {state}");
        let reached = State::ALL.iter().filter(|from| **from != state).any(|&from| {
            Cause::ALL
                .iter()
                .any(|&cause| matches!(transition(from, cause), Ruling::Go { to, .. } if to == state))
        });
        assert!(reached, "nothing leads to {state}");
    }
}

#[test]
fn only_a_standby_or_a_waiting_node_begins_to_serve() {
    for &cause in Cause::ALL {
        let found = matches!(
            cause,
            Cause::FoundServingAlone | Cause::FoundServingMirrored
        );
        if let Ruling::Go { to, .. } = transition(State::Stop, cause) {
            assert!(
                !to.serves() || found,
                "{cause:?} makes a stopped node serve"
            );
        }
    }
}
