//! The ways between the daemons: each is heard. One that is silent is no spare.

use super::Examination;
use crate::finding::Report;

/// Longer than any heartbeat interval, with one lost.
const SILENT_MS: u64 = 5000;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    if examination.networks.is_empty() {
        return report.unknown(None, "the daemon does not run here");
    }
    for network in examination.networks {
        let (node, name) = (Some(network.node), &network.name);
        let heard = network.heard_ms.filter(|age| *age < SILENT_MS);
        match heard {
            Some(_) => report.ok(node, format!("{name}: the other node is heard")),
            None => report.failed(
                node,
                format!("{name}: the other node is not heard"),
                "the cable, the switch, the addresses under heartbeat, and a firewall that drops \
                 9013/udp",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::finding::Verdict;

    #[test]
    fn a_silent_network_is_found() {
        let mut pair = Pair::good();
        pair.networks[1].heard_ms = Some(9000);
        pair.expect("networks", Verdict::Failed, "network 0");
        pair.networks[1].heard_ms = None;
        pair.expect("networks", Verdict::Failed, "network 0");
    }
}
