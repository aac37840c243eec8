//! The HTTP API under `/api/v1` and the plain page: on port 9010 for whoever shows the token, on
//! the local socket for root (whose file permissions are the proof).
//!
//! Every request is bounded in size and time, every connection in time, and both in number.

use crate::commands::Commands;
use crate::hub::{EventId, Hub};
use crate::jobs::Jobs;
use crate::link;
use crate::snapshot::Face;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use futures_util::stream::unfold;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_wire::api::{
    ApiError, ApiEvent, ClusterStatus, CommandRequest, Job, JobState, REQUEST_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 256;
/// Event streams at a time, as the handbook promises.
const STREAMS_MAX: usize = 100;
/// From the first byte of a request to the end of its head.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// From the head of a request to the answer. Longer than every wait below.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// How long a command with `wait` is waited for; then the answer says that it is under way.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a question for a job waits for something new.
const JOB_WAIT_MAX: Duration = Duration::from_secs(20);
/// The status is sent at most this often, unless a node became something else.
const STATUS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// A stream without news says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A client that takes nothing for this long is cut off by the kernel.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the API is made from.
#[derive(Clone)]
pub(crate) struct Api {
    pub hub: Hub,
    pub jobs: Jobs,
    pub commands: Commands,
    streams: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(hub: Hub, jobs: Jobs, commands: Commands) -> Self {
        Self {
            hub,
            jobs,
            commands,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    fn routes(self) -> Router {
        Router::new()
            .route("/api/v1/status", get(status))
            .route("/api/v1/events", get(events))
            .route("/api/v1/command", post(command))
            .route("/api/v1/jobs/{job}", get(job))
            .layer(DefaultBodyLimit::max(REQUEST_MAX))
            .with_state(self)
    }

    /// Serves on a TCP port, for ever.
    pub(crate) async fn serve_tcp(self, address: SocketAddr, token: &str) {
        let token = Arc::new(blake3::hash(token.as_bytes()));
        let connections = self.connections.clone();
        let router = (self.routes())
            .layer(middleware::from_fn_with_state(token, authenticate))
            .route("/", get(|| page("text/html; charset=utf-8", PAGE)))
            .route("/page.css", get(|| page("text/css", STYLE)))
            .route("/page.js", get(|| page("text/javascript", SCRIPT)))
            .layer(middleware::from_fn(bounded));
        let listener = link::listen(address, "the HTTP API").await;
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                // Out of descriptors, most likely: let others end.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let milliseconds = CLIENT_PATIENCE.as_millis() as u32;
            let limited = nix::sys::socket::setsockopt(
                &socket,
                nix::sys::socket::sockopt::TcpUserTimeout,
                &milliseconds,
            );
            if limited.is_ok() {
                serve_connection(socket, router.clone(), &connections);
            }
        }
    }

    /// Serves on the local socket, for ever.
    pub(crate) async fn serve_local(self, listener: UnixListener) {
        let connections = self.connections.clone();
        let router = self.routes().layer(middleware::from_fn(bounded));
        loop {
            match listener.accept().await {
                Ok((socket, _)) => serve_connection(socket, router.clone(), &connections),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// The state directory's lock has shown that no other daemon uses this name.
pub(crate) fn listen_local(path: &std::path::Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // Bound under another name first, so that nobody can connect before the mode is set.
    let fresh = path.with_extension("new");
    for name in [path, &fresh] {
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

fn serve_connection(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    connections: &Arc<Semaphore>,
) {
    let Ok(permit) = connections.clone().try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let service = TowerToHyperService::new(router);
        // How a client's connection ended is the client's business.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .serve_connection(TokioIo::new(socket), service)
            .await;
        drop(permit);
    });
}

// --- what every request goes through -------------------------------------------------------------

async fn bounded(request: Request, next: Next) -> Response {
    let mut response = match timeout(ANSWER_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => error(
            StatusCode::REQUEST_TIMEOUT,
            "the request took too long",
            None,
        ),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn authenticate(
    State(token): State<Arc<blake3::Hash>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let shown = (headers.get(header::AUTHORIZATION))
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Hashes compare in constant time.
    if shown.is_some_and(|shown| blake3::hash(shown.trim().as_bytes()) == *token) {
        return next.run(request).await;
    }
    let hint = "send `Authorization: Bearer TOKEN`; the token is in /var/lib/tandem/token";
    let mut response = error(
        StatusCode::UNAUTHORIZED,
        "the token is wrong or missing",
        Some(hint),
    );
    let bearer = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, bearer);
    response
}

fn error(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let body = ApiError {
        error: error.to_owned(),
        hint: hint.map(str::to_owned),
    };
    (status, Json(body)).into_response()
}

async fn page(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

// --- the API ---------------------------------------------------------------------------------------

async fn status(State(api): State<Api>) -> Json<ClusterStatus> {
    Json(api.hub.status())
}

async fn command(
    State(api): State<Api>,
    request: Result<Json<CommandRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(rejection) => {
            let hint = "{\"command\": \"start\"}, with node, module, force and wait as you like; \
                 commands: start, stop, restart, stopstart, swap, prim, second, verify, and with on: \
                 failover, checkers, boot";
            return error(rejection.status(), &rejection.body_text(), Some(hint));
        }
    };
    let wait = request.wait;
    let job = match api.commands.submit(request) {
        Ok(job) => job,
        Err(refused) => return error(StatusCode::BAD_REQUEST, &refused.to_string(), None),
    };
    let job = match wait {
        true => wait_for(&api, job, COMMAND_WAIT_MAX, |job| job.state.ended()).await,
        false => job,
    };
    answer(job)
}

#[derive(Deserialize)]
struct Seen {
    /// How many lines of progress the client has.
    seen: Option<usize>,
}

async fn job(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(Seen { seen }): Query<Seen>,
) -> Response {
    let Some(job) = api.jobs.find(&name) else {
        let hint = "a daemon that was restarted does not know the jobs of the one before";
        return error(StatusCode::NOT_FOUND, "there is no such job", Some(hint));
    };
    let new = |job: &Job| seen.is_none_or(|seen| job.progress.len() > seen) || job.state.ended();
    answer(wait_for(&api, job, JOB_WAIT_MAX, new).await)
}

fn answer(job: Job) -> Response {
    let status = match job.state {
        JobState::Running => StatusCode::ACCEPTED,
        JobState::Done => StatusCode::OK,
        JobState::Refused => StatusCode::CONFLICT,
        JobState::Failed | JobState::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        JobState::Unreachable => StatusCode::BAD_GATEWAY,
    };
    (status, Json(job)).into_response()
}

async fn wait_for(api: &Api, mut job: Job, limit: Duration, enough: impl Fn(&Job) -> bool) -> Job {
    let end = Instant::now() + limit;
    let mut news = api.hub.watch();
    while !enough(&job) {
        if !matches!(timeout_at(end, news.changed()).await, Ok(Ok(()))) {
            break;
        }
        match api.jobs.find(&job.job) {
            Some(newer) => job = newer,
            None => break,
        }
    }
    job
}

#[derive(Deserialize)]
struct After {
    /// As `Last-Event-ID`.
    after: Option<String>,
}

async fn events(
    State(api): State<Api>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = api.streams.clone().try_acquire_owned() else {
        let text = format!("{STREAMS_MAX} event streams are open");
        return error(StatusCode::SERVICE_UNAVAILABLE, &text, None);
    };
    let last = headers.get("last-event-id");
    let last = last
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let place = last.or(after).map(|text| text.parse::<EventId>());
    let mut waiting = VecDeque::new();
    let newest = api.hub.newest();
    let place = match place {
        None => newest,
        Some(Ok(place)) => match api.hub.after(place) {
            Some(_) => place,
            None => {
                waiting.push_back((newest, ApiEvent::Missed));
                newest
            }
        },
        Some(Err(())) => {
            waiting.push_back((newest, ApiEvent::Missed));
            newest
        }
    };
    let follower = Follower {
        news: api.hub.watch(),
        hub: api.hub,
        place,
        waiting,
        status_sent: None,
        faces_sent: Vec::new(),
        gathering: false,
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(follower.stream())
        .keep_alive(keep_alive)
        .into_response()
}

/// One client's place in the events.
struct Follower {
    hub: Hub,
    news: watch::Receiver<u64>,
    place: EventId,
    waiting: VecDeque<(EventId, ApiEvent)>,
    status_sent: Option<Instant>,
    /// What this node's modules were in it.
    faces_sent: Vec<Option<Face>>,
    /// Something changed since.
    gathering: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((id, event)) = self.waiting.pop_front() {
                self.place = id;
                return Some(event_of(&event).id(id.to_string()));
            }
            let Some(sent) = self.status_sent else {
                return Some(self.status());
            };
            // However short it is: what a node was in between belongs to the story.
            if self.hub.faces() != self.faces_sent {
                return Some(self.status());
            }
            tokio::select! {
                () = sleep_until(sent + STATUS_INTERVAL_MIN), if self.gathering => {
                    return Some(self.status());
                }
                changed = self.news.changed() => changed.ok()?,
            }
            self.gathering = true;
            match self.hub.after(self.place) {
                Some(events) => self.waiting.extend(events),
                None => {
                    self.waiting
                        .push_back((self.hub.newest(), ApiEvent::Missed));
                }
            }
        }
    }

    fn status(&mut self) -> Event {
        self.status_sent = Some(Instant::now());
        self.gathering = false;
        // First, so that a change in between is sent again and not missed.
        self.faces_sent = self.hub.faces();
        event_of(&ApiEvent::Status(Box::new(self.hub.status())))
    }
}

fn event_of(event: &ApiEvent) -> Event {
    let json = serde_json::to_string(event).expect("plain data");
    Event::default().data(json)
}
