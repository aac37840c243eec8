//! What a machine is to be looked at for, as the configuration says. The looking and the judging
//! are `tandem-doctor`'s.

use crate::config::{
    CONTROL_PORT, Configuration, DATA_PORT, HEARTBEAT_PORT, HTTP_PORT, Probe, ServiceKind,
};
use crate::daemon::Settings;
use crate::https;
use std::net::IpAddr;
use std::path::PathBuf;
use tandem_core::{Config, NodeId};
use tandem_doctor::Subject;
use tandem_doctor::subject::{Address, Port, Protocol, Volume};

/// What one of the nodes is to be looked at for; of a machine that is neither, only what both share.
#[must_use]
pub fn subject(
    configuration: &Configuration,
    node: Option<NodeId>,
    settings: &Settings,
) -> Subject {
    let modules = || configuration.modules.iter();
    let names = configuration.nodes.iter();
    let own = node.map(|node| configuration.node(node));
    let mut own_addresses = own.map_or(Vec::new(), |own| vec![own.address]);
    own_addresses.extend(own.iter().flat_map(|own| &own.heartbeat));
    own_addresses.sort_unstable();
    own_addresses.dedup();
    let mut ports = common_ports();
    ports.extend(modules().map(|module| tcp(module.data_port, "data stream")));
    let addresses = modules().flat_map(|module| &module.addresses);
    let units = modules().flat_map(|module| &module.services);
    let scripts = modules().flat_map(|module| &module.checkers);
    Subject {
        node: node.map(NodeId::number),
        names: names
            .map(|node| (node.name.clone(), node.address))
            .collect(),
        own: own_addresses,
        peer: node.map(|node| configuration.node(node.peer()).address),
        gateway: configuration.gateway,
        ports,
        volumes: modules()
            .flat_map(|module| &module.volumes)
            .map(|volume| Volume {
                name: volume.name.clone(),
                path: volume.path.clone(),
            })
            .collect(),
        addresses: match node {
            Some(node) => addresses
                .map(|address| virtual_address(address, node))
                .collect(),
            None => Vec::new(),
        },
        units: units
            .filter_map(|service| match &service.kind {
                ServiceKind::Unit(unit) => Some(unit.clone()),
                ServiceKind::Commands { .. } => None,
            })
            .collect(),
        scripts: scripts
            .filter_map(|checker| match &checker.probe {
                Probe::Script(path) => Some(path.clone()),
                Probe::Tcp(_) | Probe::Unit(_) | Probe::Process(_) => None,
            })
            .collect(),
        stall_limit: Some(Config::new(NodeId::One, configuration.takeover_after).stall_limit()),
        certificate: certificate(settings),
        state_dir: settings.state_dir.clone(),
    }
}

fn certificate(settings: &Settings) -> PathBuf {
    let [certificate, _key] = https::places(&settings.state_dir);
    certificate
}

/// What a machine is to be looked at for before there is a configuration; `peer` is where the other
/// node will be.
#[must_use]
pub fn before_set_up(peer: Option<IpAddr>, settings: &Settings) -> Subject {
    let mut ports = common_ports();
    ports.push(tcp(DATA_PORT, "data stream"));
    Subject {
        peer,
        ports,
        certificate: certificate(settings),
        state_dir: settings.state_dir.clone(),
        ..Subject::default()
    }
}

fn common_ports() -> Vec<Port> {
    vec![
        tcp(HTTP_PORT, "console and API"),
        tcp(CONTROL_PORT, "control link and pairing"),
        Port {
            number: HEARTBEAT_PORT,
            protocol: Protocol::Udp,
            purpose: "heartbeats",
        },
    ]
}

const fn tcp(number: u16, purpose: &'static str) -> Port {
    Port {
        number,
        protocol: Protocol::Tcp,
        purpose,
    }
}

fn virtual_address(address: &crate::config::Address, node: NodeId) -> Address {
    Address {
        address: address.address,
        prefix: address.prefix,
        interface: address.interface(node).to_owned(),
    }
}
