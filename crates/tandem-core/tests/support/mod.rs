//! What several tests say in the name of the other node.

use core::time::Duration;
use tandem_core::{
    ConfigurationDigest, DataState, Incarnation, MirrorReport, NodeId, Nonce, PeerMessage, State,
    Tone,
};

/// A message of node2, which is a ready standby and knows of no record.
pub fn message(nonce: u64, seen: Option<Nonce>) -> Box<PeerMessage> {
    Box::new(PeerMessage {
        from: NodeId::Two,
        incarnation: Incarnation(7),
        nonce: Nonce(nonce),
        seen,
        grant: None,
        answer_wanted: false,
        state: State::Second,
        tone: Tone::Ready,
        data: DataState::Uptodate,
        record: None,
        proposal: None,
        leaving: false,
        swap_wanted: false,
        mirror: MirrorReport::default(),
        configuration: ConfigurationDigest(0),
        state_write_age: Duration::ZERO,
        mirror_age: Duration::ZERO,
        data_bytes: 0,
        moved_for: None,
        resync_percent: None,
    })
}
