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
    /// The mirror takes the peer for level before its disk has everything.
    LevelEarly,
    /// The mirror trusts the follower's position and compares nothing.
    TrustPosition,
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
