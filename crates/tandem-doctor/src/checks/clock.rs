//! The clocks: kept by a time server, and the same. Tandem does not rely on them; the application
//! does, and people who read two logs.

use super::Examination;
use crate::facts::{Clock, Looked};
use crate::finding::{Fix, Report};

/// Cameras and certificates suffer beyond this.
const WARNING_MS: u64 = 1000;
/// Sessions and tickets fail beyond this.
const FAILED_MS: u64 = 5000;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        match &facts.clock {
            Looked::Unknown(why) => report.unknown(facts.node, why),
            Looked::Seen(Clock::Synchronised) => {
                report.ok(facts.node, "the clock follows a time server");
            }
            Looked::Seen(Clock::Host) => {
                report.ok(facts.node, "a container: the clock is its host's");
            }
            Looked::Seen(Clock::Unsynchronised) => {
                report.warning(
                    facts.node,
                    "the clock follows no time server",
                    "timedatectl set-ntp true, with systemd-timesyncd or chrony installed",
                );
                report.fixable(Fix::SynchroniseClock);
            }
        }
    }
    let Some((_, peer)) = examination.both(report) else {
        return;
    };
    let offset = peer.wall_clock_ms.abs_diff(examination.heard_ms);
    let what = format!("the clocks are about {offset} ms apart");
    let remedy = "let both nodes follow the same time server";
    match offset {
        offset if offset >= FAILED_MS => report.failed(None, what, remedy),
        offset if offset >= WARNING_MS => report.warning(None, what, remedy),
        _ => report.ok(None, "the clocks are within a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_clock_that_nobody_keeps_is_found_and_can_be_fixed() {
        let mut pair = Pair::good();
        pair.own.clock = Looked::Seen(Clock::Unsynchronised);
        pair.expect("clock", Verdict::Warning, "no time server");
        assert_eq!(pair.worst("clock").fix, Some(Fix::SynchroniseClock));
    }

    #[test]
    fn clocks_that_are_apart_are_found_in_either_direction() {
        let mut pair = Pair::good();
        pair.peer.wall_clock_ms = pair.heard_ms + 1500;
        pair.expect("clock", Verdict::Warning, "1500 ms apart");
        pair.peer.wall_clock_ms = pair.heard_ms - 6000;
        pair.expect("clock", Verdict::Failed, "6000 ms apart");
    }
}
