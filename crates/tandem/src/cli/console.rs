//! `tandem user …`, `tandem console …`: who may use the console of this node, and how.

use super::arguments::{ConsoleVerb, Places, UserVerb};
use super::{Exit, complain};
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
use tandem_daemon::client::Client;
use tandem_daemon::config::{Configuration, Node};
use tandem_daemon::daemon::Settings;
use tandem_daemon::identity::Identity;
use tandem_daemon::{https, report};

/// `user`
pub async fn user(places: &Places, verb: UserVerb) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let answered = match verb {
        UserVerb::List => client.accounts("GET", "", None).await,
        UserVerb::Add { name, role } => {
            let Some(password) = password(&name) else {
                return Exit::Failed;
            };
            let body = json!({ "name": name, "role": role, "password": password });
            client.accounts("POST", "", Some(body)).await
        }
        UserVerb::Reset { name } => {
            let Some(password) = password(&name) else {
                return Exit::Failed;
            };
            let body = json!({ "password": password });
            client.accounts("PATCH", &name, Some(body)).await
        }
        UserVerb::Remove { name } => client.accounts("DELETE", &name, None).await,
    };
    match answered {
        Ok(Value::Array(users)) => {
            for user in users {
                let text = |field: &str| user[field].as_str().unwrap_or_default().to_owned();
                println!("{:<32}  {}", text("name"), text("role"));
            }
            Exit::Done
        }
        Ok(_) => Exit::Done,
        Err(error) => complain(&error),
    }
}

/// Reads a password from the input; it is not shown while somebody types.
fn password(name: &str) -> Option<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let terminal = input.is_terminal();
    let before = terminal.then(|| tcgetattr(&input).ok()).flatten();
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        // At worst it is seen by who types it.
        let _ = tcsetattr(&input, SetArg::TCSANOW, &silent);
        eprint!("password for {name}: ");
        let _ = std::io::stderr().flush();
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(before) = before {
        let _ = tcsetattr(&input, SetArg::TCSANOW, &before);
        eprintln!();
    }
    match read {
        Ok(bytes) if bytes > 0 => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
        Ok(_) | Err(_) => {
            eprintln!("tandem: no password was given");
            None
        }
    }
}

/// `console`
pub fn transport(places: &Places, verb: &ConsoleVerb) -> Exit {
    let settings = places.settings();
    let done = match verb {
        ConsoleVerb::Http => https::disable(&settings.state_dir).map_err(|error| report(&error)),
        ConsoleVerb::Https {
            certificate: Some(certificate),
            key: Some(key),
            ..
        } => {
            let installed = https::install(&settings.state_dir, certificate, key);
            installed.map_err(|error| report(&error))
        }
        ConsoleVerb::Https { renew, .. } => own(&settings).and_then(|node| {
            let made = match renew {
                true => https::renew(&settings.state_dir, &node),
                false => https::enable(&settings.state_dir, &node),
            };
            made.map_err(|error| report(&error))
        }),
    };
    match done {
        Ok(()) => {
            println!("It counts from the next start of the daemon: systemctl restart tandem");
            Exit::Done
        }
        Err(error) => {
            eprintln!("tandem: {error}");
            Exit::Failed
        }
    }
}

/// This node, as the configuration has it.
fn own(settings: &Settings) -> Result<Node, String> {
    let configuration = Configuration::read(&settings.config).map_err(|error| report(&error))?;
    let identity = Identity::read(&settings.state_dir).map_err(|error| report(&error))?;
    Ok(configuration.node(identity.node).clone())
}
