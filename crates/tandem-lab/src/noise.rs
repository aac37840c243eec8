//! What strangers send: garbage to every port, old datagrams again, and listeners in the way.
//!
//! Runs as a process in the network of the client or of a host. Everything is bounded in count and
//! time.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// The ports of the product that speak TCP.
const TCP_PORTS: [u16; 3] = [9010, 9011, 9012];
/// Its port for heartbeats.
const UDP_PORT: u16 = 9013;
/// How many connections stay open and say nothing.
const SILENT_CONNECTIONS: usize = 50;
/// How long anything may take on one connection.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a datagram is sent again.
const RESEND_PERIOD: Duration = Duration::from_millis(50);

/// Sends garbage to all ports of `target`. Gives how often something was sent.
///
/// # Errors
/// No datagram can be sent at all.
pub fn garbage(target: IpAddr) -> Result<usize> {
    let mut sent = 0;
    let mut silent = Vec::new();
    for port in TCP_PORTS {
        let address = SocketAddr::new(target, port);
        for payload in payloads() {
            sent += usize::from(one_connection(address, &payload).is_ok());
        }
        for _ in 0..SILENT_CONNECTIONS {
            silent.extend(TcpStream::connect_timeout(&address, PATIENCE));
        }
    }
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for payload in payloads() {
        for length in [0, 1, 7, 64, 200, 1400] {
            let datagram = &payload[..length.min(payload.len())];
            sent += usize::from(socket.send_to(datagram, (target, UDP_PORT)).is_ok());
        }
    }
    // They are open for a while beside the real ones.
    std::thread::sleep(Duration::from_secs(1));
    if sent == 0 {
        bail!("nothing could be sent to {target}");
    }
    Ok(sent + silent.len())
}

/// What is sent on one connection: nothing, zeros, noise, halves of the protocols that are spoken
/// there, lengths that lie.
fn payloads() -> Vec<Vec<u8>> {
    let mut noise = vec![0_u8; 256 << 10];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut noise {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend(&noise[..900]);
    let mut header = b"GET /api/v1/status HTTP/1.1\r\nX-Long: ".to_vec();
    header.extend(std::iter::repeat_n(b'a', 2 << 20));
    let mut body =
        b"POST /api/v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    body.extend(&noise[..100_000]);
    vec![
        Vec::new(),
        vec![0; 64 << 10],
        vec![0xff; 64 << 10],
        noise,
        hello,
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"POST /api/v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"command\":\"stop\"}".to_vec(),
        header,
        body,
    ]
}

fn one_connection(address: SocketAddr, payload: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE / 5))?;
    // A peer that hangs up in the middle is what should happen.
    let _ = stream.write_all(payload);
    let _ = stream.read(&mut [0; 4096]);
    Ok(())
}

/// Sends the datagrams of `file`, one in hexadecimal digits a line, from `source` to `target`, again
/// and again for `duration`.
///
/// # Errors
/// The file has no datagram, or none can be sent.
pub fn replay(
    source: SocketAddr,
    target: SocketAddr,
    file: &Path,
    duration: Duration,
) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let datagrams = (text.lines())
        .map(from_hexadecimal)
        .collect::<Option<Vec<_>>>()
        .context("a line that is not hexadecimal")?;
    if datagrams.is_empty() {
        bail!("no datagram to replay");
    }
    let socket = UdpSocket::bind(source).with_context(|| format!("bind {source}"))?;
    let begin = Instant::now();
    while begin.elapsed() < duration {
        for datagram in &datagrams {
            // While the target's own port is away, an error comes back here.
            let _ = socket.send_to(datagram, target);
        }
        std::thread::sleep(RESEND_PERIOD);
    }
    Ok(())
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.trim().as_bytes().chunks(2);
    bytes
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The payloads of the UDP datagrams in a capture file of `tcpdump`, in hexadecimal digits.
///
/// # Errors
/// It is no such file.
pub fn datagrams_of(capture: &[u8]) -> Result<Vec<String>> {
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    const BEFORE_PAYLOAD: usize = 14 + 20 + 8;
    let mut rest = capture.get(FILE_HEADER..).context("too short")?;
    let mut datagrams = Vec::new();
    while rest.len() > PACKET_HEADER {
        let length = rest[8..12].try_into().expect("four bytes");
        let length = u32::from_le_bytes(length) as usize;
        let packet = rest
            .get(PACKET_HEADER..PACKET_HEADER + length)
            .context("a packet that was cut off")?;
        if let Some(payload) = packet.get(BEFORE_PAYLOAD..) {
            datagrams.push(payload.iter().map(|b| format!("{b:02x}")).collect());
        }
        rest = &rest[PACKET_HEADER + length..];
    }
    Ok(datagrams)
}

/// Listens on `address` until it is ended.
///
/// # Errors
/// The address is in use.
pub fn occupy(address: SocketAddr) -> Result<()> {
    let _listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_survive_their_way_through_a_capture() {
        let mut capture = vec![0; 24];
        for payload in [&b"one"[..], b"three"] {
            let length = u32::try_from(payload.len() + 42).expect("short");
            capture.extend([0; 8]);
            capture.extend(length.to_le_bytes());
            capture.extend(length.to_le_bytes());
            capture.extend([0; 42]);
            capture.extend(payload);
        }
        let datagrams = datagrams_of(&capture).expect("a capture");
        let bytes = datagrams.iter().map(|d| from_hexadecimal(d));
        let bytes = bytes.collect::<Option<Vec<_>>>().expect("hexadecimal");
        assert_eq!(bytes, [b"one".to_vec(), b"three".to_vec()]);
    }
}
