//! The control link between the daemons: one TLS connection each way. Each node speaks on the one
//! that it opened and listens on the one that it accepted, so a cut of one direction shows.
//!
//! On it travel the messages of the cores (one more channel for them), each node's whole status,
//! the configuration, and commands with their answers. Whoever connects without the pinned
//! certificate gets nowhere; strangers are bounded in number and in time.

use crate::config::{self, CONTROL_PORT, Configuration};
use crate::halves::Heard;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::jobs::Jobs;
use crate::reactor::{Input, Inputs};
use crate::tls::{self, Expected};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_wire::control::{
    self, Configuration as Fields, ControlError, ControlFrame, HEADER_BYTES, Hello,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Frames that may wait for the peer: commands and answers; everything else is repeated.
pub(crate) const FRAMES_MAX: usize = 64;
/// Connections that may be in their handshake; one more is closed at once. The peer needs one.
const HANDSHAKES_MAX: usize = 16;
/// From the first byte to the end of the greeting, and for each frame that is written.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between attempts to connect.
const RETRY_AFTER: Duration = Duration::from_millis(300);
/// The status is sent at least this often; it shows that the link is alive.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// At most this often: it is for eyes.
const STATUS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// A peer that says nothing for this long has no link: three of its intervals, and a slow turn.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long the configurations may differ before somebody has to look: `tandem config apply` gives
/// the nodes theirs one after the other, and both daemons are back in a second. The status says it at
/// once.
const DIFFERENCE_TOLD_AFTER: Duration = Duration::from_secs(5);
/// How soon a port that is in use is tried again.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);
/// After how many attempts that is told: who just ends, as the daemon before this one or a pairing,
/// is gone by then.
const LISTEN_TELL: u32 = 10;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the connection broke")]
    Io(#[source] io::Error),
    #[error("the other side closed it")]
    Closed,
    #[error("the other side does not show the certificate of this cluster's other node")]
    Foreign,
    #[error("the other node does not accept this node's certificate: pair the nodes again")]
    NotAccepted,
    #[error("{0}")]
    Frame(#[from] ControlError),
    #[error("it took too long")]
    Timeout,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unsuitable(String),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if tls::is_not_accepted(&error) => Self::NotAccepted,
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// What the link is made from.
#[derive(Clone)]
pub(crate) struct Link {
    pub identity: Arc<Identity>,
    pub peer_der: Vec<u8>,
    pub configuration: Arc<Configuration>,
    pub incarnation: u64,
    pub inputs: Inputs,
    pub hub: Hub,
    pub jobs: Jobs,
    /// Whom to tell that a command arrived for this node.
    pub commands: mpsc::Sender<(u64, tandem_wire::api::CommandRequest)>,
    /// Whom to tell that the peer has these accounts of the console.
    pub accounts: mpsc::Sender<Vec<u8>>,
    /// Whom to tell what the peer asks, or says, about support bundles.
    pub support: mpsc::Sender<Heard>,
}

/// What is to be sent.
pub(crate) struct Outgoing {
    pub messages: mpsc::Receiver<Vec<u8>>,
    pub frames: mpsc::Receiver<ControlFrame>,
}

impl Link {
    fn own_address(&self) -> SocketAddr {
        let address = self.configuration.node(self.identity.node).address;
        SocketAddr::new(address, CONTROL_PORT)
    }

    fn peer_address(&self) -> SocketAddr {
        let address = self.configuration.node(self.identity.node.peer()).address;
        SocketAddr::new(address, CONTROL_PORT)
    }

    fn expected(&self) -> Expected {
        Expected::Exactly(self.peer_der.clone())
    }

    fn hello(&self) -> Hello {
        Hello {
            version: control::VERSION,
            version_min: control::VERSION_MIN,
            cluster: self.identity.cluster.clone(),
            node: self.identity.node.number(),
            incarnation: self.incarnation,
            release: crate::RELEASE.to_owned(),
        }
    }

    /// Says once why the other node is refused: it has our certificate pinned, so it is worth a
    /// line, and it comes again several times a second.
    fn refuse(&self, objection: &str) {
        if self.hub.refused(Some(objection.to_owned())) {
            tracing::error!("no control link with the other node: {objection}");
        }
    }

    // --- the connection that this node opens and speaks on ---------------------------------------

    /// Keeps a connection to the peer, for ever.
    pub(crate) async fn speak(self, mut outgoing: Outgoing) {
        let config = match tls::client(&self.identity, self.expected(), tls::CONTROL) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("no control link: this node's key cannot be used: {error}");
                return;
            }
        };
        let connector = TlsConnector::from(config);
        let mut told = false;
        loop {
            match timeout(PATIENCE, self.connect(&connector)).await {
                Ok(Ok(stream)) => {
                    tracing::info!("the control link to the other node stands");
                    told = false;
                    self.hub.refused(None);
                    self.hub.speaking(true);
                    let Err(error) = self.talk(stream, &mut outgoing).await;
                    let report = crate::report(&error);
                    tracing::warn!("the control link to the other node ended: {report}");
                    self.hub.speaking(false);
                    self.jobs.link_lost();
                }
                Ok(Err(error)) => self.cannot_connect(&mut told, &error),
                Err(_) => self.cannot_connect(&mut told, &LinkError::Timeout),
            }
            drop_stale(&mut outgoing);
            sleep(RETRY_AFTER).await;
        }
    }

    /// Says it once, until the link stood again.
    fn cannot_connect(&self, told: &mut bool, error: &LinkError) {
        if let LinkError::Refused(reason) | LinkError::Unsuitable(reason) = error {
            return self.refuse(reason);
        }
        if !std::mem::replace(told, true) {
            let report = crate::report(error);
            tracing::warn!("no control link to {}: {report}", self.peer_address());
        }
    }

    async fn connect(
        &self,
        connector: &TlsConnector,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, LinkError> {
        let socket = TcpStream::connect(self.peer_address()).await?;
        prepare(&socket)?;
        let connected = connector.connect(tls::name(), socket).await;
        let mut stream = connected.map_err(|error| match tls::is_foreign(&error) {
            true => LinkError::Foreign,
            false => LinkError::Io(error),
        })?;
        write(&mut stream, &ControlFrame::Hello(self.hello())).await?;
        match read(&mut stream).await? {
            ControlFrame::Hello(hello) => match objection(&self.identity, &hello) {
                None => Ok(stream),
                Some(objection) => Err(LinkError::Unsuitable(objection)),
            },
            ControlFrame::Refuse(reason) => Err(LinkError::Refused(reason)),
            _ => Err(LinkError::Unsuitable("it did not greet".to_owned())),
        }
    }

    async fn talk(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        outgoing: &mut Outgoing,
    ) -> Result<std::convert::Infallible, LinkError> {
        let fields = config::fields(&self.configuration);
        write(&mut stream, &ControlFrame::Configuration(Fields { fields })).await?;
        let mut news = self.hub.watch();
        let mut sent = Instant::now();
        let mut due = sent;
        let mut one_byte = [0; 1];
        loop {
            tokio::select! {
                Some(bytes) = outgoing.messages.recv() => {
                    write(&mut stream, &ControlFrame::Peer(bytes)).await?;
                }
                Some(frame) = outgoing.frames.recv() => write(&mut stream, &frame).await?,
                () = sleep_until(due) => {
                    for status in self.statuses() {
                        write(&mut stream, &status).await?;
                    }
                    sent = Instant::now();
                    due = sent + STATUS_INTERVAL;
                }
                Ok(()) = news.changed(), if due > sent + STATUS_INTERVAL_MIN => {
                    due = sent + STATUS_INTERVAL_MIN;
                }
                // The peer says nothing here; what can come is the end.
                ended = stream.read(&mut one_byte) => {
                    ended?;
                    return Err(LinkError::Closed);
                }
            }
        }
    }

    fn statuses(&self) -> Vec<ControlFrame> {
        let statuses = self.hub.own().into_iter();
        let frame = |status| serde_json::to_vec(&status).expect("plain data");
        statuses.map(|s| ControlFrame::Status(frame(s))).collect()
    }

    // --- the connection that the peer opened and speaks on ---------------------------------------

    /// Accepts connections, for ever. The newest one of the peer's counts.
    pub(crate) async fn listen(self) {
        let config = match tls::server(&self.identity, self.expected(), tls::CONTROL) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("no control link: this node's key cannot be used: {error}");
                return;
            }
        };
        let acceptor = TlsAcceptor::from(config);
        let listener = listen(self.own_address(), "the control link").await;
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let newest = watch::Sender::new(0u64);
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                // Out of descriptors, most likely: let others end.
                sleep(RETRY_AFTER).await;
                continue;
            };
            let Ok(permit) = handshakes.clone().try_acquire_owned() else {
                continue;
            };
            let (link, acceptor, newest) = (self.clone(), acceptor.clone(), newest.clone());
            tokio::spawn(async move {
                // Strangers fail here. They are not logged: they could fill the disk.
                let greeted = timeout(PATIENCE, link.accept(&acceptor, socket)).await;
                drop(permit);
                if let Ok(Ok(stream)) = greeted {
                    link.hear(stream, &newest).await;
                }
            });
        }
    }

    async fn accept(
        &self,
        acceptor: &TlsAcceptor,
        socket: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, LinkError> {
        prepare(&socket)?;
        let mut stream = acceptor.accept(socket).await?;
        let ControlFrame::Hello(hello) = read(&mut stream).await? else {
            return Err(LinkError::Unsuitable("it did not greet".to_owned()));
        };
        if let Some(objection) = objection(&self.identity, &hello) {
            self.refuse(&objection);
            write(&mut stream, &ControlFrame::Refuse(objection.clone())).await?;
            return Err(LinkError::Unsuitable(objection));
        }
        write(&mut stream, &ControlFrame::Hello(self.hello())).await?;
        Ok(stream)
    }

    async fn hear(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        newest: &watch::Sender<u64>,
    ) {
        let mut mine = 0;
        newest.send_modify(|number| {
            *number += 1;
            mine = *number;
        });
        let mut replaced = newest.subscribe();
        self.hub.link_begun(mine);
        let ended = loop {
            tokio::select! {
                frame = timeout(SILENCE_MAX, read(&mut stream)) => match frame {
                    Ok(Ok(frame)) => self.heard(frame).await,
                    Ok(Err(error)) => break Some(error),
                    Err(_) => break Some(LinkError::Timeout),
                },
                () = superseded(&mut replaced, mine) => break None,
            }
        };
        if let Some(error) = ended {
            let report = crate::report(&error);
            tracing::warn!("the control link from the other node ended: {report}");
            self.hub.link_ended(mine);
        }
    }

    async fn heard(&self, frame: ControlFrame) {
        match frame {
            // The core repeats itself; when it is that far behind, one message less is right.
            ControlFrame::Peer(bytes) => drop(self.inputs.offer(Input::Message(bytes))),
            ControlFrame::Status(json) => match serde_json::from_slice(&json) {
                Ok(status) => self.hub.peer(status),
                Err(error) => tracing::warn!("the other node's status cannot be read: {error}"),
            },
            ControlFrame::Configuration(theirs) => self.compare(&theirs),
            ControlFrame::Command { job, request } => {
                // The receiver is gone only when the daemon ends.
                let _ = self.commands.send((job, request)).await;
            }
            ControlFrame::Answer { job, answer } => self.jobs.told_by_peer(job, answer),
            ControlFrame::Accounts(accounts) => {
                // The receiver is gone only when the daemon ends.
                let _ = self.accounts.send(accounts).await;
            }
            // Whoever asks twice at the same time waits until it gives up.
            ControlFrame::SupportAsked(asked) => drop(self.support.try_send(Heard::Asked(asked))),
            ControlFrame::SupportPart(part) => drop(self.support.try_send(Heard::Part(part))),
            ControlFrame::Hello(_) | ControlFrame::Refuse(_) | ControlFrame::Unknown(_) => {}
        }
    }

    fn compare(&self, theirs: &Fields) {
        let mine = config::fields(&self.configuration);
        let peer = self.identity.node.peer();
        let difference = config::difference(&mine, &theirs.fields, &peer.to_string());
        let new = self.hub.difference(difference.clone());
        let Some(difference) = difference.filter(|_| new) else {
            return;
        };
        let hub = self.hub.clone();
        tokio::spawn(async move {
            sleep(DIFFERENCE_TOLD_AFTER).await;
            if hub.differs_in(&difference) {
                tracing::error!("the configurations of the nodes differ: {difference}");
            }
        });
    }
}

/// Why a greeting cannot be accepted, in words that are true on both nodes.
fn objection(identity: &Identity, hello: &Hello) -> Option<String> {
    let (own, peer) = (identity.node, identity.node.peer());
    if hello.version < control::VERSION_MIN || hello.version_min > control::VERSION {
        return Some(format!(
            "the control link has no version that both nodes speak: {own} (release {}) speaks {}, \
             {peer} (release {}) speaks {}; install the same release on both",
            crate::RELEASE,
            versions(control::VERSION_MIN, control::VERSION),
            hello.release,
            versions(hello.version_min, hello.version),
        ));
    }
    if hello.cluster != identity.cluster {
        return Some("a node of another cluster".to_owned());
    }
    let number = hello.node;
    (number != peer.number()).then(|| format!("node{number} where {peer} was expected"))
}

fn versions(least: u16, newest: u16) -> String {
    match least == newest {
        true => format!("version {newest}"),
        false => format!("versions {least} to {newest}"),
    }
}

/// Returns when a newer connection has come.
async fn superseded(newest: &mut watch::Receiver<u64>, mine: u64) {
    // The sender lives as long as the listener does.
    let _ = newest.wait_for(|number| *number != mine).await;
}

/// Messages of the core that nobody took are worthless when the link comes back.
fn drop_stale(outgoing: &mut Outgoing) {
    while outgoing.messages.try_recv().is_ok() {}
}

/// Listens, trying again for as long as the port is in use: a serving node must not stop for that.
pub(crate) async fn listen(address: SocketAddr, what: &str) -> TcpListener {
    let mut attempts = 0;
    loop {
        match bind(address) {
            Ok(listener) => return listener,
            Err(error) => {
                attempts += 1;
                if attempts == LISTEN_TELL {
                    tracing::error!("listen on {address} for {what}: {error}; trying again");
                }
                sleep(LISTEN_AGAIN).await;
            }
        }
    }
}

/// Binds also while the address is not there yet: networks come up after us.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
        socket, sockopt,
    };
    use std::os::fd::AsRawFd;
    /// Connections that the kernel keeps for us to accept.
    const BACKLOG: i32 = 64;
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // A daemon that was killed leaves connections behind; they must not keep the port.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    let backlog = Backlog::new(BACKLOG).map_err(io::Error::from)?;
    listen(&socket, backlog)?;
    TcpListener::from_std(std::net::TcpListener::from(socket))
}

/// A dead peer is noticed by the kernel too.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    socket.set_nodelay(true)?;
    let milliseconds = PATIENCE.as_millis() as u32;
    setsockopt(socket, sockopt::TcpUserTimeout, &milliseconds)?;
    Ok(())
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &ControlFrame,
) -> Result<(), LinkError> {
    let bytes = match frame.encode() {
        Ok(bytes) => bytes,
        Err(error) => {
            // Too large for the peer: the link is worth more than this frame.
            tracing::error!("not sent to the other node: {error}");
            return Ok(());
        }
    };
    let written = timeout(PATIENCE, async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    });
    Ok(written.await.map_err(|_| LinkError::Timeout)??)
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<ControlFrame, LinkError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let (length, kind) = control::header(header)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(ControlFrame::decode(kind, payload)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_refused_with_both_versions() {
        let identity = Identity::draw().expect("random numbers");
        let hello = |version_min, version| Hello {
            version,
            version_min,
            cluster: identity.cluster.clone(),
            node: identity.node.peer().number(),
            incarnation: 1,
            release: "9.9.9".to_owned(),
        };
        assert_eq!(objection(&identity, &hello(1, 9)), None);
        let text = objection(&identity, &hello(8, 9)).expect("nothing in common");
        assert!(
            text.contains("node1 (release 0.1.0) speaks version 1,"),
            "{text}"
        );
        assert!(
            text.contains("node2 (release 9.9.9) speaks versions 8 to 9;"),
            "{text}"
        );
    }
}
