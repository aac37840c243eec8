//! `tandem cluster leave`: this node belongs to no cluster any more. The data stays where it is, as a
//! plain directory without anything of ours in it; the configuration file stays too; the
//! application's units are as they were before.
//!
//! Each step can be done again, and the keys go last: who is interrupted types it again.

use super::arguments::{CommandOptions, Places};
use super::{Exit, command};
use rustix::mount::{UnmountFlags, unmount};
use std::path::Path;
use std::time::Duration;
use tandem_daemon::client::Client;
use tandem_daemon::config::Configuration;
use tandem_daemon::daemon::{Settings, mirror_socket};
use tandem_daemon::{identity, mirror_process, report, units};
use tandem_host::systemd;
use tandem_mirror::backing::{HIDDEN, open_volume};
use tandem_mirror::mount;
use tandem_mirror::mountinfo::{self, Mount};

/// Mounts over one path that are taken away; Tandem makes one.
const MOUNTS_MAX: usize = 16;
/// How long a node that does not serve may take to stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What becomes of the `.tandem` directories, which say where the copies stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marks {
    /// They are removed.
    Remove,
    /// They stay, for somebody who wants to look at them.
    Keep,
}

/// What becomes of a daemon that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Running {
    /// It is in the way.
    Refuse,
    /// It ends, unless this node serves.
    Stop,
}

/// Leaves.
pub async fn run(places: &Places, marks: Marks, running: Running) -> Exit {
    let settings = places.settings();
    if running == Running::Stop
        && let Err(exit) = stop(places).await
    {
        return exit;
    }
    let configuration = match Configuration::read(&settings.config) {
        Ok(configuration) => configuration,
        Err(error) => {
            eprintln!("{}", report(&error));
            return Exit::Refused;
        }
    };
    if Client::new(&settings.runtime_dir).status().await.is_ok() {
        eprintln!("tandem: the daemon of this node runs");
        eprintln!("hint: tandem stop, then systemctl disable --now tandem");
        return Exit::Refused;
    }
    if let Err(serving) = dismiss_mirrors(&configuration, &settings) {
        eprintln!("tandem: module {serving} is served on this node");
        eprintln!("hint: start the daemon again (systemctl start tandem), then tandem stop");
        return Exit::Refused;
    }
    match undo(&configuration, &settings, marks).await {
        Ok(()) => {
            println!("This node belongs to no cluster any more.");
            println!(
                "All data is where it was, and so is {}.",
                settings.config.display()
            );
            Exit::Done
        }
        Err(error) => {
            eprintln!("tandem: {error}");
            Exit::Failed
        }
    }
}

/// Stops this node as an operator would, and then its daemon. A node that serves is left alone:
/// nobody's service ends in passing.
async fn stop(places: &Places) -> Result<(), Exit> {
    let client = Client::new(&places.settings().runtime_dir);
    if let Ok(status) = client.status().await {
        let own = status.nodes.iter().find(|n| n.node == status.answered_by);
        let modules = own.map_or(&[][..], |node| &node.modules);
        if let Some(module) = modules.iter().find(|m| m.serves()) {
            eprintln!("tandem: module {} is served on this node", module.name);
            eprintln!("hint: tandem swap gives it to the other node, tandem stop ends it");
            return Err(Exit::Refused);
        }
        for module in modules.iter().filter(|m| m.state != "STOP") {
            match command::stop(places, &in_time(&module.name)).await {
                Exit::Done => {}
                exit => return Err(exit),
            }
        }
    }
    if !systemd::is_present() {
        return Ok(());
    }
    let disabled = tokio::process::Command::new("systemctl")
        .args(["disable", "--now", "--quiet", "tandem.service"])
        .status();
    match disabled.await {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => {
            eprintln!("tandem: the daemon was not stopped: systemctl disable --now tandem");
            Err(Exit::Failed)
        }
    }
}

/// This node, one module, and not for ever: a standby has nothing to bring to an end.
fn in_time(module: &str) -> CommandOptions {
    CommandOptions {
        node: None,
        module: Some(module.to_owned()),
        no_wait: false,
        timeout: Some(STOP_MAX),
        all: false,
    }
}

/// Ends the mirrors, unless one serves: then gives back its module.
fn dismiss_mirrors(configuration: &Configuration, settings: &Settings) -> Result<(), String> {
    for module in &configuration.modules {
        let socket = mirror_socket(&settings.runtime_dir, &module.name);
        if !mirror_process::dismiss(&socket, &module.name) {
            return Err(module.name.clone());
        }
    }
    Ok(())
}

async fn undo(
    configuration: &Configuration,
    settings: &Settings,
    marks: Marks,
) -> Result<(), String> {
    for volume in configuration.modules.iter().flat_map(|m| &m.volumes) {
        lay_bare(&volume.path)?;
        let mark = volume.path.join(HIDDEN);
        if marks == Marks::Remove {
            remove(&mark).map_err(|error| format!("remove {}: {error}", mark.display()))?;
        } else {
            println!("{} stays.", mark.display());
        }
    }
    let units = units::give_back(configuration, settings).await;
    for unit in units.map_err(|error| report(&error))? {
        println!("{unit} starts at boot again, as before.");
    }
    identity::leave(&settings.state_dir).map_err(|error| report(&error))
}

/// Removes a directory, if it is there; never what a link of this name leads to.
pub(super) fn remove(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes away what stands over the plain directory: the mount that a mirror left which died, and the
/// read-only directory.
pub(super) fn lay_bare(path: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("unmount {}: {error}", path.display());
    let mounts = || {
        let mounts = mountinfo::mounts_of("self").map_err(failed)?;
        let here = mounts.into_iter().filter(|mount| mount.mount_point == path);
        Ok::<_, String>(here.collect::<Vec<_>>())
    };
    if mounts()?.iter().any(Mount::is_mirror) {
        // Fails while a mirror lives, also one that answers nobody: it has the volume's lock.
        let volume = open_volume(0, "", path).map_err(|error| report(&error))?;
        mount::remove_stale(&volume).map_err(|error| report(&error))?;
    }
    for _ in 0..MOUNTS_MAX {
        if !mounts()?.last().is_some_and(Mount::is_read_only) {
            return Ok(());
        }
        // Who looks into it goes on looking; nobody can write through it.
        unmount(path, UnmountFlags::DETACH).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}
