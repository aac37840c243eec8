//! Freshness and permits.

mod support;

use core::time::Duration;
use support::message;
use tandem_core::contact::{Contact, Receipt};
use tandem_core::{Config, Epoch, Grant, Incarnation, Instant, NodeId, Nonce, PeerMessage, Voter};

const LIMIT: Duration = Duration::from_secs(2);

fn contact() -> Contact {
    Contact::new(&Config::new(NodeId::One, Duration::from_secs(5)), 42)
}

fn at(milliseconds: u64) -> Instant {
    Instant(milliseconds * 1_000_000)
}

#[test]
fn a_message_counts_only_if_it_echoes_a_nonce_sent_lately() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    assert_eq!(
        contact.receive(at(1001), LIMIT, message(1, None)),
        Receipt::NotFresh
    );
    assert_eq!(
        contact.receive(at(1002), LIMIT, message(2, Some(Nonce(99)))),
        Receipt::NotFresh
    );
    assert!(contact.silent_for(at(1002), LIMIT));
    let counted = contact.receive(at(1003), LIMIT, message(3, Some(nonce)));
    assert_eq!(counted, Receipt::Counted { answer: false });
    assert!(!contact.silent_for(at(1003), LIMIT));
}

#[test]
fn the_backlog_of_a_paused_process_does_not_count() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    let late = contact.receive(at(6001), LIMIT, message(1, Some(nonce)));
    assert_eq!(late, Receipt::NotFresh);
}

#[test]
fn a_repeated_or_older_message_of_the_same_process_is_ignored() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    let first = contact.receive(at(1001), LIMIT, message(5, Some(nonce)));
    assert_eq!(first, Receipt::Counted { answer: false });
    assert_eq!(
        contact.receive(at(1002), LIMIT, message(5, Some(nonce))),
        Receipt::Ignored
    );
    assert_eq!(
        contact.receive(at(1002), LIMIT, message(4, Some(nonce))),
        Receipt::Ignored
    );
}

#[test]
fn a_message_from_this_node_itself_is_ignored() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    let mut own = message(5, Some(nonce));
    own.from = NodeId::One;
    assert_eq!(contact.receive(at(1001), LIMIT, own), Receipt::Ignored);
}

#[test]
fn a_permit_counts_from_the_sending_of_the_nonce_not_from_the_answer() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    let mut answer = message(1, Some(nonce));
    answer.grant = Some(Grant {
        nonce,
        epoch: Epoch(3),
    });
    contact.receive(at(4000), LIMIT, answer);
    assert_eq!(contact.renew(Epoch(3)), Some(at(1000)));
    assert_eq!(contact.renew(Epoch(4)), None);
}

#[test]
fn an_older_grant_does_not_replace_a_newer_one() {
    let mut contact = contact();
    let old = contact.draw_nonce(at(1000));
    let new = contact.draw_nonce(at(2000));
    for (number, nonce) in [(1, new), (2, old)] {
        let mut answer = message(number, Some(new));
        answer.grant = Some(Grant {
            nonce,
            epoch: Epoch(3),
        });
        contact.receive(at(2100), LIMIT, answer);
    }
    assert_eq!(contact.renew(Epoch(3)), Some(at(2000)));
}

#[test]
fn a_node_that_only_heartbeats_is_silent_and_gets_no_permit() {
    let mut contact = contact();
    let nonce = contact.draw_nonce(at(1000));
    let mut hung = message(1, Some(nonce));
    hung.state_write_age = Duration::from_secs(3);
    contact.receive(at(1001), LIMIT, hung);
    assert!(contact.silent_for(at(1001), Duration::from_secs(5)));
    assert_eq!(contact.grant(Epoch(1)), None);
}

fn of_process(incarnation: u64, nonce: u64, seen: Nonce) -> Box<PeerMessage> {
    let mut message = message(nonce, Some(seen));
    message.incarnation = Incarnation(incarnation);
    message
}

#[test]
fn two_processes_that_both_answer_now_are_a_clone() {
    let mut contact = contact();
    let mut answered = |incarnation: u64, number: u64, milliseconds: u64| {
        let nonce = contact.draw_nonce(at(milliseconds));
        contact.receive(
            at(milliseconds + 1),
            LIMIT,
            of_process(incarnation, number, nonce),
        );
        contact.is_cloned(at(milliseconds + 1))
    };
    assert!(!answered(7, 1, 1000));
    assert!(!answered(8, 1, 1010), "a restart");
    assert!(!answered(7, 2, 1020), "8 may have been a late message");
    assert!(answered(8, 2, 1030), "both live");
    assert!(!contact.is_cloned(at(60_000)), "for long only one is heard");
}

#[test]
fn a_late_message_of_a_process_between_does_not_shut_the_living_one_out() {
    let mut contact = contact();
    let before = contact.draw_nonce(at(1000));
    contact.receive(at(1001), LIMIT, of_process(8, 1, before));
    // It was started and ended before 8, and its one message was slow.
    contact.receive(at(1010), LIMIT, of_process(7, 1, before));
    let after = contact.draw_nonce(at(1020));
    let living = contact.receive(at(1021), LIMIT, of_process(8, 2, after));
    assert_eq!(living, Receipt::Counted { answer: false });
    assert!(!contact.is_cloned(at(1021)));
}

#[test]
fn the_late_message_of_a_restarted_process_is_ignored_and_no_clone() {
    let mut contact = contact();
    let before = contact.draw_nonce(at(1000));
    contact.receive(at(1001), LIMIT, of_process(7, 1, before));
    contact.receive(at(1010), LIMIT, of_process(8, 1, before));
    let late = contact.receive(at(1021), LIMIT, of_process(7, 2, before));
    assert_eq!(late, Receipt::Ignored);
    assert!(!contact.is_cloned(at(1021)));
    assert_eq!(
        contact.latest().map(|m| m.incarnation),
        Some(Incarnation(8))
    );
}
