//! What of a node can be put on a new machine in its place: configuration, keys, licence, and the
//! console's certificate. One file of JSON, a secret as a whole.
//!
//! Deliberately nothing of what the node knows about its copy: put back later, it would be wrong. A
//! node without it compares everything with the other one before it stands by.
//!
//! The identity is written last, because it is what makes a machine this node: who is interrupted has
//! no node yet, and does it again.

use crate::config::{ConfigError, Configuration};
use crate::daemon::Settings;
use crate::files::{self, FileError, PUBLIC, SECRET};
use crate::https::{self, HttpsError};
use crate::identity::{self, Identity, IdentityError};
use crate::license;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tandem_core::NodeId;

/// The only format so far.
const FORMAT: u32 = 1;
/// More than any configuration with its certificates has.
const BYTES_MAX: u64 = 4 << 20;

/// Why nothing was kept, or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration of this node, or the one in the backup.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The keys of this node, or what is there already.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The console's certificate.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// Not a backup.
    #[error("{} is no backup of a node, or a damaged one", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A later release made it.
    #[error("{} was made by a later release of Tandem", path.display())]
    Later {
        /// Which file.
        path: PathBuf,
    },
    /// It would be lost.
    #[error("{} is another one than in the backup: move it away first", path.display())]
    OtherConfiguration {
        /// Which file.
        path: PathBuf,
    },
}

/// What is in the file. Bytes are in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Backup {
    tandem_backup: u32,
    configuration: String,
    node: u8,
    cluster: String,
    certificate: String,
    key: String,
    peer: Option<String>,
    secret: String,
    token: String,
    license: Option<String>,
    console: Option<Console>,
}

/// PEM.
#[derive(Serialize, Deserialize)]
struct Console {
    certificate: String,
    key: String,
}

/// Writes a new file with everything that a machine in this one's place needs.
///
/// # Errors
/// [`BackupError`]; a file that exists is never written over.
pub fn keep(settings: &Settings, path: &Path) -> Result<(), BackupError> {
    // Only one that is good is worth keeping.
    Configuration::read(&settings.config)?;
    let identity = Identity::read(&settings.state_dir)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let optional = |path: &Path| match path.exists() {
        true => files::read(path).map(Some),
        false => Ok(None),
    };
    let [certificate, key] = https::places(&settings.state_dir);
    let console = match optional(&certificate)? {
        None => None,
        Some(certificate) => Some(Console {
            certificate: text(certificate),
            key: text(files::read(&key)?),
        }),
    };
    let backup = Backup {
        tandem_backup: FORMAT,
        configuration: text(files::read(&settings.config)?),
        node: identity.node.number(),
        cluster: identity.cluster,
        certificate: identity::hex(&identity.certificate_der),
        key: identity::hex(&identity.key_der),
        peer: identity.peer_der.map(|der| identity::hex(&der)),
        secret: identity::hex(&identity.secret),
        token: identity::read_token(&settings.state_dir)?,
        license: optional(&license::path(&settings.state_dir))?.map(text),
        console,
    };
    let json = serde_json::to_string_pretty(&backup).expect("plain data") + "\n";
    Ok(files::create(path, SECRET, json.as_bytes())?)
}

/// Makes this machine the node of a backup, and says which one that is. The daemon must not run.
///
/// # Errors
/// [`BackupError`]; refused where a node or another configuration is.
pub fn put_back(settings: &Settings, path: &Path) -> Result<NodeId, BackupError> {
    let backup = read(path)?;
    let damaged = || BackupError::Damaged {
        path: path.to_owned(),
    };
    let identity = Identity {
        node: NodeId::from_number(backup.node).ok_or_else(damaged)?,
        cluster: backup.cluster,
        certificate_der: bytes(&backup.certificate).ok_or_else(damaged)?,
        key_der: bytes(&backup.key).ok_or_else(damaged)?,
        peer_der: match &backup.peer {
            Some(text) => Some(bytes(text).ok_or_else(damaged)?),
            None => None,
        },
        secret: identity::unhex(&backup.secret).ok_or_else(damaged)?,
    };
    let node = identity.node;
    Configuration::parse(path, &backup.configuration)?;
    Identity::refuse_where_one_is(&settings.state_dir)?;
    put_configuration(settings, &backup.configuration)?;
    if let Some(text) = &backup.license {
        files::create_directory(&settings.state_dir)?;
        files::replace(&license::path(&settings.state_dir), PUBLIC, text.as_bytes())?;
    }
    if let Some(console) = &backup.console {
        let (certificate, key) = (console.certificate.as_bytes(), console.key.as_bytes());
        https::put(&settings.state_dir, certificate, key)?;
    }
    identity.write(&settings.state_dir, &backup.token)?;
    Ok(node)
}

/// Puts the configuration in place, unless it is there.
fn put_configuration(settings: &Settings, text: &str) -> Result<(), BackupError> {
    let path = &settings.config;
    if path.exists() {
        return match files::read(path)? == text.as_bytes() {
            true => Ok(()),
            false => Err(BackupError::OtherConfiguration { path: path.clone() }),
        };
    }
    if let Some(directory) = path.parent() {
        files::create_directory(directory)?;
    }
    // Commands may stand in it, and passwords in those.
    Ok(files::replace(path, SECRET, text.as_bytes())?)
}

fn read(path: &Path) -> Result<Backup, BackupError> {
    let damaged = || BackupError::Damaged {
        path: path.to_owned(),
    };
    let size = std::fs::metadata(path).map_err(files::failed("look at", path))?;
    if size.len() > BYTES_MAX {
        return Err(damaged());
    }
    let value: serde_json::Value =
        serde_json::from_slice(&files::read(path)?).map_err(|_| damaged())?;
    match value["tandem-backup"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => Err(BackupError::Later {
            path: path.to_owned(),
        }),
        Some(_) => serde_json::from_value(value).map_err(|_| damaged()),
        None => Err(damaged()),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let places = (0..text.len()).step_by(2);
    places
        .map(|place| u8::from_str_radix(&text[place..place + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TEXT: &str = "[cluster]\nname = \"c\"\n[node1]\nname = \"a\"\naddress = \"10.0.0.1\"\n\
                        [node2]\nname = \"b\"\naddress = \"10.0.0.2\"\n[[module]]\nname = \"m\"\n\
                        [[module.volume]]\nname = \"v\"\npath = \"/v\"\n";

    fn settings(directory: &Path) -> Settings {
        Settings {
            config: directory.join("etc/tandem.toml"),
            state_dir: directory.join("state"),
            runtime_dir: directory.join("run"),
        }
    }

    /// Node2 of a pair, with everything that a node can have, and its backup.
    fn node(directory: &Path) -> (Settings, PathBuf) {
        let settings = settings(directory);
        Identity::write_pair(&directory.join("other"), &settings.state_dir).expect("a pair");
        std::fs::create_dir_all(directory.join("etc")).expect("a directory");
        std::fs::write(&settings.config, TEXT).expect("written");
        let configuration = Configuration::read(&settings.config).expect("it is good");
        https::enable(&settings.state_dir, configuration.node(NodeId::Two)).expect("made");
        std::fs::write(license::path(&settings.state_dir), "a licence\n").expect("written");
        let path = directory.join("backup");
        keep(&settings, &path).expect("kept");
        (settings, path)
    }

    #[test]
    fn a_new_machine_becomes_the_node_that_was_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, path) = node(&directory.path().join("old"));
        let mode = std::fs::metadata(&path).expect("kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it is a secret");
        assert!(keep(&old, &path).is_err(), "nothing is written over");
        let new = settings(&directory.path().join("new"));
        assert_eq!(put_back(&new, &path).expect("put back"), NodeId::Two);
        let identities = [&old, &new].map(|s| Identity::read(&s.state_dir).expect("there"));
        let [before, after] = identities;
        assert_eq!(before.key_der, after.key_der);
        assert_eq!(before.peer_der, after.peer_der);
        assert_eq!(
            (before.cluster, before.secret),
            (after.cluster, after.secret)
        );
        let token = |s: &Settings| identity::read_token(&s.state_dir).expect("there");
        assert_eq!(token(&old), token(&new));
        let all = |s: &Settings| {
            let [certificate, key] = https::places(&s.state_dir);
            let paths = [
                s.config.clone(),
                license::path(&s.state_dir),
                certificate,
                key,
            ];
            paths.map(|path| std::fs::read(path).expect("there"))
        };
        assert_eq!(all(&old), all(&new));
    }

    #[test]
    fn nothing_is_put_back_over_a_node_or_another_configuration() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, path) = node(&directory.path().join("old"));
        let refused = put_back(&old, &path);
        assert!(
            matches!(
                refused,
                Err(BackupError::Identity(IdentityError::Exists { .. }))
            ),
            "{refused:?}"
        );
        let new = settings(&directory.path().join("new"));
        std::fs::create_dir_all(directory.path().join("new/etc")).expect("a directory");
        std::fs::write(&new.config, "# mine\n").expect("written");
        let refused = put_back(&new, &path);
        assert!(
            matches!(refused, Err(BackupError::OtherConfiguration { .. })),
            "{refused:?}"
        );
        assert!(!new.state_dir.exists(), "nothing was written");
    }

    #[test]
    fn what_is_no_backup_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let (_, path) = node(&directory.path().join("old"));
        let new = settings(&directory.path().join("new"));
        let good = std::fs::read_to_string(&path).expect("kept");
        let bad = directory.path().join("bad");
        for text in [
            "",
            "{}",
            &good[..good.len() / 2],
            &good.replacen("\"key\": \"", "\"key\": \"x", 1),
            &good.replacen("name = \\\"c\\\"", "name = 3", 1),
        ] {
            std::fs::write(&bad, text).expect("written");
            assert!(put_back(&new, &bad).is_err(), "{text}");
        }
        std::fs::write(&bad, good.replacen(": 1,", ": 2,", 1)).expect("written");
        let refused = put_back(&new, &bad);
        assert!(
            matches!(refused, Err(BackupError::Later { .. })),
            "{refused:?}"
        );
        assert!(!new.state_dir.exists() && !new.config.exists());
    }
}
