//! The wires between the nodes: physical networks, the datagrams and connections on them, and what
//! is broken at the moment.
//!
//! Datagrams are lost, doubled and reordered. Connections deliver in order; while their way is cut
//! they keep what was sent, and they break when the cut lasts or an end dies.

use crate::clock::{MILLISECOND, Time};
use crate::random::Random;
use std::collections::VecDeque;
use tandem_core::{ChannelId, NodeId};

/// The place of a node in an array.
#[must_use]
pub const fn place(node: NodeId) -> usize {
    match node {
        NodeId::One => 0,
        NodeId::Two => 1,
    }
}

/// The frames that a cut connection keeps per direction: about what a socket buffer holds.
pub const BACKLOG_MAX: usize = 4096;

/// One physical network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Whether nothing that this node sends arrives.
    pub cut: [bool; 2],
    /// Datagrams lost, per thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, per thousand.
    pub duplication: u64,
    /// Shortest and longest delay.
    pub delay: (Time, Time),
}

impl Network {
    fn new() -> Self {
        Self {
            cut: [false; 2],
            loss: 0,
            duplication: 0,
            delay: (MILLISECOND / 10, MILLISECOND),
        }
    }

    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.cut == [false; 2] && self.loss == 0 && self.delay.1 <= MILLISECOND
    }
}

/// An ordered connection.
#[derive(Clone, Debug)]
pub struct Connection<T> {
    /// Another connection has another number.
    pub id: u64,
    /// What waits at its sender because the way is cut.
    pub backlog: [VecDeque<T>; 2],
    /// When the newest frame in flight arrives, by sender.
    last: [Time; 2],
    /// Since when one direction is cut.
    pub cut_since: Option<Time>,
}

/// All wires.
#[derive(Clone, Debug)]
pub struct Wires {
    /// The physical networks. Control link, data stream and virtual address are on the first.
    pub networks: Vec<Network>,
    /// No datagram arrives on any network.
    pub heartbeats_cut: bool,
    /// The control link only is cut, by sender.
    pub control_cut: [bool; 2],
    /// The data stream only is cut, by sender.
    pub stream_cut: [bool; 2],
    next_connection: u64,
}

impl Wires {
    /// `networks` sound networks.
    #[must_use]
    pub fn new(networks: u8) -> Self {
        Self {
            networks: (0..networks).map(|_| Network::new()).collect(),
            heartbeats_cut: false,
            control_cut: [false; 2],
            stream_cut: [false; 2],
            next_connection: 1,
        }
    }

    /// Whether what `from` sends on `channel` arrives, loss aside.
    #[must_use]
    pub fn open(&self, channel: ChannelId, from: NodeId) -> bool {
        let from = place(from);
        match channel {
            ChannelId::Network(number) => {
                let network = self.networks.get(usize::from(number));
                !self.heartbeats_cut && network.is_some_and(|network| !network.cut[from])
            }
            ChannelId::Control => !self.networks[0].cut[from] && !self.control_cut[from],
            ChannelId::Stream => !self.networks[0].cut[from] && !self.stream_cut[from],
        }
    }

    /// Whether both directions are open.
    #[must_use]
    pub fn open_both(&self, channel: ChannelId) -> bool {
        self.open(channel, NodeId::One) && self.open(channel, NodeId::Two)
    }

    /// The arrival times of one datagram: none when it is lost, two when it is doubled.
    pub fn datagram(
        &self,
        number: u8,
        from: NodeId,
        now: Time,
        random: &mut Random,
    ) -> [Option<Time>; 2] {
        if !self.open(ChannelId::Network(number), from) {
            return [None; 2];
        }
        let network = &self.networks[usize::from(number)];
        let mut arrival =
            |gone: bool| (!gone).then(|| now + random.between(network.delay.0, network.delay.1));
        let (first, second) = (arrival(false), arrival(false));
        let lost = random.chance(network.loss);
        let doubled = random.chance(network.duplication);
        [first.filter(|_| !lost), second.filter(|_| doubled && !lost)]
    }

    /// A new connection.
    pub fn connect<T>(&mut self) -> Connection<T> {
        let id = self.next_connection;
        self.next_connection += 1;
        Connection {
            id,
            backlog: [VecDeque::new(), VecDeque::new()],
            last: [0; 2],
            cut_since: None,
        }
    }

    /// When a frame that `from` sends now arrives; `None` if the way is cut.
    pub fn frame<T>(
        &self,
        connection: &mut Connection<T>,
        channel: ChannelId,
        from: NodeId,
        now: Time,
        random: &mut Random,
    ) -> Option<Time> {
        if !self.open(channel, from) {
            return None;
        }
        let network = &self.networks[0];
        let mut delay = random.between(network.delay.0, network.delay.1);
        if random.chance(network.loss) {
            // A lost segment is sent again after the smallest time-out of TCP.
            delay += 200 * MILLISECOND;
        }
        let last = &mut connection.last[place(from)];
        *last = (*last + 1).max(now + delay);
        Some(*last)
    }

    /// Everything works again.
    pub fn heal(&mut self) {
        for network in &mut self.networks {
            *network = Network::new();
        }
        self.heartbeats_cut = false;
        self.control_cut = [false; 2];
        self.stream_cut = [false; 2];
    }
}
