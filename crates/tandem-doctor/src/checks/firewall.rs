//! Firewalls: the other node's ports can be reached. Whether somebody listens there is not asked.

use super::Examination;
use crate::facts::Reach;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let filtered = (facts.peer_ports.iter()).filter(|port| port.reach == Reach::Filtered);
        let filtered: Vec<String> = filtered
            .map(|port| format!("{}/tcp", port.number))
            .collect();
        if facts.peer_ports.is_empty() {
            report.unknown(facts.node, "the other node's address is not known yet");
        } else if filtered.is_empty() {
            report.ok(facts.node, "the other node's ports can be reached");
        } else {
            report.failed(
                facts.node,
                format!(
                    "the other node's ports {} cannot be reached",
                    filtered.join(", ")
                ),
                "is it on? Let its firewall accept 9010-9012/tcp, 9101-9131/tcp (further modules) \
                 and 9013/udp from this node",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_port_that_is_filtered_is_found_and_one_without_a_listener_is_not() {
        let mut pair = Pair::good();
        pair.peer.peer_ports[1].reach = Reach::Closed;
        assert_eq!(pair.worst("firewall").verdict, Verdict::Ok);
        pair.peer.peer_ports[1].reach = Reach::Filtered;
        pair.expect("firewall", Verdict::Failed, "9011/tcp");
    }
}
