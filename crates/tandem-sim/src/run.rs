//! One seed or scenario, from its beginning to its verdict.

use crate::clock::MILLISECOND;
use crate::language::Scenario;
use crate::mutation::Chosen;
use crate::queue::{Happening, Scope};
use crate::scenario::Script;
use crate::settings::{Profile, Settings};
use crate::statistics::Statistics;
use crate::truth::Violation;
use crate::world::{NODES, World};

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The seed.
    pub seed: u64,
    /// The faults.
    pub profile: Profile,
    /// A scenario instead of random faults.
    pub scenario: Option<&'static Scenario>,
    /// A wrong change.
    pub mutation: Option<Chosen>,
}

impl Job {
    /// A seed with the profile that it has by itself.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        Self {
            seed,
            profile: Profile::of_seed(seed),
            scenario: None,
            mutation: None,
        }
    }
}

/// How it went.
#[derive(Debug)]
pub struct Verdict {
    /// What was found.
    pub violation: Option<Violation>,
    /// What was counted.
    pub statistics: Statistics,
    /// The trace, if it was asked for.
    pub trace: Vec<String>,
}

/// Runs a job.
#[must_use]
pub fn run(job: Job, tracing: bool) -> Verdict {
    let mut settings = Settings::draw(job.seed, job.profile);
    settings.mutation = job.mutation;
    if job.scenario.is_some() {
        // What users have who change nothing, and two networks as on the test hosts.
        settings.failover = true;
        settings.boot_start = false;
        settings.networks = 2;
        settings.start_alone_after = None;
        settings.preferred = None;
    }
    let at_once = settings.seed % 7 == 3 && job.scenario.is_none();
    let mut world = World::new(settings, tracing);
    world.script = job.scenario.map(Script::new);
    for node in NODES {
        world.boot(node);
    }
    world.after(MILLISECOND, Scope::World, Happening::Links);
    world.after(MILLISECOND, Scope::World, Happening::Sample);
    if at_once {
        // Everything goes wrong from the first boot on.
        world.settling.opened = true;
        let chaos = world.settings.chaos;
        world.after(0, Scope::World, Happening::Chaos);
        world.after(0, Scope::World, Happening::Operator);
        world.after(chaos, Scope::World, Happening::Heal);
    } else {
        world.after(MILLISECOND, Scope::World, Happening::Settle);
    }
    world.run();
    let mut statistics = world.statistics;
    statistics.acknowledgements = world.truth.acknowledgements;
    Verdict {
        violation: world.violation,
        statistics,
        trace: world.trace,
    }
}
