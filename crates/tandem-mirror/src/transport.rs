//! Mutual TLS 1.3 between the two mirrors.

/// The keys of this node and the certificate of the peer.
#[derive(Clone)]
pub struct Identity {
    /// This node's self-signed certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Its private key, PKCS#8 DER.
    pub key_der: Vec<u8>,
    /// The only certificate that the peer may show, DER.
    pub peer_certificate_der: Vec<u8>,
}
