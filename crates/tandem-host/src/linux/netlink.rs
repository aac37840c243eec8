//! Links and addresses over rtnetlink.
//!
//! A connection is opened for each errand: there is no state that could outlive its usefulness, and
//! an errand costs a few system calls.

use std::io;
use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use tokio::task::JoinHandle;

use super::address::{AddressConfig, AddressError, HardwareAddress};

/// An interface.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub index: u32,
    pub hardware: HardwareAddress,
    pub has_carrier: bool,
}

/// One occurrence of an address on this machine.
#[derive(Clone, Debug)]
pub struct Placement {
    pub index: u32,
    pub interface: String,
    pub prefix: u8,
    /// Whether it ends by itself, as all that is added here does.
    pub is_ours: bool,
    message: AddressMessage,
}

/// A connection to the kernel, in the network namespace of the thread that opened it.
pub struct Netlink {
    handle: rtnetlink::Handle,
    task: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    /// Opens a connection.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn open() -> Result<Self, AddressError> {
        let (connection, handle, _messages) = rtnetlink::new_connection()
            .map_err(|source| AddressError::of("open a netlink socket", source))?;
        let task = tokio::spawn(connection);
        Ok(Self { handle, task })
    }

    /// Finds an Ethernet interface.
    pub async fn link(&self, name: &str) -> Result<Link, AddressError> {
        let act = "look at the interface";
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let message = match links.try_next().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(AddressError::InterfaceMissing(name.to_owned())),
            Err(error) => {
                let source = io_error(error);
                return Err(match source.raw_os_error() {
                    Some(libc::ENODEV) => AddressError::InterfaceMissing(name.to_owned()),
                    _ => AddressError::of(act, source),
                });
            }
        };
        match hardware_address(&message) {
            Some(hardware) if message.header.link_layer_type == LinkLayerType::Ether => Ok(Link {
                index: message.header.index,
                hardware,
                has_carrier: message.header.flags.contains(LinkFlags::LowerUp),
            }),
            _ => Err(AddressError::NotEthernet(name.to_owned())),
        }
    }

    /// The hardware addresses of all interfaces of this machine.
    pub async fn hardware_addresses(&self) -> Result<Vec<HardwareAddress>, AddressError> {
        let messages = self.links().await?;
        Ok(messages.iter().filter_map(hardware_address).collect())
    }

    /// Where on this machine an address is.
    pub async fn placements(&self, address: IpAddr) -> Result<Vec<Placement>, AddressError> {
        let mut found = self.addresses(address.is_ipv6()).await?;
        found.retain(|message| local(message) == Some(address));
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let links = self.links().await?;
        let placements = found.into_iter().map(|message| Placement {
            index: message.header.index,
            interface: name_of(&links, message.header.index),
            prefix: message.header.prefix_len,
            is_ours: !flags(&message).contains(AddressFlags::Permanent),
            message,
        });
        Ok(placements.collect())
    }

    /// Adds an address with a lifetime, or sets that of one that is there.
    pub async fn put(
        &self,
        config: &AddressConfig,
        index: u32,
        lifetime_seconds: u32,
    ) -> Result<(), AddressError> {
        let mut request = self
            .handle
            .address()
            .add(index, config.address, config.prefix)
            .replace();
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = lifetime_seconds;
        lifetime.ifa_valid = lifetime_seconds;
        let attributes = &mut request.message_mut().attributes;
        if config.address.is_ipv6() {
            // What this machine says to others comes from its own address, not from one that moves.
            lifetime.ifa_preferred = 0;
            // Probed it was already, and services bind to it at once.
            let mut flags = AddressFlags::Nodad;
            if self.has_network(config, index).await? {
                // The kernel would let the route to that network end with this address.
                flags |= AddressFlags::Noprefixroute;
            }
            attributes.push(AddressAttribute::Flags(flags));
        }
        attributes.push(AddressAttribute::CacheInfo(lifetime));
        let act = "put the address on the interface";
        request.execute().await.map_err(|error| {
            let source = io_error(error);
            match source.raw_os_error() {
                Some(libc::EACCES) if config.address.is_ipv6() => {
                    AddressError::Ipv6Off(config.interface.clone())
                }
                _ => AddressError::of(act, source),
            }
        })
    }

    /// Whether an address of this machine's own is in the same IPv6 network on this interface.
    async fn has_network(&self, config: &AddressConfig, index: u32) -> Result<bool, AddressError> {
        let addresses = self.addresses(true).await?;
        let beside = |message: &AddressMessage| {
            message.header.index == index
                && message.header.prefix_len == config.prefix
                // Other virtual addresses are never preferred.
                && !flags(message).contains(AddressFlags::Deprecated)
                && local(message).is_some_and(|own| same_network(own, config))
        };
        Ok(addresses.iter().any(beside))
    }

    /// All addresses of IPv6, or of IPv4, of this machine.
    async fn addresses(&self, v6: bool) -> Result<Vec<AddressMessage>, AddressError> {
        let act = "look at the addresses of this machine";
        let mut request = self.handle.address().get();
        request.message_mut().header.family = match v6 {
            true => AddressFamily::Inet6,
            false => AddressFamily::Inet,
        };
        (request.execute().try_collect().await)
            .map_err(|error| AddressError::of(act, io_error(error)))
    }

    /// Removes one occurrence. One that has gone in the meantime is removed.
    pub async fn delete(&self, placement: &Placement) -> Result<(), AddressError> {
        let message = placement.message.clone();
        match self.handle.address().del(message).execute().await {
            Ok(()) => Ok(()),
            Err(error) => match io_error(error) {
                gone if gone.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
                source => Err(AddressError::of(
                    "take the address off the interface",
                    source,
                )),
            },
        }
    }

    async fn links(&self) -> Result<Vec<LinkMessage>, AddressError> {
        let links = self.handle.link().get().execute();
        links
            .map(|link| link.map_err(io_error))
            .try_collect()
            .await
            .map_err(|source| AddressError::of("look at the interfaces of this machine", source))
    }
}

fn hardware_address(message: &LinkMessage) -> Option<HardwareAddress> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Address(bytes) = attribute {
            bytes.as_slice().try_into().ok().map(HardwareAddress)
        } else {
            None
        }
    })
}

fn name_of(links: &[LinkMessage], index: u32) -> String {
    let link = links.iter().find(|link| link.header.index == index);
    link.and_then(|link| {
        link.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name.clone())
            } else {
                None
            }
        })
    })
    .unwrap_or_else(|| format!("interface {index}"))
}

/// IPv6 names it by the attribute that in IPv4 can be the other end of a point-to-point link.
fn local(message: &AddressMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(address) = attribute {
            Some(*address)
        } else if let AddressAttribute::Address(address @ IpAddr::V6(_)) = attribute {
            Some(*address)
        } else {
            None
        }
    })
}

fn flags(message: &AddressMessage) -> AddressFlags {
    let found = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Flags(flags) = attribute {
            Some(*flags)
        } else {
            None
        }
    });
    found.unwrap_or(AddressFlags::empty())
}

fn same_network(own: IpAddr, config: &AddressConfig) -> bool {
    let (IpAddr::V6(own), IpAddr::V6(address)) = (own, config.address) else {
        return false;
    };
    let host_bits = 128u32.saturating_sub(u32::from(config.prefix));
    let network = |address: u128| address.checked_shr(host_bits).unwrap_or(0);
    own != address && network(own.to_bits()) == network(address.to_bits())
}

fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
