//! `tandem mirror`: the process of one module's mirror.

use super::Exit;
use super::arguments::Places;
use std::net::SocketAddr;
use tandem_daemon::config::{self, Configuration};
use tandem_daemon::daemon::{core_config, mirror_digest, mirror_socket, module_state_dir};
use tandem_daemon::identity::Identity;
use tandem_daemon::report;
use tandem_mirror::{
    Durability, MirrorConfig, QUEUE_BYTES_MAX, VolumeConfig, WaitForPeer, transport,
};

/// Runs until it is told to quit.
pub fn run(places: &Places, module: &str) -> Exit {
    let config = match mirror_config(places, module) {
        Ok(config) => config,
        Err(reason) => {
            tracing::error!("the mirror of module {module} does not run: {reason}");
            return Exit::Failed;
        }
    };
    match tandem_mirror::run(config) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!(
                "the mirror of module {module} does not run: {}",
                report(&error)
            );
            Exit::Failed
        }
    }
}

fn mirror_config(places: &Places, name: &str) -> Result<MirrorConfig, String> {
    let settings = places.settings();
    let configuration = Configuration::read(&settings.config).map_err(|e| report(&e))?;
    let identity = Identity::read(&settings.state_dir).map_err(|e| report(&e))?;
    let module = (configuration.module(Some(name))).ok_or("there is no such module")?;
    let core = core_config(&configuration, module, &identity);
    let node = identity.node;
    let address = |node| SocketAddr::new(configuration.node(node).address, module.data_port);
    let peer_certificate_der = identity
        .peer_der
        .ok_or("the other node has not joined yet")?;
    Ok(MirrorConfig {
        cluster: identity.cluster,
        module: module.name.clone(),
        node,
        volumes: (module.volumes.iter())
            .map(|volume| VolumeConfig {
                wait_for_peer: match volume.wait_for_peer {
                    config::WaitForPeer::Fsync => WaitForPeer::Fsync,
                    config::WaitForPeer::Write => WaitForPeer::Write,
                },
                exclude: volume.exclude.clone(),
                ..VolumeConfig::new(volume.name.clone(), volume.path.clone())
            })
            .collect(),
        listen: address(node),
        peer: address(node.peer()),
        identity: transport::Identity {
            certificate_der: identity.certificate_der,
            key_der: identity.key_der,
            peer_certificate_der,
        },
        socket: mirror_socket(&settings.runtime_dir, name),
        state_dir: module_state_dir(&settings.state_dir, name),
        configuration: mirror_digest(&configuration, module),
        takeover_after: core.takeover_after,
        stall_limit: core.stall_limit(),
        queue_bytes_max: QUEUE_BYTES_MAX,
        durability: match module.durability {
            config::Durability::Disk => Durability::Disk,
            config::Durability::Memory => Durability::Memory,
        },
    })
}
