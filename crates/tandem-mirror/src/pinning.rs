//! TLS 1.3 in which either side accepts exactly one certificate of the other.
//!
//! The certificate is compared byte by byte, and the handshake's signature proves that the other
//! side holds its key. Dates, names and issuers are deliberately not looked at: they would stop
//! replication where a clock is wrong, and add nothing to equality. No resumption: a session is
//! either proven or not there.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::transport::Identity;

/// What the connecting side uses.
pub(crate) fn client(identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let pin = Arc::new(Pin::new(identity));
    let (chain, key) = own(identity)?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_client_auth_cert(chain, key)?;
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// What the listening side uses.
pub(crate) fn server(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let pin = Arc::new(Pin::new(identity));
    let (chain, key) = own(identity)?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(pin)
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own(identity: &Identity) -> Result<Own, Error> {
    let certificate = CertificateDer::from(identity.certificate_der.clone());
    let key = PrivateKeyDer::try_from(identity.key_der.clone())
        .map_err(|reason| Error::General(reason.into()))?;
    Ok((vec![certificate], key))
}

#[derive(Debug)]
struct Pin {
    certificate: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl Pin {
    fn new(identity: &Identity) -> Self {
        let mut provider = ring::default_provider();
        // 128 bits are enough here, and a quarter cheaper per byte than the default's 256.
        provider.cipher_suites = vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Self {
            certificate: identity.peer_certificate_der.clone(),
            provider: Arc::new(provider),
        }
    }

    fn check(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        if others.is_empty() && shown.as_ref() == self.certificate {
            Ok(())
        } else {
            let foreign = CertificateError::ApplicationVerificationFailure;
            Err(Error::InvalidCertificate(foreign))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is offered".into())
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
