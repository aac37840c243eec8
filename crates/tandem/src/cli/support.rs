//! `tandem support`: what a person who helps needs to see of both nodes. It works without a daemon,
//! without the other node, and even without a configuration: that is when it is needed most.

use super::Exit;
use super::arguments::Places;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tandem_console::support::{Names, collect, pack};
use tandem_console::unix_ms;
use tandem_daemon::support::{material, other_half};

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The bundle, of both nodes.
    Bundle(Names),
    /// What this node knows, for the other node's bundle.
    Half,
}

/// Collects, and writes the file.
pub async fn run(places: &Places, what: What, output: Option<&Path>) -> Exit {
    let settings = places.settings();
    let material = material(&settings).await;
    let node = material.node;
    let made = match what {
        What::Half => collect(material).await.encode(),
        What::Bundle(names) => {
            let (own, other) = tokio::join!(collect(material), other_half(&settings));
            let mut halves = vec![own];
            let missing = match other {
                Ok(half) => {
                    halves.push(half);
                    None
                }
                Err(why) => {
                    eprintln!("tandem: the other node's half is missing: {why}");
                    Some(why)
                }
            };
            pack(halves, missing.as_deref(), names)
        }
    };
    let written = made.and_then(|made| write(&made, node, output));
    match written {
        Ok(Some(path)) => {
            println!("{}", path.display());
            Exit::Done
        }
        Ok(None) => Exit::Done,
        Err(error) => {
            eprintln!("tandem: write the support bundle: {error}");
            Exit::Failed
        }
    }
}

/// Gives back where it is, unless it went to the output.
fn write(bundle: &[u8], node: Option<u8>, output: Option<&Path>) -> io::Result<Option<PathBuf>> {
    if output == Some(Path::new("-")) {
        let mut out = io::stdout().lock();
        out.write_all(bundle)?;
        out.flush()?;
        return Ok(None);
    }
    let name = node.map_or("node".to_owned(), |node| format!("node{node}"));
    let usual = PathBuf::from(format!("tandem-support-{name}-{}.tar.gz", unix_ms() / 1000));
    let path = output.map_or(usual, Path::to_owned);
    // Nothing that is there is overwritten, and only its owner reads it.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(bundle)?;
    file.sync_all()?;
    Ok(Some(path))
}
