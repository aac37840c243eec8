//! What one run is: its profile, its settings drawn from the seed, and its mutation.

use crate::clock::{Time, nanoseconds};
use crate::mutation::Chosen;
use crate::random::Random;
use core::fmt;
use core::time::Duration;
use tandem_core::NodeId;

/// Which faults a run has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Only an operator.
    Calm,
    /// Broken, slow and one-way networks.
    Network,
    /// Killed processes, power cuts, bad disks.
    Crashes,
    /// Paused machines and processes.
    Pauses,
    /// A hasty operator, and services that fail.
    Operator,
    /// All of it.
    Chaos,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 6] = [
        Self::Calm,
        Self::Network,
        Self::Crashes,
        Self::Pauses,
        Self::Operator,
        Self::Chaos,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Network => "network",
            Self::Crashes => "crashes",
            Self::Pauses => "pauses",
            Self::Operator => "operator",
            Self::Chaos => "chaos",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.word() == word)
    }

    /// The profile that a seed has when none is asked for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::ALL[(seed % 6) as usize]
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// Its faults.
    pub profile: Profile,
    /// The cluster's `takeover-after`.
    pub takeover_after: Duration,
    /// Heartbeat networks.
    pub networks: u8,
    /// Modules start by themselves after a boot.
    pub boot_start: bool,
    /// The standby may take over by itself.
    pub failover: bool,
    /// A node that was in sync starts without a silent peer after this time.
    pub start_alone_after: Option<Duration>,
    /// The node that is to serve whenever both can.
    pub preferred: Option<NodeId>,
    /// The mirrors recognise that both ended cleanly at the same point, and compare nothing then.
    pub clean_starts: bool,
    /// Each session's numbers begin at 1, instead of going on where the one before ended.
    pub numbers_begin_anew: bool,
    /// The mirror says that a command is done before it reports what has changed by it.
    pub done_first: bool,
    /// How long one compared piece takes at most.
    pub compare_step: Time,
    /// How long the random part lasts.
    pub chaos: Time,
    /// Services' longest start or stop.
    pub service_time: Time,
    /// The core's longest wait for services.
    pub service_limit: Duration,
    /// A wrong change to the core or the mirror.
    pub mutation: Option<Chosen>,
}

impl Settings {
    /// Draws the settings of a seed.
    #[must_use]
    pub fn draw(seed: u64, profile: Profile) -> Self {
        let mut random = Random::new(seed ^ 0x7461_6e64_656d);
        let takeover_after =
            Duration::from_millis(random.pick(&[300, 1000, 1000, 1000, 2000, 5000, 5000, 30_000]));
        let unit = nanoseconds(takeover_after);
        let mut settings = Self {
            seed,
            profile,
            takeover_after,
            networks: random.pick(&[1, 1, 2]),
            boot_start: random.chance(500),
            failover: !random.chance(50),
            start_alone_after: None,
            preferred: None,
            clean_starts: random.chance(500),
            numbers_begin_anew: random.chance(500),
            done_first: random.chance(300),
            compare_step: unit / random.pick(&[50, 10, 2]),
            chaos: unit * random.between(20, 50),
            service_time: unit / random.pick(&[20, 4, 1]),
            service_limit: takeover_after * 6,
            mutation: None,
        };
        // Drawn last, so that what a seed is otherwise stays as it was.
        settings.start_alone_after = random.chance(100).then_some(takeover_after * 4);
        let node = random.pick(&[NodeId::One, NodeId::Two]);
        settings.preferred = random.chance(150).then_some(node);
        settings
    }

    /// `takeover-after` in nanoseconds: the unit of everything that happens.
    #[must_use]
    pub fn unit(&self) -> Time {
        nanoseconds(self.takeover_after)
    }
}
