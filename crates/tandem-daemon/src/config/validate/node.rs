//! The two servers: what each is called, by which addresses it is reached, and that they differ.

use super::Review;
use crate::config::raw::{self, Raw, Text};
use crate::config::{Node, limits};
use std::net::{IpAddr, Ipv4Addr};
use toml::Spanned;

impl Review<'_> {
    pub(super) fn node(&mut self, raw: &raw::Node) -> Node {
        let name = raw.name.get_ref().trim().to_owned();
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            let hint = "any text of 1 to 64 characters, usually the host's name";
            self.problem(raw.name.span(), "this is no name for a node", hint);
        }
        let address = self.node_address(&raw.address);
        let heartbeat = match &raw.heartbeat {
            None => vec![address],
            Some(list) => {
                let addresses = list.get_ref();
                if addresses.is_empty() || addresses.len() > limits::NETWORKS_MAX {
                    let message = format!("1 to {} heartbeat networks", limits::NETWORKS_MAX);
                    self.problem(list.span(), message, "leave the key out to use `address`");
                }
                self.unique(addresses.iter(), "heartbeat address");
                (addresses.iter())
                    .map(|address| self.node_address(address))
                    .collect()
            }
        };
        Node {
            name,
            address,
            heartbeat,
        }
    }

    pub(super) fn node_address(&mut self, typed: &Text) -> IpAddr {
        let parsed: Option<IpAddr> = typed.get_ref().trim().parse().ok();
        match parsed {
            Some(address) if !address.is_unspecified() && !address.is_multicast() => address,
            Some(address) => {
                let hint = "the address of one interface of this node";
                let message = format!("{address} is not the address of one machine");
                self.problem(typed.span(), message, hint);
                address
            }
            None => {
                let hint = "an IPv4 or IPv6 address without port and prefix, as in \"10.0.0.1\"";
                self.problem(typed.span(), "this is no address", hint);
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            }
        }
    }

    pub(super) fn nodes_differ(&mut self, raw: &Raw, nodes: &[Node; 2]) {
        let [one, two] = nodes;
        if one.name == two.name {
            let message = "both nodes have the same name";
            self.problem(raw.node2.name.span(), message, "");
        }
        if one.address == two.address {
            let message = "both nodes have the same address";
            self.problem(raw.node2.address.span(), message, "");
        }
        if one.heartbeat.len() != two.heartbeat.len() {
            let span = match (&raw.node2.heartbeat, &raw.node1.heartbeat) {
                (Some(list), _) | (None, Some(list)) => list.span(),
                (None, None) => raw.node2.address.span(),
            };
            let hint = "one address per heartbeat network, in the same order on both nodes";
            let message = format!(
                "node1 has {} heartbeat addresses, node2 has {}",
                one.heartbeat.len(),
                two.heartbeat.len()
            );
            self.problem(span, message, hint);
        }
        let pairs = one.heartbeat.iter().zip(&two.heartbeat).enumerate();
        let places = raw.node2.heartbeat.as_ref();
        for (place, (a, b)) in pairs {
            let span = places
                .and_then(|list| list.get_ref().get(place))
                .map_or(raw.node2.address.span(), Spanned::span);
            if a.is_ipv4() != b.is_ipv4() {
                let message = "the two ends of this network are of different families";
                self.problem(span, message, "both IPv4 or both IPv6");
            } else if a == b && one.address != two.address {
                let message = "both ends of this network have the same address";
                self.problem(span, message, "");
            }
        }
    }
}
