//! What must be equal on both sides before a stream is accepted, and how it then goes on.
//!
//! Pure: takes what the source said and what is known here, and decides. The session carries it
//! out.

use tandem_wire::stream::{ComparisonId, Hello, VERSION, VERSION_MIN};

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

/// What this copy is, exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    /// The source whose stream this is.
    pub(super) incarnation: u64,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    /// Everything up to here, and nothing else, was applied, or will be before anything else is.
    pub(super) number: u64,
    /// It is somewhere in this comparison. `None`: it is what the source was at that number.
    pub(super) comparison: Option<ComparisonId>,
}

/// How a stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Continuation {
    /// The same stream, from the number after the last one received.
    Resume { from: u64 },
    /// A new stream of equal copies, from the number after a clean end.
    Equal { from: u64 },
    /// This copy lacks no more than what the source's debt says: what is owed is compared, in a
    /// comparison that was interrupted or in a new one.
    Owed(Option<ComparisonId>),
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
    shown: Option<&Shown>,
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
        Some(_) | None => owed(hello, shown),
    }
}

/// Whether all that this copy lacks is in the source's debt (R7).
fn owed(hello: &Hello, shown: Option<&Shown>) -> Continuation {
    let (Some(base), Some(shown)) = (&hello.debt, shown) else {
        return Continuation::Compare;
    };
    match shown.comparison {
        // Its name was drawn here, and only the source that compares, or one that took its debt
        // over in good order, can know it.
        Some(_) if shown.comparison == base.comparison => Continuation::Owed(shown.comparison),
        Some(_) => Continuation::Compare,
        None => {
            let line = (base.incarnation, base.epoch, base.generation);
            let same = (shown.incarnation, shown.epoch, shown.generation) == line;
            let given = (base.number..=base.last).contains(&shown.number);
            match base.complete && same && given {
                true => Continuation::Owed(None),
                false => Continuation::Compare,
            }
        }
    }
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
            continuation(&hello(), None, Some(left), None),
            Continuation::Compare
        );
        let other_source = CleanEnd {
            stream_incarnation: 12,
            ..left
        };
        let decided = continuation(&hello(), None, Some(other_source), None);
        assert_eq!(decided, Continuation::Equal { from: 41 });
    }

    #[test]
    fn a_level_stream_is_resumed_where_the_source_still_holds_what_follows() {
        let go_on = |received| continuation(&hello(), Some(&known(received)), None, None);
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
            let decided = continuation(&nothing, Some(&known(received)), Some(clean), None);
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
            let decided = continuation(&other, Some(&known(50)), None, None);
            assert_eq!(decided, Continuation::Compare, "{other:?}");
        }
        let torn = Known {
            level: false,
            ..known(50)
        };
        assert_eq!(
            continuation(&hello(), Some(&torn), None, None),
            Continuation::Compare
        );
    }

    #[test]
    fn a_debt_is_used_only_against_a_copy_that_shows_its_base() {
        let base = DebtBase {
            incarnation: 8,
            epoch: 2,
            generation: 5,
            number: 60,
            last: 100,
            complete: true,
            comparison: None,
        };
        let shown = Shown {
            incarnation: 8,
            epoch: 2,
            generation: 5,
            number: 80,
            comparison: None,
        };
        // The peer was recorded out: another generation, and nothing to replay.
        let decided = |debt: Option<DebtBase>, shown: Option<Shown>| {
            let alone = Hello {
                generation: 6,
                applied: u64::MAX,
                debt,
                ..hello()
            };
            continuation(&alone, None, None, shown.as_ref())
        };
        let at = |number| decided(Some(base), Some(Shown { number, ..shown }));
        assert_eq!(at(60), Continuation::Owed(None));
        assert_eq!(at(100), Continuation::Owed(None));
        assert_eq!(at(59), Continuation::Compare, "older than it");
        assert_eq!(at(101), Continuation::Compare, "never given");
        assert_eq!(decided(None, Some(shown)), Continuation::Compare);
        assert_eq!(decided(Some(base), None), Continuation::Compare);
        for other in [
            Shown {
                incarnation: 11,
                ..shown
            },
            Shown { epoch: 3, ..shown },
            Shown {
                generation: 6,
                ..shown
            },
        ] {
            let decided = decided(Some(base), Some(other));
            assert_eq!(decided, Continuation::Compare, "{other:?}");
        }
        let incomplete = DebtBase {
            complete: false,
            ..base
        };
        assert_eq!(
            decided(Some(incomplete), Some(shown)),
            Continuation::Compare
        );
    }

    #[test]
    fn an_interrupted_comparison_goes_on_only_where_both_sides_name_it() {
        let base = DebtBase {
            incarnation: 11,
            epoch: 3,
            generation: 5,
            number: 60,
            last: 100,
            complete: false,
            comparison: Some(77),
        };
        let shown = Shown {
            incarnation: 11,
            epoch: 3,
            generation: 5,
            number: 80,
            comparison: Some(77),
        };
        let decided = |debt: DebtBase, shown: Shown| {
            let alone = Hello {
                applied: u64::MAX,
                debt: Some(debt),
                ..hello()
            };
            continuation(&alone, None, None, Some(&shown))
        };
        assert_eq!(decided(base, shown), Continuation::Owed(Some(77)));
        let another = Shown {
            comparison: Some(78),
            ..shown
        };
        assert_eq!(decided(base, another), Continuation::Compare);
        let forgotten = DebtBase {
            comparison: None,
            complete: true,
            ..base
        };
        assert_eq!(
            decided(forgotten, shown),
            Continuation::Compare,
            "half compared"
        );
        let level = Shown {
            comparison: None,
            ..shown
        };
        assert_eq!(decided(base, level), Continuation::Compare);
    }

    #[test]
    fn a_clean_end_is_believed_only_at_the_very_same_number_and_generation() {
        let end = |generation, applied| {
            let clean = CleanEnd {
                generation,
                applied,
                ..clean_end()
            };
            continuation(&hello(), None, Some(clean), None)
        };
        assert_eq!(end(5, 40), Continuation::Equal { from: 41 });
        assert_eq!(end(5, 41), Continuation::Compare);
        assert_eq!(end(5, 39), Continuation::Compare);
        assert_eq!(end(6, 40), Continuation::Compare);
    }
}
