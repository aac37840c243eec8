//! Neighbour discovery of IPv6 (RFC 4861): asking who has an address, as duplicate address detection
//! does it (RFC 4862, section 5.4), and telling unasked who has it now (RFC 4861, section 7.2.6).
//!
//! The kernel's own duplicate address detection cannot be used: it takes a second, and it begins
//! only when the address is on the interface already.

use std::io;
use std::net::Ipv6Addr;

use tokio::time::Instant;

use super::address::{HardwareAddress, ProbeTiming};
use super::packet::PacketSocket;

const HEADER_BYTES: usize = 40;
/// Type, code, checksum, flags, target.
const MESSAGE_BYTES: usize = 24;
const OPTION_BYTES: usize = 8;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Who has another holder in its cache takes the new one.
const OVERRIDE: u8 = 0x20;
const TARGET_HARDWARE: u8 = 2;
/// Routers pass nothing on with this limit, so that what arrives with it is from the same network.
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Asks who has `address`, without claiming it: it comes from nobody.
fn solicitation(address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(address.octets());
    packet(Ipv6Addr::UNSPECIFIED, listeners(address), message)
}

/// Says to everybody that `hardware` has `address`.
fn advertisement(hardware: HardwareAddress, address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_HARDWARE, 1]);
    message.extend(hardware.0);
    packet(address, ALL_NODES, message)
}

/// The group that whoever has `address` listens to.
fn listeners(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// The hardware address of a group.
fn group_hardware(group: Ipv6Addr) -> HardwareAddress {
    let [.., a, b, c, d] = group.octets();
    HardwareAddress([0x33, 0x33, a, b, c, d])
}

fn packet(from: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(from, to, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((message.len() as u16).to_be_bytes());
    packet.extend([ICMPV6, HOP_LIMIT]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(message);
    packet
}

/// RFC 4443, section 2.3. Over a message with its checksum it is zero.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let mut bytes = from.octets().to_vec();
    bytes.extend(to.octets());
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, ICMPV6]);
    bytes.extend(message);
    let mut sum: u32 = 0;
    for (at, byte) in bytes.into_iter().enumerate() {
        sum += u32::from(byte) << (8 * (1 - at % 2));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Who says to have which address; `None`: something else, or broken. Bytes behind the packet are
/// padding.
fn advertised(bytes: &[u8]) -> Option<(Ipv6Addr, HardwareAddress)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let message = rest.get(..length)?;
    let address = |at: usize| {
        let octets: Option<[u8; 16]> = bytes.get(at..at + 16)?.try_into().ok();
        octets.map(Ipv6Addr::from)
    };
    let genuine = header[0] >> 4 == 6
        && [header[6], header[7]] == [ICMPV6, HOP_LIMIT]
        && message.len() >= MESSAGE_BYTES
        && message[..2] == [ADVERTISEMENT, 0]
        && checksum(address(8)?, address(24)?, message) == 0;
    if !genuine {
        return None;
    }
    let target = address(HEADER_BYTES + 8)?;
    let option = message.get(MESSAGE_BYTES..MESSAGE_BYTES + OPTION_BYTES)?;
    let [TARGET_HARDWARE, 1, hardware @ ..] = option else {
        return None;
    };
    Some((target, HardwareAddress(hardware.try_into().ok()?)))
}

/// Asks for anybody but `own` who has the address. The first answer ends it.
///
/// A solicitation by somebody else is no conflict: it is the other node, which has the address as
/// little as this one; who may take it is not decided on the network.
pub async fn ask(
    socket: &PacketSocket,
    address: Ipv6Addr,
    timing: ProbeTiming,
    own: &[HardwareAddress],
) -> io::Result<Option<HardwareAddress>> {
    let question = solicitation(address);
    for _ in 0..timing.count {
        socket.send(group_hardware(listeners(address)), &question)?;
        let deadline = Instant::now() + timing.interval;
        let owner = socket
            .receive(deadline, |bytes| {
                let (target, hardware) = advertised(bytes)?;
                (target == address && !own.contains(&hardware)).then_some(hardware)
            })
            .await?;
        if owner.is_some() {
            return Ok(owner);
        }
    }
    Ok(None)
}

/// Tells everybody that `own` has the address.
///
/// # Errors
/// The interface is down or gone.
pub fn announce(socket: &PacketSocket, own: HardwareAddress, address: Ipv6Addr) -> io::Result<()> {
    socket.send(group_hardware(ALL_NODES), &advertisement(own, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 7]);
    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);

    #[test]
    fn an_advertisement_is_read_as_it_was_written_and_padding_is_ignored() {
        let mut bytes = advertisement(OWN, ADDRESS);
        assert_eq!(advertised(&bytes), Some((ADDRESS, OWN)));
        bytes.extend([0; 18]);
        assert_eq!(advertised(&bytes), Some((ADDRESS, OWN)));
    }

    #[test]
    fn what_is_broken_or_no_advertisement_is_ignored() {
        assert_eq!(advertised(&solicitation(ADDRESS)), None);
        let bytes = advertisement(OWN, ADDRESS);
        for length in 0..bytes.len() {
            assert_eq!(advertised(&bytes[..length]), None);
        }
        // The checksum covers the addresses and the message, and the rest is looked at.
        for at in (4..6).chain(6..bytes.len()) {
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert_eq!(advertised(&other), None, "byte {at}");
        }
    }

    #[test]
    fn a_question_goes_to_the_group_of_the_address_and_comes_from_nobody() {
        let bytes = solicitation(ADDRESS);
        assert_eq!(bytes[8..24], [0; 16]);
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().expect("an address");
        assert_eq!(listeners(ADDRESS), group);
        assert_eq!(bytes[24..40], group.octets());
        assert_eq!(group_hardware(group).to_string(), "33:33:ff:12:34:56");
        assert_eq!(checksum(Ipv6Addr::UNSPECIFIED, group, &bytes[40..]), 0);
    }
}
