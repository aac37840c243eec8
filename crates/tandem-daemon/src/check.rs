//! Whether this machine is as the configuration says: everything that would keep the module from
//! running here, found before it is needed. Nothing is changed.
//!
//! The directories of the volumes are looked at by those who mirror them.

use crate::config::{
    CONTROL_PORT, ConfigError, Configuration, HEARTBEAT_PORT, HTTP_PORT, Module, Probe,
};
use crate::daemon::{Settings, local_socket};
use crate::identity::Identity;
use crate::services::services_config;
use nix::ifaddrs::getifaddrs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use tandem_core::NodeId;
use tandem_host::address::{Address, AddressConfig, Occupancy};
use tandem_host::setup::{Finding, SetUp};
use tandem_host::systemd;
use tokio::net::UnixStream;

/// Who asks for the check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// Somebody who has no port of ours.
    Anybody,
    /// The set-up in a browser, which has the console's port itself.
    Wizard,
}

/// Checks the file and the machine.
///
/// # Errors
/// The file itself is not valid.
pub async fn check(settings: &Settings, asker: Asker) -> Result<Vec<Finding>, ConfigError> {
    let configuration = Configuration::read(&settings.config)?;
    let mut findings = Vec::new();
    let local = local_addresses();
    let node = match Identity::read(&settings.state_dir) {
        Ok(identity) => Some(identity.node),
        Err(_) => [NodeId::One, NodeId::Two]
            .into_iter()
            .find(|node| local.contains(&configuration.node(*node).address)),
    };
    let running = UnixStream::connect(local_socket(&settings.runtime_dir)).await;
    let daemon_runs = running.is_ok();
    match node {
        None => findings.push(Finding {
            what: "this machine has the address of neither node".to_owned(),
            remedy: "give the interface its address, or correct node1.address or node2.address"
                .to_owned(),
        }),
        Some(node) => {
            check_own_addresses(&configuration, node, &local, &mut findings);
            if !daemon_runs {
                check_ports(&configuration, node, asker, &mut findings);
            }
        }
    }
    for module in &configuration.modules {
        check_services(module, settings, &mut findings).await;
        check_scripts(module, &mut findings);
        if let Some(node) = node {
            check_virtual_addresses(module, node, daemon_runs, &mut findings).await;
        }
    }
    Ok(findings)
}

fn local_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

fn check_own_addresses(
    configuration: &Configuration,
    node: NodeId,
    local: &[IpAddr],
    findings: &mut Vec<Finding>,
) {
    let own = configuration.node(node);
    let mut addresses = vec![own.address];
    addresses.extend(&own.heartbeat);
    addresses.dedup();
    for address in addresses {
        // All of 127/8 is there, and is not listed.
        if !local.contains(&address) && !address.is_loopback() {
            findings.push(Finding {
                what: format!("this machine is {node} and does not have its address {address}"),
                remedy: "ip address add, or correct the address in the configuration".to_owned(),
            });
        }
    }
}

fn check_ports(
    configuration: &Configuration,
    node: NodeId,
    asker: Asker,
    findings: &mut Vec<Finding>,
) {
    let own = configuration.node(node);
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut taken = |address: SocketAddr, protocol: &str, error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let port = address.port();
            findings.push(Finding {
                what: format!("port {port}/{protocol} is in use at {}", address.ip()),
                remedy: format!("ss -lp 'sport = {port}' names the program: end it, or move it"),
            });
        }
    };
    let mut addresses = vec![SocketAddr::new(own.address, CONTROL_PORT)];
    if asker == Asker::Anybody {
        addresses.push(SocketAddr::new(everywhere, HTTP_PORT));
    }
    let streams = configuration.modules.iter();
    addresses.extend(streams.map(|module| SocketAddr::new(own.address, module.data_port)));
    for address in addresses {
        if let Err(error) = TcpListener::bind(address) {
            taken(address, "tcp", error);
        }
    }
    for address in &own.heartbeat {
        let address = SocketAddr::new(*address, HEARTBEAT_PORT);
        if let Err(error) = UdpSocket::bind(address) {
            taken(address, "udp", error);
        }
    }
}

async fn check_services(module: &Module, settings: &Settings, findings: &mut Vec<Finding>) {
    let config = services_config(module, &settings.runtime_dir);
    let units = (module.services.iter())
        .any(|service| matches!(service.kind, crate::config::ServiceKind::Unit(_)));
    if units && !systemd::is_present() {
        findings.push(Finding {
            what: "the configuration has units, and systemd does not run on this machine"
                .to_owned(),
            remedy: "use start, stop and check commands".to_owned(),
        });
        return;
    }
    match SetUp::new(config).check().await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding {
            what: crate::report(&error),
            remedy: "run it as root, on a machine with systemd and D-Bus".to_owned(),
        }),
    }
}

fn check_scripts(module: &Module, findings: &mut Vec<Finding>) {
    for checker in &module.checkers {
        let Probe::Script(path) = &checker.probe else {
            continue;
        };
        let executable = std::fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if !executable {
            findings.push(Finding {
                what: format!("the script {} cannot be run", path.display()),
                remedy: "put it there on both nodes, and chmod +x".to_owned(),
            });
        }
    }
}

async fn check_virtual_addresses(
    module: &Module,
    node: NodeId,
    daemon_runs: bool,
    findings: &mut Vec<Finding>,
) {
    for configured in &module.addresses {
        let interface = configured.interface(node).to_owned();
        let path = std::path::Path::new("/sys/class/net").join(&interface);
        if !path.exists() {
            findings.push(Finding {
                what: format!("this machine has no interface {interface}"),
                remedy: "ip link shows their names; the two nodes may have different ones"
                    .to_owned(),
            });
            continue;
        }
        if daemon_runs {
            // The daemon asks itself, and one of the two nodes may hold it.
            continue;
        }
        let address = Address::new(AddressConfig {
            address: configured.address,
            prefix: configured.prefix,
            interface,
        });
        let address_text = configured.address;
        match address.probe().await {
            Ok(Occupancy::Free) => {}
            Ok(Occupancy::Taken(by)) => findings.push(Finding {
                what: format!("{address_text} is in use: {by} answers for it"),
                remedy:
                    "if that is not the other node, take it from that machine or choose another"
                        .to_owned(),
            }),
            Err(error) => findings.push(Finding {
                what: format!("{address_text}: {}", crate::report(&error)),
                remedy: "free the address, or run this as root".to_owned(),
            }),
        }
    }
}
