//! `tandem cluster init | invite | join`
//!
//! node1 has to listen until node2 has come. That is done by this same program in the background,
//! for fifteen minutes, so that the line can be carried to node2 with the shell of node1 free; or
//! in the foreground with `--wait`.

use super::Exit;
use super::arguments::Places;
use std::path::PathBuf;
use std::process::Stdio;
use tandem_daemon::config::Configuration;
use tandem_daemon::identity::Identity;
use tandem_daemon::pairing::{self, Invitation, PairingError};
use tandem_daemon::{report, units};

/// Makes the keys of node1, and invites node2.
pub async fn init(places: &Places, wait: bool) -> Exit {
    let settings = places.settings();
    if let Err(error) = pairing::init(&settings.config, &settings.state_dir) {
        return complain(&error);
    }
    println!("This is node1 of a new cluster.");
    take_units_over(places).await;
    invite(places, wait).await
}

/// Invites node2.
pub async fn invite(places: &Places, wait: bool) -> Exit {
    let settings = places.settings();
    let invitation = match pairing::invite(&settings.config, &settings.state_dir) {
        Ok(invitation) => invitation,
        Err(error) => return complain(&error),
    };
    println!("On node2, within 15 minutes and as root:");
    println!("  {}", invitation.line());
    if wait {
        println!("Waiting for node2.");
        return serve_invitation(invitation).await;
    }
    drop(invitation);
    match in_the_background(places) {
        Ok(()) => {
            println!("Then start the daemon on both nodes: systemctl enable --now tandem");
            Exit::Done
        }
        Err(error) => {
            eprintln!("tandem: wait for node2 in the background: {error}");
            Exit::Failed
        }
    }
}

/// Starts this program again, detached, to listen for node2.
fn in_the_background(places: &Places) -> std::io::Result<()> {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    let settings = places.settings();
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(["cluster", "serve-invitation"])
        .arg("--config")
        .arg(&settings.config)
        .arg("--state-dir")
        .arg(&settings.state_dir)
        .arg("--runtime-dir")
        .arg(&settings.runtime_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        // Not of this shell's job: a key pressed here is not for it.
        .process_group(0)
        .spawn()?;
    // It says one line as soon as it listens.
    let output = child.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    match line.is_empty() {
        false => Ok(()),
        true => Err(std::io::Error::other("it does not listen")),
    }
}

/// The program in the background.
pub async fn serve(places: &Places) -> Exit {
    let settings = places.settings();
    match pairing::take_up(&settings.config, &settings.state_dir) {
        Ok(invitation) => {
            println!("listening");
            // Nobody reads anything after this line.
            match invitation.serve().await {
                Ok(()) => Exit::Done,
                Err(_) => Exit::Failed,
            }
        }
        Err(_) => Exit::Failed,
    }
}

async fn serve_invitation(invitation: Invitation) -> Exit {
    match invitation.serve().await {
        Ok(()) => {
            println!(
                "node2 has joined. Start the daemon on both nodes: systemctl enable --now tandem"
            );
            Exit::Done
        }
        Err(error) => complain(&error),
    }
}

/// Joins.
pub async fn join(places: &Places, address: &str, token: &str) -> Exit {
    let settings = places.settings();
    let joined = pairing::join(address, token, &settings.config, &settings.state_dir).await;
    match joined {
        Ok(()) => {
            println!("This is node2 of the cluster now.");
            take_units_over(places).await;
            println!("Start the daemon on both nodes: systemctl enable --now tandem");
            Exit::Done
        }
        Err(error) => complain(&error),
    }
}

/// From now on Tandem starts the application, and nobody else.
async fn take_units_over(places: &Places) {
    let settings = places.settings();
    let Ok(configuration) = Configuration::read(&settings.config) else {
        // The file was read a moment ago; `config check` says what became of it.
        return;
    };
    match units::take_over(&configuration, &settings).await {
        Ok(units) => {
            for unit in units {
                println!("{unit} does not start at boot any more: Tandem starts it.");
            }
        }
        Err(error) => {
            eprintln!("tandem: the units may start at boot: {}", report(&error));
            eprintln!("hint: `tandem config check` says which");
        }
    }
}

/// Writes both identities at once.
pub fn init_offline(directories: &[PathBuf]) -> Exit {
    let [one, two] = directories else {
        unreachable!("two values were asked for");
    };
    match Identity::write_pair(one, two) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            Exit::Refused
        }
    }
}

fn complain(error: &PairingError) -> Exit {
    match error {
        PairingError::Config(error) => eprintln!("{}", report(error)),
        error => eprintln!("tandem: {}", report(error)),
    }
    match error {
        PairingError::Expired => Exit::TimedOut,
        PairingError::Connect { .. } | PairingError::Timeout => Exit::PeerUnreachable,
        PairingError::Broken(_) | PairingError::File(_) | PairingError::Tls(_) => Exit::Failed,
        PairingError::Config(_)
        | PairingError::Identity(_)
        | PairingError::NotNodeOne
        | PairingError::Listen { .. }
        | PairingError::Token
        | PairingError::Address(_)
        | PairingError::Foreign(_)
        | PairingError::Refused(_)
        | PairingError::Proof
        | PairingError::OtherConfiguration { .. }
        | PairingError::TooManyAttempts => Exit::Refused,
    }
}
