//! Packets of one protocol on one interface, below the kernel's own idea of addresses: a node asks
//! about an address that it does not have, and tells about one before anybody asked.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::address::HardwareAddress;

/// The longest packet that is looked at; what these protocols send is shorter.
const PACKET_BYTES_MAX: usize = 256;

/// What a socket receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// ARP.
    Arp,
    /// Neighbour advertisements of IPv6; sends any IPv6.
    NeighbourAdvertisements,
}

impl Protocol {
    const fn ethertype(self) -> u16 {
        match self {
            Self::Arp => libc::ETH_P_ARP as u16,
            Self::NeighbourAdvertisements => libc::ETH_P_IPV6 as u16,
        }
    }
}

/// A socket on one interface.
pub struct PacketSocket {
    socket: AsyncFd<OwnedFd>,
    interface: libc::c_int,
    protocol: Protocol,
}

impl PacketSocket {
    /// Opens a socket on the interface with this index.
    ///
    /// # Errors
    /// Not permitted, or the interface is gone.
    pub fn open(interface: u32, protocol: Protocol) -> io::Result<Self> {
        let interface = libc::c_int::try_from(interface).map_err(io::Error::other)?;
        // SAFETY: the call has no pointers; its result is checked before it is owned.
        let socket = unsafe {
            let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // Without a protocol it receives nothing until it is bound to one interface.
            let descriptor = libc::socket(libc::AF_PACKET, kind, 0);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        if protocol == Protocol::NeighbourAdvertisements {
            // An interface may carry any amount of other IPv6.
            filter_advertisements(&socket)?;
        }
        let place = link_address(interface, protocol, HardwareAddress([0; 6]));
        // SAFETY: the address is valid and its length is that of its type.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const place).cast(),
                mem::size_of_val(&place) as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the socket is owned and never changed; it is closed only after the registration.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)?;
        Ok(Self {
            socket,
            interface,
            protocol,
        })
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn send(&self, to: HardwareAddress, packet: &[u8]) -> io::Result<()> {
        let to = link_address(self.interface, self.protocol, to);
        // SAFETY: the bytes and the address are valid for their lengths.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const to).cast(),
                mem::size_of_val(&to) as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// What `wanted` makes of the first packet before the deadline that it accepts. Others are
    /// dropped.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub async fn receive<T>(
        &self,
        deadline: Instant,
        wanted: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            let Ok(ready) = timeout_at(deadline, self.socket.readable()).await else {
                return Ok(None);
            };
            let mut buffer = [0; PACKET_BYTES_MAX];
            let read = ready?.try_io(|socket| Ok(rustix::io::read(socket, &mut buffer[..])?));
            match read {
                Ok(length) => {
                    if let Some(found) = wanted(&buffer[..length?]) {
                        return Ok(Some(found));
                    }
                }
                Err(_would_block) => {}
            }
        }
    }
}

fn link_address(
    interface: libc::c_int,
    protocol: Protocol,
    hardware: HardwareAddress,
) -> libc::sockaddr_ll {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = protocol.ethertype().to_be();
    address.sll_ifindex = interface;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&hardware.0);
    address
}

/// Lets the kernel drop everything but neighbour advertisements.
fn filter_advertisements(socket: &OwnedFd) -> io::Result<()> {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const NEXT_HEADER_AT: u32 = 6;
    const TYPE_AT: u32 = 40;
    const ICMPV6: u32 = 58;
    const ADVERTISEMENT: u32 = 136;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD_BYTE, 0, 0, NEXT_HEADER_AT),
        step(JUMP_EQUAL, 0, 3, ICMPV6),
        step(LOAD_BYTE, 0, 0, TYPE_AT),
        step(JUMP_EQUAL, 0, 1, ADVERTISEMENT),
        step(RETURN, 0, 0, PACKET_BYTES_MAX as u32),
        step(RETURN, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program outlives the call, and its length is the right one; the kernel copies it.
    let attached = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            mem::size_of_val(&filter) as libc::socklen_t,
        )
    };
    if attached < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
