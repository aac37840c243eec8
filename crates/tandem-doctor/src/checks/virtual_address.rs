//! The virtual addresses: free, or on exactly one of the two nodes.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    if examination
        .nodes()
        .all(|facts| facts.virtual_addresses.is_empty())
    {
        return report.unknown(None, "no virtual address yet: nothing is configured");
    }
    for wanted in &examination.own.virtual_addresses {
        let address = wanted.address;
        let mut holders = Vec::new();
        for facts in examination.nodes() {
            let mut theirs = facts.virtual_addresses.iter();
            if theirs.any(|theirs| theirs.address == address && theirs.here) {
                holders.push(facts.node);
            }
        }
        match holders.as_slice() {
            [holder] => {
                report.ok(*holder, format!("{address} is here"));
                continue;
            }
            [] => {}
            [_, ..] => {
                report.failed(
                    None,
                    format!("{address} is on both nodes"),
                    "tandem status says which node serves; ip address delete on the other",
                );
                continue;
            }
        }
        // The other node may hold it, and could not be asked.
        let known = examination.peer.is_ok();
        match &wanted.taken_by {
            Looked::Unknown(why) => {
                report.unknown(examination.own.node, format!("{address}: {why}"))
            }
            Looked::Seen(None) => report.ok(None, format!("{address} is free")),
            Looked::Seen(Some(by)) if known => report.failed(
                None,
                format!("{address} is in use: {by}, which is neither node, answers for it"),
                "take it from that machine, or choose another address",
            ),
            Looked::Seen(Some(by)) => report.unknown(
                None,
                format!("{address} is in use: {by} answers, maybe the other node"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn an_address_that_a_stranger_has_is_found() {
        let mut pair = Pair::good();
        let taken = Looked::Seen(Some("02:00:00:00:00:09".to_owned()));
        pair.own.virtual_addresses[0].taken_by = taken;
        pair.expect("virtual-address", Verdict::Failed, "02:00:00:00:00:09");
        // It is the node that serves.
        pair.peer.virtual_addresses[0].here = true;
        assert_eq!(pair.worst("virtual-address").verdict, Verdict::Ok);
    }

    #[test]
    fn an_address_on_both_nodes_is_found() {
        let mut pair = Pair::good();
        pair.own.virtual_addresses[0].here = true;
        pair.peer.virtual_addresses[0].here = true;
        pair.expect("virtual-address", Verdict::Failed, "on both nodes");
    }
}
