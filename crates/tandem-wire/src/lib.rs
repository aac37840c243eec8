//! Translates: the only place that fixes bytes that another process, another node, a later release
//! or a person's script will read. No IO.
//!
//! - [`stream`]: mirror to mirror, the one ordered stream of a module
//! - [`local`]: daemon to mirror on one node
//! - [`peer`]: core to core, on every channel
//! - [`control`]: daemon to daemon, the frames of the control link
//! - [`durable`]: the state file
//! - [`exclude`]: what of a volume is not mirrored, as configured
//! - [`position`]: the small files of a mirror
//! - [`debt`]: what a mirror that ends in good order leaves about its peer's copy
//! - [`api`]: the JSON of the HTTP API and of `tandem status --json`
#![forbid(unsafe_code)]

pub mod api;
pub mod control;
pub mod debt;
pub mod durable;
pub mod exclude;
pub mod local;
pub mod peer;
pub mod position;
mod record;
pub mod stream;

pub use record::Impossible;
