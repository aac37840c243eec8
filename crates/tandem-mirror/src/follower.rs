//! The session with a serving peer.
