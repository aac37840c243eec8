//! Sees one module's changes of role and alarms, and has people told of them. How they are told,
//! and how often that is tried, is the notifier's business; nothing here waits.
//!
//! The first picture after the start of a daemon is no change: a daemon that was restarted beside a
//! serving mirror wakes nobody.

use crate::config::{Configuration, Place};
use crate::snapshot::{Decision, Snapshot};
use tandem_console::notify::{Notice, Notifier};
use tandem_console::unix_ms;
use tandem_core::{NodeId, State};
use tandem_wire::api::{colour_word, data_words};

/// One module's herald on this node.
pub(crate) struct Herald {
    notifier: Notifier,
    /// What never changes.
    frame: Notice,
    seen: Option<State>,
}

impl Herald {
    pub(crate) fn new(
        configuration: &Configuration,
        node: NodeId,
        place: Place,
        notifier: Notifier,
    ) -> Self {
        let frame = Notice {
            cluster: configuration.cluster.clone(),
            module: configuration.modules[place.0].name.clone(),
            node: node.number(),
            node_name: configuration.node(node).name.clone(),
            ..Notice::default()
        };
        Self {
            notifier,
            frame,
            seen: None,
        }
    }

    /// A new picture.
    pub(crate) fn see(&mut self, picture: &Snapshot) {
        let was = self.seen.replace(picture.state);
        let now = Notice {
            state: picture.state.to_string(),
            colour: colour_word(picture.state, picture.tone).to_owned(),
            data: data_words(picture.data),
            ..self.frame.clone()
        };
        if let Some(was) = was.filter(|was| *was != picture.state) {
            self.notifier.tell(&Notice {
                kind: "role",
                at_ms: unix_ms(),
                was: was.to_string(),
                reason: picture.reason.clone(),
                ..now.clone()
            });
        }
        self.frame = now;
    }

    /// A decision: told if somebody must look.
    pub(crate) fn decided(&self, decision: &Decision) {
        if decision.alarm {
            self.notifier.tell(&Notice {
                kind: "alarm",
                at_ms: unix_ms(),
                was: self.frame.state.clone(),
                reason: decision.because.clone(),
                ..self.frame.clone()
            });
        }
    }
}
