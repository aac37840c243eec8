//! What people and the console see of a node.

use crate::ids::{Epoch, NodeId};
use crate::record::Record;
use crate::table::State;
use crate::time::Instant;
use alloc::string::String;

/// The colour of a state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tone {
    /// Green.
    Ready,
    /// Magenta.
    Transient,
    /// Red.
    #[default]
    NotReady,
}

/// The data column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DataState {
    /// Member of insync, and not told to stop.
    Uptodate,
    /// Not a member of insync.
    #[default]
    NotUptodate,
    /// Being resynchronised, in percent.
    Resyncing(u8),
    /// Neither the old nor the new state is complete.
    Inconsistent,
    /// Both nodes served; an operator must choose.
    Diverged,
}

/// The peer as this node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// Its state when it was last heard.
    pub state: State,
    /// Its colour.
    pub tone: Tone,
    /// Its data column.
    pub data: DataState,
    /// When it was last heard.
    pub heard: Instant,
    /// Whether it is silent on every channel past the time-out.
    pub silent: bool,
}

/// One node's automaton, read-only.
#[derive(Clone, PartialEq, Debug)]
pub struct View<'a> {
    /// This node.
    pub node: NodeId,
    /// Its state.
    pub state: State,
    /// Its colour.
    pub tone: Tone,
    /// Its data column.
    pub data: DataState,
    /// Why it is in this state, or what it waits for, as one sentence.
    pub reason: &'a str,
    /// What the operator may do about it, if anything is needed.
    pub advice: Option<&'a str>,
    /// A promise that does not hold at present, as a sentence ("the other node may hold newer
    /// writes").
    pub warning: Option<String>,
    /// When the state began.
    pub since: Instant,
    /// The epoch of the record.
    pub epoch: Epoch,
    /// The record on disk.
    pub record: Option<&'a Record>,
    /// Until when this node may serve.
    pub permit_until: Option<Instant>,
    /// The other node, if it was ever heard.
    pub peer: Option<PeerView>,
}
