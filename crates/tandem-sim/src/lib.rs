//! Doubts: runs two real [`tandem_core::Node`]s in a simulated world, breaks what can break, and
//! checks what must hold.
//!
//! A seed is a whole history: virtual time, one queue of happenings ([`queue`]), one source of
//! chance ([`random`]). The world ([`world`]) has two machines ([`host`]) with clocks of their own
//! ([`clock`]), wires between them ([`network`]), the interpreter of a core's effects ([`daemon`],
//! [`effects`]), a model of the mirror ([`mirror`], [`process`], [`orders`], [`serving`],
//! [`stream`], [`following`]), operators ([`operator`]), faults ([`faults`]) and a player
//! ([`scenario`]) of the files in `scenarios/` ([`language`]). What really happened ([`truth`]) is
//! kept apart from what the cores believe, and the named checkers ([`checkers`]) compare the two.
//!
//! It is never shipped, and deliberately does not simulate bytes, files or names: a write is a
//! number in a set ([`content`]).

pub mod checkers;
pub mod clock;
pub mod content;
pub mod daemon;
pub mod effects;
pub mod faults;
pub mod following;
pub mod full_sync;
pub mod host;
pub mod language;
pub mod licence;
pub mod mirror;
pub mod mutation;
pub mod network;
pub mod operator;
pub mod orders;
pub mod process;
pub mod queue;
pub mod random;
pub mod run;
pub mod scenario;
pub mod serving;
pub mod settings;
pub mod statistics;
pub mod stream;
pub mod trace;
pub mod truth;
pub mod world;
