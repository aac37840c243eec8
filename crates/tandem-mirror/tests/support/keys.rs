//! Keys of two nodes, made for a test.

use tandem_mirror::transport::Identity;

/// A self-signed certificate and its key.
#[derive(Clone)]
pub struct Keys {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl Keys {
    pub fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("make a key");
        Self {
            certificate: made.cert.der().to_vec(),
            key: made.signing_key.serialize_der(),
        }
    }

    pub fn trusting(&self, peer: &Self) -> Identity {
        Identity {
            certificate_der: self.certificate.clone(),
            key_der: self.key.clone(),
            peer_certificate_der: peer.certificate.clone(),
        }
    }
}

/// The identities of node 1 and node 2 of one cluster.
pub fn pair() -> (Identity, Identity) {
    let (one, two) = (Keys::new("one"), Keys::new("two"));
    (one.trusting(&two), two.trusting(&one))
}
