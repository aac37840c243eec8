//! What must be equal on both sides before a stream is accepted, and how it then goes on.
//!
//! Pure: takes what the source said and what is known here, and decides. The session carries it
//! out.

use tandem_wire::stream::{Hello, VERSION, VERSION_MIN};

use super::ledger::Origin;
use crate::MirrorConfig;

/// What is known of the stream so far.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) origin: Origin,
    pub(super) received: u64,
    /// Level and unbroken: everything up to `received` is here.
    pub(super) level: bool,
}

/// A clean standing of all volumes (see [`crate::standing`]).
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanEnd {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    /// The source whose numbers these are.
    pub(super) stream_incarnation: u64,
    pub(super) applied: u64,
}

impl CleanEnd {
    /// Whether the source goes on exactly where both recorded the same number of the same line of
    /// history. Not the session that this copy followed before: that source would take the object
    /// numbers for known, which went with the follower that knew them.
    fn is_continued_by(&self, hello: &Hello) -> bool {
        let same_session =
            self.epoch == hello.epoch && self.stream_incarnation == hello.incarnation;
        self.generation == hello.generation && self.applied == hello.applied && !same_session
    }
}

/// How a stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Continuation {
    /// The same stream, from the number after the last one received.
    Resume { from: u64 },
    /// A new stream of equal copies, from the number after a clean end.
    Equal { from: u64 },
    /// This copy is where the source's debt begins, or after it: what is owed is compared.
    Owed,
    /// Everything is compared.
    Compare,
}

/// Why the source is refused whatever the state of the stream: a sentence that names the field.
pub(super) fn objection(hello: &Hello, config: &MirrorConfig) -> Option<String> {
    let own_volumes: Vec<&str> = config.volumes.iter().map(|v| v.name.as_str()).collect();
    let differs = |field: &str, theirs: &str, ours: &str| {
        Some(format!(
            "{field} differs: the source has {theirs}, the standby {ours}"
        ))
    };
    if hello.version < VERSION_MIN || hello.version_min > VERSION {
        let theirs = format!("{} to {}", hello.version_min, hello.version);
        let ours = format!("{VERSION_MIN} to {VERSION}");
        return differs("protocol version", &theirs, &ours);
    }
    if hello.cluster != config.cluster {
        return differs("cluster", &hello.cluster, &config.cluster);
    }
    if hello.module != config.module {
        return differs("module", &hello.module, &config.module);
    }
    if hello.node != config.node.peer().number() {
        return Some(format!(
            "node differs: the source says that it is node {}, and the standby is node {}",
            hello.node,
            config.node.number()
        ));
    }
    if !hello.volumes.iter().eq(&own_volumes) {
        let theirs = hello.volumes.join(", ");
        return differs("volumes", &theirs, &own_volumes.join(", "));
    }
    if hello.configuration != config.configuration {
        let theirs = format!("{:016x}", hello.configuration);
        let ours = format!("{:016x}", config.configuration);
        return differs("configuration", &theirs, &ours);
    }
    None
}

/// How the stream goes on. Comparing is right in every case; anything else needs a proof.
pub(super) fn continuation(
    hello: &Hello,
    known: Option<&Known>,
    clean: Option<CleanEnd>,
) -> Continuation {
    // Empty where the source says `u64::MAX`: it can replay nothing.
    let replayable = hello.applied..=hello.received;
    if let Some(known) = known {
        let same = known.level && known.origin == origin(hello);
        if same && replayable.contains(&known.received) {
            let from = known.received + 1;
            return Continuation::Resume { from };
        }
    }
    match clean {
        Some(end) if end.is_continued_by(hello) && replayable.contains(&end.applied) => {
            let from = end.applied + 1;
            Continuation::Equal { from }
        }
        Some(_) | None if is_owed_from(hello, known, clean) => Continuation::Owed,
        Some(_) | None => Continuation::Compare,
    }
}

/// Whether this copy is exactly what the source's stream was at some number, and all that came
/// after it is in the source's debt (R7). A copy that was just being compared shows nothing.
fn is_owed_from(hello: &Hello, known: Option<&Known>, clean: Option<CleanEnd>) -> bool {
    let Some(base) = hello.debt else {
        return false;
    };
    let followed = known.filter(|known| {
        let line = Origin {
            epoch: base.epoch,
            generation: base.generation,
            ..origin(hello)
        };
        known.level && known.origin == line
    });
    let ended = clean.filter(|end| {
        end.stream_incarnation == hello.incarnation
            && end.epoch == base.epoch
            && end.generation == base.generation
    });
    let number = match (known, followed) {
        // What is followed now is newer than what was recorded.
        (Some(_), followed) => followed.map(|known| known.received),
        (None, _) => ended.map(|end| end.applied),
    };
    number.is_some_and(|number| (base.number..=hello.received).contains(&number))
}

pub(super) fn origin(hello: &Hello) -> Origin {
    Origin {
        incarnation: hello.incarnation,
        boot_id: hello.boot_id.clone(),
        epoch: hello.epoch,
        generation: hello.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::stream::DebtBase;

    fn hello() -> Hello {
        Hello {
            version: VERSION,
            version_min: VERSION_MIN,
            cluster: "c".into(),
            module: "m".into(),
            volumes: vec!["db".into()],
            node: 1,
            configuration: 7,
            boot_id: "boot".into(),
            incarnation: 11,
            epoch: 3,
            generation: 5,
            received: 100,
            applied: 40,
            checkpointed: 0,
            stream_incarnation: 11,
            gate: 1,
            debt: None,
            extensions: Vec::new(),
        }
    }

    fn known(received: u64) -> Known {
        Known {
            origin: origin(&hello()),
            received,
            level: true,
        }
    }

    fn clean_end() -> CleanEnd {
        CleanEnd {
            epoch: 2,
            generation: 5,
            stream_incarnation: 11,
            applied: 40,
        }
    }

    #[test]
    fn a_follower_that_was_restarted_does_not_go_on_in_the_session_that_it_left() {
        let left = CleanEnd {
            epoch: 3,
            ..clean_end()
        };
        assert_eq!(
            continuation(&hello(), None, Some(left)),
            Continuation::Compare
        );
        let other_source = CleanEnd {
            stream_incarnation: 12,
            ..left
        };
        let decided = continuation(&hello(), None, Some(other_source));
        assert_eq!(decided, Continuation::Equal { from: 41 });
    }

    #[test]
    fn a_level_stream_is_resumed_where_the_source_still_holds_what_follows() {
        let go_on = |received| continuation(&hello(), Some(&known(received)), None);
        assert_eq!(go_on(40), Continuation::Resume { from: 41 });
        assert_eq!(go_on(100), Continuation::Resume { from: 101 });
        assert_eq!(go_on(39), Continuation::Compare, "41 is gone at the source");
        assert_eq!(go_on(101), Continuation::Compare, "ahead of the source");
    }

    #[test]
    fn a_source_that_can_replay_nothing_is_compared() {
        let nothing = Hello {
            applied: u64::MAX,
            ..hello()
        };
        let clean = CleanEnd {
            applied: u64::MAX,
            ..clean_end()
        };
        for received in [0, 40, 100, u64::MAX] {
            let decided = continuation(&nothing, Some(&known(received)), Some(clean));
            assert_eq!(decided, Continuation::Compare);
        }
    }

    #[test]
    fn another_process_boot_epoch_or_generation_is_another_stream() {
        let others = [
            Hello {
                incarnation: 12,
                ..hello()
            },
            Hello {
                boot_id: "other".into(),
                ..hello()
            },
            Hello {
                epoch: 4,
                ..hello()
            },
            Hello {
                generation: 6,
                ..hello()
            },
        ];
        for other in others {
            let decided = continuation(&other, Some(&known(50)), None);
            assert_eq!(decided, Continuation::Compare, "{other:?}");
        }
        let torn = Known {
            level: false,
            ..known(50)
        };
        assert_eq!(
            continuation(&hello(), Some(&torn), None),
            Continuation::Compare
        );
    }

    #[test]
    fn a_debt_is_used_only_against_a_copy_that_shows_its_base() {
        let base = DebtBase {
            epoch: 3,
            generation: 5,
            number: 60,
        };
        // The peer was recorded out: another generation, and nothing to replay.
        let alone = Hello {
            generation: 6,
            applied: u64::MAX,
            debt: Some(base),
            ..hello()
        };
        let go_on = |known: &Known| continuation(&alone, Some(known), None);
        assert_eq!(go_on(&known(60)), Continuation::Owed);
        assert_eq!(go_on(&known(100)), Continuation::Owed);
        assert_eq!(go_on(&known(59)), Continuation::Compare, "older than it");
        assert_eq!(go_on(&known(101)), Continuation::Compare, "never given");
        let half = Known {
            level: false,
            ..known(80)
        };
        assert_eq!(go_on(&half), Continuation::Compare);
        let owes_nothing = Hello {
            debt: None,
            ..alone.clone()
        };
        let decided = continuation(&owes_nothing, Some(&known(80)), None);
        assert_eq!(decided, Continuation::Compare);
        for other in [
            Hello {
                incarnation: 12,
                ..alone.clone()
            },
            Hello {
                boot_id: "other".into(),
                ..alone.clone()
            },
            Hello {
                debt: Some(DebtBase { epoch: 2, ..base }),
                ..alone.clone()
            },
            Hello {
                debt: Some(DebtBase {
                    generation: 6,
                    ..base
                }),
                ..alone.clone()
            },
        ] {
            let decided = continuation(&other, Some(&known(80)), None);
            assert_eq!(decided, Continuation::Compare, "{other:?}");
        }
        let end = CleanEnd {
            epoch: 3,
            applied: 80,
            ..clean_end()
        };
        assert_eq!(continuation(&alone, None, Some(end)), Continuation::Owed);
        let other_source = CleanEnd {
            stream_incarnation: 12,
            ..end
        };
        let decided = continuation(&alone, None, Some(other_source));
        assert_eq!(decided, Continuation::Compare);
        // Since that end it followed something else.
        let decided = continuation(&alone, Some(&half), Some(end));
        assert_eq!(decided, Continuation::Compare);
    }

    #[test]
    fn a_clean_end_is_believed_only_at_the_very_same_number_and_generation() {
        let end = |generation, applied| {
            let clean = CleanEnd {
                generation,
                applied,
                ..clean_end()
            };
            continuation(&hello(), None, Some(clean))
        };
        assert_eq!(end(5, 40), Continuation::Equal { from: 41 });
        assert_eq!(end(5, 41), Continuation::Compare);
        assert_eq!(end(5, 39), Continuation::Compare);
        assert_eq!(end(6, 40), Continuation::Compare);
    }
}
