//! The socket of the daemon.
