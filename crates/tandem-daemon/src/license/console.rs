//! The licence on the page: what a licence has to name, and putting one in place on this node.

use super::{Standing, install, standing, today, verify};
use crate::daemon::Settings;
use crate::identity::Identity;
use crate::machine::{Machine, error};
use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use std::path::Path;
use tandem_console::admission::Asked;
use tandem_console::{Caller, Origin};
use tandem_wire::api::OwnLicense;

/// As the command log has it.
const ADD: &str = "license add";

/// A licence, as its file has it.
#[derive(Deserialize)]
pub(crate) struct Sent {
    text: String,
}

/// Why a licence was not put in place.
#[derive(Debug, thiserror::Error)]
enum AddError {
    #[error("the licence is refused: {0}")]
    Refused(#[from] super::Refusal),
    #[error("{0}")]
    Here(String),
}

/// What this node has.
pub(crate) async fn show(State(machine): State<Machine>) -> Response {
    match on_disk(&machine, |settings, cluster| {
        Ok(standing(&settings.state_dir, cluster))
    })
    .await
    {
        Ok(own) => Json(own).into_response(),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string()),
    }
}

/// Puts one in place on this node, if it counts.
pub(crate) async fn add(
    State(machine): State<Machine>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    sent: Result<Json<Sent>, JsonRejection>,
) -> Response {
    let text = match sent {
        Ok(Json(Sent { text })) => text,
        Err(rejection) => return error(rejection.status(), rejection.body_text()),
    };
    let added = on_disk(&machine, move |settings, cluster| {
        // What was seen of the clock before does not count: it is looked at now.
        let license = verify(text.as_bytes(), cluster, today(Path::new("/nonexistent")))?;
        install(&settings.state_dir, text.as_bytes())
            .map_err(|failed| AddError::Here(crate::report(&failed)))?;
        Ok(Standing::Valid(license))
    })
    .await;
    let result = match &added {
        Ok(own) => format!("done: {}", own.text),
        Err(failed @ AddError::Refused(_)) => format!("refused: {failed}"),
        Err(failed @ AddError::Here(_)) => format!("failed: {failed}"),
    };
    let asked = Asked {
        what: ADD.to_owned(),
        why: None,
        result,
    };
    machine.console().asked(&caller, origin, asked);
    match added {
        Ok(own) => Json(own).into_response(),
        Err(failed @ AddError::Refused(_)) => error(StatusCode::CONFLICT, failed.to_string()),
        Err(failed @ AddError::Here(_)) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string())
        }
    }
}

/// Does something with files, which may be slow, and says what this node has then.
async fn on_disk(
    machine: &Machine,
    work: impl FnOnce(&Settings, &str) -> Result<Standing, AddError> + Send + 'static,
) -> Result<OwnLicense, AddError> {
    let (settings, node) = (machine.settings().clone(), machine.node().number());
    let done = tokio::task::spawn_blocking(move || {
        let identity = Identity::read(&settings.state_dir)
            .map_err(|failed| AddError::Here(crate::report(&failed)))?;
        let standing = work(&settings, &identity.cluster)?;
        Ok(OwnLicense {
            node,
            cluster: identity.cluster,
            valid: matches!(standing, Standing::Valid(_)),
            text: standing.sentence(),
        })
    });
    done.await.expect("it does not panic")
}
