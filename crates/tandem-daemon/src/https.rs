//! HTTPS for browsers: a certificate and a key below the state directory, or none, which means
//! HTTP. It has nothing to do with the keys by which the nodes know each other.

pub(crate) mod console;

use crate::config::Node;
use crate::files::{self, FileError, PUBLIC, SECRET};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedCipherSuite};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tandem_doctor::look::certificate;
use tandem_wire::api::CertificateStatus;
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
    /// What somebody sent.
    #[error("this is no {0} as PEM: a text that begins with -----BEGIN")]
    Sent(&'static str),
    /// Certificate and key.
    #[error("use the certificate and the key of the console")]
    Unusable(#[source] rustls::Error),
    /// A new certificate.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
}

/// How much of a name is shown: the other node's daemon takes 64 KiB in all.
const SUBJECT_MAX: usize = 100;
/// What the name of a certificate begins with that Tandem makes.
const MADE_HERE: &str = "Tandem on ";

/// The certificate's place, and the key's. Another certificate is put there by copying.
#[must_use]
pub fn places(state_dir: &Path) -> [PathBuf; 2] {
    ["certificate.pem", "key.pem"].map(|name| state_dir.join("https").join(name))
}

/// What accepts browsers, if there is a certificate.
pub(crate) fn acceptor(state_dir: &Path) -> Result<Option<TlsAcceptor>, HttpsError> {
    let places = places(state_dir);
    match places[0].exists() {
        true => acceptor_of(&places).map(Some),
        false => Ok(None),
    }
}

/// What accepts browsers with this certificate and key.
pub(crate) fn acceptor_of([certificate, key]: &[PathBuf; 2]) -> Result<TlsAcceptor, HttpsError> {
    let config = server_config(certificate, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What answers browsers with a certificate; fails if the key is another one's.
fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, HttpsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| HttpsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(pem(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    answering(chain, key)
}

fn answering(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, HttpsError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(HttpsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What the certificate that browsers are answered with says of itself, if there is one.
pub(crate) fn status(state_dir: &Path) -> Result<Option<CertificateStatus>, HttpsError> {
    let [path, _] = places(state_dir);
    if !path.exists() {
        return Ok(None);
    }
    let shown = fingerprint(&path)?;
    let der =
        CertificateDer::from_pem_file(&path).map_err(|source| HttpsError::Pem { path, source })?;
    let read = certificate::read(&der);
    Ok(Some(read.map_or_else(CertificateStatus::default, |read| {
        CertificateStatus {
            made_here: read.self_signed && read.subject.starts_with(MADE_HERE),
            subject: read.subject.chars().take(SUBJECT_MAX).collect(),
            fingerprint: shown,
            from_ms: read.from.saturating_mul(1000),
            until_ms: read.until.saturating_mul(1000),
        }
    })))
}

/// SHA-256 of a certificate, as browsers show it.
pub(crate) fn fingerprint(certificate: &Path) -> Result<String, HttpsError> {
    let path = certificate.to_owned();
    let der = CertificateDer::from_pem_file(certificate)
        .map_err(|source| HttpsError::Pem { path, source })?;
    // The hash function of a cipher suite: nothing else here needs one of its own.
    let SupportedCipherSuite::Tls13(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("a suite of TLS 1.3 is one");
    };
    let hash = suite.common.hash_provider.hash(&der);
    let bytes = hash.as_ref().iter().map(|byte| format!("{byte:02X}"));
    Ok(bytes.collect::<Vec<_>>().join(":"))
}

/// Makes a certificate for a node that it signs itself, unless there is one.
///
/// # Errors
/// [`HttpsError`]
pub fn enable(state_dir: &Path, node: &Node) -> Result<(), HttpsError> {
    match places(state_dir)[0].exists() {
        true => Ok(()),
        false => renew(state_dir, node),
    }
}

/// Makes a new certificate for a node that it signs itself, whatever there is.
///
/// # Errors
/// [`HttpsError`]
pub fn renew(state_dir: &Path, node: &Node) -> Result<(), HttpsError> {
    let names = vec![node.name.clone(), node.address.to_string()];
    make(state_dir, &node.name, names)
}

/// Makes a certificate that this machine signs itself.
pub(crate) fn make(state_dir: &Path, of: &str, names: Vec<String>) -> Result<(), HttpsError> {
    let mut parameters = CertificateParams::new(names).map_err(HttpsError::Make)?;
    // What browsers show as its name.
    parameters.distinguished_name = DistinguishedName::new();
    let name = format!("{MADE_HERE}{of}");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().map_err(HttpsError::Make)?;
    let made = parameters.self_signed(&key).map_err(HttpsError::Make)?;
    put(
        state_dir,
        made.pem().as_bytes(),
        key.serialize_pem().as_bytes(),
    )
}

/// Takes over the certificate that lies below another directory; people have accepted it.
pub(crate) fn adopt(state_dir: &Path, from: &Path) -> Result<(), HttpsError> {
    let [certificate, key] = places(from);
    put(state_dir, &files::read(&certificate)?, &files::read(&key)?)
}

/// Puts a certificate (and those that it is signed with) and its key in place, if browsers can be
/// answered with them.
///
/// # Errors
/// [`HttpsError`]; nothing was changed then, unless a file could not be written.
pub fn install(state_dir: &Path, certificate: &Path, key: &Path) -> Result<(), HttpsError> {
    server_config(certificate, key)?;
    put(state_dir, &files::read(certificate)?, &files::read(key)?)
}

/// Puts a certificate and its key in place that somebody sent, if browsers can be answered with them.
fn install_sent(state_dir: &Path, certificate: &str, key: &str) -> Result<(), HttpsError> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty());
    let chain = chain.ok_or(HttpsError::Sent("certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let private = private.map_err(|_| HttpsError::Sent("key"))?;
    answering(chain, private)?;
    put(state_dir, certificate.as_bytes(), key.as_bytes())
}

/// The certificate last: it is what counts. After a crash between the two the daemon says that they
/// do not belong together, and whoever did this does it again.
pub(crate) fn put(state_dir: &Path, certificate: &[u8], key: &[u8]) -> Result<(), HttpsError> {
    files::create_directory(&state_dir.join("https"))?;
    let [certificate_place, key_place] = places(state_dir);
    files::replace(&key_place, SECRET, key)?;
    files::replace(&certificate_place, PUBLIC, certificate)?;
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
    // It stays when somebody else keeps something in it.
    let _ = fs::remove_dir(state_dir.join("https"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            name: "h1".to_owned(),
            address: "192.0.2.1".parse().expect("an address"),
            heartbeat: Vec::new(),
        }
    }

    #[test]
    fn an_own_certificate_is_taken_with_its_own_key_only_and_a_new_one_is_made_on_request() {
        let directory = tempfile::tempdir().expect("a directory");
        let [state, other] = ["state", "other"].map(|name| directory.path().join(name));
        enable(&state, &node()).expect("made");
        enable(&other, &node()).expect("made");
        let read = |state: &Path| places(state).map(|path| files::read(&path).expect("there"));
        let before = read(&state);
        enable(&state, &node()).expect("there is one");
        assert_eq!(read(&state), before);
        let [theirs, their_key] = places(&other);
        let [_, own_key] = places(&state);
        let refused = install(&state, &theirs, &own_key);
        assert!(
            matches!(refused, Err(HttpsError::Unusable(_))),
            "{refused:?}"
        );
        let refused = install(&state, &their_key, &their_key);
        assert!(refused.is_err(), "a key is no certificate");
        assert_eq!(read(&state), before, "nothing was changed");
        install(&state, &theirs, &their_key).expect("they belong together");
        assert_eq!(read(&state), read(&other));
        assert!(acceptor(&state).expect("usable").is_some());
        renew(&state, &node()).expect("made");
        assert_ne!(read(&state), read(&other));
        assert!(acceptor(&state).expect("usable").is_some());
    }

    #[test]
    fn what_is_sent_is_taken_whole_or_refused_with_the_reason_and_shown_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let [state, other] = ["state", "other"].map(|name| directory.path().join(name));
        assert_eq!(status(&state).expect("nothing there"), None);
        enable(&state, &node()).expect("made");
        let made = status(&state).expect("readable").expect("there");
        assert_eq!((&*made.subject, made.made_here), ("Tandem on h1", true));
        assert!(made.from_ms < made.until_ms);
        let own = rcgen::generate_simple_self_signed(vec!["h1".to_owned()]).expect("made");
        let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        enable(&other, &node()).expect("made");
        let read = |state: &Path| places(state).map(|path| files::read(&path).expect("there"));
        let [_, their_key] = read(&other).map(|bytes| String::from_utf8(bytes).expect("PEM"));
        let before = read(&state);
        for (certificate, key, reason) in [
            ("", &*key, "no certificate as PEM"),
            (&*key, &*key, "no certificate as PEM"),
            (&*certificate, &*certificate, "no key as PEM"),
            (
                &*certificate,
                &*their_key,
                "use the certificate and the key",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
                &*key,
                "use the",
            ),
        ] {
            let refused = install_sent(&state, certificate, key).expect_err("refused");
            assert!(refused.to_string().contains(reason), "{refused}");
            assert_eq!(read(&state), before, "nothing was changed");
        }
        install_sent(&state, &certificate, &key).expect("they belong together");
        let now = status(&state).expect("readable").expect("there");
        assert!(!now.made_here);
        assert_ne!(now.fingerprint, made.fingerprint);
    }
}
