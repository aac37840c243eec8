//! Shows two nodes that the same password was typed on both, and nothing else to anybody: SPAKE2.
//!
//! Who listens learns nothing, and who talks to one of them with a wrong password may test that one
//! password, once. Both proofs depend on the TLS connection and on both certificates, so somebody in
//! the middle, who has two connections, can hand neither on.

use crate::identity::fingerprint;
use spake2::{Ed25519Group, Identity, Password, Spake2};

/// One connection between two nodes.
pub(super) struct Connection {
    /// A value that only its two ends have.
    pub exported: [u8; 32],
    /// What node1 showed.
    pub certificate1: Vec<u8>,
    /// What node2 showed.
    pub certificate2: Vec<u8>,
}

/// Which end of it this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Node1,
    Node2,
}

/// One side, which has said its first word.
pub(super) struct Opening {
    state: Spake2<Ed25519Group>,
    connection: Connection,
    /// For the other side.
    pub message: Vec<u8>,
}

/// What only somebody who knows the password can say, on this connection.
pub(super) struct Proofs {
    pub node1: blake3::Hash,
    pub node2: blake3::Hash,
}

impl Opening {
    /// Draws this side's secret.
    pub(super) fn new(end: End, password: &str, connection: Connection) -> Self {
        let password = Password::new(password.as_bytes());
        let node1 = Identity::new(&fingerprint(&connection.certificate1));
        let node2 = Identity::new(&fingerprint(&connection.certificate2));
        let (state, message) = match end {
            End::Node1 => Spake2::<Ed25519Group>::start_a(&password, &node1, &node2),
            End::Node2 => Spake2::<Ed25519Group>::start_b(&password, &node1, &node2),
        };
        Self {
            state,
            connection,
            message,
        }
    }

    /// The proofs of both sides, once the other one's first word is there. `None`: that was none.
    pub(super) fn proofs(self, theirs: &[u8]) -> Option<Proofs> {
        let shared = self.state.finish(theirs).ok()?;
        let key = blake3::derive_key("tandem 2026 setup", &shared);
        let proof = |role: &str| {
            let mut hasher = blake3::Hasher::new_keyed(&key);
            hasher.update(role.as_bytes());
            hasher.update(&self.connection.exported);
            hasher.update(blake3::hash(&self.connection.certificate1).as_bytes());
            hasher.update(blake3::hash(&self.connection.certificate2).as_bytes());
            hasher.finalize()
        };
        Some(Proofs {
            node1: proof("node1"),
            node2: proof("node2"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(exported: u8) -> Connection {
        Connection {
            exported: [exported; 32],
            certificate1: vec![1],
            certificate2: vec![2],
        }
    }

    fn meet(one: Opening, two: Opening) -> [Proofs; 2] {
        let (first, second) = (one.message.clone(), two.message.clone());
        let one = one.proofs(&second).expect("a first word");
        [one, two.proofs(&first).expect("a first word")]
    }

    #[test]
    fn the_same_password_on_the_same_connection_proves_itself_both_ways() {
        let one = Opening::new(End::Node1, "secret", connection(7));
        let two = Opening::new(End::Node2, "secret", connection(7));
        let [one, two] = meet(one, two);
        assert_eq!((one.node1, one.node2), (two.node1, two.node2));
        assert_ne!(
            one.node1, one.node2,
            "no proof can be sent back as the other"
        );
    }

    #[test]
    fn another_password_connection_or_certificate_proves_nothing() {
        let other_certificate = Connection {
            certificate2: vec![3],
            ..connection(7)
        };
        for two in [
            Opening::new(End::Node2, "Secret", connection(7)),
            Opening::new(End::Node2, "secret", connection(8)),
            Opening::new(End::Node2, "secret", other_certificate),
        ] {
            let one = Opening::new(End::Node1, "secret", connection(7));
            let [one, two] = meet(one, two);
            assert_ne!(one.node1, two.node1);
            assert_ne!(one.node2, two.node2);
        }
    }

    #[test]
    fn garbage_is_no_first_word() {
        for garbage in [&[][..], &[0x42; 5], &[0xff; 33]] {
            let one = Opening::new(End::Node1, "secret", connection(7));
            assert!(one.proofs(garbage).is_none());
        }
    }
}
