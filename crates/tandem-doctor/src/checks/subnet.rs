//! The network of the nodes and of the virtual addresses: an address that moves must lie in a
//! network that both nodes are in.

use super::Examination;
use crate::facts::LocalAddress;
use crate::finding::Report;
use std::net::IpAddr;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let node = facts.node;
        let Some(here) = report.seen(node, &facts.addresses) else {
            continue;
        };
        if let Some(peer) = &facts.peer {
            let address = peer.address;
            match here.iter().any(|own| own.reaches(address)) || address.is_loopback() {
                true => report.ok(
                    node,
                    format!("the other node ({address}) is in its network"),
                ),
                false => report.warning(
                    node,
                    format!("the other node ({address}) is in another network"),
                    "put both nodes into one network: a router between them is one more thing \
                     whose failure parts them",
                ),
            }
        }
        for wanted in &facts.virtual_addresses {
            let (address, interface) = (wanted.address, &wanted.interface);
            if !wanted.interface_exists {
                let what = format!("{address} is to be on {interface}, which is not there");
                let remedy = "ip link shows the names; the nodes may have different ones";
                report.failed(node, what, remedy);
                continue;
            }
            let own = here.iter().filter(|own| own.interface == *interface);
            let own = own.filter(|own| own.address != address);
            match { own }.any(|own| own.reaches(address)) {
                true => report.ok(
                    node,
                    format!("{address} belongs to the network of {interface}"),
                ),
                false => report.warning(
                    node,
                    format!("no address of {interface} is in the network of {address}"),
                    "choose a virtual address in the network that both nodes are in",
                ),
            }
        }
        if facts.peer.is_none() && facts.virtual_addresses.is_empty() {
            report.unknown(
                node,
                "neither the other node nor a virtual address is known yet",
            );
        }
    }
}

impl LocalAddress {
    fn reaches(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u32::from(own) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = u128::from(own) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_virtual_address_of_another_network_is_found() {
        let mut pair = Pair::good();
        pair.own.virtual_addresses[0].address = "192.0.3.100".parse().expect("an address");
        pair.expect("subnet", Verdict::Warning, "in the network of 192.0.3.100");
        pair.own.virtual_addresses[0].interface_exists = false;
        pair.expect("subnet", Verdict::Failed, "which is not there");
    }

    #[test]
    fn a_router_between_the_nodes_is_found() {
        let mut pair = Pair::good();
        if let Some(peer) = &mut pair.own.peer {
            peer.address = "198.51.100.2".parse().expect("an address");
        }
        pair.expect("subnet", Verdict::Warning, "in another network");
    }

    #[test]
    fn networks_of_ipv6_are_told_apart_too() {
        let own = LocalAddress {
            interface: "eth0".into(),
            address: "2001:db8:1::1".parse().expect("an address"),
            prefix: 64,
            leased: false,
        };
        assert!(own.reaches("2001:db8:1::9".parse().expect("an address")));
        assert!(!own.reaches("2001:db8:2::9".parse().expect("an address")));
    }
}
