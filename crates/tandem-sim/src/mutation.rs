//! Seeded wrong changes: each breaks one rule on purpose, and a named checker must catch it.
//!
//! Those of the core exist only when it is built with its feature `mutations`; those of the mirror
//! are made in the model.

use crate::settings::Settings;
use tandem_core::Config;

/// A wrong change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// The mirror answers before the peer has it.
    EarlyAck,
    /// The mirror takes the peer for level before everything was compared.
    LevelEarly,
    /// The mirror trusts the follower's position and compares nothing.
    TrustPosition,
    /// The mirror reads a piece that it compares without the lock that orders it.
    CompareWithoutLock,
    /// A wrong change of the core.
    #[cfg(feature = "mutations")]
    Core(tandem_core::Mutation),
}

impl Settings {
    /// Puts the core's mutation into its configuration.
    pub fn sabotage(&self, config: &mut Config) {
        #[cfg(feature = "mutations")]
        if let Some(Chosen::Core(mutation)) = self.mutation {
            config.mutation = Some(mutation);
        }
        #[cfg(not(feature = "mutations"))]
        let _ = config;
    }

    /// Whether the model of the mirror is to be wrong in this way.
    #[must_use]
    pub fn mirror_mutated(&self, mutation: Chosen) -> bool {
        self.mutation == Some(mutation)
    }
}

/// A wrong change, what it is, and the checkers that are meant to see it.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// The change.
    pub chosen: Chosen,
    /// The rule and what is wrong.
    pub sentence: &'static str,
    /// Any of these.
    pub checkers: &'static [&'static str],
}

/// Those of the mirror's model.
const OF_THE_MIRROR: &[Planned] = &[
    Planned {
        chosen: Chosen::EarlyAck,
        sentence: "R5: the mirror answers before the peer has it",
        checkers: &["nothing-lost", "status-true"],
    },
    Planned {
        chosen: Chosen::LevelEarly,
        sentence: "R2: the mirror calls the peer level before everything was compared",
        checkers: &["nothing-lost", "status-true", "level-means-equal"],
    },
    Planned {
        chosen: Chosen::CompareWithoutLock,
        sentence: "R6: the mirror reads a compared piece without the lock that orders it",
        checkers: &["nothing-lost", "status-true", "level-means-equal"],
    },
    Planned {
        chosen: Chosen::TrustPosition,
        sentence: "R7: the mirror trusts the follower's position and compares nothing",
        checkers: &["nothing-lost", "status-true", "level-means-equal"],
    },
];

/// All wrong changes. Those of the core only in a build that has them.
#[must_use]
pub fn planned() -> Vec<Planned> {
    core_mutations()
        .into_iter()
        .chain(OF_THE_MIRROR.iter().copied())
        .collect()
}

#[cfg(not(feature = "mutations"))]
fn core_mutations() -> Vec<Planned> {
    Vec::new()
}

#[cfg(feature = "mutations")]
fn core_mutations() -> Vec<Planned> {
    use tandem_core::Mutation as M;
    M::ALL
        .iter()
        .map(|mutation| Planned {
            chosen: Chosen::Core(*mutation),
            sentence: mutation.sentence(),
            checkers: match mutation {
                M::PromoteOutdated => &["nothing-lost", "generation-rule", "whole-copy"],
                M::TrustSetBack => &["nothing-lost", "status-true", "epoch-grows"],
                M::ForceForGood => &["whole-copy", "nothing-lost"],
                M::SendBeforePersisted => &["durable-before-sent"],
                M::DecideAloneWhileHeard => &["lone-only-when-silent"],
                M::CountWithoutVote => &["status-true", "nothing-lost", "one-acknowledger"],
                M::AcceptAnyProposal => &["one-vote"],
                M::HideUnconfirmed => &["status-true", "nothing-lost", "one-acknowledger"],
                M::GrowAlways => &["generation-rule"],
                M::BelieveAfterAll => &["full-sync"],
                M::CleanWithoutDrain => &["handover-equal", "level-means-equal"],
                M::AcceptWhileOpen => &["one-application", "one-acknowledger"],
                M::AnswerBeforeRecord => &["record-before-lone-answer"],
                M::TrustBeforeLevel => &["nothing-lost", "status-true", "whole-copy"],
                M::KeepGeneration => &["generation-rule"],
                M::CompareGenerationsBackwards => {
                    &["nothing-lost", "status-true", "generation-rule"]
                }
                M::PermitWithoutEnd | M::PermitFromArrival => &["permit-respected"],
                M::SwapWithoutDrain => &["handover-equal"],
                M::ReuseEpoch => &["epoch-grows", "generation-rule"],
                M::RestartUnrecorded => &["record-before-lone-answer", "epoch-grows"],
                M::SkipProbe => &["one-address"],
                M::KeepEndingWaiting | M::TakeOverWithoutGateway | M::ServeIsolated => {
                    &["liveness"]
                }
                M::AwaitDeadVote => &["short-outage"],
                M::LicenceEndsOneNode => &["licence-end"],
                M::StandbyStopsFirst => &["liveness"],
            },
        })
        .collect()
}
