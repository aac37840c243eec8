//! The transition table: one total `match (state, cause)` without a wildcard.
//!
//! Its sentences are the log line, the console's *Why* and `docs/states.md`, which is generated
//! from here. What is not allowed has an arm too, and says why nothing happens.

use core::fmt;

/// The state of a node, as users see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum State {
    /// Stopped by an operator, or given up.
    #[default]
    Stop,
    /// Starting, stopping or blocked.
    Wait,
    /// Serving, and no usable second copy.
    Alone,
    /// Serving, mirrored.
    Prim,
    /// Standby.
    Second,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Stop,
        Self::Wait,
        Self::Alone,
        Self::Prim,
        Self::Second,
    ];

    /// The word that users see, never translated.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Wait => "WAIT",
            Self::Alone => "ALONE",
            Self::Prim => "PRIM",
            Self::Second => "SECOND",
        }
    }

    /// Whether the application and the address are here.
    #[must_use]
    pub const fn serves(self) -> bool {
        match self {
            Self::Alone | Self::Prim => true,
            Self::Stop | Self::Wait | Self::Second => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A row of the table of transitions in the handbook, 1 to 18.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Row(pub u8);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.0)
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What may move a node from one state to another.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Cause {
            $($(#[$doc])* $name,)*
        }
        impl Cause {
            /// All causes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

causes! {
    /// An operator's start, boot start, or the second half of a stopstart.
    StartAsked,
    /// Something that a role needs is missing.
    Blocked,
    /// The record proves this copy uptodate, or an operator forced it, and no peer serves.
    ProvenAlone,
    /// Started together with an equal peer, and elected.
    ElectedWithPeer,
    /// A primary exists.
    PrimaryExists,
    /// The peer's resynchronisation ended and both records say in-sync.
    PeerInSync,
    /// The record says that the peer is out.
    PeerRecordedOut,
    /// The primary handed the service over: it stopped, or gave up its application.
    PrimaryHandedOver,
    /// The primary is silent on every channel for the timeout.
    PrimarySilent,
    /// A swap: this primary's services ended.
    SwapLeaves,
    /// A swap: this standby takes over.
    SwapTakes,
    /// A swap: the former primary follows.
    SwapFollows,
    /// A swap: the former primary is level.
    SwapCompletes,
    /// Services are restarted in place.
    RestartInPlace,
    /// An operator's stop, the budget's end with a standby to take over: the way to STOP begins.
    Stopping,
    /// Nothing of the module runs here any more.
    Stopped,
    /// Stop, and start again.
    StopStart,
    /// This standby cannot be used: the primary is lost and the copy is not uptodate, failover is
    /// off, its volume failed, or its configuration differs.
    StandbyUnusable,
    /// The right to serve ended: the permit lapsed, or the volume failed.
    RightEnded,
    /// The peer serves a line that contains mine, or a higher epoch by force.
    PeerServesNewer,
    /// Both served, and this node's side does not go on.
    DivergenceLost,
    /// The stream is lost, or this copy is outdated.
    StreamLost,
    /// This copy is equal again.
    StreamLevel,
    /// The daemon was restarted and finds its mirror serving, mirrored.
    FoundServingMirrored,
    /// The daemon was restarted and finds its mirror serving alone.
    FoundServingAlone,
    /// The daemon was restarted and finds its mirror following.
    FoundFollowing,
    /// The primary gave up its application: budget spent, unit masked or missing, local disk
    /// failed.
    GaveUp,
}

/// What the table says about one cause in one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// The node changes to `to` (or stays, for an action without a change).
    Go {
        /// The row of the handbook.
        row: Row,
        /// The new state.
        to: State,
        /// Why.
        because: &'static str,
    },
    /// Nothing happens.
    Stay {
        /// Why not.
        because: &'static str,
    },
}

const fn go(row: u8, to: State, because: &'static str) -> Ruling {
    Ruling::Go {
        row: Row(row),
        to,
        because,
    }
}

const fn stay(because: &'static str) -> Ruling {
    Ruling::Stay { because }
}

/// Rules what happens in `state` upon `cause`.
#[must_use]
pub const fn transition(state: State, cause: Cause) -> Ruling {
    use Cause as C;
    use State as S;
    match (state, cause) {
        // 1: start
        (S::Stop, C::StartAsked) => go(1, S::Wait, "started: this node looks for its role"),
        (S::Wait, C::StartAsked) => stay("already starting"),
        (S::Alone | S::Prim | S::Second, C::StartAsked) => stay("already running"),

        // 2: blocked
        (S::Wait, C::Blocked) => go(2, S::Wait, "waiting"),
        (S::Stop, C::Blocked) => stay("a stopped node needs nothing"),
        (S::Alone | S::Prim, C::Blocked) => stay("a serving node goes on"),
        (S::Second, C::Blocked) => stay("a standby that misses something leaves its role first"),

        // 3, 4: begin to serve
        (S::Wait, C::ProvenAlone) => go(3, S::Alone, "this node may serve, and no other node does"),
        (S::Wait, C::ElectedWithPeer) => go(
            4,
            S::Prim,
            "both copies are equal, and it is this node's turn to serve",
        ),
        (S::Stop, C::ProvenAlone | C::ElectedWithPeer) => stay("a stopped node does not serve"),
        (S::Alone | S::Prim, C::ProvenAlone | C::ElectedWithPeer) => stay("already serving"),
        (S::Second, C::ProvenAlone | C::ElectedWithPeer) => {
            stay("a standby serves only when its primary is lost or hands over")
        }

        // 5: follow
        (S::Wait, C::PrimaryExists) => {
            go(5, S::Second, "the other node serves; this node follows it")
        }
        (S::Stop, C::PrimaryExists) => stay("a stopped node does not follow"),
        (S::Alone | S::Prim, C::PrimaryExists) => {
            stay("two nodes that serve compare their records first")
        }
        (S::Second, C::PrimaryExists) => stay("already following"),

        // 6, 7: the peer's copy
        (S::Alone, C::PeerInSync) => go(
            6,
            S::Prim,
            "the other node has all data again: every write goes to both nodes",
        ),
        (S::Prim, C::PeerInSync) => stay("already mirrored"),
        (S::Stop | S::Wait | S::Second, C::PeerInSync) => stay("this node does not serve"),
        (S::Prim, C::PeerRecordedOut) => go(
            7,
            S::Alone,
            "this node goes on alone, without a second copy",
        ),
        (S::Alone, C::PeerRecordedOut) => stay("already alone"),
        (S::Stop | S::Wait | S::Second, C::PeerRecordedOut) => stay("this node does not serve"),

        // 8, 9: take over
        (S::Second, C::PrimarySilent) => go(
            8,
            S::Alone,
            "this node takes over: the primary was silent on every channel for too long",
        ),
        (S::Second, C::PrimaryHandedOver) => go(
            8,
            S::Alone,
            "this node takes over: the primary gave the service to it",
        ),
        (S::Wait, C::PrimaryHandedOver) => go(
            3,
            S::Alone,
            "this node serves: the other one gave the service to it",
        ),
        (S::Stop, C::PrimarySilent | C::PrimaryHandedOver) => {
            stay("a stopped node does not take over")
        }
        (S::Wait, C::PrimarySilent) => stay("a waiting node is not a standby"),
        (S::Alone | S::Prim, C::PrimarySilent | C::PrimaryHandedOver) => stay("already serving"),
        (S::Prim, C::SwapLeaves) => go(
            9,
            S::Wait,
            "swap: the services have ended here, the other node takes over",
        ),
        (S::Second, C::SwapTakes) => go(9, S::Alone, "swap: this node takes the service over"),
        (S::Wait, C::SwapTakes) => go(
            9,
            S::Alone,
            "swapped back: the other node returned the service",
        ),
        (S::Wait, C::SwapFollows) => go(
            9,
            S::Second,
            "swap: the other node serves now; this node follows it",
        ),
        (S::Alone, C::SwapCompletes) => go(
            9,
            S::Prim,
            "swap: the other node follows; every write goes to both nodes",
        ),
        (S::Stop, C::SwapLeaves | C::SwapTakes | C::SwapFollows | C::SwapCompletes) => {
            stay("a stopped node takes no part in a swap")
        }
        (S::Wait, C::SwapLeaves | C::SwapCompletes) => stay("a waiting node does not serve"),
        (S::Alone, C::SwapLeaves) => stay("there is no uptodate node to hand over to"),
        (S::Alone | S::Prim, C::SwapTakes | C::SwapFollows) => stay("already serving"),
        (S::Prim, C::SwapCompletes) => stay("already mirrored"),
        (S::Second, C::SwapLeaves | C::SwapFollows | C::SwapCompletes) => {
            stay("a standby does not hand over")
        }

        // 10: restart in place
        (S::Prim, C::RestartInPlace) => go(
            10,
            S::Prim,
            "the services are stopped and started again on this node",
        ),
        (S::Alone, C::RestartInPlace) => go(
            10,
            S::Alone,
            "the services are stopped and started again on this node",
        ),
        (S::Stop | S::Wait | S::Second, C::RestartInPlace) => stay("no service runs here"),

        // 11, 12: stop
        (S::Prim | S::Alone, C::Stopping) => go(11, S::Wait, "stopping: the services have ended"),
        (S::Second, C::Stopping) => go(11, S::Wait, "stopping: this node is no standby any more"),
        (S::Wait, C::Stopping) => go(11, S::Wait, "stopping"),
        (S::Stop, C::Stopping) => stay("already stopped"),
        (S::Wait, C::Stopped) => go(11, S::Stop, "stopped"),
        (S::Stop, C::Stopped) => stay("already stopped"),
        (S::Alone | S::Prim | S::Second, C::Stopped) => stay("stopping goes through WAIT"),
        (S::Prim | S::Alone, C::StopStart) => {
            go(12, S::Wait, "stop and start: the services have ended")
        }
        (S::Second, C::StopStart) => go(
            12,
            S::Wait,
            "stop and start: this node is no standby any more",
        ),
        (S::Wait, C::StopStart) => go(12, S::Wait, "stop and start"),
        (S::Stop, C::StopStart) => stay("a stopped node is started with start"),

        // 13: a standby that cannot be used
        (S::Second, C::StandbyUnusable) => go(13, S::Wait, "this node cannot be the standby now"),
        (S::Stop | S::Wait, C::StandbyUnusable) => stay("this node is no standby"),
        (S::Alone | S::Prim, C::StandbyUnusable) => stay("this node serves"),

        // 14, 15: the right to serve ended
        (S::Alone | S::Prim, C::RightEnded) => go(14, S::Wait, "this node may not serve any more"),
        (S::Stop | S::Wait | S::Second, C::RightEnded) => stay("this node does not serve"),
        (S::Alone | S::Prim, C::PeerServesNewer) => go(
            15,
            S::Wait,
            "the other node serves newer data, which includes this node's: this node stops serving",
        ),
        (S::Stop | S::Wait | S::Second, C::PeerServesNewer) => stay("this node does not serve"),
        (S::Alone | S::Prim, C::DivergenceLost) => go(
            15,
            S::Wait,
            "both nodes served without each other; the other one goes on, this one stops",
        ),
        (S::Second, C::DivergenceLost) => go(
            13,
            S::Wait,
            "both nodes served without each other; an operator must choose whose data to keep",
        ),
        (S::Wait, C::DivergenceLost) => go(
            2,
            S::Wait,
            "both nodes served without each other; an operator must choose whose data to keep",
        ),
        (S::Stop, C::DivergenceLost) => stay("a stopped node compares when it is started"),

        // 16: the standby's copy
        (S::Second, C::StreamLost) => go(16, S::Second, "this standby is not ready to take over"),
        (S::Second, C::StreamLevel) => go(
            16,
            S::Second,
            "this standby is ready to take over: its copy has every acknowledged write",
        ),
        (S::Stop | S::Wait, C::StreamLost | C::StreamLevel) => stay("this node does not follow"),
        (S::Alone | S::Prim, C::StreamLost | C::StreamLevel) => {
            stay("this node serves; nothing is streamed to it")
        }

        // 17: the daemon was restarted
        (S::Stop, C::FoundServingMirrored) => go(
            17,
            S::Prim,
            "the daemon was restarted; the application ran on meanwhile, mirrored",
        ),
        (S::Stop, C::FoundServingAlone) => go(
            17,
            S::Alone,
            "the daemon was restarted; the application ran on meanwhile, without a second copy",
        ),
        (S::Stop, C::FoundFollowing) => go(
            17,
            S::Second,
            "the daemon was restarted; this node followed on meanwhile",
        ),
        (
            S::Wait | S::Alone | S::Prim | S::Second,
            C::FoundServingMirrored | C::FoundServingAlone | C::FoundFollowing,
        ) => stay("only a daemon that starts finds its mirror"),

        // 18: given up
        (S::Prim, C::GaveUp) => go(18, S::Wait, "this node gave its application up"),
        (S::Alone, C::GaveUp) => {
            stay("without a standby that can take over, the application is tried again here")
        }
        (S::Stop | S::Wait | S::Second, C::GaveUp) => stay("no application runs here"),
    }
}
