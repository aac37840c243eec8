//! What a node says of itself over its HTTP interface.

/// The colour of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Green.
    Ready,
    /// Magenta.
    Transient,
    /// Red.
    NotReady,
}

/// The module on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// The state's word.
    pub state: String,
    /// Its colour.
    pub tone: Tone,
    /// The data column.
    pub data: String,
    /// Why, as a sentence.
    pub reason: String,
}
