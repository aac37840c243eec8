//! ARP over a packet socket: asking who has an address (RFC 5227, section 2.1) and telling who has
//! it now (section 2.3).

use std::io;
use std::net::Ipv4Addr;

use tokio::time::Instant;

use super::address::{HardwareAddress, ProbeTiming};
use super::packet::PacketSocket;

const ETHERNET: u16 = 1;
const IPV4: u16 = 0x0800;
const PACKET_BYTES: usize = 28;
const BROADCAST: HardwareAddress = HardwareAddress([0xff; 6]);
const NOBODY: HardwareAddress = HardwareAddress([0; 6]);

/// What an ARP packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Request,
    Reply,
}

/// An ARP packet of IPv4 on Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    pub operation: Operation,
    pub sender: (HardwareAddress, Ipv4Addr),
    pub target: (HardwareAddress, Ipv4Addr),
}

impl Packet {
    /// Asks who has `address`, without claiming it: the sender's IP address is zero.
    pub const fn probe(own: HardwareAddress, address: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender: (own, Ipv4Addr::UNSPECIFIED),
            target: (NOBODY, address),
        }
    }

    /// Says that `own` has `address`, to whoever knows it already.
    pub const fn announcement(
        operation: Operation,
        own: HardwareAddress,
        address: Ipv4Addr,
    ) -> Self {
        let target = match operation {
            Operation::Request => NOBODY,
            Operation::Reply => BROADCAST,
        };
        Self {
            operation,
            sender: (own, address),
            target: (target, address),
        }
    }

    fn encode(self) -> [u8; PACKET_BYTES] {
        let mut bytes = [0; PACKET_BYTES];
        bytes[0..2].copy_from_slice(&ETHERNET.to_be_bytes());
        bytes[2..4].copy_from_slice(&IPV4.to_be_bytes());
        bytes[4] = 6;
        bytes[5] = 4;
        bytes[7] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        bytes[8..14].copy_from_slice(&self.sender.0.0);
        bytes[14..18].copy_from_slice(&self.sender.1.octets());
        bytes[18..24].copy_from_slice(&self.target.0.0);
        bytes[24..28].copy_from_slice(&self.target.1.octets());
        bytes
    }

    /// `None`: something else, or broken. Bytes behind the packet are padding.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PACKET_BYTES] = bytes.first_chunk()?;
        let hardware = |at: usize| {
            let mut address = [0; 6];
            address.copy_from_slice(&bytes[at..at + 6]);
            HardwareAddress(address)
        };
        let protocol =
            |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let head = [0, 1, 8, 0, 6, 4, 0];
        let operation = match bytes[7] {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        (bytes[..7] == head).then(|| Self {
            operation,
            sender: (hardware(8), protocol(14)),
            target: (hardware(18), protocol(24)),
        })
    }
}

/// Sends a packet to everybody on the network.
///
/// # Errors
/// The interface is down or gone.
pub fn broadcast(socket: &PacketSocket, packet: Packet) -> io::Result<()> {
    socket.send(BROADCAST, &packet.encode())
}

/// Asks for anybody but `own` who has the address. The first answer ends it.
///
/// Deviating from RFC 5227, a probe by somebody else is no conflict: it is the other node, which
/// has the address as little as this one; who may take it is not decided on the network.
pub async fn ask(
    socket: &PacketSocket,
    question: Packet,
    timing: ProbeTiming,
    own: &[HardwareAddress],
) -> io::Result<Option<HardwareAddress>> {
    let address = question.target.1;
    for _ in 0..timing.count {
        broadcast(socket, question)?;
        let deadline = Instant::now() + timing.interval;
        let owner = socket
            .receive(deadline, |bytes| {
                let (hardware, sender) = Packet::decode(bytes)?.sender;
                (sender == address && !own.contains(&hardware)).then_some(hardware)
            })
            .await?;
        if owner.is_some() {
            return Ok(owner);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 7]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);

    #[test]
    fn packets_are_read_as_they_were_written_and_padding_is_ignored() {
        for packet in [
            Packet::probe(OWN, ADDRESS),
            Packet::announcement(Operation::Request, OWN, ADDRESS),
            Packet::announcement(Operation::Reply, OWN, ADDRESS),
        ] {
            let mut bytes = packet.encode().to_vec();
            assert_eq!(Packet::decode(&bytes), Some(packet));
            bytes.extend([0; 18]);
            assert_eq!(Packet::decode(&bytes), Some(packet));
        }
    }

    #[test]
    fn what_is_no_arp_of_ipv4_on_ethernet_is_ignored() {
        let bytes = Packet::probe(OWN, ADDRESS).encode();
        for length in 0..bytes.len() {
            assert_eq!(Packet::decode(&bytes[..length]), None);
        }
        for at in 0..8 {
            let mut other = bytes;
            other[at] ^= 0x40;
            assert_eq!(Packet::decode(&other), None, "byte {at}");
        }
    }

    #[test]
    fn a_probe_does_not_claim_the_address() {
        assert_eq!(Packet::probe(OWN, ADDRESS).sender.1, Ipv4Addr::UNSPECIFIED);
    }
}
