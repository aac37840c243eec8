//! node1's side of a set-up: it comes to the waiting node2 with the same password and the choices.

use super::browsers;
use super::choices::{Choices, Place, host_name, interface_of, told_apart};
use super::password::{Connection, End, Opening};
use super::unfinished::Unfinished;
use super::wire::{About, Message, Offer, VERSION};
use super::{
    CHECK_MAX, EXPORTER, Look, PROOF_MAX, SetUpFailure, Tell, notice_death, prepare, preset, suits,
};
use crate::config::{CONTROL_PORT, Configuration};
use crate::daemon::Settings;
use crate::identity::{self, Identity};
use crate::pairing::{self, PairingError, nonsense, read, write};
use crate::tls::{self, Expected};
use std::io;
use std::net::SocketAddr;
use tandem_core::NodeId;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

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
    suits(settings, choices.transport)?;
    let mut unfinished = Unfinished::begin(settings)?;
    if settings.config.exists() {
        return Err(SetUpFailure::ConfigurationExists(settings.config.clone()));
    }
    let mut identity = Identity::draw()?;
    tell("Connecting to the secondary computer.");
    let socket = connect(&choices.peer).await?;
    let broken = PairingError::Broken;
    notice_death(&socket).map_err(broken)?;
    let here = socket.local_addr().map_err(broken)?.ip().to_canonical();
    let there = socket.peer_addr().map_err(broken)?.ip().to_canonical();
    let proved = timeout(PROOF_MAX, prove(socket, &identity, password)).await;
    let (mut stream, certificate, about) = proved.map_err(|_| PairingError::Timeout)??;
    tell("Both computers know the password.");
    if let Some(reason) = differs(&about, choices) {
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
    let accounts_there = about.accounts;
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
    let configuration = Configuration::read(&settings.config)?;
    let node = configuration.node(NodeId::One);
    browsers::enable(settings, &mut unfinished, choices.transport, node)?;
    if accounts_there || browsers::has_accounts(settings) {
        tell("The console's accounts of before stay, with their passwords.");
    } else {
        tell("Making the account admin of the console.");
        browsers::make_admin(settings, &mut unfinished, password)?;
    }
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

/// What node2 must have chosen alike and has not, in its words.
fn differs(about: &About, choices: &Choices) -> Option<String> {
    let release = crate::RELEASE;
    if about.release != release {
        return Some(format!(
            "release {} on the secondary computer, {release} on the primary one: install the same \
             on both",
            about.release
        ));
    }
    (about.transport != choices.transport).then(|| {
        format!(
            "the console is {} on the secondary computer, {} on the primary one: choose the same \
             on both",
            about.transport, choices.transport
        )
    })
}

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
