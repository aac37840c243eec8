//! How people reach the console of a new cluster: HTTP or HTTPS, the same on both nodes, and the
//! account `admin` with the password of the set-up.

use super::unfinished::Unfinished;
use super::{SetUpFailure, page};
use crate::config::Node;
use crate::daemon::Settings;
use crate::https;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use tandem_console::Secret;
use tandem_console::accounts::{Accounts, Name, Role};
use zeroize::Zeroizing;

/// The user that a set-up makes.
pub const ADMIN: &str = "admin";

/// What browsers speak to the console. The nodes always use TLS among themselves.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Passwords can be read on the network.
    Http,
    /// With a certificate that each node signs itself, or the one that is there.
    #[default]
    Https,
}

impl fmt::Display for Transport {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        })
    }
}

fn certificate(settings: &Settings) -> PathBuf {
    let [certificate, _] = https::places(&settings.state_dir);
    certificate
}

/// Whether the choice suits what is there: somebody's own certificate is not removed.
pub(super) fn check(settings: &Settings, transport: Transport) -> Result<(), SetUpFailure> {
    let certificate = certificate(settings);
    match transport == Transport::Http && certificate.exists() {
        true => Err(SetUpFailure::CertificateExists(certificate)),
        false => Ok(()),
    }
}

/// Makes the certificate of this node, where one is needed.
pub(super) fn enable(
    settings: &Settings,
    unfinished: &mut Unfinished,
    transport: Transport,
    node: &Node,
) -> Result<(), SetUpFailure> {
    if transport == Transport::Https && !certificate(settings).exists() {
        unfinished.certificate(settings)?;
        let shown = page::directory(settings);
        match https::places(&shown)[0].exists() {
            // The browser that this set-up is done in knows it.
            true => https::adopt(&settings.state_dir, &shown)?,
            false => https::enable(&settings.state_dir, node)?,
        }
    }
    Ok(())
}

/// Where the console keeps its accounts.
pub(super) fn accounts(settings: &Settings) -> PathBuf {
    settings.state_dir.join("accounts.json")
}

/// Whether this node has accounts of an earlier time.
pub(super) fn has_accounts(settings: &Settings) -> bool {
    accounts(settings).exists()
}

/// Makes the first account; the other node gets it from this one.
pub(super) fn make_admin(
    settings: &Settings,
    unfinished: &mut Unfinished,
    password: &Zeroizing<String>,
) -> Result<(), SetUpFailure> {
    unfinished.accounts(settings)?;
    let accounts = Accounts::open(&accounts(settings))?;
    let name = Name::parse(ADMIN).expect("a name");
    let password = Secret::new(password.as_str());
    Ok(accounts.add_user(name, Role::Admin, &password)?)
}
