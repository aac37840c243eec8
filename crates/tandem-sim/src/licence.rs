//! The end of the time without a licence, as both daemons tell their cores, and whether it is an end:
//! until an operator asks for something, no node begins to serve.

use crate::world::{NODES, World};
use tandem_core::{Event, NodeId, State};

impl World {
    /// Both daemons say that the time without a licence is over; either may be the first.
    pub(crate) fn end_licence(&mut self) {
        // Where a swap is under way it may come to its end first.
        let settled = self.paired().is_some() && NODES.into_iter().all(|node| self.runs(node));
        let first = self.random.pick(&NODES);
        for node in [first, first.peer()] {
            if self.runs(node) {
                self.note(node, || "-------- the licence ended".to_owned());
                self.feed(node, Event::LicenceEnded);
            }
        }
        self.licence_ended = settled;
    }

    /// A node went from one state to another.
    pub(crate) fn check_licence_end(&mut self, node: NodeId, before: State, after: State) {
        if self.licence_ended && !before.serves() && after.serves() {
            self.violate(
                "licence-end",
                format!("{node} begins to serve after the end of the licence, unasked"),
            );
        }
    }
}
