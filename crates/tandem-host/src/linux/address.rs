//! A virtual address, IPv4 or IPv6: probed before it is taken, added with a kernel lifetime, announced
//! again and again, removed.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::arp::{self, Operation, Packet};
use super::ndp;
use super::netlink::{Link, Netlink, Placement};
use super::packet::{PacketSocket, Protocol};
use crate::probe::sentence;

/// Where a virtual address belongs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AddressConfig {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix, 0 to 32, or to 128.
    pub prefix: u8,
    /// The interface that carries it.
    pub interface: String,
}

/// The hardware address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// Who has the address on the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occupancy {
    /// Nobody answered.
    Free,
    /// Another machine did.
    Taken(HardwareAddress),
}

/// The address could not be probed, held or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// There is no such interface.
    #[error("the interface {0} does not exist")]
    InterfaceMissing(String),
    /// It is no network on which one can ask who has an address.
    #[error("the interface {0} is not an Ethernet interface")]
    NotEthernet(String),
    /// Its cable is out, or it is switched off.
    #[error("the interface {0} has no carrier")]
    NoCarrier(String),
    /// Not root, or without `CAP_NET_ADMIN` or `CAP_NET_RAW`.
    #[error("{act}: not permitted (needs root)")]
    NotPermitted {
        /// What was attempted.
        act: &'static str,
    },
    /// IPv6 is switched off on it.
    #[error("IPv6 is switched off on the interface {0}")]
    Ipv6Off(String),
    /// The address is on this machine, and not by us.
    #[error("{address} is already in use on this machine, on {interface}")]
    InUseHere {
        /// The address.
        address: IpAddr,
        /// The interface that has it.
        interface: String,
    },
    /// The address is not on this machine.
    #[error("{address} is not on {interface}")]
    NotHere {
        /// The address.
        address: IpAddr,
        /// Where it should be.
        interface: String,
    },
    /// A call of the operating system failed.
    #[error("{act}")]
    System {
        /// What was attempted.
        act: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl AddressError {
    pub(super) fn of(act: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { act },
            _ => Self::System { act, source },
        }
    }
}

/// How the network is asked who has the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeTiming {
    /// How often. RFC 5227 says 3.
    pub count: u32,
    /// From one question to the next, and after the last. RFC 5227 says 1 s to 2 s, for networks
    /// of its day; a failover cannot wait that long.
    pub interval: Duration,
}

impl Default for ProbeTiming {
    fn default() -> Self {
        Self {
            count: 3,
            interval: Duration::from_millis(100),
        }
    }
}

/// How often a new holder announces itself at first: switches and hosts may miss some.
const FIRST_ANNOUNCEMENTS: u32 = 5;

/// Between the first announcements: five within two seconds.
const FIRST_ANNOUNCEMENTS_PERIOD: Duration = Duration::from_millis(500);

/// Between all later ones: heals caches that were poisoned by a split.
const ANNOUNCEMENTS_PERIOD: Duration = Duration::from_secs(30);

/// One virtual address of a module.
///
/// What is added here always has an end by the kernel's own clock. So an address without an end is
/// somebody else's, and one with an end is ours, of this or of an earlier run of the daemon.
#[derive(Debug)]
pub struct Address {
    config: AddressConfig,
    timing: ProbeTiming,
    announcer: Mutex<Option<Announcer>>,
}

impl Address {
    /// Names the address and changes nothing.
    #[must_use]
    pub fn new(config: AddressConfig) -> Self {
        Self::with_timing(config, ProbeTiming::default())
    }

    /// As [`Self::new`], with another timing of probes.
    #[must_use]
    pub const fn with_timing(config: AddressConfig, timing: ProbeTiming) -> Self {
        Self {
            config,
            timing,
            announcer: Mutex::new(None),
        }
    }

    /// As configured.
    #[must_use]
    pub const fn config(&self) -> &AddressConfig {
        &self.config
    }

    /// Asks the network three times within 0.3 s who has the address.
    ///
    /// # Errors
    /// It could not be asked; without carrier too, because silence would prove nothing.
    pub async fn probe(&self) -> Result<Occupancy, AddressError> {
        let act = "ask the network who has the address";
        let netlink = Netlink::open()?;
        let link = netlink.link(&self.config.interface).await?;
        if !link.has_carrier {
            return Err(AddressError::NoCarrier(self.config.interface.clone()));
        }
        self.refuse_foreign(&netlink.placements(self.config.address).await?)?;
        let own = netlink.hardware_addresses().await?;
        let owner = self.ask(link, &own).await.map_err(system(act))?;
        Ok(owner.map_or(Occupancy::Free, Occupancy::Taken))
    }

    async fn ask(
        &self,
        link: Link,
        own: &[HardwareAddress],
    ) -> io::Result<Option<HardwareAddress>> {
        match self.config.address {
            IpAddr::V4(address) => {
                let socket = PacketSocket::open(link.index, Protocol::Arp)?;
                let question = Packet::probe(link.hardware, address);
                arp::ask(&socket, question, self.timing, own).await
            }
            IpAddr::V6(address) => {
                let protocol = Protocol::NeighbourAdvertisements;
                let socket = PacketSocket::open(link.index, protocol)?;
                ndp::ask(&socket, address, self.timing, own).await
            }
        }
    }

    /// Puts the address on the interface for `lifetime`, rounded up to whole seconds, after which
    /// the kernel takes it away by itself; announces it, and goes on announcing it until
    /// [`Self::remove`] or its end. When we hold it already, this is [`Self::refresh`].
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn hold(&self, lifetime: Duration) -> Result<(), AddressError> {
        self.put(lifetime).await?;
        self.begin_announcing();
        Ok(())
    }

    /// Lets the lifetime begin again. An address that somebody took off the interface is put back
    /// and announced: whoever refreshes has the right to it.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn refresh(&self, lifetime: Duration) -> Result<(), AddressError> {
        if !self.put(lifetime).await? {
            tracing::warn!(
                address = %self.config.address,
                interface = self.config.interface,
                "the address was gone and is put back"
            );
            self.begin_announcing();
        }
        Ok(())
    }

    /// Whether the address is on its interface, put there by this or an earlier run of the daemon,
    /// with its lifetime still running.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn is_here(&self) -> Result<bool, AddressError> {
        let netlink = Netlink::open()?;
        let link = netlink.link(&self.config.interface).await?;
        let placements = netlink.placements(self.config.address).await?;
        let here =
            |p: &Placement| p.is_ours && p.index == link.index && p.prefix == self.config.prefix;
        Ok(placements.iter().any(here))
    }

    /// Tells the network once where the address is: by a request and a reply of ARP, or by an
    /// advertisement that nobody asked for.
    ///
    /// # Errors
    /// The address is not here, or the interface is down.
    pub async fn announce(&self) -> Result<(), AddressError> {
        announce(&self.config).await
    }

    /// Takes the address away, if it is here, and ends the announcements.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn remove(&self) -> Result<(), AddressError> {
        let announcer = self.announcer().take();
        if let Some(announcer) = announcer {
            announcer.end().await;
        }
        self.remove_stale().await.map(|_| ())
    }

    /// Takes away an address that an earlier run of the daemon left here, on any interface. Tells
    /// whether there was one.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn remove_stale(&self) -> Result<bool, AddressError> {
        let netlink = Netlink::open()?;
        let placements = netlink.placements(self.config.address).await?;
        let mut found = false;
        for placement in placements.iter().filter(|placement| placement.is_ours) {
            netlink.delete(placement).await?;
            found = true;
        }
        self.refuse_foreign(&placements)?;
        Ok(found)
    }

    /// Adds it, or lets its lifetime begin again. Tells whether it was there.
    async fn put(&self, lifetime: Duration) -> Result<bool, AddressError> {
        let netlink = Netlink::open()?;
        let link = netlink.link(&self.config.interface).await?;
        let placements = netlink.placements(self.config.address).await?;
        self.refuse_foreign(&placements)?;
        let mut was_there = false;
        for placement in &placements {
            if placement.index == link.index && placement.prefix == self.config.prefix {
                was_there = true;
            } else {
                // Left by a run with another configuration.
                netlink.delete(placement).await?;
            }
        }
        netlink
            .put(&self.config, link.index, whole_seconds(lifetime))
            .await?;
        Ok(was_there)
    }

    fn refuse_foreign(&self, placements: &[Placement]) -> Result<(), AddressError> {
        match placements.iter().find(|placement| !placement.is_ours) {
            None => Ok(()),
            Some(placement) => Err(AddressError::InUseHere {
                address: self.config.address,
                interface: placement.interface.clone(),
            }),
        }
    }

    fn begin_announcing(&self) {
        // An announcer that is replaced ends.
        *self.announcer() = Some(Announcer::start(self.config.clone()));
    }

    fn announcer(&self) -> MutexGuard<'_, Option<Announcer>> {
        // Nothing that holds the lock can panic half-way.
        self.announcer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel counts in whole seconds and refuses zero.
fn whole_seconds(lifetime: Duration) -> u32 {
    let begun_second = u64::from(lifetime.subsec_nanos() > 0);
    let seconds = lifetime.as_secs().saturating_add(begun_second);
    // The largest number would mean "for ever".
    u32::try_from(seconds).map_or(u32::MAX - 1, |seconds| seconds.clamp(1, u32::MAX - 1))
}

async fn announce(config: &AddressConfig) -> Result<(), AddressError> {
    let act = "announce the address";
    let netlink = Netlink::open()?;
    let link = netlink.link(&config.interface).await?;
    let placements = netlink.placements(config.address).await?;
    // Never for an address whose lifetime has ended: somebody else may have it by now.
    if !placements
        .iter()
        .any(|p| p.is_ours && p.index == link.index)
    {
        return Err(AddressError::NotHere {
            address: config.address,
            interface: config.interface.clone(),
        });
    }
    tell(link, config.address).map_err(system(act))
}

fn tell(link: Link, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => {
            let socket = PacketSocket::open(link.index, Protocol::Arp)?;
            for operation in [Operation::Request, Operation::Reply] {
                let packet = Packet::announcement(operation, link.hardware, address);
                arp::broadcast(&socket, packet)?;
            }
            Ok(())
        }
        IpAddr::V6(address) => {
            let protocol = Protocol::NeighbourAdvertisements;
            let socket = PacketSocket::open(link.index, protocol)?;
            ndp::announce(&socket, link.hardware, address)
        }
    }
}

/// The task that announces a held address again and again.
#[derive(Debug)]
struct Announcer(JoinHandle<()>);

impl Announcer {
    fn start(config: AddressConfig) -> Self {
        Self(tokio::spawn(async move {
            let mut sent: u32 = 0;
            loop {
                match announce(&config).await {
                    Ok(()) => {}
                    // It was refreshed too late, or removed behind our back. Who puts it back
                    // starts to announce it again.
                    Err(AddressError::NotHere { .. }) => return,
                    Err(error) => tracing::warn!(
                        address = %config.address,
                        error = sentence(&error),
                        "the address could not be announced"
                    ),
                }
                sent = sent.saturating_add(1);
                sleep(if sent < FIRST_ANNOUNCEMENTS {
                    FIRST_ANNOUNCEMENTS_PERIOD
                } else {
                    ANNOUNCEMENTS_PERIOD
                })
                .await;
            }
        }))
    }

    async fn end(mut self) {
        self.0.abort();
        // Either it was cancelled or it had ended.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn system(act: &'static str) -> impl FnOnce(io::Error) -> AddressError {
    move |source| AddressError::of(act, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_rounded_up_to_whole_seconds_and_has_an_end() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!(
            [seconds(0), seconds(1), seconds(1000), seconds(1001)],
            [1, 1, 1, 2]
        );
        assert_eq!(whole_seconds(Duration::MAX), u32::MAX - 1);
    }
}
