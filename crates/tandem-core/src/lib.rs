//! Decides who serves.
//!
//! One [`Node`] is the automaton of one module on one node. It is pure: events and the time go in,
//! effects come out in one ordered queue, and nothing here performs IO, reads a clock, blocks or
//! fails. The daemon and the simulator are two interpreters of the same [`Effect`]s.
//!
//! The rules that it keeps are R1 to R8 of `docs/safety.md`; the transition table is
//! [`table::transition`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

/// Whether a seeded wrong change is on; always false in a build without the feature.
#[cfg(feature = "mutations")]
macro_rules! mutated {
    ($at:expr, $name:ident) => {
        $at.mutation == Some($crate::mutation::Mutation::$name)
    };
}
#[cfg(not(feature = "mutations"))]
macro_rules! mutated {
    ($at:expr, $name:ident) => {
        false
    };
}

pub mod config;
pub mod contact;
pub mod effect;
pub mod event;
pub mod ids;
pub mod message;
#[cfg(feature = "mutations")]
pub mod mutation;
pub mod node;
pub mod record;
pub mod table;
pub mod time;
pub mod view;
pub mod voters;

pub use config::Config;
pub use effect::{Answer, Effect, MirrorCommand, ServiceStop};
pub use event::{
    CheckerAction, Command, Event, MirrorFault, MirrorRole, MirrorStatus, PeerCopy, ServiceFailure,
    Switch,
};
pub use ids::{
    ChannelId, CheckerId, CommandId, ConfigurationDigest, EffectId, Epoch, GenerationId,
    Incarnation, NodeId, Nonce, Sequence, Version,
};
pub use message::{Grant, MirrorReport, PeerMessage};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use node::Node;
pub use record::{Durable, InSync, Kinship, Lineage, Move, Record, Switches, Trust};
pub use table::{Cause, Row, State};
pub use time::Instant;
pub use view::{DataState, DivergenceView, PeerView, SideView, Tone, View};
pub use voters::{Vote, Voter};
