//! The certificate on the page: another one for the node that shows it, made by the node or sent. It
//! counts for every connection that begins from then on; those that stand go on as they are.

use super::{HttpsError, acceptor, install_sent, renew, status};
use crate::config::Node;
use crate::hub::Hub;
use crate::machine::{Machine, error};
use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tandem_console::admission::Asked;
use tandem_console::{Caller, Origin, Secret};
use tandem_wire::api::CertificateStatus;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

/// How port 9010 answers: over HTTPS where there is a certificate.
pub(crate) struct Https {
    state_dir: PathBuf,
    node: Node,
    hub: Hub,
    answering: watch::Sender<Option<TlsAcceptor>>,
    /// One at a time: certificate and key are two files.
    turn: Mutex<()>,
}

impl Https {
    /// As the files are now.
    pub(crate) fn open(state_dir: &Path, node: &Node, hub: Hub) -> Result<Self, HttpsError> {
        hub.certificate(status(state_dir)?);
        Ok(Self {
            state_dir: state_dir.to_owned(),
            node: node.clone(),
            hub,
            answering: watch::Sender::new(acceptor(state_dir)?),
            turn: Mutex::default(),
        })
    }

    /// What accepts browsers, now and after each change.
    pub(crate) fn answering(&self) -> watch::Receiver<Option<TlsAcceptor>> {
        self.answering.subscribe()
    }

    async fn change(&self, own: Option<(String, Secret)>) -> Result<CertificateStatus, HttpsError> {
        let _turn = self.turn.lock().await;
        let (state_dir, node) = (self.state_dir.clone(), self.node.clone());
        let work = spawn_blocking(move || {
            match own {
                Some((certificate, key)) => install_sent(&state_dir, &certificate, key.reveal())?,
                None => renew(&state_dir, &node)?,
            }
            Ok::<_, HttpsError>((acceptor(&state_dir)?, status(&state_dir)?))
        });
        let (answering, now) = work.await.expect("it does not panic")?;
        self.answering.send_replace(answering);
        self.hub.certificate(now.clone());
        Ok(now.unwrap_or_default())
    }
}

/// What is wanted; nothing: a new one of the node's own.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    certificate: Option<String>,
    #[serde(default)]
    key: Option<Secret>,
}

/// Why there is no other certificate.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("a certificate and its key belong together: send both, or neither for a new one")]
    Half,
    #[error(
        "the key could be read on the network: sign in over HTTPS first (a new certificate makes \
         that possible), or use tandem console https on the node"
    )]
    Readable,
    #[error(transparent)]
    Https(#[from] HttpsError),
}

impl ChangeError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Half
            | Self::Readable
            | Self::Https(HttpsError::Sent(_) | HttpsError::Unusable(_)) => StatusCode::CONFLICT,
            Self::Https(HttpsError::File(_) | HttpsError::Pem { .. } | HttpsError::Make(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

/// Puts another one in place on this node, and answers with it from now on.
pub(crate) async fn change(
    State(machine): State<Machine>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Json(wanted)) => wanted,
        Err(rejection) => return error(rejection.status(), rejection.body_text()),
    };
    let what = match wanted.certificate {
        Some(_) => "console https --certificate",
        None => "console https --renew",
    };
    let changed = put_in_place(&machine, wanted, origin).await;
    let result = match &changed {
        Ok(now) => format!("done: {}, {}", now.subject, now.fingerprint),
        Err(failed) if failed.status() == StatusCode::CONFLICT => {
            format!("refused: {}", crate::report(failed))
        }
        Err(failed) => format!("failed: {}", crate::report(failed)),
    };
    let asked = Asked {
        what: what.to_owned(),
        why: None,
        result,
    };
    machine.console().asked(&caller, origin, asked);
    match changed {
        Ok(now) => Json(now).into_response(),
        Err(failed) => error(failed.status(), crate::report(&failed)),
    }
}

async fn put_in_place(
    machine: &Machine,
    wanted: Wanted,
    origin: Origin,
) -> Result<CertificateStatus, ChangeError> {
    let own = match (wanted.certificate, wanted.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) | (None, Some(_)) => return Err(ChangeError::Half),
    };
    if own.is_some() && matches!(origin, Origin::Address { secure: false, .. }) {
        return Err(ChangeError::Readable);
    }
    Ok(machine.https().change(own).await?)
}
