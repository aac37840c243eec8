//! Who this node is: its number, its key, the peer's certificate, the cluster's secret, and the
//! token of the API. All in the state directory, written once, when the nodes are paired.
//!
//! Certificates are self-signed and compared byte by byte with the one that pairing stored; their
//! dates are never looked at, because a dead clock battery must not stop a cluster.

use crate::files::{self, FileError, PUBLIC, SECRET};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use tandem_core::NodeId;

/// The length of a certificate's fingerprint in bytes: nobody finds a second certificate for one.
pub const FINGERPRINT_BYTES: usize = 16;

/// What makes a node this node.
#[derive(Clone)]
pub struct Identity {
    /// Its number in the configuration.
    pub node: NodeId,
    /// The cluster's identifier: random, drawn by `cluster init`, the same on both nodes.
    pub cluster: String,
    /// The certificate that this node shows, self-signed, DER.
    pub certificate_der: Vec<u8>,
    /// Its key, PKCS#8 DER.
    pub key_der: Vec<u8>,
    /// The certificate of the peer, exactly; `None` until node2 has joined.
    pub peer_der: Option<Vec<u8>>,
    /// What both nodes know and nobody else.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f.debug_struct("Identity").field("node", &self.node)).finish_non_exhaustive()
    }
}

/// An identity that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error(
        "this node belongs to no cluster yet ({} is missing): run `tandem cluster init` on node1, \
         `tandem cluster join` on node2",
        directory.display()
    )]
    Missing {
        /// Where it should be.
        directory: PathBuf,
    },
    /// There is one already.
    #[error("this node already belongs to a cluster ({} exists)", directory.display())]
    Exists {
        /// Where it is.
        directory: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// No randomness.
    #[error("draw random numbers for keys")]
    Random,
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

#[derive(Serialize, Deserialize)]
struct NodeFile {
    cluster: String,
    node: u8,
}

/// The names of the files below a state directory.
pub(crate) struct Places {
    pub identity: PathBuf,
    pub token: PathBuf,
}

impl Places {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            identity: state_dir.join("identity"),
            token: state_dir.join("token"),
        }
    }
}

/// Fills an array with random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| IdentityError::Random)?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] wrote.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Shortens a certificate to what a person can carry to the other node.
#[must_use]
pub fn fingerprint(certificate_der: &[u8]) -> [u8; FINGERPRINT_BYTES] {
    let hash = blake3::hash(certificate_der);
    *(hash.as_bytes().first_chunk()).expect("a hash is longer than its fingerprint")
}

/// A fresh API token.
pub(crate) fn new_token() -> Result<String, IdentityError> {
    Ok(hex(&random::<32>()?))
}

impl Identity {
    /// Draws the identity of node1 of a new cluster.
    ///
    /// # Errors
    /// [`IdentityError::Random`]
    pub fn draw() -> Result<Self, IdentityError> {
        Self::draw_for(NodeId::One, hex(&random::<16>()?), random()?)
    }

    /// Draws the identity of a node of a cluster that exists.
    pub(crate) fn draw_for(
        node: NodeId,
        cluster: String,
        secret: [u8; 32],
    ) -> Result<Self, IdentityError> {
        let name = format!("tandem-{node}");
        let pair =
            rcgen::generate_simple_self_signed(vec![name]).map_err(|_| IdentityError::Random)?;
        Ok(Self {
            node,
            cluster,
            certificate_der: pair.cert.der().to_vec(),
            key_der: pair.signing_key.serialize_der(),
            peer_der: None,
            secret,
        })
    }

    /// Reads the identity below a state directory.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn read(state_dir: &Path) -> Result<Self, IdentityError> {
        let directory = Places::new(state_dir).identity;
        if !directory.exists() {
            return Err(IdentityError::Missing { directory });
        }
        let path = directory.join("node.toml");
        let text = String::from_utf8(files::read(&path)?).unwrap_or_default();
        let file: NodeFile =
            toml::from_str(&text).map_err(|_| IdentityError::Damaged { path: path.clone() })?;
        let node = NodeId::from_number(file.node).ok_or(IdentityError::Damaged { path })?;
        let path = directory.join("secret");
        let secret = files::read(&path)?
            .try_into()
            .map_err(|_| IdentityError::Damaged { path })?;
        let peer = directory.join("peer.der");
        Ok(Self {
            node,
            cluster: file.cluster,
            certificate_der: files::read(&directory.join("certificate.der"))?,
            key_der: files::read(&directory.join("key.der"))?,
            peer_der: match peer.exists() {
                true => Some(files::read(&peer)?),
                false => None,
            },
            secret,
        })
    }

    /// Writes the identity, all files or none, and the token. Refused where one exists.
    ///
    /// # Errors
    /// [`IdentityError::Exists`], or a file could not be written.
    pub fn write(&self, state_dir: &Path, token: &str) -> Result<(), IdentityError> {
        let places = Places::new(state_dir);
        Self::refuse_where_one_is(state_dir)?;
        files::create_directory(state_dir)?;
        let fresh = files::beside(&places.identity);
        if fresh.exists() {
            // Left over by a crash; it was never in use.
            fs::remove_dir_all(&fresh).map_err(files::failed("remove", &fresh))?;
        }
        let written = self.write_into(&fresh).and_then(|()| {
            files::replace(&places.token, SECRET, format!("{token}\n").as_bytes())?;
            fs::rename(&fresh, &places.identity)
                .map_err(files::failed("put in place", &places.identity))?;
            files::sync_parent(&places.identity)
        });
        if written.is_err() {
            // The error that is reported is the first one.
            let _ = fs::remove_dir_all(&fresh);
            let _ = fs::remove_file(&places.token);
        }
        Ok(written?)
    }

    /// Whether there is no identity yet.
    ///
    /// # Errors
    /// [`IdentityError::Exists`]
    pub(crate) fn refuse_where_one_is(state_dir: &Path) -> Result<(), IdentityError> {
        let directory = Places::new(state_dir).identity;
        match directory.exists() {
            true => Err(IdentityError::Exists { directory }),
            false => Ok(()),
        }
    }

    fn write_into(&self, directory: &Path) -> Result<(), FileError> {
        files::create_directory(directory)?;
        let node = NodeFile {
            cluster: self.cluster.clone(),
            node: self.node.number(),
        };
        let node = toml::to_string(&node).expect("two plain values");
        files::create(&directory.join("node.toml"), PUBLIC, node.as_bytes())?;
        files::create(
            &directory.join("certificate.der"),
            PUBLIC,
            &self.certificate_der,
        )?;
        files::create(&directory.join("key.der"), SECRET, &self.key_der)?;
        files::create(&directory.join("secret"), SECRET, &self.secret)?;
        if let Some(peer) = &self.peer_der {
            files::create(&directory.join("peer.der"), PUBLIC, peer)?;
        }
        files::sync_parent(&directory.join("node.toml"))
    }

    /// Remembers the certificate of the peer, in place of any other.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn write_peer(state_dir: &Path, peer_der: &[u8]) -> Result<(), IdentityError> {
        let path = Places::new(state_dir).identity.join("peer.der");
        Ok(files::replace(&path, PUBLIC, peer_der)?)
    }

    /// Removes identity and token: a pairing that failed leaves nothing behind.
    pub(crate) fn remove(state_dir: &Path) -> Result<(), FileError> {
        let places = Places::new(state_dir);
        fs::remove_dir_all(&places.identity).map_err(files::failed("remove", &places.identity))?;
        fs::remove_file(&places.token).map_err(files::failed("remove", &places.token))?;
        files::sync_parent(&places.identity)
    }

    /// Writes the identities of both nodes at once, without a network: for tests and images.
    ///
    /// # Errors
    /// [`IdentityError`]; what was written by then is removed.
    pub fn write_pair(state_dir1: &Path, state_dir2: &Path) -> Result<(), IdentityError> {
        let mut one = Self::draw()?;
        let mut two = Self::draw_for(NodeId::Two, one.cluster.clone(), one.secret)?;
        one.peer_der = Some(two.certificate_der.clone());
        two.peer_der = Some(one.certificate_der.clone());
        let token = new_token()?;
        one.write(state_dir1, &token)?;
        two.write(state_dir2, &token).inspect_err(|_| {
            // The error that is reported is the first one.
            let _ = Self::remove(state_dir1);
        })
    }
}

/// Forgets everything of this node: the state of its modules, its token, its keys. What is gone
/// already is no error.
///
/// # Errors
/// Something cannot be removed.
pub fn leave(state_dir: &Path) -> Result<(), FileError> {
    let places = Places::new(state_dir);
    files::remove(&places.token)?;
    for directory in [state_dir.join("modules"), places.identity] {
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(files::failed("remove", &directory)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    files::sync_parent(&places.token)
}

/// Reads the token of the API.
///
/// # Errors
/// It is missing or empty.
pub fn read_token(state_dir: &Path) -> Result<String, IdentityError> {
    let path = Places::new(state_dir).token;
    let token = String::from_utf8(files::read(&path)?).unwrap_or_default();
    match token.trim() {
        "" => Err(IdentityError::Damaged { path }),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn a_pair_knows_each_other() {
        let (a, b) = (directory(), directory());
        Identity::write_pair(a.path(), b.path()).expect("empty directories");
        let one = Identity::read(a.path()).expect("just written");
        let two = Identity::read(b.path()).expect("just written");
        assert_eq!((one.node, two.node), (NodeId::One, NodeId::Two));
        assert_eq!(one.peer_der.as_ref(), Some(&two.certificate_der));
        assert_eq!(two.peer_der.as_ref(), Some(&one.certificate_der));
        assert_eq!((&one.cluster, one.secret), (&two.cluster, two.secret));
        let token = read_token(a.path()).expect("just written");
        assert_eq!(token, read_token(b.path()).expect("just written"));
        assert_eq!(token.len(), 64);
    }

    #[test]
    fn keys_secrets_and_tokens_are_for_root_only() {
        let (a, b) = (directory(), directory());
        Identity::write_pair(a.path(), b.path()).expect("empty directories");
        for name in ["token", "identity/key.der", "identity/secret"] {
            let mode = fs::metadata(a.path().join(name)).expect("it is there");
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn an_identity_is_never_overwritten() {
        let (a, b) = (directory(), directory());
        Identity::write_pair(a.path(), b.path()).expect("empty directories");
        let before = Identity::read(a.path()).expect("just written");
        let c = directory();
        assert!(matches!(
            Identity::write_pair(c.path(), a.path()),
            Err(IdentityError::Exists { .. })
        ));
        let after = Identity::read(a.path()).expect("untouched");
        assert_eq!(before.key_der, after.key_der);
        assert!(!c.path().join("identity").exists(), "undone");
        assert!(!c.path().join("token").exists(), "undone");
    }

    #[test]
    fn a_node_without_identity_is_told_what_to_do() {
        let error = Identity::read(directory().path()).expect_err("there is none");
        assert!(error.to_string().contains("cluster init"));
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex::<2>(&hex(&[0, 255])), Some([0, 255]));
        for text in ["", "0", "00f", "zz00", "+1+1", "éé"] {
            assert_eq!(unhex::<2>(text), None, "{text}");
        }
    }
}
