//! The network: a switch with two networks, and a network stack for each host and for the client.
//!
//! Host N has `eth0` 10.99.0.N and fd99:0::N on the first network, and `eth1` 10.99.1.N and fd99:1::N
//! on the second. Its cables
//! end in the switch as ports `pN` and `qN`: pulling one there takes the carrier from the host
//! without telling its TCP anything.

use crate::shell::{run, try_run};
use anyhow::{Context, Result};

/// A pair of cables is pulled, or only one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    /// The first network's.
    First,
    /// The second network's.
    Second,
}

impl Cable {
    /// Both cables of a host.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    const fn letter(self) -> char {
        match self {
            Self::First => 'p',
            Self::Second => 'q',
        }
    }
}

/// The switch and the stacks on it, all named with one prefix.
#[derive(Clone, Debug)]
pub struct Switch {
    prefix: String,
}

impl Switch {
    /// The switch of the lab with this prefix; nothing is made yet.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// What all names of this lab begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn name(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// The name of host `n`'s network namespace. The client is host 9.
    #[must_use]
    pub fn stack(&self, n: u8) -> String {
        format!("{}-h{n}", self.prefix)
    }

    /// Makes the switch with its two networks.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn up(&self) -> Result<()> {
        let switch = self.name();
        run(&format!("ip netns add {switch}"))?;
        run(&format!("ip -n {switch} link set lo up"))?;
        for bridge in ["br0", "br1"] {
            run(&format!(
                "ip -n {switch} link add {bridge} type bridge stp_state 0 forward_delay 0 \
                 mcast_snooping 0"
            ))?;
            run(&format!("ip -n {switch} link set {bridge} up"))?;
        }
        Ok(())
    }

    /// Makes the network stack of host `n` and plugs its cables in.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn attach(&self, n: u8) -> Result<()> {
        let (switch, stack) = (self.name(), self.stack(n));
        run(&format!("ip netns add {stack}"))?;
        run(&format!("ip -n {stack} link set lo up"))?;
        for (network, letter, bridge) in [(0, 'p', "br0"), (1, 'q', "br1")] {
            run(&format!(
                "ip -n {switch} link add {letter}{n} type veth peer name eth{network} netns {stack}"
            ))?;
            run(&format!(
                "ip -n {stack} link set eth{network} address 02:99:00:00:0{network}:0{n}"
            ))?;
            run(&format!(
                "ip -n {switch} link set {letter}{n} master {bridge} up"
            ))?;
            run(&format!(
                "ip -n {stack} addr add 10.99.{network}.{n}/24 dev eth{network}"
            ))?;
            run(&format!(
                "ip -n {stack} -6 addr add fd99:{network}::{n}/64 dev eth{network} nodad"
            ))?;
            run(&format!("ip -n {stack} link set eth{network} up"))?;
        }
        Ok(())
    }

    /// Whether host `n` has a network stack.
    #[must_use]
    pub fn attached(&self, n: u8) -> bool {
        std::path::Path::new("/run/netns")
            .join(self.stack(n))
            .exists()
    }

    /// Ends the network stack of host `n`: from now on not even its kernel answers.
    pub fn detach(&self, n: u8) {
        let switch = self.name();
        if self.attached(n) {
            try_run(&format!("ip netns del {}", self.stack(n)));
        }
        for letter in ['p', 'q'] {
            try_run(&format!("ip -n {switch} link del {letter}{n}"));
        }
    }

    /// Pulls one cable of host `n`.
    ///
    /// # Errors
    /// There is no such cable.
    pub fn pull(&self, n: u8, cable: Cable) -> Result<()> {
        self.set(n, cable, "down")
    }

    /// Plugs one cable of host `n` in again.
    ///
    /// # Errors
    /// There is no such cable.
    pub fn plug(&self, n: u8, cable: Cable) -> Result<()> {
        self.set(n, cable, "up")
    }

    fn set(&self, n: u8, cable: Cable, state: &str) -> Result<()> {
        let (switch, letter) = (self.name(), cable.letter());
        run(&format!("ip -n {switch} link set {letter}{n} {state}")).map(drop)
    }

    /// How many bytes crossed the ports of host `n` so far, both networks and directions together,
    /// as the kernel counts them.
    ///
    /// # Errors
    /// There are no such ports.
    pub fn crossed(&self, n: u8) -> Result<u64> {
        let mut bytes = 0;
        for cable in Cable::BOTH {
            let port = format!("{}{n}", cable.letter());
            let said = run(&format!("ip -n {} -s -j link show {port}", self.name()))?;
            let said: serde_json::Value = serde_json::from_str(&said)?;
            for way in ["rx", "tx"] {
                let counted = said[0]["stats64"][way]["bytes"].as_u64();
                bytes += counted.with_context(|| format!("no counter of {port}"))?;
            }
        }
        Ok(bytes)
    }

    /// From now on the switch drops the frames that `what` describes, in the words of nftables, and
    /// nobody is told. Hosts are known by their ports: `iifname p1 oifname p2`.
    ///
    /// # Errors
    /// The words make no sense.
    pub fn block(&self, what: &str) -> Result<()> {
        self.drop_by("lab", what)
    }

    fn drop_by(&self, table: &str, what: &str) -> Result<()> {
        let chain = "{ type filter hook forward priority 0 ; }";
        self.rules(&format!("add table bridge {table}"))?;
        self.rules(&format!("add chain bridge {table} forward {chain}"))?;
        self.rules(&format!("add rule bridge {table} forward {what} drop"))
    }

    /// From now on host `to` gets no answer from host `from` when it asks whether it is there.
    ///
    /// # Errors
    /// There are no such ports.
    pub fn silence(&self, from: u8, to: u8) -> Result<()> {
        let what = format!("iifname p{from} oifname p{to} ip protocol icmp");
        self.drop_by("silence", &what)
    }

    /// Whoever is asked answers again.
    pub fn end_silence(&self) {
        let _ = self.rules("delete table bridge silence");
    }

    /// As [`Switch::block`], for all that host `from` sends to host `to`, on both networks.
    ///
    /// # Errors
    /// There are no such ports.
    pub fn block_way(&self, from: u8, to: u8) -> Result<()> {
        for cable in Cable::BOTH {
            self.block_way_of(cable, from, to)?;
        }
        Ok(())
    }

    /// As [`Switch::block_way`], on the network of this cable.
    ///
    /// # Errors
    /// There are no such ports.
    pub fn block_way_of(&self, cable: Cable, from: u8, to: u8) -> Result<()> {
        let letter = cable.letter();
        self.block(&format!("iifname {letter}{from} oifname {letter}{to}"))
    }

    /// Nothing is dropped any more.
    pub fn unblock(&self) {
        let _ = self.rules("delete table bridge lab");
    }

    fn rules(&self, words: &str) -> Result<()> {
        run(&format!("ip netns exec {} nft {words}", self.name())).map(drop)
    }

    /// Removes everything, made by this run or an earlier one.
    pub fn down(&self) {
        let Ok(names) = std::fs::read_dir("/run/netns") else {
            return;
        };
        let own = format!("{}-", self.prefix);
        for name in names.flatten() {
            let name = name.file_name().to_string_lossy().into_owned();
            if name.starts_with(&own) {
                try_run(&format!("ip netns del {name}"));
            }
        }
    }
}
