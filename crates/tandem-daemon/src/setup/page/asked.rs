//! What the page asks: how far the set-up is, and for a step with the choices that were made.

use super::{Board, Order, Step};
use crate::http;
use crate::setup::{
    Answers, Choices, DEFAULT_CLUSTER, DEFAULT_MODULE, PASSWORD_MIN, Preset, PresetError, Transport,
};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use tandem_console::Secret;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long a question for the steps waits for something new.
const NEWS_MAX: Duration = Duration::from_secs(20);

/// What answers the page.
#[derive(Clone)]
pub(super) struct Page {
    pub board: Board,
    pub orders: mpsc::Sender<Order>,
}

#[derive(Deserialize)]
pub(super) struct Seen {
    /// The version that the page has.
    seen: Option<u64>,
}

/// `GET /api/v1/setup`: how far it is, once that is something new.
pub(super) async fn shown(State(page): State<Page>, Query(Seen { seen }): Query<Seen>) -> Response {
    let mut view = page.board.view.subscribe();
    let seen = seen.unwrap_or(0);
    // Whether something new came or not.
    let _ = timeout(NEWS_MAX, view.wait_for(|view| view.version > seen)).await;
    let view = view.borrow().clone();
    Json(view).into_response()
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub(super) enum Asked {
    Secondary {
        console: Transport,
        password: Secret,
    },
    Primary(Box<AskedPrimary>),
    Complete,
    Cancel,
    Close,
}

#[derive(Deserialize)]
pub(super) struct AskedPrimary {
    console: Transport,
    password: Secret,
    preset: String,
    /// Those that are not the defaults.
    #[serde(default)]
    answers: Answers,
    peer: String,
    virtual_address: String,
    #[serde(default)]
    networks: Vec<(IpAddr, IpAddr)>,
}

/// `POST /api/v1/setup`
pub(super) async fn ask(
    State(page): State<Page>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        // Not the rejection's own text: it may quote the password.
        Err(rejection) => return http::error(rejection.status(), "this cannot be read", None),
    };
    let (step, transport, order) = match order(&page, asked) {
        Ok(order) => order,
        Err(reason) => return http::error(StatusCode::BAD_REQUEST, &reason, None),
    };
    let busy = || http::error(StatusCode::CONFLICT, "a step is under way", None);
    let Ok(place) = page.orders.try_reserve() else {
        return busy();
    };
    if let Some(step) = step
        && !page.board.claim(step)
    {
        return busy();
    }
    if transport.is_some() {
        page.board.change(|view| view.console = transport);
    }
    place.send(order);
    StatusCode::ACCEPTED.into_response()
}

type Ordered = (Option<Step>, Option<Transport>, Order);

fn order(page: &Page, asked: Asked) -> Result<Ordered, String> {
    match asked {
        Asked::Secondary { console, password } => {
            let order = Order::Secondary(console, checked(&password)?);
            Ok((Some(Step::Secondary), Some(console), order))
        }
        Asked::Primary(asked) => {
            let password = checked(&asked.password)?;
            let console = asked.console;
            let choices = Box::new(choices(page, *asked)?);
            let order = Order::Primary(choices, password);
            Ok((Some(Step::Primary), Some(console), order))
        }
        Asked::Complete => match page.board.view.borrow().node {
            Some(2) => Ok((Some(Step::Complete), None, Order::Complete)),
            _ => Err("this is the last step of the secondary computer".to_owned()),
        },
        Asked::Cancel => Ok((None, None, Order::Cancel)),
        Asked::Close => Ok((None, None, Order::Close)),
    }
}

fn checked(password: &Secret) -> Result<Zeroizing<String>, String> {
    match password.reveal().chars().count() < PASSWORD_MIN {
        true => Err(format!(
            "the password is shorter than {PASSWORD_MIN} letters"
        )),
        false => Ok(Zeroizing::new(password.reveal().to_owned())),
    }
}

fn choices(page: &Page, asked: AskedPrimary) -> Result<Choices, String> {
    let known = (page.board.view.borrow().presets.iter()).any(|known| known.name == asked.preset);
    if !known {
        return Err(format!("there is no preset {}", asked.preset));
    }
    let said = |error: PresetError| crate::report(&error);
    let preset = Preset::read(&asked.preset).map_err(said)?;
    Ok(Choices {
        peer: asked.peer.trim().to_owned(),
        cluster: DEFAULT_CLUSTER.to_owned(),
        module: DEFAULT_MODULE.to_owned(),
        application: preset.fill(&asked.answers).map_err(said)?,
        virtual_addresses: vec![asked.virtual_address.trim().to_owned()],
        takeover_after: None,
        transport: asked.console,
        networks: asked.networks,
    })
}
