//! A module's virtual addresses.

use super::Review;
use crate::config::raw;
use crate::config::{Address, Node};
use std::net::{IpAddr, Ipv4Addr};

/// The longest name that the kernel gives an interface.
const INTERFACE_BYTES_MAX: usize = 15;

impl Review<'_> {
    pub(super) fn address(&mut self, raw: &raw::Address, nodes: &[Node; 2]) -> Address {
        let interfaces = match raw.interface.get_ref() {
            raw::Interface::Same(name) => [name.clone(), name.clone()],
            raw::Interface::Each(each) => [each.node1.clone(), each.node2.clone()],
        };
        for name in &interfaces {
            let fits = (1..=INTERFACE_BYTES_MAX).contains(&name.len());
            if !fits || name.bytes().any(|b| b == b'/' || b.is_ascii_whitespace()) {
                let message = format!("`{name}` is no name of an interface");
                self.problem(raw.interface.span(), message, "as `ip link` shows it");
            }
        }
        let span = raw.address.span();
        let hint = "an address with its prefix, as in \"10.0.0.100/24\" or \"2001:db8::100/64\"";
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let parts = raw.address.get_ref().trim().split_once('/');
        let Some((address, prefix)) = parts else {
            self.problem(span, "the address has no prefix", hint);
            return Address {
                address: nowhere,
                prefix: 0,
                interfaces,
            };
        };
        let address: IpAddr = address.parse().unwrap_or(nowhere);
        let unusable = match address {
            IpAddr::V4(v4) => v4.is_broadcast(),
            // Clients would have to name their own interface.
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
        };
        if unusable || address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            self.problem(span.clone(), "this is no virtual address", hint);
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.parse() {
            Ok(prefix) if (1..=longest).contains(&prefix) => prefix,
            Ok(_) | Err(_) => {
                let message = format!("the prefix is a number from 1 to {longest}");
                self.problem(span.clone(), message, hint);
                longest
            }
        };
        let own = |node: &Node| node.address == address || node.heartbeat.contains(&address);
        if nodes.iter().any(own) {
            let message = "this is a node's own address";
            let hint = "the virtual address is one more, which moves between the nodes";
            self.problem(span, message, hint);
        }
        Address {
            address,
            prefix,
            interfaces,
        }
    }
}
