//! Set-up: two machines with nothing on them become a cluster, or stay as they were.
//!
//! node2 waits with a password; node1 comes with the same one, the choices and the configuration.
//! Both prove the password to each other ([`password`]), node2 checks itself and stores, node1
//! stores, and only then does either keep it. Until that moment everything is taken back when
//! anything fails, on both nodes and also after a power cut ([`unfinished`]).
//!
//! What is stored is what `cluster init` and `cluster join` store, by the same code; they stay, for
//! people who write their configuration by hand.
//!
//! If the very last word is lost, node2 is a node of a cluster that node1 gave up: `cluster leave`
//! there, and again.

mod password;
mod preset;
mod unfinished;
mod wire;

pub use preset::{Answers, Filled, Preset, PresetError, Question, SHIPPED};
pub use unfinished::undo;

use crate::config::{CONTROL_PORT, ConfigError, Configuration};
use crate::daemon::Settings;
use crate::files::FileError;
use crate::identity::{self, Identity, IdentityError};
use crate::link::bind;
use crate::pairing::{self, INVITATION_LASTS, PairingError, nonsense, read, write};
use crate::tls::{self, Expected};
use crate::units::UnitsError;
use nix::ifaddrs::getifaddrs;
use password::{Connection, End, Opening};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tandem_core::NodeId;
use tandem_host::setup::Finding;
use tandem_host::systemd::SystemdError;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use toml::{Table, Value};
use unfinished::Unfinished;
use wire::{About, Message, Offer, VERSION};
use zeroize::Zeroizing;

/// How long node2 waits, and keeps the password.
pub const WAIT_MAX: Duration = INVITATION_LASTS;
/// How many wrong passwords end it. A person types one twice.
const ATTEMPTS_MAX: u32 = 5;
/// For a connection to show the password: strangers must not keep the door.
const PROOF_MAX: Duration = Duration::from_secs(10);
/// For a node to stop its application, look at itself and store.
const CHECK_MAX: Duration = Duration::from_secs(11 * 60);
/// Letters of a password, at least. Nobody can try more than a few, so that is enough.
pub const PASSWORD_MIN: usize = 8;

/// Why a set-up did not come about. Nothing is left of it once [`undo`] has been called.
#[derive(Debug, thiserror::Error)]
pub enum SetUpFailure {
    /// The exchange of the two nodes.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// The configuration that came out of the choices.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The application's units.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// The application's units.
    #[error("end the application")]
    Systemd(#[from] SystemdError),
    /// The preset.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// Another configuration is there already.
    #[error("{} exists: a set-up writes its own; move it away", .0.display())]
    ConfigurationExists(PathBuf),
    /// No such host.
    #[error("find the secondary computer {0}")]
    Resolve(String, #[source] io::Error),
    /// It does not answer.
    #[error("connect to the secondary computer at {0} (does `tandem setup secondary` wait there?)")]
    Connect(SocketAddr, #[source] io::Error),
    /// The passwords differ.
    #[error("the password is not the one of the other computer")]
    WrongPassword,
    /// Somebody guesses.
    #[error("{ATTEMPTS_MAX} wrong passwords came: set this computer up again")]
    TooManyAttempts,
    /// Nobody came.
    #[error("the primary computer did not come within {} minutes", WAIT_MAX.as_secs() / 60)]
    Expired,
    /// This machine is not as it must be.
    #[error("this computer is not ready: {}", sentences(.0))]
    NotReady(Vec<Finding>),
    /// The other one is not, or does not want.
    #[error("the other computer refuses: {0}")]
    Refused(String),
    /// A virtual address without an interface.
    #[error("no interface of this computer has the address {0}")]
    NoInterface(IpAddr),
}

fn sentences(findings: &[Finding]) -> String {
    let sentence = |f: &Finding| format!("{} ({})", f.what, f.remedy);
    findings.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

/// What is found.
pub type Findings = Pin<Box<dyn Future<Output = Result<Vec<Finding>, ConfigError>>>>;
/// Looks whether this machine is as the configuration, which is in place by then, says.
pub type Look = dyn Fn() -> Findings;

/// Shows a step to people.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// What an operator chooses on node1.
#[derive(Clone, Debug)]
pub struct Choices {
    /// node2: host name or address.
    pub peer: String,
    /// The cluster's name.
    pub cluster: String,
    /// The module's name.
    pub module: String,
    /// What the application needs.
    pub application: Filled,
    /// With its prefix, as in `192.0.2.100/24`.
    pub virtual_addresses: Vec<String>,
    /// `takeover-after`, if not the preset's or the default.
    pub takeover_after: Option<String>,
    /// Further networks: node1's address, node2's.
    pub networks: Vec<(IpAddr, IpAddr)>,
}

/// What the connection shows of one node.
struct Place {
    name: String,
    address: IpAddr,
    interface: Option<String>,
}

impl Choices {
    fn configuration(&self, one: &Place, two: &Place) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let mut cluster = Table::new();
        cluster.insert("name".to_owned(), text(&self.cluster));
        let preset = &self.application.takeover_after;
        if let Some(takeover_after) = self.takeover_after.as_ref().or(preset.as_ref()) {
            cluster.insert("takeover-after".to_owned(), text(takeover_after));
        }
        let node = |place: &Place, further: fn(&(IpAddr, IpAddr)) -> IpAddr| {
            let mut heartbeat = vec![place.address];
            heartbeat.extend(self.networks.iter().map(further));
            let heartbeat = heartbeat.iter().map(|a| text(&a.to_string())).collect();
            let mut node = Table::new();
            node.insert("name".to_owned(), text(&place.name));
            node.insert("address".to_owned(), text(&place.address.to_string()));
            node.insert("heartbeat".to_owned(), Value::Array(heartbeat));
            Value::Table(node)
        };
        let mut module = Table::new();
        module.insert("name".to_owned(), text(&self.module));
        module.extend(self.application.parts.clone());
        let addresses = self.virtual_addresses.iter().map(|address| {
            let interface = |place: &Place| place.interface.clone().unwrap_or_default();
            let mut table = Table::new();
            table.insert("address".to_owned(), text(address));
            let each = [("node1", interface(one)), ("node2", interface(two))];
            let interface = match each[0].1 == each[1].1 {
                true => text(&each[0].1),
                false => Value::Table(
                    each.map(|(k, v)| (k.to_owned(), Value::String(v)))
                        .into_iter()
                        .collect(),
                ),
            };
            table.insert("interface".to_owned(), interface);
            Value::Table(table)
        });
        module.insert("address".to_owned(), Value::Array(addresses.collect()));
        let mut all = Table::new();
        all.insert("cluster".to_owned(), Value::Table(cluster));
        all.insert("node1".to_owned(), node(one, |pair| pair.0));
        all.insert("node2".to_owned(), node(two, |pair| pair.1));
        all.insert(
            "module".to_owned(),
            Value::Array(vec![Value::Table(module)]),
        );
        let body = toml::to_string(&all).expect("plain data");
        format!("# Written by `tandem setup`; equal on both nodes.\n\n{body}")
    }
}

/// Sets this machine up as node2: waits for node1, and becomes what that brings.
///
/// # Errors
/// [`SetUpFailure`]; [`undo`] takes back what was changed by then.
pub async fn secondary(
    settings: &Settings,
    password: &Zeroizing<String>,
    look: &Look,
    tell: Tell<'_>,
) -> Result<(), SetUpFailure> {
    let everywhere = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    wait_at(&everywhere, settings, password, look, tell).await
}

/// As [`secondary`], at the first of these addresses that can be listened at.
async fn wait_at(
    doors: &[IpAddr],
    settings: &Settings,
    password: &Zeroizing<String>,
    look: &Look,
    tell: Tell<'_>,
) -> Result<(), SetUpFailure> {
    Unfinished::begin(settings)?;
    let identity = Identity::draw_for(NodeId::Two, String::new(), [0; 32])?;
    let acceptor = tls::server(&identity, Expected::Any, tls::SETUP).map_err(PairingError::Tls)?;
    let mut waiting = Waiting {
        settings,
        password,
        look,
        identity,
        acceptor: TlsAcceptor::from(acceptor),
    };
    let end = Instant::now() + WAIT_MAX;
    let mut wrong = 0;
    loop {
        let listener = listen(doors)?;
        tell("The secondary computer waits for the primary one, for 15 minutes.");
        let proved = loop {
            let accepted = timeout_at(end, listener.accept()).await;
            let Ok((socket, _)) = accepted.map_err(|_| SetUpFailure::Expired)? else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            match timeout(PROOF_MAX, waiting.prove(socket)).await {
                Ok(Ok(proved)) => break proved,
                Ok(Err(SetUpFailure::WrongPassword)) => {
                    wrong += 1;
                    tell("Somebody came with another password.");
                    if wrong >= ATTEMPTS_MAX {
                        return Err(SetUpFailure::TooManyAttempts);
                    }
                }
                // Strangers, scanners, broken connections.
                Ok(Err(_)) | Err(_) => {}
            }
        };
        // From here on this port is looked at as one that has to be free.
        drop(listener);
        tell("The primary computer knows the password.");
        match timeout(CHECK_MAX, waiting.become_node2(proved, tell)).await {
            Ok(Ok(())) => return Unfinished::end(settings),
            Ok(Err(error)) => {
                undo(settings).await?;
                tell(&format!("Nothing was kept: {}.", crate::report(&error)));
            }
            Err(_) => {
                undo(settings).await?;
                tell("The primary computer took too long. Nothing was kept.");
            }
        }
        Unfinished::begin(settings)?;
    }
}

fn listen(doors: &[IpAddr]) -> Result<TcpListener, SetUpFailure> {
    let mut failed = None;
    // The one of IPv6 takes IPv4 too, and is not there where IPv6 is switched off.
    for door in doors {
        let address = SocketAddr::new(*door, CONTROL_PORT);
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => failed = Some(PairingError::Listen { address, source }),
        }
    }
    Err(failed.expect("there is a door").into())
}

struct Waiting<'a> {
    settings: &'a Settings,
    password: &'a Zeroizing<String>,
    look: &'a Look,
    identity: Identity,
    acceptor: TlsAcceptor,
}

/// A node1 that knows the password.
struct Proved {
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    certificate: Vec<u8>,
}

impl Waiting<'_> {
    async fn prove(&self, socket: TcpStream) -> Result<Proved, SetUpFailure> {
        let here = socket
            .local_addr()
            .map_err(PairingError::Broken)?
            .ip()
            .to_canonical();
        let mut stream = self
            .acceptor
            .accept(socket)
            .await
            .map_err(PairingError::Broken)?;
        let (_, tls) = stream.get_ref();
        let exported = pairing::exported(|buffer| {
            tls.export_keying_material(buffer, EXPORTER, None).map(drop)
        })?;
        let certificate = pairing::peers_certificate(tls.peer_certificates())?;
        let Message::Begin { version, opening } = read(&mut stream).await? else {
            return Err(nonsense().into());
        };
        if version != VERSION {
            let reason = format!(
                "set-up of version {version}, this computer speaks {VERSION}: install the same release on both"
            );
            write(&mut stream, &Message::Refused(reason)).await?;
            return Err(nonsense().into());
        }
        let connection = Connection {
            exported,
            certificate1: certificate.clone(),
            certificate2: self.identity.certificate_der.clone(),
        };
        let own = Opening::new(End::Node2, self.password, connection);
        write(&mut stream, &Message::Opening(own.message.clone())).await?;
        let proofs = own.proofs(&opening).ok_or_else(nonsense)?;
        // Who went away after our first word may have tested a password with it.
        let proof = match read(&mut stream).await {
            Ok(Message::Proof(proof)) => proof,
            Ok(_) | Err(_) => return Err(SetUpFailure::WrongPassword),
        };
        if blake3::Hash::from(proof) != proofs.node1 {
            let reason = "the password is not the one of this computer".to_owned();
            write(&mut stream, &Message::Refused(reason)).await?;
            return Err(SetUpFailure::WrongPassword);
        }
        let about = About {
            name: host_name(),
            interface: interface_of(here),
            release: crate::RELEASE.to_owned(),
        };
        let proof = *proofs.node2.as_bytes();
        write(&mut stream, &Message::Ready { proof, about }).await?;
        Ok(Proved {
            stream,
            certificate,
        })
    }

    async fn become_node2(&mut self, proved: Proved, tell: Tell<'_>) -> Result<(), SetUpFailure> {
        let Proved {
            mut stream,
            certificate,
        } = proved;
        let offer = match read(&mut stream).await? {
            Message::Offer(offer) => offer,
            Message::Refused(reason) => return Err(SetUpFailure::Refused(reason)),
            _ => return Err(nonsense().into()),
        };
        if let Err(error) = self.store(&offer, certificate, tell).await {
            let reason = crate::report(&error);
            write(&mut stream, &Message::Refused(reason)).await?;
            return Err(error);
        }
        let differs = offer.same.iter().filter(|(path, mark)| {
            let own = preset::mark(path.as_ref());
            own.is_none() || own != *mark
        });
        let notes = differs.map(|(path, _)| format!("{path} is not the same on both computers"));
        write(&mut stream, &Message::Stored(notes.collect())).await?;
        let Message::Commit = read(&mut stream).await? else {
            return Err(nonsense().into());
        };
        // Whether it arrives or not: this side is done.
        let _ = write(&mut stream, &Message::Done).await;
        Ok(())
    }

    async fn store(
        &mut self,
        offer: &Offer,
        certificate: Vec<u8>,
        tell: Tell<'_>,
    ) -> Result<(), SetUpFailure> {
        let mut unfinished = Unfinished::begin(self.settings)?;
        unfinished.configuration(self.settings)?;
        tell("Writing the configuration.");
        pairing::write_configuration(&self.settings.config, &offer.configuration)?;
        prepare(self.settings, &mut unfinished, self.look, tell).await?;
        tell("Storing the keys.");
        self.identity.cluster.clone_from(&offer.cluster);
        self.identity.secret = offer.secret;
        self.identity.peer_der = Some(certificate);
        Ok(self
            .identity
            .write(&self.settings.state_dir, &offer.token)?)
    }
}

/// Makes this machine ready for the configuration that was just written, or says why it is not.
async fn prepare(
    settings: &Settings,
    unfinished: &mut Unfinished,
    look: &Look,
    tell: Tell<'_>,
) -> Result<(), SetUpFailure> {
    let configuration = Configuration::read(&settings.config)?;
    tell("Stopping the application; from now on Tandem starts it.");
    unfinished.take_units(&configuration, settings).await?;
    tell("Checking this computer.");
    let findings = look().await?;
    match findings.is_empty() {
        true => Ok(()),
        false => Err(SetUpFailure::NotReady(findings)),
    }
}

/// Sets this machine up as node1, and with it the node2 that waits. Gives back what differs between
/// the two without being in the way.
///
/// # Errors
/// [`SetUpFailure`]; [`undo`] takes back what was changed by then, and node2 does so by itself.
pub async fn primary(
    settings: &Settings,
    choices: &Choices,
    password: &Zeroizing<String>,
    look: &Look,
    tell: Tell<'_>,
) -> Result<Vec<String>, SetUpFailure> {
    let mut unfinished = Unfinished::begin(settings)?;
    if settings.config.exists() {
        return Err(SetUpFailure::ConfigurationExists(settings.config.clone()));
    }
    let mut identity = Identity::draw()?;
    tell("Connecting to the secondary computer.");
    let socket = connect(&choices.peer).await?;
    let broken = PairingError::Broken;
    let here = socket.local_addr().map_err(broken)?.ip().to_canonical();
    let there = socket.peer_addr().map_err(broken)?.ip().to_canonical();
    let proved = timeout(PROOF_MAX, prove(socket, &identity, password)).await;
    let (mut stream, certificate, about) = proved.map_err(|_| PairingError::Timeout)??;
    tell("Both computers know the password.");
    if about.release != crate::RELEASE {
        let own = crate::RELEASE;
        let reason = format!(
            "release {own} there, {} here: install the same on both",
            about.release
        );
        write(&mut stream, &Message::Refused(reason.clone())).await?;
        return Err(SetUpFailure::Refused(reason));
    }
    let one = Place {
        name: host_name(),
        address: here,
        interface: interface_of(here),
    };
    if one.interface.is_none() && !choices.virtual_addresses.is_empty() {
        return Err(SetUpFailure::NoInterface(here));
    }
    let two = Place {
        name: about.name,
        address: there,
        interface: about.interface,
    };
    let (one, two) = told_apart(one, two);
    let text = choices.configuration(&one, &two);
    tell("Writing the configuration.");
    unfinished.configuration(settings)?;
    pairing::write_configuration(&settings.config, &text)?;
    prepare(settings, &mut unfinished, look, tell).await?;
    tell("Letting the secondary computer check itself.");
    let token = identity::new_token()?;
    let same = choices.application.same.iter().map(|path| {
        let mark = preset::mark(path);
        (path.to_string_lossy().into_owned(), mark)
    });
    let offer = Offer {
        cluster: identity.cluster.clone(),
        secret: identity.secret,
        token: token.clone(),
        configuration: text,
        same: same.collect(),
    };
    let answered = timeout(CHECK_MAX, async {
        write(&mut stream, &Message::Offer(Box::new(offer))).await?;
        read(&mut stream).await
    });
    let notes = match answered.await.map_err(|_| PairingError::Timeout)?? {
        Message::Stored(notes) => notes,
        Message::Refused(reason) => return Err(SetUpFailure::Refused(reason)),
        _ => return Err(nonsense().into()),
    };
    tell("Storing the keys.");
    identity.peer_der = Some(certificate);
    identity.write(&settings.state_dir, &token)?;
    let confirmed = timeout(PROOF_MAX, async {
        write(&mut stream, &Message::Commit).await?;
        read(&mut stream).await
    });
    match confirmed.await.map_err(|_| PairingError::Timeout)?? {
        Message::Done => Unfinished::end(settings)?,
        _ => return Err(nonsense().into()),
    }
    Ok(notes)
}

const EXPORTER: &[u8] = b"EXPORTER-tandem-setup";

async fn connect(peer: &str) -> Result<TcpStream, SetUpFailure> {
    let resolve = |error| SetUpFailure::Resolve(peer.to_owned(), error);
    let addresses: Vec<SocketAddr> = lookup_host((peer, CONTROL_PORT))
        .await
        .map_err(resolve)?
        .collect();
    // The virtual address is of IPv4 in most clusters, and so is the nodes' own.
    let address = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
    let address = *address.ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
    let connected = timeout(PROOF_MAX, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    connected.map_err(|error| SetUpFailure::Connect(address, error))
}

type Met = (tokio_rustls::client::TlsStream<TcpStream>, Vec<u8>, About);

async fn prove(
    socket: TcpStream,
    identity: &Identity,
    password: &Zeroizing<String>,
) -> Result<Met, SetUpFailure> {
    let config = tls::client(identity, Expected::Any, tls::SETUP).map_err(PairingError::Tls)?;
    let connected = TlsConnector::from(config)
        .connect(tls::name(), socket)
        .await;
    let mut stream = connected.map_err(PairingError::Broken)?;
    let (_, tls) = stream.get_ref();
    let exported =
        pairing::exported(|buffer| tls.export_keying_material(buffer, EXPORTER, None).map(drop))?;
    let certificate = pairing::peers_certificate(tls.peer_certificates())?;
    let connection = Connection {
        exported,
        certificate1: identity.certificate_der.clone(),
        certificate2: certificate.clone(),
    };
    let own = Opening::new(End::Node1, password, connection);
    let begin = Message::Begin {
        version: VERSION,
        opening: own.message.clone(),
    };
    write(&mut stream, &begin).await?;
    let opening = match read(&mut stream).await? {
        Message::Opening(opening) => opening,
        Message::Refused(reason) => return Err(SetUpFailure::Refused(reason)),
        _ => return Err(nonsense().into()),
    };
    let proofs = own.proofs(&opening).ok_or_else(nonsense)?;
    write(&mut stream, &Message::Proof(*proofs.node1.as_bytes())).await?;
    match read(&mut stream).await? {
        Message::Ready { proof, about } if blake3::Hash::from(proof) == proofs.node2 => {
            Ok((stream, certificate, about))
        }
        Message::Ready { .. } | Message::Refused(_) => Err(SetUpFailure::WrongPassword),
        _ => Err(nonsense().into()),
    }
}

/// Machines of one image often have one name.
fn told_apart(mut one: Place, mut two: Place) -> (Place, Place) {
    if one.name == two.name || one.name.is_empty() || two.name.is_empty() {
        one.name = NodeId::One.to_string();
        two.name = NodeId::Two.to_string();
    }
    (one, two)
}

fn host_name() -> String {
    // Without /proc nothing of this runs.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // The part that people call it by.
    name.trim().split('.').next().unwrap_or_default().to_owned()
}

fn interface_of(address: IpAddr) -> Option<String> {
    let found = getifaddrs().ok()?.find(|interface| {
        interface.address.is_some_and(|own| {
            let v4 = own.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| own.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))) == Some(address)
        })
    });
    Some(found?.interface_name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    /// What a primary would write, on two machines of which only the names differ.
    pub(crate) fn configuration_of(application: &Filled) -> String {
        let place = |name: &str, address: &str| Place {
            name: name.to_owned(),
            address: address.parse().expect("an address"),
            interface: Some("eth0".to_owned()),
        };
        let choices = Choices {
            virtual_addresses: vec!["192.0.2.100/24".to_owned()],
            networks: vec![(
                "198.51.100.1".parse().expect("an address"),
                "198.51.100.2".parse().expect("an address"),
            )],
            ..choices("h2", application.clone())
        };
        choices.configuration(&place("h1", "192.0.2.1"), &place("h2", "192.0.2.2"))
    }

    fn choices(peer: &str, application: Filled) -> Choices {
        Choices {
            peer: peer.to_owned(),
            cluster: "cluster1".to_owned(),
            module: "videeos".to_owned(),
            application,
            virtual_addresses: Vec::new(),
            takeover_after: None,
            networks: Vec::new(),
        }
    }

    /// One machine, without units.
    struct Machine {
        directory: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            Self { directory }
        }

        fn settings(&self) -> Settings {
            Settings {
                config: self.directory.path().join("tandem.toml"),
                state_dir: self.directory.path().join("state"),
                runtime_dir: self.directory.path().join("run"),
            }
        }

        fn assert_untouched(&self) {
            let settings = self.settings();
            assert!(!settings.config.exists(), "a configuration");
            for name in ["identity", "token", "setup-unfinished", "units-disabled"] {
                assert!(!settings.state_dir.join(name).exists(), "{name}");
            }
        }
    }

    fn application() -> Filled {
        let mut parts = Table::new();
        let mut volume = Table::new();
        volume.insert("name".to_owned(), Value::String("data".to_owned()));
        volume.insert("path".to_owned(), Value::String("/srv/data".to_owned()));
        parts.insert(
            "volume".to_owned(),
            Value::Array(vec![Value::Table(volume)]),
        );
        Filled {
            parts,
            same: vec![PathBuf::from("/none/such")],
            takeover_after: None,
        }
    }

    /// Of these tests alone, because the port is fixed. node1 comes from 127.0.0.1.
    const NODE2: &str = "127.78.3.1";

    fn found(findings: Vec<Finding>) -> Findings {
        Box::pin(std::future::ready(Ok(findings)))
    }

    fn password(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    async fn come(one: &Machine, typed: &str) -> Result<Vec<String>, SetUpFailure> {
        let choices = choices(NODE2, application());
        let settings = one.settings();
        let typed = password(typed);
        let came = primary(
            &settings,
            &choices,
            &typed,
            &|| found(Vec::new()),
            &mut |_| {},
        )
        .await;
        if came.is_err() {
            undo(&settings).await.expect("taken back");
        }
        came
    }

    /// Waits for node2 to listen: it says so.
    async fn wait_for(told: &mut tokio::sync::mpsc::UnboundedReceiver<String>, words: &str) {
        let waited = timeout(Duration::from_secs(30), async {
            while let Some(line) = told.recv().await {
                if line.contains(words) {
                    return;
                }
            }
            panic!("it ended without: {words}");
        });
        waited.await.expect("it says so in time");
    }

    /// All on one address and port, hence one after the other.
    #[tokio::test]
    async fn two_machines_become_a_cluster_or_stay_as_they_were() {
        let local = tokio::task::LocalSet::new();
        local.run_until(all_of_it()).await;
    }

    async fn all_of_it() {
        let (one, two) = (Machine::new(), Machine::new());
        let refuse = std::rc::Rc::new(std::cell::Cell::new(false));
        let (says, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (settings, refuses) = (two.settings(), refuse.clone());
        let waiting = tokio::task::spawn_local(async move {
            let typed = password("a good password");
            let look = move || {
                let missing = Finding {
                    what: "the directory is missing".to_owned(),
                    remedy: "mkdir".to_owned(),
                };
                found(if refuses.get() {
                    vec![missing]
                } else {
                    Vec::new()
                })
            };
            let mut tell = |line: &str| drop(says.send(line.to_owned()));
            let door = [NODE2.parse().expect("an address")];
            wait_at(&door, &settings, &typed, &look, &mut tell).await
        });
        wait_for(&mut told, "waits for the primary").await;

        let error = come(&one, "another password")
            .await
            .expect_err("it is another");
        assert!(matches!(error, SetUpFailure::WrongPassword), "{error}");
        one.assert_untouched();
        assert!(!two.settings().config.exists());

        // node2 is not ready: both are as before, and node2 waits again.
        refuse.set(true);
        let error = come(&one, "a good password").await.expect_err("refused");
        assert!(
            error.to_string().contains("the directory is missing"),
            "{error}"
        );
        one.assert_untouched();
        wait_for(&mut told, "waits for the primary").await;
        assert!(!two.settings().config.exists());
        assert!(!two.settings().state_dir.join("identity").exists());
        refuse.set(false);

        // node1 goes away in the middle: node2 takes everything back.
        let cut = async {
            let choices = choices(NODE2, application());
            let settings = one.settings();
            let typed = password("a good password");
            let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
            let mut tell = |line: &str| drop(says.send(line.to_owned()));
            let look = || found(Vec::new());
            tokio::select! {
                biased;
                _ = wait_for(&mut said, "Letting the secondary") => {}
                _ = primary(&settings, &choices, &typed, &look, &mut tell) => panic!("too fast"),
            }
            undo(&settings).await.expect("taken back");
        };
        cut.await;
        one.assert_untouched();
        wait_for(&mut told, "waits for the primary").await;
        assert!(!two.settings().config.exists());

        let notes = come(&one, "a good password").await.expect("paired");
        assert_eq!(notes, ["/none/such is not the same on both computers"]);
        waiting.await.expect("no panic").expect("paired");
        let (a, b) = (one.settings(), two.settings());
        let text = |path: &Path| std::fs::read_to_string(path).expect("written");
        assert_eq!(text(&a.config), text(&b.config));
        let first = Identity::read(&a.state_dir).expect("node1");
        let second = Identity::read(&b.state_dir).expect("node2");
        assert_eq!((first.node, second.node), (NodeId::One, NodeId::Two));
        assert_eq!(first.peer_der.as_ref(), Some(&second.certificate_der));
        assert_eq!(second.peer_der.as_ref(), Some(&first.certificate_der));
        assert_eq!(
            (first.cluster, first.secret),
            (second.cluster, second.secret)
        );
        for settings in [&a, &b] {
            assert!(
                !undo(settings).await.expect("nothing to do"),
                "it is finished"
            );
            Identity::read(&settings.state_dir).expect("still there");
        }
        // And not a second time.
        let error = come(&one, "a good password")
            .await
            .expect_err("it is a node already");
        assert!(
            matches!(error, SetUpFailure::Identity(IdentityError::Exists { .. })),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_set_up_that_lost_power_is_taken_back_by_the_next_one() {
        let machine = Machine::new();
        let settings = machine.settings();
        let mut unfinished = Unfinished::begin(&settings).expect("nothing is there");
        unfinished.configuration(&settings).expect("room");
        let text = configuration_of(&application());
        pairing::write_configuration(&settings.config, &text).expect("valid");
        let identity = Identity::draw().expect("random numbers");
        identity.write(&settings.state_dir, "token").expect("room");
        assert!(undo(&settings).await.expect("taken back"));
        machine.assert_untouched();
    }

    #[tokio::test]
    async fn a_configuration_that_people_wrote_is_never_taken_back() {
        let machine = Machine::new();
        let settings = machine.settings();
        std::fs::write(&settings.config, "# mine\n").expect("room");
        let mut unfinished = Unfinished::begin(&settings).expect("nothing is there");
        unfinished.configuration(&settings).expect("room");
        undo(&settings).await.expect("taken back");
        let kept = std::fs::read_to_string(&settings.config).expect("kept");
        assert_eq!(kept, "# mine\n");
    }
}
