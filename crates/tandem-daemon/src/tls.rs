//! TLS 1.3 between daemons: both sides show a certificate, and each knows exactly which one it
//! expects. No authority, no names, no dates.

use crate::identity::{FINGERPRINT_BYTES, Identity, fingerprint};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    Error, ServerConfig, SignatureScheme,
};
use std::sync::Arc;

/// The application protocol of the control link.
pub(crate) const CONTROL: &[u8] = b"tandem-control";
/// The application protocol of pairing.
pub(crate) const PAIRING: &[u8] = b"tandem-pairing";

/// The application protocol of set-up.
pub(crate) const SETUP: &[u8] = b"tandem-setup";

/// Which certificate the other side must show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// This one.
    Exactly(Vec<u8>),
    /// The one with this fingerprint: pairing, node2.
    Fingerprint([u8; FINGERPRINT_BYTES]),
    /// Any, as long as its owner has the key: pairing, node1; set-up. Who it is, is proven
    /// afterwards.
    Any,
}

#[derive(Debug)]
struct Pinned {
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let matches = match &self.expected {
            Expected::Exactly(expected) => certificate.as_ref() == expected.as_slice(),
            Expected::Fingerprint(expected) => fingerprint(certificate) == *expected,
            Expected::Any => true,
        };
        match matches {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// TLS 1.2 is not offered, so its signatures are never asked for.
fn never() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn pinned(expected: Expected) -> (Arc<Pinned>, Arc<CryptoProvider>) {
    let provider = Arc::new(ring::default_provider());
    let pinned = Pinned {
        expected,
        provider: provider.clone(),
    };
    (Arc::new(pinned), provider)
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der.clone()))
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from(identity.certificate_der.clone())]
}

/// The side that connects.
///
/// # Errors
/// This node's own key cannot be used.
pub(crate) fn client(
    identity: &Identity,
    expected: Expected,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, Error> {
    let (pinned, provider) = pinned(expected);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_auth_cert(chain(identity), key(identity))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    // A resumed session would skip the certificates.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The side that accepts.
///
/// # Errors
/// This node's own key cannot be used.
pub(crate) fn server(
    identity: &Identity,
    expected: Expected,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, Error> {
    let (pinned, provider) = pinned(expected);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(pinned)
        .with_single_cert(chain(identity), key(identity))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Whether a handshake failed because the other side is somebody else.
pub(crate) fn is_foreign(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(Error::InvalidCertificate(_)))
}

/// Whether the other side ended the connection because this node is somebody else to it.
pub(crate) fn is_not_accepted(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    // What `Pinned` refuses, TLS tells as this.
    matches!(
        inner,
        Some(Error::AlertReceived(AlertDescription::AccessDenied))
    )
}

/// The name in the handshake; nobody looks at it.
pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("tandem").expect("a valid name")
}
