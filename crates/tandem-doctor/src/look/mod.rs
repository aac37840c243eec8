//! Collects the facts of one machine. Nothing is judged here, and nothing changed; each look has a
//! time limit, and one that fails is a fact of its own.

mod accounts;
pub mod certificate;
mod command;
mod database;
mod kernel;
mod listeners;
mod mounts;
mod network;
mod service;
mod volume;

use crate::facts::{Facts, Looked};
use crate::subject::Subject;
use std::time::{SystemTime, UNIX_EPOCH};

/// Looks at this machine. Takes some seconds where the other node does not answer.
pub async fn look(subject: &Subject, release: &str) -> Facts {
    let still = {
        let subject = subject.clone();
        let release = release.to_owned();
        // Reading `/proc` and directories blocks.
        tokio::task::spawn_blocking(move || look_at_files(&subject, release))
    };
    let network = network::look(subject).await;
    let units = service::units(&subject.units).await;
    let clock = kernel::clock().await;
    let packages = database::packages().await;
    // A panic there is a mistake here; the rest is still worth being told.
    let still = still.await.unwrap_or_default();
    Facts {
        addresses: network.addresses,
        names: network.names,
        peer: network.peer,
        gateway: network.gateway,
        peer_ports: network.peer_ports,
        virtual_addresses: network.virtual_addresses,
        units,
        clock,
        packages,
        // Last: it is compared with the other node's when this comes there.
        wall_clock_ms: wall_clock_ms(),
        ..still
    }
}

/// The wall clock in milliseconds since 1970.
#[must_use]
pub fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn look_at_files(subject: &Subject, release: String) -> Facts {
    let mounts = mounts::mounts();
    let volumes = subject.volumes.iter();
    let volumes: Vec<_> = volumes.map(|v| volume::look(v, &mounts)).collect();
    let settings = database::settings(&subject.volumes);
    let scripts = subject.scripts.iter();
    let scripts = scripts.map(|path| service::script(path, &mounts)).collect();
    Facts {
        node: subject.node,
        release,
        system: kernel::system(),
        own: subject.own.clone(),
        listeners: listeners::listeners(),
        accounts: accounts::accounts(&volumes),
        state_free_bytes: volume::free(&subject.state_dir),
        volumes,
        settings,
        scripts,
        fuse: Looked::Seen(kernel::fuse()),
        confinement: Looked::Seen(kernel::confinement()),
        certificate_ends: certificate::end(&subject.certificate),
        ..Facts::default()
    }
}
