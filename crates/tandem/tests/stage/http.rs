//! A node's HTTP API, as somebody on the other end of the cable finds it: over HTTP, or over HTTPS.

use super::{Machine, until};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For one answer: the daemon takes milliseconds, a loaded machine more.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Connects to node1 from where this thread is.
pub fn connect(port: u16) -> TcpStream {
    connect_to(1, port)
}

fn connect_to(node: u8, port: u16) -> TcpStream {
    let address = SocketAddr::from(([10, 99, 0, node], port));
    let stream = until("the node accepts", || {
        TcpStream::connect_timeout(&address, ANSWER_MAX).ok()
    });
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
    stream
}

/// How the nodes' port 9010 is spoken to.
#[derive(Clone)]
pub enum Door {
    Http,
    /// Trusting the nodes' own certificates, and nothing else.
    Https(Arc<ClientConfig>),
}

/// A connection to it.
pub enum Connection {
    Http(TcpStream),
    Https(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The certificate that a machine's node shows, if it speaks HTTPS.
pub fn certificate(machine: &Machine<'_>) -> PathBuf {
    machine.state_dir().join("https/certificate.pem")
}

impl Door {
    /// As these machines' nodes have it.
    pub fn of(machines: &[&Machine<'_>]) -> Self {
        let mut roots = RootCertStore::empty();
        for path in machines.iter().map(|machine| certificate(machine)) {
            if path.exists() {
                let certificate = CertificateDer::from_pem_file(&path).expect("a certificate");
                roots.add(certificate).expect("one that can be trusted");
            }
        }
        if roots.is_empty() {
            return Self::Http;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::Https(Arc::new(config))
    }

    /// Connects to node1.
    pub fn connect(&self) -> Connection {
        self.connect_to(1)
    }

    /// Connects to a node.
    pub fn connect_to(&self, node: u8) -> Connection {
        self.over(node, connect_to(node, 9010))
            .expect("it shakes hands")
    }

    /// Begins on a connection to a node that somebody has made.
    pub fn over(&self, node: u8, mut socket: TcpStream) -> io::Result<Connection> {
        let Self::Https(config) = self else {
            return Ok(Connection::Http(socket));
        };
        let name = ServerName::from(IpAddr::from([10, 99, 0, node]));
        let tls = ClientConnection::new(config.clone(), name);
        let mut tls = tls.map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let stream = StreamOwned::new(tls, socket);
        Ok(Connection::Https(Box::new(stream)))
    }

    /// Asks node1's API from where this thread is: the status and the whole answer.
    pub fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let answer = self.send(&format!(
            "{head}\r\nHost: one\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.unwrap_or(0), answer)
    }

    /// Sends some bytes, and gives back everything that node1 says until it closes the connection.
    pub fn send(&self, bytes: &str) -> String {
        let mut stream = self.connect();
        // A request that is too large is answered before it was read.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Connection {
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Http(socket) => socket,
            Self::Https(stream) => &stream.sock,
        }
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let stream = match self {
            Self::Http(socket) => return socket.read(bytes),
            Self::Https(stream) => &mut **stream,
        };
        loop {
            match stream.conn.reader().read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // What nobody takes any more does not keep the answer away.
            if stream.conn.wants_write() {
                let _ = stream.conn.write_tls(&mut stream.sock);
            }
            stream.conn.read_tls(&mut stream.sock)?;
            let news = stream.conn.process_new_packets();
            news.map_err(io::Error::other)?;
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Http(socket) => socket.write(bytes),
            Self::Https(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Http(socket) => socket.flush(),
            Self::Https(stream) => stream.flush(),
        }
    }
}

/// The header with the token of a machine.
pub fn bearer(machine: &Machine<'_>) -> String {
    let token = fs::read_to_string(machine.state_dir().join("token")).expect("it was made");
    format!("Authorization: Bearer {}", token.trim())
}
