//! What a trace says of events, effects and records, in short.

use crate::network::place;
use crate::world::World;
use tandem_core::{Effect, Event, InSync, NodeId, Record};

impl World {
    /// Events in the trace; of the mirror's reports only those that say something new.
    pub(crate) fn note_event(&mut self, node: NodeId, event: &Event) {
        let text = match event {
            Event::Ticked | Event::Received { .. } => return,
            Event::MirrorReported(status) => {
                let text = format!(
                    "mirror: {:?}, peer {:?}{}{}{}{}",
                    status.role,
                    status.peer,
                    if status.stalled { ", stalled" } else { "" },
                    if status.level { ", level" } else { "" },
                    if status.lapsed { ", lapsed" } else { "" },
                    status
                        .fault
                        .as_ref()
                        .map_or(String::new(), |f| format!(", {f:?}")),
                );
                let said = self.hosts[place(node)]
                    .daemon
                    .as_mut()
                    .map(|d| core::mem::replace(&mut d.said, text.clone()));
                if said.as_ref() == Some(&text) {
                    return;
                }
                text
            }
            event => format!("{event:?}"),
        };
        self.note(node, || text);
    }
}

/// An effect in the trace; records in short.
#[must_use]
pub fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Persist { id, durable } => format!(
            "Persist({}) record {}, proposal {}, {:?}",
            id.0,
            record_text(durable.record.as_ref()),
            record_text(durable.proposal.as_ref()),
            durable.wanted
        ),
        Effect::Decided { row, because } => match row {
            Some(row) => format!("{row}: {because}"),
            None => because.clone(),
        },
        effect => format!("{effect:?}"),
    }
}

/// A record in short.
#[must_use]
pub fn record_text(record: Option<&Record>) -> String {
    let Some(record) = record else {
        return "none".into();
    };
    let insync = match record.insync {
        InSync::Both => "both",
        InSync::Only(NodeId::One) => "{1}",
        InSync::Only(NodeId::Two) => "{2}",
    };
    let mark = |set: bool, word: &'static str| if set { word } else { "" };
    format!(
        "v{} e{} {} {insync} {}{}{}{}",
        record.version,
        record.epoch,
        record.holder,
        record.lineage.current,
        mark(record.clean, " clean"),
        mark(!record.confirmed, " unconfirmed"),
        mark(record.forced, " forced"),
    )
}
