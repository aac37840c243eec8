//! The automaton (skeleton).
use crate::{Config, Effect, Event, Instant, View, event::Boot};

/// The automaton of one module on one node.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// A node that starts with what it found.
    #[must_use]
    pub fn new(_config: Config, _boot: Boot, _now: Instant) -> Self {
        Self {}
    }

    /// Takes an event in. Total: never blocks, never fails.
    pub fn handle(&mut self, _now: Instant, _event: Event) {}

    /// The next effect to carry out, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// When [`Event::Ticked`] is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::FAR
    }

    /// The node as people see it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            node: crate::NodeId::One,
            state: crate::State::Stop,
            tone: crate::Tone::NotReady,
            data: crate::DataState::NotUptodate,
            reason: "",
            advice: None,
            warning: None,
            since: Instant(0),
            epoch: crate::Epoch(0),
            record: None,
            permit_until: None,
            peer: None,
        }
    }
}
