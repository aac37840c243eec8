//! What the kernel and the peer know.
