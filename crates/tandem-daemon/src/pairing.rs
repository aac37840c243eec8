//! Pairing: how node2 gets into the cluster that node1 has made, once.
//!
//! `cluster init` prints one line for node2: an address, and a token made of the fingerprint of
//! node1's certificate and of a secret that is good for one node and fifteen minutes. node2
//! connects to exactly that certificate, and both prove to each other that they know the secret,
//! over a value that only the two ends of this TLS connection have. Then certificates, the
//! cluster's secret, the token of the API and the configuration change hands.
//!
//! node2 puts its files in place, tells node1, and takes them away again if node1 does not confirm.
//! If the very last word is lost, node1 knows a node that gave up: inviting again replaces it.

use crate::config::{CONTROL_PORT, ConfigError, Configuration};
use crate::files::{self, FileError, SECRET};
use crate::identity::{
    self, FINGERPRINT_BYTES, Identity, IdentityError, fingerprint, hex, random, unhex,
};
use crate::link::bind;
use crate::tls::{self, Expected};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tandem_core::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long an invitation is good.
pub const INVITATION_LASTS: Duration = Duration::from_secs(15 * 60);
/// How many wrong secrets end an invitation. A person has a token to copy, not to guess.
const ATTEMPTS_MAX: usize = 5;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 8;
/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message: a configuration file, two certificates.
const MESSAGE_MAX: usize = 256 << 10;
const VERSION: u16 = 1;
const SECRET_BYTES: usize = 16;
const EXPORTER: &[u8] = b"EXPORTER-tandem-pairing";

/// Why two nodes were not paired.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// The configuration of node1.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The wrong node.
    #[error("this is not node1 of a cluster: invite from node1")]
    NotNodeOne,
    /// The port is taken.
    #[error("listen on {address} for node2 (does the daemon of this node run? stop it first)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token cannot be one.
    #[error("this is no token: copy the whole line that `cluster init` printed on node1")]
    Token,
    /// Not an address.
    #[error("{0} is no address and port, as in 10.0.0.1:9011")]
    Address(String),
    /// node1 does not answer.
    #[error(
        "connect to node1 at {address} (is its invitation still open? `tandem cluster invite`)"
    )]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else answers there.
    #[error(
        "what answers at {0} is not the node1 that made this token: another cluster, or a token \
         of before"
    )]
    Foreign(SocketAddr),
    /// This node's own key.
    #[error("use the keys")]
    Tls(#[from] rustls::Error),
    /// Refused by node1.
    #[error("node1 refuses: {0}")]
    Refused(String),
    /// The other side does not know the secret.
    #[error("the other node does not know the secret of this token")]
    Proof,
    /// The connection broke, or what came makes no sense.
    #[error("talk to the other node")]
    Broken(#[source] io::Error),
    /// The other side is too slow.
    #[error("the other node took too long")]
    Timeout,
    /// Another configuration is there already.
    #[error(
        "{} exists and is not the configuration of node1: move it away, or make both equal",
        path.display()
    )]
    OtherConfiguration {
        /// The file.
        path: PathBuf,
    },
    /// Nobody came in time.
    #[error("nobody joined within {} minutes", INVITATION_LASTS.as_secs() / 60)]
    Expired,
    /// Somebody guesses.
    #[error("{ATTEMPTS_MAX} wrong tokens were shown: the invitation is void, invite again")]
    TooManyAttempts,
}

/// What node2 has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Token {
    fingerprint: [u8; FINGERPRINT_BYTES],
    secret: [u8; SECRET_BYTES],
}

impl Token {
    fn words(&self) -> String {
        hex(&self.fingerprint) + &hex(&self.secret)
    }

    fn parse(text: &str) -> Result<Self, PairingError> {
        let both: [u8; FINGERPRINT_BYTES + SECRET_BYTES] =
            unhex(text.trim()).ok_or(PairingError::Token)?;
        let (fingerprint, secret) = both.split_at(FINGERPRINT_BYTES);
        Ok(Self {
            fingerprint: fingerprint.try_into().expect("split there"),
            secret: secret.try_into().expect("split there"),
        })
    }

    /// What only somebody who knows the secret can say, on this connection and in this role.
    fn proof(&self, role: &str, exported: &[u8; 32], certificate: &[u8]) -> [u8; 32] {
        let key = blake3::derive_key("tandem 2026 pairing", &self.secret);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(role.as_bytes());
        hasher.update(exported);
        hasher.update(blake3::hash(certificate).as_bytes());
        *hasher.finalize().as_bytes()
    }
}

#[derive(Serialize, Deserialize)]
enum Message {
    Join {
        version: u16,
        proof: [u8; 32],
    },
    Welcome {
        proof: [u8; 32],
        cluster: String,
        secret: [u8; 32],
        token: String,
        configuration: String,
    },
    Stored,
    Done,
    Refused(String),
}

/// An invitation that can be answered: a secret on disk, a listening socket.
pub struct Invitation {
    token: Token,
    address: SocketAddr,
    listener: TcpListener,
    state_dir: PathBuf,
    config: PathBuf,
}

fn invitation_path(state_dir: &Path) -> PathBuf {
    state_dir.join("invitation")
}

/// Makes the keys of node1 of a new cluster.
///
/// # Errors
/// [`PairingError`]; nothing was changed then.
pub fn init(config: &Path, state_dir: &Path) -> Result<(), PairingError> {
    let configuration = Configuration::read(config)?;
    // Before anything is written: whether node2 will be able to reach us.
    drop(listen(own_address(&configuration))?);
    Identity::draw()?.write(state_dir, &identity::new_token()?)?;
    Ok(())
}

fn own_address(configuration: &Configuration) -> SocketAddr {
    SocketAddr::new(configuration.node(NodeId::One).address, CONTROL_PORT)
}

fn listen(address: SocketAddr) -> Result<TcpListener, PairingError> {
    bind(address).map_err(|source| PairingError::Listen { address, source })
}

/// Draws a new secret for node2, in place of any other, and listens.
///
/// # Errors
/// [`PairingError`]
pub fn invite(config: &Path, state_dir: &Path) -> Result<Invitation, PairingError> {
    let secret: [u8; SECRET_BYTES] = random()?;
    files::replace(&invitation_path(state_dir), SECRET, &secret)?;
    take_up(config, state_dir)
}

/// Listens for an invitation that [`invite`] wrote: the part of it that stays in the background.
///
/// # Errors
/// [`PairingError`]
pub fn take_up(config: &Path, state_dir: &Path) -> Result<Invitation, PairingError> {
    let configuration = Configuration::read(config)?;
    let identity = Identity::read(state_dir)?;
    if identity.node != NodeId::One {
        return Err(PairingError::NotNodeOne);
    }
    let address = own_address(&configuration);
    let secret = files::read(&invitation_path(state_dir))?;
    Ok(Invitation {
        token: Token {
            fingerprint: fingerprint(&identity.certificate_der),
            secret: secret.try_into().map_err(|_| PairingError::Token)?,
        },
        address,
        listener: listen(address)?,
        state_dir: state_dir.to_owned(),
        config: config.to_owned(),
    })
}

impl Invitation {
    /// The line for node2.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { token, address, .. } = self;
        format!("tandem cluster join {address} {}", token.words())
    }

    /// Waits for node2. The invitation is void afterwards, however it ends.
    ///
    /// # Errors
    /// [`PairingError`]
    pub async fn serve(self) -> Result<(), PairingError> {
        let served = self.wait_for_node2().await;
        // It is void all the same: a new one draws a new secret.
        let _ = std::fs::remove_file(invitation_path(&self.state_dir));
        served
    }

    async fn wait_for_node2(&self) -> Result<(), PairingError> {
        let end = Instant::now() + INVITATION_LASTS;
        let identity = Arc::new(Identity::read(&self.state_dir)?);
        let host = Arc::new(Host {
            acceptor: TlsAcceptor::from(tls::server(&identity, Expected::Any, tls::PAIRING)?),
            identity,
            token: self.token.clone(),
            api_token: identity::read_token(&self.state_dir)?,
            configuration: String::from_utf8_lossy(&files::read(&self.config)?).into_owned(),
            state_dir: self.state_dir.clone(),
            // One at a time shows the secret: of two nodes with the same line, one joins.
            joining: tokio::sync::Mutex::new(()),
        });
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (results, mut ended) = mpsc::channel(CONNECTIONS_MAX);
        let mut wrong = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return Err(PairingError::Expired),
                Some(result) = ended.recv() => match result {
                    Ok(()) => return Ok(()),
                    Err(PairingError::Proof) => {
                        wrong += 1;
                        if wrong >= ATTEMPTS_MAX {
                            return Err(PairingError::TooManyAttempts);
                        }
                    }
                    // Strangers, scanners, broken connections: the invitation stands.
                    Err(_) => {}
                },
                accepted = self.listener.accept() => {
                    let Ok((socket, _)) = accepted else {
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let Ok(permit) = connections.clone().try_acquire_owned() else {
                        continue;
                    };
                    let (host, results) = (host.clone(), results.clone());
                    tokio::spawn(async move {
                        let result = timeout(PATIENCE, host.receive(socket)).await;
                        // The receiver is gone when somebody else has joined.
                        let _ = results.send(result.unwrap_or(Err(PairingError::Timeout))).await;
                        drop(permit);
                    });
                }
            }
        }
    }
}

/// node1's side of one connection.
struct Host {
    acceptor: TlsAcceptor,
    identity: Arc<Identity>,
    token: Token,
    api_token: String,
    configuration: String,
    state_dir: PathBuf,
    joining: tokio::sync::Mutex<()>,
}

impl Host {
    async fn receive(&self, socket: TcpStream) -> Result<(), PairingError> {
        let mut stream = self
            .acceptor
            .accept(socket)
            .await
            .map_err(PairingError::Broken)?;
        let (_, connection) = stream.get_ref();
        let exported = exported(|buffer| {
            connection
                .export_keying_material(buffer, EXPORTER, None)
                .map(drop)
        })?;
        let certificate = peers_certificate(connection.peer_certificates())?;
        let _one_at_a_time = self.joining.lock().await;
        let Message::Join { version, proof } = read(&mut stream).await? else {
            return Err(nonsense());
        };
        if version != VERSION {
            let reason = format!("it speaks version {version} of pairing, node1 version {VERSION}");
            return refuse(&mut stream, reason).await;
        }
        let expected = self.token.proof("node2", &exported, &certificate);
        if blake3::Hash::from(proof) != blake3::Hash::from(expected) {
            let reason = "the token is not the one that node1 printed last".to_owned();
            refuse(&mut stream, reason).await?;
            return Err(PairingError::Proof);
        }
        let own = &self.identity.certificate_der;
        let welcome = Message::Welcome {
            proof: self.token.proof("node1", &exported, own),
            cluster: self.identity.cluster.clone(),
            secret: self.identity.secret,
            token: self.api_token.clone(),
            configuration: self.configuration.clone(),
        };
        write(&mut stream, &welcome).await?;
        let Message::Stored = read(&mut stream).await? else {
            return Err(nonsense());
        };
        Identity::write_peer(&self.state_dir, &certificate)?;
        // Whether it arrives or not: this side is done.
        let _ = write(&mut stream, &Message::Done).await;
        let _ = stream.shutdown().await;
        Ok(())
    }
}

async fn refuse(
    stream: &mut (impl AsyncWrite + Unpin),
    reason: String,
) -> Result<(), PairingError> {
    write(stream, &Message::Refused(reason)).await
}

/// Joins the cluster of the node1 at `address`.
///
/// # Errors
/// [`PairingError`]; nothing is left of the attempt.
pub async fn join(
    address: &str,
    token: &str,
    config: &Path,
    state_dir: &Path,
) -> Result<(), PairingError> {
    let parsed = address.parse();
    let address: SocketAddr = parsed.map_err(|_| PairingError::Address(address.to_owned()))?;
    let token = Token::parse(token)?;
    let directory = state_dir.join("identity");
    if directory.exists() {
        return Err(IdentityError::Exists { directory }.into());
    }
    // Its cluster and secret come with the welcome.
    let mut identity = Identity::draw_for(NodeId::Two, String::new(), [0; 32])?;
    let end = Instant::now() + PATIENCE;
    let in_time = timeout_at(end, greet(address, &token, &identity)).await;
    let Greeted {
        mut stream,
        peer_der,
        cluster,
        secret,
        token,
        configuration,
    } = in_time.map_err(|_| PairingError::Timeout)??;
    identity.cluster = cluster;
    identity.secret = secret;
    identity.peer_der = Some(peer_der);

    let wrote_config = write_configuration(config, &configuration)?;
    let undo_config = || {
        if wrote_config {
            // The error that is reported is the first one.
            let _ = std::fs::remove_file(config);
        }
    };
    identity
        .write(state_dir, &token)
        .inspect_err(|_| undo_config())?;
    let confirmed = timeout_at(end, async {
        write(&mut stream, &Message::Stored).await?;
        match read(&mut stream).await? {
            Message::Done => Ok(()),
            Message::Refused(reason) => Err(PairingError::Refused(reason)),
            _ => Err(nonsense()),
        }
    });
    let confirmed = confirmed.await.unwrap_or(Err(PairingError::Timeout));
    confirmed.inspect_err(|_| {
        let _ = Identity::remove(state_dir);
        undo_config();
    })
}

struct Greeted {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    peer_der: Vec<u8>,
    cluster: String,
    secret: [u8; 32],
    token: String,
    configuration: String,
}

async fn greet(
    address: SocketAddr,
    token: &Token,
    identity: &Identity,
) -> Result<Greeted, PairingError> {
    let expected = Expected::Fingerprint(token.fingerprint);
    let connector = TlsConnector::from(tls::client(identity, expected, tls::PAIRING)?);
    let connect = |source| PairingError::Connect { address, source };
    let socket = TcpStream::connect(address).await.map_err(connect)?;
    let connected = connector.connect(tls::name(), socket).await;
    let mut stream = connected.map_err(|error| match tls::is_foreign(&error) {
        true => PairingError::Foreign(address),
        false => connect(error),
    })?;
    let (_, connection) = stream.get_ref();
    let exported = exported(|buffer| {
        connection
            .export_keying_material(buffer, EXPORTER, None)
            .map(drop)
    })?;
    let peer_der = peers_certificate(connection.peer_certificates())?;
    let join = Message::Join {
        version: VERSION,
        proof: token.proof("node2", &exported, &identity.certificate_der),
    };
    write(&mut stream, &join).await?;
    match read(&mut stream).await? {
        Message::Welcome {
            proof,
            cluster,
            secret,
            token: api_token,
            configuration,
        } => {
            let expected = token.proof("node1", &exported, &peer_der);
            if blake3::Hash::from(proof) != blake3::Hash::from(expected) {
                return Err(PairingError::Proof);
            }
            Ok(Greeted {
                stream,
                peer_der,
                cluster,
                secret,
                token: api_token,
                configuration,
            })
        }
        Message::Refused(reason) => Err(PairingError::Refused(reason)),
        Message::Join { .. } | Message::Stored | Message::Done => Err(nonsense()),
    }
}

/// Puts node1's configuration in place; tells whether there was none before.
pub(crate) fn write_configuration(path: &Path, text: &str) -> Result<bool, PairingError> {
    Configuration::parse(path, text)?;
    if path.exists() {
        return match files::read(path)? == text.as_bytes() {
            true => Ok(false),
            false => Err(PairingError::OtherConfiguration {
                path: path.to_owned(),
            }),
        };
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(files::failed("create the directory", parent))?;
    }
    // Commands in it may have passwords: root only.
    files::replace(path, SECRET, text.as_bytes())?;
    Ok(true)
}

pub(crate) fn exported(
    export: impl FnOnce(&mut [u8; 32]) -> Result<(), rustls::Error>,
) -> Result<[u8; 32], PairingError> {
    let mut value = [0; 32];
    export(&mut value)?;
    Ok(value)
}

pub(crate) fn peers_certificate(
    certificates: Option<&[CertificateDer<'static>]>,
) -> Result<Vec<u8>, PairingError> {
    let first = certificates.and_then(|all| all.first());
    Ok(first.ok_or_else(nonsense)?.to_vec())
}

pub(crate) fn nonsense() -> PairingError {
    PairingError::Broken(io::ErrorKind::InvalidData.into())
}

pub(crate) async fn write<M: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> Result<(), PairingError> {
    let bytes = postcard::to_stdvec(message).expect("plain data");
    let length = (bytes.len() as u32).to_le_bytes();
    stream
        .write_all(&length)
        .await
        .map_err(PairingError::Broken)?;
    stream
        .write_all(&bytes)
        .await
        .map_err(PairingError::Broken)?;
    stream.flush().await.map_err(PairingError::Broken)
}

pub(crate) async fn read<M: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<M, PairingError> {
    let mut length = [0; 4];
    stream
        .read_exact(&mut length)
        .await
        .map_err(PairingError::Broken)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_MAX {
        return Err(nonsense());
    }
    let mut bytes = vec![0; length];
    stream
        .read_exact(&mut bytes)
        .await
        .map_err(PairingError::Broken)?;
    postcard::from_bytes(&bytes).map_err(|_| nonsense())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Places {
        directory: tempfile::TempDir,
    }

    impl Places {
        /// Each test has its own address: the port is fixed.
        fn node1(last: u8) -> Self {
            let places = Self::empty();
            let text = format!(
                "[cluster]\nname = \"c\"\n[node1]\nname = \"a\"\naddress = \"127.78.1.{last}\"\n\
                 [node2]\nname = \"b\"\naddress = \"127.78.2.{last}\"\n[[module]]\nname = \"m\"\n\
                 [[module.volume]]\nname = \"v\"\npath = \"/srv/v\"\n"
            );
            std::fs::write(places.config(), text).expect("a temporary directory");
            init(&places.config(), &places.state()).expect("a new cluster");
            places
        }

        fn empty() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            Self { directory }
        }

        fn config(&self) -> PathBuf {
            self.directory.path().join("tandem.toml")
        }

        fn state(&self) -> PathBuf {
            self.directory.path().join("state")
        }

        fn invite(&self) -> (Invitation, String, String) {
            let invitation = invite(&self.config(), &self.state()).expect("node1");
            let line = invitation.line();
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[..3], ["tandem", "cluster", "join"]);
            (invitation, words[3].to_owned(), words[4].to_owned())
        }

        async fn join(&self, address: &str, token: &str) -> Result<(), PairingError> {
            join(address, token, &self.config(), &self.state()).await
        }

        fn assert_untouched(&self) {
            assert!(!self.config().exists());
            assert!(!self.state().join("identity").exists());
            assert!(!self.state().join("token").exists());
        }
    }

    #[tokio::test]
    async fn node2_joins_with_the_line_of_node1() {
        let (one, two) = (Places::node1(1), Places::empty());
        let (invitation, address, token) = one.invite();
        let served = tokio::spawn(invitation.serve());
        two.join(&address, &token).await.expect("the right token");
        served.await.expect("no panic").expect("node2 came");
        let a = Identity::read(&one.state()).expect("node1");
        let b = Identity::read(&two.state()).expect("node2");
        assert_eq!(a.peer_der, Some(b.certificate_der));
        assert_eq!(b.peer_der, Some(a.certificate_der));
        assert_eq!((a.cluster, a.secret), (b.cluster, b.secret));
        let read = |places: &Places| std::fs::read(places.config()).expect("there");
        assert_eq!(read(&one), read(&two));
        assert_eq!(
            identity::read_token(&one.state()).expect("node1"),
            identity::read_token(&two.state()).expect("node2")
        );
        assert!(!invitation_path(&one.state()).exists(), "used up");
    }

    #[tokio::test]
    async fn a_wrong_secret_is_refused_and_leaves_nothing() {
        let (one, two) = (Places::node1(2), Places::empty());
        let (invitation, address, token) = one.invite();
        let served = tokio::spawn(invitation.serve());
        let mut wrong = token.clone();
        let last = if token.ends_with('0') { "1" } else { "0" };
        wrong.replace_range(63.., last);
        for _ in 0..ATTEMPTS_MAX {
            let error = two
                .join(&address, &wrong)
                .await
                .expect_err("the wrong token");
            assert!(matches!(error, PairingError::Refused(_)), "{error}");
            two.assert_untouched();
        }
        let ended = served.await.expect("no panic").expect_err("guessed");
        assert!(matches!(ended, PairingError::TooManyAttempts), "{ended}");
        two.join(&address, &token).await.expect_err("void");
        two.assert_untouched();
    }

    #[tokio::test]
    async fn another_node1_at_the_address_is_noticed() {
        let (one, other, two) = (Places::node1(3), Places::node1(3), Places::empty());
        let (invitation, _, token) = other.invite();
        drop(invitation);
        let (invitation, address, _) = one.invite();
        let served = tokio::spawn(invitation.serve());
        let error = two
            .join(&address, &token)
            .await
            .expect_err("another cluster");
        assert!(matches!(error, PairingError::Foreign(_)), "{error}");
        two.assert_untouched();
        served.abort();
    }

    #[tokio::test]
    async fn a_node_that_has_a_cluster_joins_no_other() {
        let (one, two) = (Places::node1(4), Places::node1(5));
        let (invitation, address, token) = one.invite();
        let served = tokio::spawn(invitation.serve());
        let error = two.join(&address, &token).await.expect_err("it has one");
        assert!(matches!(
            error,
            PairingError::Identity(IdentityError::Exists { .. })
        ));
        served.abort();
    }

    #[tokio::test]
    async fn another_configuration_on_node2_is_kept() {
        let (one, two) = (Places::node1(6), Places::empty());
        std::fs::write(two.config(), "# mine\n").expect("a temporary directory");
        let (invitation, address, token) = one.invite();
        let served = tokio::spawn(invitation.serve());
        let error = two.join(&address, &token).await.expect_err("it differs");
        assert!(
            matches!(error, PairingError::OtherConfiguration { .. }),
            "{error}"
        );
        let kept = std::fs::read_to_string(two.config()).expect("there");
        assert_eq!(kept, "# mine\n");
        assert!(!two.state().join("identity").exists());
        served.abort();
    }

    #[tokio::test]
    async fn garbage_does_not_end_an_invitation() {
        let (one, two) = (Places::node1(7), Places::empty());
        let (invitation, address, token) = one.invite();
        let served = tokio::spawn(invitation.serve());
        for _ in 0..2 * CONNECTIONS_MAX {
            let mut stranger = TcpStream::connect(&address).await.expect("it listens");
            // It may be closed already.
            let _ = stranger.write_all(&[0x16; 600]).await;
        }
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = two.join(&address, &token).await {
            two.assert_untouched();
            assert!(Instant::now() < end, "{error}");
        }
        served.await.expect("no panic").expect("node2 came");
    }

    #[tokio::test]
    async fn a_cluster_is_made_once() {
        let one = Places::node1(8);
        assert!(matches!(
            init(&one.config(), &one.state()),
            Err(PairingError::Identity(IdentityError::Exists { .. }))
        ));
    }
}
