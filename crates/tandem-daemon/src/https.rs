//! HTTPS for browsers: a certificate and a key below the state directory, or none, which means
//! HTTP. It has nothing to do with the keys by which the nodes know each other.

use crate::config::Node;
use crate::files::{self, FileError, PUBLIC, SECRET};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why HTTPS does not work.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in a file.
    #[error("understand {} as PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key.
    #[error("use the certificate and the key of the console")]
    Unusable(#[source] rustls::Error),
    /// A new certificate.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
}

/// The certificate's place, and the key's. Another certificate is put there by copying.
#[must_use]
pub fn places(state_dir: &Path) -> [PathBuf; 2] {
    ["certificate.pem", "key.pem"].map(|name| state_dir.join("https").join(name))
}

/// What accepts browsers, if there is a certificate.
pub(crate) fn acceptor(state_dir: &Path) -> Result<Option<TlsAcceptor>, HttpsError> {
    let [certificate, key] = places(state_dir);
    if !certificate.exists() {
        return Ok(None);
    }
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| HttpsError::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .map_err(pem(&certificate))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(pem(&key))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(HttpsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Makes a certificate for a node that it signs itself, unless there is one.
///
/// # Errors
/// [`HttpsError`]
pub fn enable(state_dir: &Path, node: &Node) -> Result<(), HttpsError> {
    let [certificate, key] = places(state_dir);
    if certificate.exists() {
        return Ok(());
    }
    files::create_directory(&state_dir.join("https"))?;
    let names = vec![node.name.clone(), node.address.to_string()];
    let made = rcgen::generate_simple_self_signed(names).map_err(HttpsError::Make)?;
    // The certificate last: it is what counts.
    files::replace(&key, SECRET, made.signing_key.serialize_pem().as_bytes())?;
    files::replace(&certificate, PUBLIC, made.cert.pem().as_bytes())?;
    Ok(())
}

/// Back to HTTP.
///
/// # Errors
/// [`HttpsError::File`]
pub fn disable(state_dir: &Path) -> Result<(), HttpsError> {
    for path in places(state_dir) {
        files::remove(&path)?;
    }
    Ok(())
}
