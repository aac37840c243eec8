//! The nodes' addresses: there, and nobody's lease that may end.

use super::Examination;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let node = facts.node;
        let Some(here) = report.seen(node, &facts.addresses) else {
            continue;
        };
        if facts.own.is_empty() {
            // Before set-up, any address may become the node's.
            let leased = here.iter().filter(|address| address.leased);
            let leased: Vec<String> = leased.map(|a| a.address.to_string()).collect();
            match leased.is_empty() {
                true => report.ok(node, "no address is leased"),
                false => report.warning(node, format!("leased: {}", leased.join(", ")), RESERVE),
            }
        }
        for own in &facts.own {
            match here.iter().find(|address| address.address == *own) {
                Some(address) if address.leased => {
                    let what = format!("{own} on {} is leased (DHCP)", address.interface);
                    report.warning(node, what, RESERVE);
                }
                Some(_) => report.ok(node, format!("{own} is here, and static")),
                None if own.is_loopback() => report.ok(node, format!("{own} is here")),
                None => report.failed(
                    node,
                    format!("this machine does not have its address {own}"),
                    "give it the address, or correct the configuration",
                ),
            }
        }
    }
}

const RESERVE: &str = "make it static, or have the DHCP server reserve it for this machine";

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn a_leased_address_is_found_before_and_after_set_up() {
        let mut pair = Pair::good();
        if let Looked::Seen(addresses) = &mut pair.own.addresses {
            addresses[0].leased = true;
        }
        pair.expect("static-address", Verdict::Warning, "is leased");
        pair.own.own.clear();
        pair.expect("static-address", Verdict::Warning, "leased: 192.0.2.1");
    }

    #[test]
    fn a_missing_address_is_found() {
        let mut pair = Pair::good();
        pair.peer.addresses = Looked::Seen(Vec::new());
        pair.expect(
            "static-address",
            Verdict::Failed,
            "does not have its address",
        );
    }
}
