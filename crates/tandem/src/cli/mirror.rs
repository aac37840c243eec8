//! `tandem mirror`: the process of one module's mirror.
//!
//! It begins by letting go of what the configuration of before had and this one has not: the one of
//! before cannot, because it does not know that it will never come back.

use super::Exit;
use super::arguments::Places;
use super::leave::{lay_bare, remove};
use std::net::SocketAddr;
use std::path::Path;
use tandem_daemon::config::{self, Configuration, Fate};
use tandem_daemon::daemon::{core_config, mirror_digest, mirror_socket, module_state_dir};
use tandem_daemon::identity::Identity;
use tandem_daemon::report;
use tandem_mirror::backing::HIDDEN;
use tandem_mirror::{
    Durability, MirrorConfig, QUEUE_BYTES_MAX, VolumeConfig, WaitForPeer, transport,
};
use tandem_wire::position::Position;

/// Runs until it is told to quit.
pub fn run(places: &Places, module: &str) -> Exit {
    let config = match mirror_config(places, module) {
        Ok(config) => config,
        Err(reason) => {
            tracing::error!("the mirror of module {module} does not run: {reason}");
            return Exit::Failed;
        }
    };
    release_directories(places, &config);
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

/// Makes plain directories of the volumes that this module had before. What is known of them goes
/// first and their mark last: who is interrupted does it again, and nothing is done without a mark.
fn release_directories(places: &Places, config: &MirrorConfig) {
    let before = Configuration::read(&config::kept(&places.config));
    let (Ok(before), Ok(now)) = (before, Configuration::read(&places.config)) else {
        return;
    };
    let gone = config::directories(&before, &now).into_iter();
    let gone = gone.filter(|d| d.module == config.module && d.fate == Fate::LeftAlone);
    for directory in gone {
        let path = directory.path.as_path();
        match release(path, config) {
            Ok(false) => {}
            Ok(true) => tracing::info!("{} is a plain directory again", path.display()),
            Err(error) => tracing::error!("{} is no plain directory: {error}", path.display()),
        }
    }
}

/// Says whether there was anything to be done.
fn release(path: &Path, config: &MirrorConfig) -> Result<bool, String> {
    let mark = path.join(HIDDEN);
    let failed = |act: &str, path: &Path, error: std::io::Error| {
        format!("{act} {}: {error}", path.display())
    };
    let position = mark.join("position");
    let position = match std::fs::read(&position) {
        Ok(bytes) => Position::decode(&bytes).ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", &position, error)),
    };
    let ours = |p: &Position| p.cluster == config.cluster && p.module == config.module;
    let Some(position) = position.filter(ours) else {
        return Ok(false);
    };
    lay_bare(path)?;
    let known = format!("{}.{}.position", config.module, position.volume);
    let known = config.state_dir.join(known);
    match std::fs::remove_file(&known) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("remove", &known, error));
        }
        Ok(()) | Err(_) => {}
    }
    remove(&mark).map_err(|error| failed("remove", &mark, error))?;
    Ok(true)
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
