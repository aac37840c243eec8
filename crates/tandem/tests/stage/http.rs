//! node1's HTTP API, as somebody on the other end of the cable finds it.

use super::{Machine, until};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For one answer: the daemon takes milliseconds, a loaded machine more.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Connects from where this thread is.
pub fn connect(port: u16) -> TcpStream {
    let address = SocketAddr::from(([10, 99, 0, 1], port));
    let stream = until("node1 accepts", || {
        TcpStream::connect_timeout(&address, ANSWER_MAX).ok()
    });
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
    stream
}

/// Asks node1's API from where this thread is: the status and the whole answer.
pub fn ask(head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let answer = send(&format!(
        "{head}\r\nHost: one\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or(0), answer)
}

/// Sends some bytes, and gives back everything that node1 says until it closes the connection.
pub fn send(bytes: &str) -> String {
    let mut stream = connect(9010);
    // A request that is too large is answered before it was read.
    let _ = stream.write_all(bytes.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The header with the token of a machine.
pub fn bearer(machine: &Machine<'_>) -> String {
    let token = fs::read_to_string(machine.state_dir().join("token")).expect("it was made");
    format!("Authorization: Bearer {}", token.trim())
}
