//! The data stream's connection: frames over TLS 1.3 over TCP, each side pinned to one certificate.
//!
//! Blocking and without a thread of its own once a connection stands: whoever calls
//! [`FrameReceiver::receive`] reads, whoever calls [`FrameSender::send`] writes. Three locks keep
//! them apart:
//!
//! - `sending` is held from the encryption of a batch until the socket took its last byte, so that
//!   records leave in the order of their numbers;
//! - `tls` is held only while bytes in memory are encrypted or decrypted, never over a system call;
//! - the socket needs none. A writer that is blocked by a full socket therefore never keeps the
//!   reader from reading, which two nodes that write to each other need to get on at all.
//!
//! What the reader makes TLS want to say (an alert, a key update) leaves with the next batch.
//!
//! The peer is the one whose certificate equals the pinned bytes; dates, names and issuers are not
//! looked at, because a dead clock battery must not stop replication.
//!
//! It deliberately does not reconnect, number, queue or interpret frames.

use std::io::{IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use tandem_wire::stream::{FrameError, FrameHeader, FrameKind, PAYLOAD_MAX};

use crate::pinning;

/// The longest time from the first byte of a connection to the end of its TLS handshake. Ten round
/// trips of a slow link; a peer that needs more comes again.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);
/// How many connections may be in their handshake at once; one more evicts the oldest. A peer
/// needs one, strangers get the rest.
const HANDSHAKES_MAX: usize = 16;
/// Accepted connections that nobody took yet. A newer one replaces the session anyway.
const ACCEPTED_MAX: usize = 4;
/// Connections that the kernel keeps for the acceptor, which takes them at once: as many as the
/// standard library asks for.
const BACKLOG: i32 = 128;
/// After this long without a sign of life of the other kernel the connection ends. Longer than the
/// stall limit, which decides first; short enough that dead connections do not pile up.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// Seconds between the kernel's own probes of an idle connection.
const KEEPALIVE_SECONDS: u32 = 2;
/// What is encrypted and handed to the kernel at once: a bound for the memory of a batch.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What is read from the socket at once.
const READ_BYTES: usize = 256 << 10;
/// Slices handed to one vectored write of TLS: its cost per record grows with their number.
const SLICES_MAX: usize = 64;

/// This node's key, and the only certificate that the peer may show.
#[derive(Clone)]
pub struct Identity {
    /// The certificate that this node shows, self-signed, DER.
    pub certificate_der: Vec<u8>,
    /// Its key, PKCS#8 DER.
    pub key_der: Vec<u8>,
    /// The certificate of the peer, exactly.
    pub peer_certificate_der: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// A frame as it came in: header and payload were checked against each other.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The header.
    pub header: FrameHeader,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// What the frame is; checked when it was received.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.header
            .frame_kind()
            .expect("the receiver lets only known kinds through")
    }
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// This node's own certificate or key cannot be used.
    #[error("use this node's certificate and key (pair the nodes again?)")]
    Identity(#[source] rustls::Error),
    /// The port cannot be listened on.
    #[error("listen on {address} for the data stream (is another mirror running?)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("connect to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The other side is not the peer, or does not accept us.
    #[error("agree with the other side on keys")]
    Tls(#[from] rustls::Error),
    /// The handshake took too long.
    #[error("handshake took longer than {} s", HANDSHAKE_LIMIT.as_secs())]
    HandshakeTimeout,
    /// The connection broke.
    #[error("connection broke")]
    Broken(#[source] io::Error),
    /// The connection was closed, by either side.
    #[error("connection is closed")]
    Closed,
    /// What came is no frame.
    #[error("unreadable frame")]
    Frame(#[from] FrameError),
    /// The caller wants to send too much at once.
    #[error("payload of {0} bytes is more than a frame holds")]
    PayloadTooLong(usize),
}

/// Opens a connection to the peer, giving up after `timeout`.
///
/// # Errors
/// [`TransportError`]. That the peer does not accept *our* certificate shows only at the first
/// [`FrameReceiver::receive`]: TLS 1.3 ends for the client before the server has seen it.
pub fn connect(
    address: SocketAddr,
    identity: &Identity,
    timeout: Duration,
) -> Result<(FrameSender, FrameReceiver), TransportError> {
    let config = pinning::client(identity).map_err(TransportError::Identity)?;
    let deadline = Instant::now() + timeout;
    let socket = TcpStream::connect_timeout(&address, timeout)
        .map_err(|source| TransportError::Connect { address, source })?;
    let name = ServerName::IpAddress(address.ip().into());
    let client = ClientConnection::new(config, name)?;
    let connection = handshake(&socket, Connection::Client(client), deadline)?;
    duplex(socket, connection)
}

/// Waits for the peer's connections. Whatever else comes to the port is turned away without a
/// word to the caller.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    socket: Arc<TcpListener>,
    accepted: Receiver<Accepted>,
    acceptor: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

type Accepted = (FrameSender, FrameReceiver, SocketAddr);

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// [`TransportError::Listen`], [`TransportError::Identity`]
    pub fn bind(address: &SocketAddr, identity: &Identity) -> Result<Self, TransportError> {
        let config = pinning::server(identity).map_err(TransportError::Identity)?;
        let listen = |source| TransportError::Listen {
            address: *address,
            source,
        };
        let socket = Arc::new(listen_at(address).map_err(|errno| listen(errno.into()))?);
        let (sender, accepted) = crossbeam_channel::bounded(ACCEPTED_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            socket: Arc::clone(&socket),
            config,
            accepted: sender,
            handshakes: Arc::default(),
            stopping: Arc::clone(&stopping),
        };
        let acceptor = thread::Builder::new()
            .name("accept".into())
            .spawn(move || acceptor.run())
            .map_err(listen)?;
        Ok(Self {
            address: socket.local_addr().map_err(listen)?,
            socket,
            accepted,
            acceptor: Some(acceptor),
            stopping,
        })
    }

    /// Where it listens: with the port that the kernel chose, where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peer's next connection.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when the socket was closed.
    pub fn accept(&self) -> Result<Accepted, TransportError> {
        self.accepted.recv().map_err(|_| TransportError::Closed)
    }

    /// The peer's next connection, or `None` after `timeout`.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub fn accept_within(&self, timeout: Duration) -> Result<Option<Accepted>, TransportError> {
        match self.accepted.recv_timeout(timeout) {
            Ok(accepted) => Ok(Some(accepted)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(TransportError::Closed),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the acceptor; there is nobody to tell if it does not.
        let _ = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Listens at an address that this machine need not have yet: a mirror starts before its networks
/// do, and a dead cable must not keep it from starting.
fn listen_at(address: &SocketAddr) -> Result<TcpListener, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    match address {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
    }
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

struct Acceptor {
    socket: Arc<TcpListener>,
    config: Arc<rustls::ServerConfig>,
    accepted: Sender<Accepted>,
    handshakes: Arc<Handshakes>,
    stopping: Arc<AtomicBool>,
}

impl Acceptor {
    fn run(self) {
        while !self.stopping.load(Ordering::Acquire) {
            match self.socket.accept() {
                Ok((socket, address)) => self.begin(socket, address),
                Err(_) if self.stopping.load(Ordering::Acquire) => break,
                // A connection that died in the queue, or no descriptor left: neither is a reason
                // to stop listening, and the pause keeps the second from spinning.
                Err(error) => {
                    tracing::warn!(%error, "accept a connection for the data stream");
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        self.handshakes.end_all();
    }

    fn begin(&self, socket: TcpStream, address: SocketAddr) {
        let socket = Arc::new(socket);
        if !self.handshakes.enter(&socket) {
            return;
        }
        let config = Arc::clone(&self.config);
        let accepted = self.accepted.clone();
        let handshakes = Arc::clone(&self.handshakes);
        let spawned = thread::Builder::new()
            .name("handshake".into())
            .spawn(move || {
                let outcome = serve_handshake(&socket, config);
                handshakes.leave(&socket);
                match outcome.and_then(|connection| {
                    let socket = socket.try_clone().map_err(TransportError::Broken)?;
                    duplex(socket, connection)
                }) {
                    Ok((sender, receiver)) => {
                        // Full: nobody is waiting for connections; the peer will come again.
                        let _ = accepted.try_send((sender, receiver, address));
                    }
                    Err(error) => {
                        tracing::debug!(%address, %error, "connection turned away");
                    }
                }
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "start a handshake");
        }
    }
}

fn serve_handshake(
    socket: &TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> Result<Connection, TransportError> {
    let server = ServerConnection::new(config)?;
    let deadline = Instant::now() + HANDSHAKE_LIMIT;
    handshake(socket, Connection::Server(server), deadline)
}

/// The connections that are in their handshake, oldest first.
#[derive(Debug, Default)]
struct Handshakes {
    open: Mutex<Vec<Arc<TcpStream>>>,
    left: Condvar,
}

impl Handshakes {
    /// Registers a connection; where too many are open, ends the oldest and waits for its place.
    /// False: no place became free.
    fn enter(&self, socket: &Arc<TcpStream>) -> bool {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut open = lock(&self.open);
        while open.len() >= HANDSHAKES_MAX {
            let _ = open[0].shutdown(Shutdown::Both);
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            open = self
                .left
                .wait_timeout(open, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        open.push(Arc::clone(socket));
        true
    }

    fn leave(&self, socket: &Arc<TcpStream>) {
        lock(&self.open).retain(|other| !Arc::ptr_eq(other, socket));
        self.left.notify_all();
    }

    fn end_all(&self) {
        for socket in lock(&self.open).iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Carries TLS through its handshake. Each read and write is bounded by the time that is left, so
/// that a stranger who sends one byte a second ends as soon as a silent one.
fn handshake(
    socket: &TcpStream,
    mut connection: Connection,
    deadline: Instant,
) -> Result<Connection, TransportError> {
    configure(socket).map_err(TransportError::Broken)?;
    while connection.is_handshaking() || connection.wants_write() {
        let left = deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .ok_or(TransportError::HandshakeTimeout)?;
        let writing = connection.wants_write();
        let outcome = if writing {
            socket
                .set_write_timeout(Some(left))
                .and_then(|()| connection.write_tls(&mut &*socket))
        } else {
            socket
                .set_read_timeout(Some(left))
                .and_then(|()| connection.read_tls(&mut &*socket))
        };
        match outcome {
            Ok(0) if !writing => return Err(TransportError::Closed),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Err(TransportError::HandshakeTimeout),
            Err(error) => return Err(TransportError::Broken(error)),
        }
        if let Err(error) = connection.process_new_packets() {
            // The alert tells an honest peer why; a stranger may not get it.
            let _ = connection.write_tls(&mut &*socket);
            return Err(error.into());
        }
    }
    socket
        .set_read_timeout(None)
        .and_then(|()| socket.set_write_timeout(None))
        .map_err(TransportError::Broken)?;
    connection.set_buffer_limit(None);
    Ok(connection)
}

fn configure(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    let pause = Duration::from_secs(u64::from(KEEPALIVE_SECONDS));
    sockopt::set_tcp_keepidle(socket, pause)?;
    sockopt::set_tcp_keepintvl(socket, pause)?;
    sockopt::set_tcp_user_timeout(socket, SILENCE_LIMIT.as_millis() as u32)?;
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn duplex(
    socket: TcpStream,
    mut connection: Connection,
) -> Result<(FrameSender, FrameReceiver), TransportError> {
    // The other side's first frames may have come together with the end of its handshake.
    let mut plain = Incoming::default();
    let ready = connection.process_new_packets()?.plaintext_bytes_to_read();
    plain.fill(&mut connection, ready)?;
    let shared = Arc::new(Shared {
        socket,
        tls: Mutex::new(connection),
        sending: Mutex::new(Vec::new()),
        closed: AtomicBool::new(false),
    });
    let sender = FrameSender {
        shared: Arc::clone(&shared),
    };
    let receiver = FrameReceiver {
        shared,
        raw: vec![0; READ_BYTES],
        plain,
        ended: None,
    };
    Ok((sender, receiver))
}

struct Shared {
    socket: TcpStream,
    tls: Mutex<Connection>,
    /// Held while a batch leaves; the buffer is its ciphertext.
    sending: Mutex<Vec<u8>>,
    closed: AtomicBool,
}

impl Shared {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Fails only where the other side closed first.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The writing half. Clones write to the same connection, one batch at a time.
#[derive(Clone)]
pub struct FrameSender {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameSender").finish_non_exhaustive()
    }
}

impl FrameSender {
    /// Sends one frame; fills in magic, length and checksum. Blocks while the connection is full.
    ///
    /// # Errors
    /// [`TransportError`]; the connection is over then.
    pub fn send(&self, header: FrameHeader, payload: &[u8]) -> Result<(), TransportError> {
        self.send_all(&[(header, payload)])
    }

    /// Sends frames in this order, in as few system calls as their size allows.
    ///
    /// # Errors
    /// As [`Self::send`]; [`TransportError::PayloadTooLong`] before anything left.
    pub fn send_all(&self, frames: &[(FrameHeader, &[u8])]) -> Result<(), TransportError> {
        let too_long = frames.iter().find(|(_, p)| p.len() > PAYLOAD_MAX as usize);
        if let Some((_, payload)) = too_long {
            return Err(TransportError::PayloadTooLong(payload.len()));
        }
        // Checksums are computed before the lock: other senders need not wait for them.
        let headers: Vec<FrameHeader> = frames.iter().map(|(h, p)| h.sealed(p)).collect();
        let mut slices = Vec::with_capacity(2 * frames.len());
        for (header, (_, payload)) in headers.iter().zip(frames) {
            slices.push(header.bytes());
            if !payload.is_empty() {
                slices.push(*payload);
            }
        }
        let mut ciphertext = lock(&self.shared.sending);
        let mut rest = slices.as_slice();
        while !rest.is_empty() {
            if self.shared.closed.load(Ordering::Acquire) {
                return Err(TransportError::Closed);
            }
            let (batch, later) = rest.split_at(batch_length(rest));
            rest = later;
            let sent = self.encrypt(batch, &mut ciphertext).and_then(|()| {
                let mut socket = &self.shared.socket;
                socket.write_all(&ciphertext).map_err(broken)
            });
            if let Err(error) = sent {
                // A record may have left in part: nothing that follows could be read.
                self.shared.close();
                return Err(error);
            }
        }
        Ok(())
    }

    fn encrypt(&self, batch: &[&[u8]], out: &mut Vec<u8>) -> Result<(), TransportError> {
        out.clear();
        let mut tls = lock(&self.shared.tls);
        for slices in batch.chunks(SLICES_MAX) {
            let slices: Vec<IoSlice<'_>> = slices.iter().map(|s| IoSlice::new(s)).collect();
            let bytes: usize = slices.iter().map(|s| s.len()).sum();
            let taken = tls.writer().write_vectored(&slices).map_err(broken)?;
            assert_eq!(taken, bytes, "TLS without a buffer limit takes everything");
        }
        while tls.wants_write() {
            tls.write_tls(out).map_err(broken)?;
        }
        Ok(())
    }

    /// Ends the connection: both halves, on both sides, get [`TransportError::Closed`] or
    /// [`TransportError::Broken`]. What was sent before may or may not arrive.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the connection was closed from this side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}

/// How many slices fit into one batch; at least one.
fn batch_length(slices: &[&[u8]]) -> usize {
    let mut bytes = 0;
    let fitting = slices.iter().take_while(|slice| {
        bytes += slice.len();
        bytes <= BATCH_BYTES_MAX
    });
    fitting.count().max(1)
}

/// The reading half.
pub struct FrameReceiver {
    shared: Arc<Shared>,
    raw: Vec<u8>,
    plain: Incoming,
    /// Why no more bytes come. Told after the last whole frame was handed out.
    ended: Option<TransportError>,
}

impl std::fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReceiver").finish_non_exhaustive()
    }
}

impl FrameReceiver {
    /// The next frame, or `None` when `timeout` passed without a whole one; what came of it is
    /// kept for the next call. Whole frames that arrived before the connection ended are handed
    /// out before its end is told.
    ///
    /// # Errors
    /// [`TransportError`]; the connection is over then.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Frame>, TransportError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.plain.next_frame() {
                Ok(None) => {}
                Ok(some) => return Ok(some),
                Err(error) => {
                    self.shared.close();
                    return Err(error.into());
                }
            }
            if let Some(error) = self.ended.take() {
                self.ended = Some(TransportError::Closed);
                self.shared.close();
                return Err(error);
            }
            match self.read(deadline).and_then(|read| match read {
                Some(read) => self.decrypt(read).map(Some),
                None => Ok(None),
            }) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(None),
                Err(error) => self.ended = Some(error),
            }
        }
    }

    /// Whether a whole frame was read already, so that [`Self::receive`] will not wait.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.plain.has_frame()
    }

    /// Reads ciphertext; `None` at the deadline.
    fn read(&mut self, deadline: Instant) -> Result<Option<usize>, TransportError> {
        use rustix::net::{RecvFlags, recv};
        loop {
            match recv(&self.shared.socket, &mut self.raw, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(TransportError::Closed),
                Ok((_, read)) => return Ok(Some(read)),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(broken(error.into())),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            wait_readable(&self.shared.socket, left).map_err(broken)?;
        }
    }

    fn decrypt(&mut self, read: usize) -> Result<(), TransportError> {
        let mut raw = &self.raw[..read];
        let mut tls = lock(&self.shared.tls);
        while !raw.is_empty() {
            let taken = tls.read_tls(&mut raw).map_err(broken)?;
            let state = tls.process_new_packets()?;
            self.plain.fill(&mut tls, state.plaintext_bytes_to_read())?;
            if state.peer_has_closed() {
                return Err(TransportError::Closed);
            }
            if taken == 0 {
                return Err(TransportError::Closed);
            }
        }
        Ok(())
    }
}

impl Drop for FrameReceiver {
    /// Nobody reads any more: the other side must not go on sending into nowhere.
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn wait_readable(socket: &TcpStream, limit: Duration) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    // Rounded up: a wait of less than a millisecond must not become a spin.
    let limit =
        PollTimeout::try_from(limit + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, limit) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn broken(error: io::Error) -> TransportError {
    TransportError::Broken(error)
}

/// A thread that panicked while it held one of our locks left nothing half done that others read:
/// the connection's state is only ever replaced by whole steps, and a wrong step ends the session.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decrypted bytes that are not yet whole frames.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    /// Where the next frame begins; what is before it was handed out.
    start: usize,
}

impl Incoming {
    fn fill(&mut self, tls: &mut Connection, ready: usize) -> Result<(), TransportError> {
        use std::io::Read;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > READ_BYTES {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let before = self.bytes.len();
        self.bytes.resize(before + ready, 0);
        let into = &mut self.bytes[before..];
        tls.reader().read_exact(into).map_err(broken)
    }

    fn header(&self) -> Result<Option<FrameHeader>, FrameError> {
        let rest = &self.bytes[self.start..];
        match rest.first_chunk::<{ FrameHeader::BYTES }>() {
            Some(bytes) => FrameHeader::parse(bytes).map(|(header, _)| Some(header)),
            None => Ok(None),
        }
    }

    fn has_frame(&self) -> bool {
        let rest = self.bytes.len() - self.start;
        match self.header() {
            Ok(Some(header)) => rest >= FrameHeader::BYTES + header.payload_bytes.get() as usize,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let begin = self.start + FrameHeader::BYTES;
        let end = begin + header.payload_bytes.get() as usize;
        let Some(payload) = self.bytes.get(begin..end) else {
            return Ok(None);
        };
        header.verify(payload)?;
        let payload = payload.to_vec();
        self.start = end;
        Ok(Some(Frame { header, payload }))
    }
}
