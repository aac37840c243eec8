//! The count at the end: what the client was promised, against what the database holds.

use super::error::{DemoError, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The comparison of the client's list with one database.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that the client was told are recorded.
    pub acknowledged: usize,
    /// Those of them that the database holds.
    pub found: usize,
    /// Those of them that it does not hold. There may be none, ever.
    pub lost: Vec<u64>,
    /// Numbers that it holds more than once.
    pub duplicates: Vec<u64>,
    /// Numbers that it holds and the client never sent.
    pub strangers: Vec<u64>,
    /// Events that were sent and never answered.
    pub in_doubt: usize,
    /// Those of them that it holds: as good as those that it does not hold.
    pub in_doubt_found: usize,
}

impl Tally {
    /// Compares.
    pub fn new(acknowledged: &[u64], in_doubt: &[u64], held: &[u64]) -> Self {
        let mut times = BTreeMap::<u64, usize>::new();
        for number in held {
            *times.entry(*number).or_default() += 1;
        }
        let promised: BTreeSet<u64> = acknowledged.iter().copied().collect();
        let doubtful: BTreeSet<u64> = in_doubt.iter().copied().collect();
        let lost: Vec<u64> = promised
            .iter()
            .copied()
            .filter(|number| !times.contains_key(number))
            .collect();
        let known = |number: &u64| promised.contains(number) || doubtful.contains(number);
        Self {
            acknowledged: promised.len(),
            found: promised.len() - lost.len(),
            lost,
            duplicates: times
                .iter()
                .filter(|(_, count)| **count > 1)
                .map(|(number, _)| *number)
                .collect(),
            strangers: times
                .keys()
                .copied()
                .filter(|number| !known(number))
                .collect(),
            in_doubt: doubtful.len(),
            in_doubt_found: doubtful
                .iter()
                .filter(|number| times.contains_key(number))
                .count(),
        }
    }

    /// Whether the database holds exactly what it may hold.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.duplicates.is_empty() && self.strangers.is_empty()
    }
}

/// Reads the answer of `SELECT number FROM event`.
///
/// # Errors
/// A line is not a number.
pub fn parse_numbers(answer: &str) -> Result<Vec<u64>> {
    answer
        .lines()
        .map(|line| {
            line.trim().parse().map_err(|_| DemoError::NotANumber {
                line: line.to_owned(),
            })
        })
        .collect()
}

/// The longest time between two neighbouring answers of which the later one came after `from`: the
/// outage that the client saw of what happened at `from`. None if no answer came after it.
pub fn outage(answers: &[Instant], from: Instant) -> Option<Duration> {
    answers
        .windows(2)
        .filter(|pair| pair[1] > from)
        .map(|pair| pair[1] - pair[0])
        .max()
}

/// The first few numbers of a list, for people.
pub fn excerpt(numbers: &[u64]) -> String {
    const SHOWN: usize = 8;
    let mut text = numbers
        .iter()
        .take(SHOWN)
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if numbers.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_holds_what_was_acknowledged_is_whole() {
        let tally = Tally::new(&[1, 2, 4], &[3, 5], &[1, 2, 3, 4]);
        assert!(tally.is_whole());
        assert_eq!((tally.acknowledged, tally.found), (3, 3));
        assert_eq!((tally.in_doubt, tally.in_doubt_found), (2, 1));
    }

    #[test]
    fn an_acknowledged_event_that_is_missing_is_lost() {
        let tally = Tally::new(&[1, 2, 3], &[], &[1, 3]);
        assert_eq!(tally.lost, [2]);
        assert_eq!(tally.found, 2);
        assert!(!tally.is_whole());
    }

    #[test]
    fn an_event_that_is_held_twice_is_a_duplicate_and_found_once() {
        let tally = Tally::new(&[1, 2], &[], &[1, 2, 2]);
        assert_eq!(tally.duplicates, [2]);
        assert_eq!(tally.found, 2);
        assert!(!tally.is_whole());
    }

    #[test]
    fn an_event_that_nobody_sent_is_a_stranger() {
        let tally = Tally::new(&[1], &[2], &[1, 2, 9]);
        assert_eq!(tally.strangers, [9]);
        assert!(!tally.is_whole());
    }

    #[test]
    fn an_empty_database_has_lost_everything() {
        let tally = Tally::new(&[1, 2], &[], &[]);
        assert_eq!(tally.lost, [1, 2]);
    }

    #[test]
    fn the_answer_of_the_database_is_a_list_of_numbers() {
        assert_eq!(parse_numbers("1\n2\n30\n").expect("numbers"), [1, 2, 30]);
        assert_eq!(parse_numbers("").expect("nothing"), [0_u64; 0]);
        assert!(parse_numbers("1\nError: disk I/O error\n").is_err());
    }

    #[test]
    fn the_outage_is_the_longest_gap_that_ends_after_the_event() {
        let zero = Instant::now();
        let at = |milliseconds| zero + Duration::from_millis(milliseconds);
        let answers = [at(0), at(900), at(910), at(920), at(2000), at(2010)];
        assert_eq!(
            outage(&answers, at(915)),
            Some(Duration::from_millis(1080)),
            "the gap of 900 ms was over before"
        );
        assert_eq!(outage(&answers, at(2010)), None);
    }
}
