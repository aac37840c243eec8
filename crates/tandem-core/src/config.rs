//! What the automaton of one module is told about its cluster. All durations come from
//! `takeover_after`, so that their relations hold by construction.

use crate::ids::{ConfigurationDigest, NodeId};
use core::time::Duration;

/// The settings of one module as the core needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which node this is.
    pub node: NodeId,
    /// Silence on every channel after which the standby takes over, 0.3 s to 300 s.
    pub takeover_after: Duration,
    /// How many heartbeat networks there are, 1 to 4.
    pub networks: u8,
    /// Both nodes must show the same.
    pub digest: ConfigurationDigest,
    /// After how much silence a node that was in sync serves without the peer at a cold start;
    /// `None`: never by itself.
    pub start_alone_after: Option<Duration>,
    /// The node that is to serve whenever both can.
    pub preferred: Option<NodeId>,
    /// The longest time for starting, or for stopping, the services before force is used.
    pub service_limit: Duration,
    /// How many restarts in place, within `restart_window`, before the application is given up.
    pub restart_budget: u8,
    /// The window of the restart budget.
    pub restart_window: Duration,
    /// A wrong change, for the simulator.
    #[cfg(feature = "mutations")]
    pub mutation: Option<crate::Mutation>,
}

impl Config {
    /// A configuration with the product's defaults.
    #[must_use]
    pub const fn new(node: NodeId, takeover_after: Duration) -> Self {
        Self {
            node,
            takeover_after,
            networks: 1,
            digest: ConfigurationDigest(0),
            start_alone_after: None,
            preferred: None,
            service_limit: Duration::from_secs(300),
            restart_budget: 3,
            restart_window: Duration::from_secs(24 * 3600),
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }

    /// How often a message goes out on every channel: 1 s, or a fifth of `takeover_after`.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        (self.takeover_after / 5).min(Duration::from_secs(1))
    }

    /// The length of a permit: 0.8 × `takeover_after`, counted from the sending of the nonce.
    #[must_use]
    pub fn permit_length(&self) -> Duration {
        self.takeover_after * 4 / 5
    }

    /// How long an acknowledgement may wait for the peer: 2 s, or 0.4 × `takeover_after`.
    ///
    /// Not 0.5: the newest echoed nonce may be one heartbeat (0.2 ×) old when the peer dies, which
    /// leaves 0.6 × of the permit for the stall and the vote together.
    #[must_use]
    pub fn stall_limit(&self) -> Duration {
        (self.takeover_after * 2 / 5).min(Duration::from_secs(2))
    }

    /// How long the peer's vote is waited for before a lone record: 0.1 ×, at most 0.3 s. By then
    /// the peer has been silent for the stall limit already. A primary that has heard nothing at
    /// all for that long does not wait at all.
    #[must_use]
    pub fn vote_wait(&self) -> Duration {
        (self.takeover_after / 10).min(Duration::from_millis(300))
    }
}
