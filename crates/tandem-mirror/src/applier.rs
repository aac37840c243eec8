//! Applies the peer's operations.
