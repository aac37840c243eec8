//! What people and the console see of a node.

use crate::ids::{Epoch, GenerationId, NodeId};
use crate::record::{Record, Switches};
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

/// One side of a divergence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SideView {
    /// The line of history that only this side has.
    pub generation: GenerationId,
    /// Its term of service.
    pub epoch: Epoch,
    /// The content of its copy in bytes.
    pub data_bytes: u64,
    /// Whether it serves.
    pub serves: bool,
}

/// A divergence as both nodes show it, until an operator has chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DivergenceView {
    /// This node's side.
    pub mine: SideView,
    /// The other node's side.
    pub theirs: SideView,
    /// The newest generation that both have; `None`: the copies are unrelated.
    pub common: Option<GenerationId>,
    /// The node whose side goes on meanwhile.
    pub goes_on: NodeId,
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
    /// What the operator switched on and off here.
    pub switches: Switches,
    /// How many restarts in place of the budget are used up.
    pub restarts_used: u8,
    /// Both nodes served without each other: what each has.
    pub divergence: Option<DivergenceView>,
    /// The epoch of the record.
    pub epoch: Epoch,
    /// The record on disk.
    pub record: Option<&'a Record>,
    /// Until when this node may serve.
    pub permit_until: Option<Instant>,
    /// The other node, if it was ever heard.
    pub peer: Option<PeerView>,
}
