//! The time that an answer of the other node takes: each acknowledged write waits for it.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

/// A local network answers in less; from here on databases feel it.
const FELT_MICROSECONDS: u64 = 2_000;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let node = facts.node;
        let Some(echo) = &facts.peer else {
            report.unknown(node, "the other node's address is not known yet");
            continue;
        };
        let time = match &echo.microseconds {
            Looked::Unknown(why) => {
                report.unknown(node, why);
                continue;
            }
            Looked::Seen(None) => {
                report.unknown(node, "the other node does not answer");
                continue;
            }
            Looked::Seen(Some(time)) => *time,
        };
        let limit = examination.subject.stall_limit;
        let text = format!("{}.{} ms", time / 1000, time % 1000 / 100);
        let cost = format!("each acknowledged write waits about {text} for the other node");
        if limit.is_some_and(|limit| u128::from(time) * 4 > limit.as_micros()) {
            report.failed(
                node,
                format!("{cost}: a quarter of the stall limit"),
                "use a faster network, or a larger takeover-after",
            );
        } else if time >= FELT_MICROSECONDS {
            let each = 1_000_000 / time;
            report.warning(
                node,
                format!("{cost}: one client makes {each} commits a second at most"),
                "use a faster network between the nodes, or accept the cost",
            );
        } else {
            report.ok(node, cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    fn with(microseconds: u64) -> Pair {
        let mut pair = Pair::good();
        if let Some(echo) = &mut pair.own.peer {
            echo.microseconds = Looked::Seen(Some(microseconds));
        }
        pair
    }

    #[test]
    fn a_slow_network_is_found_with_what_it_costs() {
        with(20_000).expect("latency", Verdict::Warning, "20.0 ms");
        with(20_000).expect("latency", Verdict::Warning, "50 commits a second");
        with(600_000).expect("latency", Verdict::Failed, "stall limit");
        assert_eq!(with(1_900).worst("latency").verdict, Verdict::Ok);
    }
}
