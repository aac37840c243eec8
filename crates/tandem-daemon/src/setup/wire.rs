//! What the two nodes say to each other while they are set up, over TLS, as `pairing` frames it.

use super::Transport;
use serde::{Deserialize, Serialize};

/// The version of this exchange.
pub(super) const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
pub(super) enum Message {
    /// node1: its first word.
    Begin { version: u16, opening: Vec<u8> },
    /// node2: its first word.
    Opening(Vec<u8>),
    /// node1 knows the password.
    Proof([u8; 32]),
    /// node2 knows it too, and says what node1 has to know of it.
    Ready { proof: [u8; 32], about: About },
    /// node1: what both will be.
    Offer(Box<Offer>),
    /// node2 has checked itself and stored everything. What differs without being in the way.
    Stored(Vec<String>),
    /// node1 has stored everything.
    Commit,
    /// node2: nothing is taken back any more.
    Done,
    /// The other side does not, and why.
    Refused(String),
}

/// What node1 has to know of node2.
#[derive(Serialize, Deserialize)]
pub(super) struct About {
    pub name: String,
    /// The interface on which node1 reaches it.
    pub interface: Option<String>,
    pub release: String,
    pub transport: Transport,
    /// Whether the console has accounts of an earlier time there.
    pub accounts: bool,
}

/// What both nodes will be.
#[derive(Serialize, Deserialize)]
pub(super) struct Offer {
    pub cluster: String,
    pub secret: [u8; 32],
    pub token: String,
    pub configuration: String,
    /// What must be alike on both nodes, and its mark on node1.
    pub same: Vec<(String, Option<[u8; 32]>)>,
}
