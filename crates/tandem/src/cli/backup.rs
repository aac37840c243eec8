//! `tandem config backup`, `tandem config restore`.

use super::Exit;
use super::arguments::Places;
use std::path::Path;
use tandem_daemon::client::Client;
use tandem_daemon::{backup, report};

/// `config backup`
pub fn keep(places: &Places, file: &Path) -> Exit {
    match backup::keep(&places.settings(), file) {
        Ok(()) => {
            println!("{} is this node's. It is a secret.", file.display());
            Exit::Done
        }
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            Exit::Failed
        }
    }
}

/// `config restore`
pub async fn put_back(places: &Places, file: &Path) -> Exit {
    let settings = places.settings();
    if Client::new(&settings.runtime_dir).status().await.is_ok() {
        eprintln!("tandem: the daemon of this node runs");
        return Exit::Refused;
    }
    match backup::put_back(&settings, file) {
        Ok(node) => {
            println!("This machine is {node} now. No other machine may be it at the same time.");
            println!("next: tandem config check; systemctl enable --now tandem; tandem start");
            Exit::Done
        }
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            Exit::Refused
        }
    }
}
