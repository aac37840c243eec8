//! Asks a machine whether it is there (ICMP echo).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto,
    socket,
};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

const ECHO_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
const MESSAGE_BYTES: usize = 16;

/// Asks one machine, again and again.
#[derive(Debug)]
pub struct Pinger {
    socket: AsyncFd<OwnedFd>,
    address: IpAddr,
    /// In every question, so that answers to other programs' are not taken for ours.
    mark: [u8; 8],
    sequence: u16,
}

impl Pinger {
    /// Opens a socket; asks nothing yet.
    ///
    /// # Errors
    /// Not permitted, or no more descriptors.
    pub fn open(address: IpAddr) -> io::Result<Self> {
        let (family, protocol) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Raw, flags, protocol)?;
        // SAFETY: the socket is owned and never changed; it is closed only after the registration.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)?;
        Ok(Self {
            socket,
            address,
            mark: RandomState::new().build_hasher().finish().to_be_bytes(),
            sequence: 0,
        })
    }

    /// Whether it answers within `limit`. What cannot be sent is not answered.
    ///
    /// # Errors
    /// The socket is broken.
    pub async fn ask(&mut self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        self.sequence = self.sequence.wrapping_add(1);
        let to = SockaddrStorage::from(SocketAddr::new(self.address, 0));
        let question = self.message(self.question_type());
        let descriptor = self.socket.as_raw_fd();
        if sendto(descriptor, &question, &to, MsgFlags::empty()).is_err() {
            return Ok(false);
        }
        loop {
            let Ok(ready) = timeout_at(deadline, self.socket.readable()).await else {
                return Ok(false);
            };
            let mut buffer = [0; 256];
            let read = ready?
                .try_io(|socket| Ok(recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?));
            match read {
                Ok(length) => {
                    if self.is_answer(&buffer[..length?]) {
                        return Ok(true);
                    }
                }
                Err(_would_block) => {}
            }
        }
    }

    const fn question_type(&self) -> u8 {
        match self.address {
            IpAddr::V4(_) => ECHO_V4,
            IpAddr::V6(_) => ECHO_V6,
        }
    }

    /// Type, code, checksum, identifier and sequence, mark. The kernel adds the checksum of IPv6.
    fn message(&self, kind: u8) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = kind;
        message[4..6].copy_from_slice(&self.mark[..2]);
        message[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        message[8..].copy_from_slice(&self.mark);
        if self.address.is_ipv4() {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Raw sockets of IPv4 give the header too.
    fn is_answer(&self, packet: &[u8]) -> bool {
        let (begin, kind) = match self.address {
            IpAddr::V4(address) => {
                let from = packet.get(12..16);
                if from != Some(&address.octets()) {
                    return false;
                }
                (usize::from(packet[0] & 0x0f) * 4, ECHO_REPLY_V4)
            }
            IpAddr::V6(_) => (0, ECHO_REPLY_V6),
        };
        let Some(message) = packet.get(begin..begin + MESSAGE_BYTES) else {
            return false;
        };
        let expected = self.message(kind);
        message[..2] == expected[..2] && message[4..] == expected[4..]
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_root(test: &str) -> bool {
        let root = nix::unistd::geteuid().is_root();
        if !root {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"));
            eprintln!("skipped: {test} needs root");
        }
        root
    }

    fn answers(address: &str, limit: Duration) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut pinger = Pinger::open(address.parse().expect("an address")).expect("root may");
            pinger.ask(limit).await.expect("a question")
        })
    }

    #[test]
    fn a_machine_that_is_there_answers_and_silence_is_no_answer() {
        const LIMIT: Duration = Duration::from_secs(5);
        if !is_root("a_machine_that_is_there_answers_and_silence_is_no_answer") {
            return;
        }
        for here in ["127.0.0.1", "::1"] {
            assert!(answers(here, LIMIT), "{here}");
        }
        let alone = std::thread::spawn(|| {
            // For this thread alone: a network in which nobody is, not even itself.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
            ["127.0.0.1", "::1"].map(|address| answers(address, Duration::from_millis(50)))
        });
        assert_eq!(alone.join().expect("it ends"), [false, false]);
    }

    #[test]
    fn only_the_answer_to_the_newest_question_counts() {
        if !is_root("only_the_answer_to_the_newest_question_counts") {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let mut pinger = Pinger::open("::1".parse().expect("an address")).expect("root may");
        pinger.sequence = 7;
        let answer = pinger.message(ECHO_REPLY_V6);
        assert!(pinger.is_answer(&answer));
        assert!(!pinger.is_answer(&answer[..15]));
        assert!(!pinger.is_answer(&pinger.message(ECHO_V6)));
        pinger.sequence = 8;
        assert!(!pinger.is_answer(&answer));
    }
}
