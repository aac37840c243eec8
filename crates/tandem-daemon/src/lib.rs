//! Connects: configuration, identity, loop, links and HTTP API of one node. It carries out what
//! the core decides and decides nothing itself.
//!
//! - [`client`]: asks the daemon of this node
//! - [`config`]: the configuration file
//! - [`identity`], [`pairing`]: who this node and its peer are
//! - [`setup`]: both nodes from nothing to a cluster, step by step, or back to nothing
//! - [`check`], [`units`]: whether this machine, and the application's units, are as the
//!   configuration says
//! - [`support`]: what a person who helps needs to see
//! - [`backup`]: what of a node can be put on a new machine in its place
//! - [`license`]: the licence, and the running time without one
//! - [`doctor`]: what a machine is to be looked at for
//! - [`daemon`]: puts the parts together; they are
//!   - `reactor`: the thread that owns the core, the heartbeat networks and the mirror's socket
//!   - `state_writer`, `addresses`, `services`, `mirror_process`: the slow work
//!   - `carrier`: whether this node's own links are alive
//!   - `gateway`: whether the configured gateway answers
//!   - `link`: the control link to the other daemon
//!   - `hub`, `jobs`, `commands`, `http`, `https`: what people see and ask for
//!   - `configure`: another configuration file for this node
//!   - `accounts`: the console's users, equal on both nodes
//!   - `herald`: tells people of changes of role
//!   - `machine`: the journal of this machine, for the page; `halves`: support bundles of both nodes;
//!     `examination`: what doctor finds
//!   - `volumes`: what stands in them before the first start
//!   - `observer`: what was, for timelines and charts

mod accounts;
mod addresses;
pub mod backup;
mod carrier;
pub mod check;
pub mod client;
mod commands;
pub mod config;
mod configure;
pub mod daemon;
pub mod doctor;
mod examination;
mod files;
mod gateway;
mod halves;
mod herald;
mod http;
pub mod https;
mod hub;
pub mod identity;
mod jobs;
pub mod license;
mod link;
mod machine;
mod mirror_link;
pub mod mirror_process;
mod networks;
mod observer;
pub mod pairing;
mod reactor;
mod services;
pub mod setup;
mod snapshot;
mod state_writer;
pub mod support;
mod sys;
mod tls;
pub mod units;
mod volumes;

/// The release of this program.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// An error with everything that led to it, in one line.
#[must_use]
pub fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
