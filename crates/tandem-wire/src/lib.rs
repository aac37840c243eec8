//! Translates: the only place that fixes bytes that another process, another node, a later release
//! or a person's script will read. No IO.
//!
//! - [`stream`]: mirror to mirror, the one ordered stream of a module
//! - [`local`]: daemon to mirror on one node
//! - [`peer`]: core to core, on every channel
//! - [`durable`]: the state file
//! - [`api`]: the JSON of the HTTP API and of `tandem status --json`
#![forbid(unsafe_code)]

pub mod api;
pub mod durable;
pub mod local;
pub mod peer;
pub mod stream;
