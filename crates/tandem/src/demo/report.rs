//! What the show has shown: the count, the outages, the time.

use super::count::{Tally, excerpt};
use super::format::{grouped, seconds};
use std::fmt::Write;
use std::time::Duration;

/// A database that was counted.
#[derive(Debug)]
pub struct Copy {
    /// The node on whose disk it is.
    pub number: u8,
    /// The comparison with the client's list.
    pub tally: Tally,
}

/// An event of the show, as the client saw it.
#[derive(Debug)]
pub struct Outage {
    /// What happened.
    pub event: &'static str,
    /// The longest time without an answer.
    pub length: Duration,
}

/// The end of the story.
#[derive(Debug)]
pub struct Report {
    /// The copy of the node that served last, then the other one.
    pub copies: Vec<Copy>,
    /// In the order of the events.
    pub outages: Vec<Outage>,
    /// From the beginning to the count.
    pub total: Duration,
}

impl Report {
    /// Whether nothing was lost. Every step of the show has worked, or there was no report.
    pub fn is_good(&self) -> bool {
        !self.copies.is_empty() && self.copies.iter().all(|copy| copy.tally.is_whole())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for copy in &self.copies {
            write_copy(&mut text, copy).expect("a string takes everything");
        }
        for outage in &self.outages {
            writeln!(
                text,
                "  outage: {:<14} {:>8} ms",
                outage.event,
                grouped(outage.length.as_millis() as usize)
            )
            .expect("a string takes everything");
        }
        let verdict = if self.is_good() {
            "nothing that was acknowledged is missing"
        } else {
            "THE DATABASE IS NOT WHAT THE CLIENT WAS PROMISED"
        };
        write!(text, "\n  {verdict} · {} in total", seconds(self.total))
            .expect("a string takes everything");
        text
    }
}

fn write_copy(text: &mut String, copy: &Copy) -> std::fmt::Result {
    let tally = &copy.tally;
    writeln!(
        text,
        "\n  the database of node{}, opened with sqlite3, against the client's own list",
        copy.number
    )?;
    let mut row = |name: &str, numbers: usize, remark: String| {
        writeln!(text, "    {name:<20} {:>8}{remark}", grouped(numbers))
    };
    let list = |numbers: &[u64]| match numbers {
        [] => String::new(),
        some => format!("   {}", excerpt(some)),
    };
    row("events acknowledged", tally.acknowledged, String::new())?;
    row("found", tally.found, String::new())?;
    row("lost", tally.lost.len(), list(&tally.lost))?;
    row(
        "duplicates",
        tally.duplicates.len(),
        list(&tally.duplicates),
    )?;
    row("never sent", tally.strangers.len(), list(&tally.strangers))?;
    row(
        "without an answer",
        tally.in_doubt,
        format!("   {} of them found", tally.in_doubt_found),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(held: &[u64]) -> Report {
        Report {
            copies: vec![Copy {
                number: 1,
                tally: Tally::new(&[1, 2, 3], &[], held),
            }],
            outages: vec![Outage {
                event: "power cut",
                length: Duration::from_millis(1312),
            }],
            total: Duration::from_secs(41),
        }
    }

    #[test]
    fn one_lost_event_spoils_the_show() {
        assert!(report(&[1, 2, 3]).is_good());
        let spoiled = report(&[1, 3]);
        assert!(!spoiled.is_good());
        assert!(spoiled.text().contains("lost                        1   2"));
    }

    #[test]
    fn a_show_without_a_count_is_not_good() {
        let mut empty = report(&[]);
        empty.copies.clear();
        assert!(!empty.is_good());
    }

    #[test]
    fn outages_are_told_in_milliseconds() {
        assert!(report(&[]).text().contains("power cut         1 312 ms"));
    }
}
