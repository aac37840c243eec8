//! Touches: the operating system of one node as the control plane needs it. Services, the virtual
//! address, checkers, durable state, clocks, memory.
//!
//! There is no policy here: nothing knows a role, a record or an epoch. The daemon calls, and is
//! told what happened. What is particular to Linux lies in the `linux` module; what stands beside
//! it (the state file's format, the order of services, the counting of checkers) is portable.

pub mod checker;
pub mod service;
pub mod state;

mod durable;
mod linux;
mod probe;

pub use linux::{address, clock, memory, ping, priority, setup, systemd};
