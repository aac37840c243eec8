//! The heartbeat networks: one UDP socket each, owned by the reactor's thread, never waited for.
//!
//! What does not come from the peer's address is dropped before anything is computed. Whether the
//! rest is authentic, the reactor finds out; whether it is fresh, the core.

use crate::config::HEARTBEAT_PORT;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use tandem_wire::peer::MESSAGE_MAX;

/// How many datagrams of one network are taken in one turn: the other networks and the clock have
/// their turn too, however fast a stranger sends.
const DATAGRAMS_PER_TURN_MAX: usize = 32;

/// One end of one heartbeat network.
pub(crate) struct Network {
    socket: UdpSocket,
    peer: SocketAddr,
    /// Datagrams that did not come from the peer.
    pub(crate) foreign: u64,
    /// Datagrams that the kernel did not take.
    pub(crate) unsent: u64,
}

/// A socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listen for heartbeats on {address} (is another daemon running?)")]
pub struct NetworkError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Network {
    /// Binds this node's end. The address need not be there yet: networks come up after us.
    pub(crate) fn open(own: IpAddr, peer: IpAddr) -> Result<Self, NetworkError> {
        let address = SocketAddr::new(own, HEARTBEAT_PORT);
        let socket = bind_free(address).map_err(|source| NetworkError { address, source })?;
        Ok(Self {
            socket,
            peer: SocketAddr::new(peer, HEARTBEAT_PORT),
            foreign: 0,
            unsent: 0,
        })
    }

    /// Sends, or counts that it could not: a heartbeat is not repeated, the next one follows.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.socket.send_to(bytes, self.peer) {
            Ok(_) => {}
            Err(_) => self.unsent += 1,
        }
    }

    /// Hands over what has arrived from the peer's address.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], mut take: impl FnMut(&[u8])) {
        for _ in 0..DATAGRAMS_PER_TURN_MAX {
            match self.socket.recv_from(buffer) {
                Ok((bytes, from)) if from.ip() == self.peer.ip() => take(&buffer[..bytes]),
                Ok(_) => self.foreign += 1,
                // Nothing left, or an echo of something that could not be delivered.
                Err(_) => return,
            }
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A buffer that holds the largest datagram, and one byte to notice a larger one.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; MESSAGE_MAX + 1]
}

fn bind_free(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn wait_for(network: &mut Network, wanted: impl Fn(&Network, &[Vec<u8>]) -> bool) {
        let mut buffer = buffer();
        let mut seen = Vec::new();
        let end = Instant::now() + Duration::from_secs(10);
        while !wanted(network, &seen) {
            assert!(
                Instant::now() < end,
                "{} foreign, {seen:?}",
                network.foreign
            );
            network.receive(&mut buffer, |bytes| seen.push(bytes.to_vec()));
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_what_comes_from_the_peer_is_taken() {
        // Each test has its own two addresses of 127/8: the port is fixed.
        let (a, b): (IpAddr, IpAddr) = ([127, 77, 1, 1].into(), [127, 77, 1, 2].into());
        let mut one = Network::open(a, b).expect("a loopback address");
        let mut two = Network::open(b, a).expect("a loopback address");
        let stranger = UdpSocket::bind("127.77.1.3:0").expect("a loopback address");
        let to = SocketAddr::new(a, HEARTBEAT_PORT);
        stranger.send_to(b"hello", to).expect("room in the queue");
        wait_for(&mut one, |network, _| network.foreign == 1);
        two.send(b"beat");
        wait_for(&mut one, |_, seen| seen == [b"beat".to_vec()]);
        assert!(Network::open(a, b).is_err(), "the port is in use");
    }

    #[test]
    fn an_address_need_not_be_there_yet() {
        for (own, peer) in [
            ("192.0.2.77", "192.0.2.78"),
            ("2001:db8::77", "2001:db8::78"),
        ] {
            let address = |text: &str| text.parse().expect("an address for documentation");
            Network::open(address(own), address(peer)).expect("the network comes up later");
        }
    }
}
