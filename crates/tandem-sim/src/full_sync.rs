//! Whether a copy that an operator wants compared as a whole is: once the command is answered, its
//! next stream begins with a comparison, whatever fails in between.

use crate::network::place;
use crate::world::World;
use tandem_core::{Answer, NodeId};

/// What is still owed to an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FullSync {
    /// Nothing.
    #[default]
    Settled,
    /// The command is not answered yet, and nothing was compared since.
    Asked,
    /// It is done: the next stream compares everything.
    Promised,
}

impl World {
    pub(crate) fn full_sync_asked(&mut self, node: NodeId) {
        self.hosts[place(node)].full_sync = FullSync::Asked;
    }

    pub(crate) fn full_sync_answered(&mut self, node: NodeId, answer: &Answer) {
        let host = &mut self.hosts[place(node)];
        if host.full_sync != FullSync::Asked {
            return;
        }
        host.full_sync = match answer {
            Answer::Progress(_) => FullSync::Asked,
            Answer::Refused(_) | Answer::Failed(_) => FullSync::Settled,
            Answer::Done(_) => FullSync::Promised,
        };
        let level = host.mirror.as_ref().is_some_and(|m| m.follower.level);
        if host.full_sync == FullSync::Promised && (host.volume.base.is_some() || level) {
            let text = format!("{node} has forgotten its copy, as it says, and believes it");
            self.violate("full-sync", text);
        }
    }

    /// A stream to this node begins.
    pub(crate) fn full_sync_begins(&mut self, node: NodeId, compares: bool) {
        let owed = &mut self.hosts[place(node)].full_sync;
        if compares {
            *owed = FullSync::Settled;
        } else if *owed == FullSync::Promised {
            let text = format!("a stream to {node} begins without the comparison of everything");
            self.violate("full-sync", text);
        }
    }
}
