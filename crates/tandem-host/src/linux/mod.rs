//! What is particular to Linux: netlink and packet sockets, D-Bus to systemd, `/proc`, file locks.

pub mod address;
pub mod clock;
pub mod memory;
pub mod ping;
pub mod priority;
pub mod setup;
pub mod systemd;

mod arp;
mod ndp;
mod netlink;
mod packet;

pub(crate) mod cgroup;
pub(crate) mod command;
pub(crate) mod lock;
pub(crate) mod packages;
pub(crate) mod process;
pub(crate) mod remains;
pub(crate) mod shell;
pub(crate) mod unit;
