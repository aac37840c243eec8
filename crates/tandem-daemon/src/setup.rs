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
//! In a browser ([`page`]) as at a terminal: both only ask, and show.
//!
//! If the very last word is lost, node2 is a node of a cluster that node1 gave up: `cluster leave`
//! there, and again.

mod browsers;
mod choices;
pub mod page;
mod password;
mod preset;
mod primary;
mod secondary;
mod unfinished;
mod wire;

#[cfg(test)]
mod tests;

pub use browsers::{ADMIN, Transport};
pub use choices::{Choices, DEFAULT_CLUSTER, DEFAULT_MODULE};
pub use preset::{Answers, Filled, Preset, PresetError, Question, SHIPPED};
pub use primary::primary;
pub use secondary::secondary;
pub use unfinished::{Only, undo};

use crate::config::{ConfigError, Configuration};
use crate::daemon::Settings;
use crate::files::FileError;
use crate::https::HttpsError;
use crate::identity::IdentityError;
use crate::license;
use crate::pairing::{INVITATION_LASTS, PairingError};
use crate::units::UnitsError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tandem_console::accounts::AccountError;
use tandem_host::setup::Finding;
use tandem_host::systemd::SystemdError;
use tokio::net::TcpStream;
use unfinished::Unfinished;

/// How long node2 waits, and keeps the password.
pub const WAIT_MAX: Duration = INVITATION_LASTS;
/// How many wrong passwords end it. A person types one twice.
const ATTEMPTS_MAX: u32 = 5;
/// For a connection to show the password: strangers must not keep the door.
const PROOF_MAX: Duration = Duration::from_secs(10);
/// For a node to stop its application, look at itself and store.
const CHECK_MAX: Duration = Duration::from_secs(11 * 60);
/// Silence after which the other machine is taken for dead; it is asked three times within that.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const EXPORTER: &[u8] = b"EXPORTER-tandem-setup";
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
    /// The console's certificate.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The console's first account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// HTTP was chosen, and a certificate is there.
    #[error("{} exists: choose HTTPS, or remove it with `tandem console http`", .0.display())]
    CertificateExists(PathBuf),
    /// A licence is there, which can only be another cluster's.
    #[error(
        "{} is another cluster's licence: move it away; this cluster's own comes after the set-up",
        .0.display()
    )]
    LicenseExists(PathBuf),
    /// Somebody else does it at the moment.
    #[error("another `tandem setup` runs on this computer")]
    Running,
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

/// Whether what was chosen suits what lies here of an earlier time.
fn suits(settings: &Settings, transport: Transport) -> Result<(), SetUpFailure> {
    let license = license::path(&settings.state_dir);
    match license.exists() {
        // It counts for nothing here, and whoever put it there expects that it does.
        true => Err(SetUpFailure::LicenseExists(license)),
        false => browsers::check(settings, transport),
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

/// Lets the kernel notice that the other machine is gone, also while nothing is said.
fn notice_death(socket: &TcpStream) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    let milliseconds = SILENCE_MAX.as_millis() as u32;
    let seconds = (SILENCE_MAX / 4).as_secs() as u32;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &seconds)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &seconds)?;
    setsockopt(socket, sockopt::TcpUserTimeout, &milliseconds)?;
    Ok(())
}
