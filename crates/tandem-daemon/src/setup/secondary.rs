//! node2's side of a set-up: it waits with a password, and becomes what node1 brings.

use super::browsers::{self, Transport};
use super::choices::{host_name, interface_of};
use super::password::{Connection, End, Opening};
use super::unfinished::{Unfinished, undo};
use super::wire::{About, Message, Offer, VERSION};
use super::{
    ATTEMPTS_MAX, CHECK_MAX, EXPORTER, Look, PROOF_MAX, SetUpFailure, Tell, WAIT_MAX, notice_death,
    prepare, preset, suits,
};
use crate::config::{CONTROL_PORT, Configuration};
use crate::daemon::Settings;
use crate::identity::Identity;
use crate::link::bind;
use crate::pairing::{self, PairingError, nonsense, read, write};
use crate::tls::{self, Expected};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tandem_core::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// Sets this machine up as node2: waits for node1, and becomes what that brings.
///
/// # Errors
/// [`SetUpFailure`]; [`undo`] takes back what was changed by then.
pub async fn secondary(
    settings: &Settings,
    transport: Transport,
    password: &Zeroizing<String>,
    look: &Look,
    tell: Tell<'_>,
) -> Result<(), SetUpFailure> {
    let everywhere = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    wait_at(&everywhere, settings, transport, password, look, tell).await
}

/// As [`secondary`], at the first of these addresses that can be listened at.
pub(super) async fn wait_at(
    doors: &[IpAddr],
    settings: &Settings,
    transport: Transport,
    password: &Zeroizing<String>,
    look: &Look,
    tell: Tell<'_>,
) -> Result<(), SetUpFailure> {
    suits(settings, transport)?;
    Unfinished::begin(settings)?;
    let identity = Identity::draw_for(NodeId::Two, String::new(), [0; 32])?;
    let acceptor = tls::server(&identity, Expected::Any, tls::SETUP).map_err(PairingError::Tls)?;
    let mut waiting = Waiting {
        settings,
        transport,
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
    transport: Transport,
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
        notice_death(&socket).map_err(PairingError::Broken)?;
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
            transport: self.transport,
            accounts: browsers::has_accounts(self.settings),
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
        let configuration = Configuration::read(&self.settings.config)?;
        let node = configuration.node(NodeId::Two);
        browsers::enable(self.settings, &mut unfinished, self.transport, node)?;
        tell("Storing the keys.");
        self.identity.cluster.clone_from(&offer.cluster);
        self.identity.secret = offer.secret;
        self.identity.peer_der = Some(certificate);
        Ok(self
            .identity
            .write(&self.settings.state_dir, &offer.token)?)
    }
}
