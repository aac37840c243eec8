//! What is particular to Linux: netlink and packet sockets, D-Bus to systemd, `/proc`, file locks.

pub mod address;
pub mod clock;
pub mod memory;
pub mod setup;
pub mod systemd;

pub(crate) mod lock;
