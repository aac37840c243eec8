//! Identifiers. Each is its own type, so that no two can be exchanged by mistake.

use core::fmt;

/// Names one of the two nodes of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NodeId {
    /// `node1`
    One,
    /// `node2`
    Two,
}

impl NodeId {
    /// The other node.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    /// 1 or 2, as in the configuration.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Parses 1 or 2.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node{}", self.number())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The following one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.wrapping_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// The number of a term of service; grows with each change of who serves.
    Epoch
);
number!(
    /// The version of the in-sync record.
    Version
);
number!(
    /// The position in a module's one ordered stream. 0: nothing was numbered yet.
    Sequence
);
number!(
    /// Random at the start of a process, then counted up; echoed by the peer to prove freshness.
    Nonce
);
number!(
    /// Names an effect whose outcome comes back as an event.
    EffectId
);
number!(
    /// Names an operator's command whose answer is awaited.
    CommandId
);
number!(
    /// A random number that a process draws when it starts: another incarnation is another process.
    Incarnation
);
number!(
    /// Names a checker or service between the nodes: a digest of its name.
    CheckerId
);
number!(
    /// The digest of the part of the configuration that must be equal on both nodes.
    ConfigurationDigest
);

impl CheckerId {
    /// The one of that name: FNV-1a (Fowler, Noll, Vo), 64 bits.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// Identifies one line of data history. Random, never a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GenerationId(pub u64);

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 32)
    }
}

/// One way to the peer: a heartbeat network, the control link, or the data stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChannelId {
    /// Heartbeat network by its place in the configuration, 0 to 3.
    Network(u8),
    /// The TLS control link.
    Control,
    /// The mirror's data stream, which carries the daemons' messages too.
    Stream,
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(n) => write!(f, "network {n}"),
            Self::Control => f.write_str("control link"),
            Self::Stream => f.write_str("data stream"),
        }
    }
}
