//! `tandem license`: put in place, shown, asked for, and issued by whoever holds the key.

use super::Exit;
use super::arguments::{IssueOptions, Places};
use std::path::Path;
use tandem_daemon::client::Client;
use tandem_daemon::identity::Identity;
use tandem_daemon::license::{self, Date, License, Signer, Standing};
use tandem_daemon::report;

fn identity(places: &Places) -> Option<Identity> {
    match Identity::read(&places.state_dir) {
        Ok(identity) => Some(identity),
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            None
        }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("tandem: read {}: {error}", path.display());
            None
        }
    }
}

/// `license add`
pub fn add(places: &Places, file: &Path) -> Exit {
    let (Some(identity), Some(bytes)) = (identity(places), read(file)) else {
        return Exit::Failed;
    };
    // What was seen of the clock before does not count: it is looked at now.
    let today = license::today(Path::new("/nonexistent"));
    match license::verify(&bytes, &identity.cluster, today) {
        Err(refusal) => {
            eprintln!("tandem: the licence is refused: {refusal}");
            Exit::Refused
        }
        Ok(license) => match license::install(&places.state_dir, &bytes) {
            Ok(()) => {
                println!("{}", Standing::Valid(license).sentence());
                println!("add the same file on the other node");
                Exit::Done
            }
            Err(error) => {
                eprintln!("tandem: {}", report(&error));
                Exit::Failed
            }
        },
    }
}

/// `license status`
pub async fn status(places: &Places) -> Exit {
    let Some(identity) = identity(places) else {
        return Exit::Failed;
    };
    let standing = license::standing(&places.state_dir, &identity.cluster);
    println!("{}", standing.sentence());
    if let Ok(status) = Client::new(&places.runtime_dir).status().await {
        for node in &status.nodes {
            for module in node.modules.iter().filter(|_| node.answers) {
                let used = module.license.unlicensed_ms.unwrap_or(0) / 60_000;
                if !module.license.valid {
                    let (hours, minutes) = (used / 60, used % 60);
                    println!(
                        "node{} {}: {hours} h {minutes} min of {} h without a licence used",
                        node.node,
                        module.name,
                        license::PERIOD.as_secs() / 3600
                    );
                }
            }
        }
    }
    match standing {
        Standing::Valid(_) => Exit::Done,
        Standing::Missing | Standing::Refused(_) => Exit::Failed,
    }
}

/// `license request`
pub fn request(places: &Places) -> Exit {
    let Some(identity) = identity(places) else {
        return Exit::Failed;
    };
    println!("cluster = {}", identity.cluster);
    Exit::Done
}

/// `license issue`
pub fn issue(options: &IssueOptions) -> Exit {
    let Some(seed) = read(&options.key) else {
        return Exit::Failed;
    };
    let Some(signer) = Signer::from_seed(&String::from_utf8_lossy(&seed)) else {
        let path = options.key.display();
        eprintln!("tandem: {path} is no seed of a key (64 hexadecimal digits)");
        return Exit::Failed;
    };
    if options.public {
        println!("{}", signer.public_key());
        return Exit::Done;
    }
    let expires = options.expires.as_deref().unwrap_or("");
    let end = Date::parse(expires);
    if end.is_none() && expires != "never" {
        eprintln!("tandem: --expires is a day, as 2027-12-31, or never");
        return Exit::Failed;
    }
    let license = License {
        cluster: options.cluster.clone().unwrap_or_default(),
        licensee: options.licensee.clone().unwrap_or_default(),
        issued: license::today(Path::new("/nonexistent")),
        expires: end,
    };
    if !license.is_writable() {
        eprintln!("tandem: cluster and licensee are one line each, and not empty");
        return Exit::Failed;
    }
    print!("{}", signer.sign(&license));
    Exit::Done
}
