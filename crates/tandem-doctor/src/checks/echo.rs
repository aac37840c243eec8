//! Answers to a ping: a firewall that drops them hides what is reachable from people, and a gateway
//! that does not answer forbids takeovers.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let asked = [
            ("the other node", &facts.peer),
            ("the gateway", &facts.gateway),
        ];
        let mut any = false;
        for (what, echo) in asked {
            let Some(echo) = echo else {
                continue;
            };
            any = true;
            let address = echo.address;
            match &echo.microseconds {
                Looked::Unknown(why) => report.unknown(facts.node, format!("{address}: {why}")),
                Looked::Seen(Some(_)) => {
                    report.ok(facts.node, format!("{what} ({address}) answers"));
                }
                Looked::Seen(None) if what == "the gateway" => report.failed(
                    facts.node,
                    format!("{what} ({address}) does not answer: this node will not take over"),
                    "let it answer ICMP echo, or name another machine as the gateway",
                ),
                Looked::Seen(None) => report.warning(
                    facts.node,
                    format!("{what} ({address}) does not answer"),
                    "is it on? Let its firewall answer ICMP echo",
                ),
            }
        }
        if !any {
            report.unknown(facts.node, "the other node's address is not known yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::facts::Echo;
    use crate::finding::Verdict;

    #[test]
    fn a_machine_that_does_not_answer_is_found() {
        let mut pair = Pair::good();
        let silent = Echo {
            address: "192.0.2.254".parse().expect("an address"),
            microseconds: Looked::Seen(None),
        };
        pair.own.peer = Some(silent.clone());
        pair.expect("echo", Verdict::Warning, "the other node");
        pair.own.gateway = Some(silent);
        pair.expect("echo", Verdict::Failed, "the gateway (192.0.2.254)");
    }
}
