//! The HTTP API under `/api/v1`, and the console: on port 9010 for whoever [`tandem_console`] lets
//! in, on the local socket for root (whose file permissions are the proof).
//!
//! Every request is bounded in size and time, every connection in time, and both in number.

use crate::commands::Commands;
use crate::hub::{EventId, Hub};
use crate::jobs::Jobs;
use crate::link;
use crate::machine::Machine;
use crate::snapshot::Face;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::Stream;
use futures_util::stream::unfold;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_console::accounts::Role;
use tandem_console::admission::Asked;
use tandem_console::attempts::network;
use tandem_console::history::{History, Question};
use tandem_console::series::{Series, Step};
use tandem_console::{Caller, Console, Origin, page};
use tandem_wire::api::{
    ApiError, ApiEvent, ClusterStatus, CommandName, CommandRequest, Job, JobState, ModuleStatus,
    REQUEST_MAX, REQUEST_OF_STRANGER_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 256;
/// Connections of one address at a time, so that one machine cannot take all of them. A browser
/// opens six; several operators may sit behind one address.
const CONNECTIONS_OF_ONE_MAX: usize = 96;
/// Event streams at a time, as the handbook promises.
const STREAMS_MAX: usize = 100;
/// From the first byte of a request to the end of its head.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// From the head of a request to the end of its body.
const BODY_MAX: Duration = Duration::from_secs(10);
/// From the beginning of a connection to the end of its TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection: a record of a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// How long the end of a command is waited for before the audit log says that it is under way.
const COMMAND_AUDIT_MAX: Duration = Duration::from_secs(3600);
/// The head of a request. What many strangers send at once must not cost the application its memory.
const HEAD_BYTES_MAX: usize = 32 << 10;
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

/// What the API is made from.
#[derive(Clone)]
pub(crate) struct Api {
    pub hub: Hub,
    pub jobs: Jobs,
    pub commands: Commands,
    pub console: Arc<Console>,
    pub past: Past,
    machine: Machine,
    streams: Arc<Semaphore>,
    connections: Arc<Connections>,
}

/// What was: kept beside the status, which says what is.
#[derive(Clone)]
pub(crate) struct Past {
    /// `None` if its file cannot be used; the daemon runs on without.
    pub history: Option<History>,
    pub series: Arc<Series>,
}

impl Api {
    pub(crate) fn new(
        commands: Commands,
        console: Arc<Console>,
        past: Past,
        machine: Machine,
    ) -> Self {
        Self {
            hub: commands.hub.clone(),
            jobs: commands.jobs.clone(),
            commands,
            console,
            past,
            machine,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            connections: Arc::default(),
        }
    }

    fn routes(self) -> Router {
        let (console, machine) = (self.console.clone(), self.machine.clone());
        let own = Router::new()
            .route("/health/primary", get(primary))
            .route("/health/ready", get(ready))
            .route("/api/v1/status", get(status))
            .route("/api/v1/events", get(events))
            .route("/api/v1/command", post(command))
            .route("/api/v1/jobs/{job}", get(job))
            .route("/api/v1/history", get(history))
            .route("/api/v1/series", get(series))
            .with_state(self)
            .merge(machine.routes());
        guarded(own, console)
    }

    /// Serves on a TCP port, for ever; over HTTPS while there is a certificate.
    pub(crate) async fn serve_tcp(
        self,
        address: SocketAddr,
        tls: watch::Receiver<Option<TlsAcceptor>>,
    ) {
        let connections = self.connections.clone();
        let router = self.routes();
        let listener = link::listen(address, "the HTTP API").await;
        serve_network(listener, router, connections, tls).await;
    }

    /// Serves on the local socket, for ever.
    pub(crate) async fn serve_local(self, listener: UnixListener) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let router = self.routes();
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let Ok(permit) = connections.clone().try_acquire_owned() else {
                        continue;
                    };
                    let router = router.clone();
                    tokio::spawn(async move {
                        serve_connection(socket, router, Origin::Local).await;
                        drop(permit);
                    });
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Puts routes behind the console's door, beside its own and the page.
pub(crate) fn guarded(own: Router, console: Arc<Console>) -> Router {
    own.merge(tandem_console::routes::routes(console.clone()))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is no such address", None) })
        .layer(middleware::from_fn(read))
        .layer(middleware::from_fn_with_state(console, Console::guard))
        .layer(middleware::from_fn(bounded))
}

/// Serves whoever comes from the network, for ever; each as it is when he comes.
pub(crate) async fn serve_network(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    tls: watch::Receiver<Option<TlsAcceptor>>,
) {
    loop {
        let Ok((socket, from)) = listener.accept().await else {
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
        let Some(place) = connections.take(from.ip()) else {
            continue;
        };
        if limited.is_err() {
            continue;
        }
        let (router, tls) = (router.clone(), tls.borrow().clone());
        let origin = Origin::Address {
            address: from.ip(),
            secure: tls.is_some(),
        };
        tokio::spawn(async move {
            match tls {
                None => serve_connection(socket, router, origin).await,
                Some(tls) => match timeout(HANDSHAKE_MAX, greet(&tls, socket)).await {
                    Ok(Ok(Greeted::Tls(socket))) => {
                        serve_connection(*socket, router, origin).await;
                    }
                    Ok(Ok(Greeted::Plain(socket))) => {
                        serve_connection(socket, elsewhere(), origin).await;
                    }
                    // A browser that does not trust the certificate yet ends it here.
                    Ok(Err(_)) | Err(_) => {}
                },
            }
            drop(place);
        });
    }
}

/// What somebody speaks who comes to HTTPS.
enum Greeted {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// Shakes hands with whoever begins to.
async fn greet(tls: &TlsAcceptor, socket: TcpStream) -> std::io::Result<Greeted> {
    let mut first = [0];
    let bytes = socket.peek(&mut first).await?;
    match (bytes, first[0]) {
        (0, _) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        (_, TLS_HANDSHAKE) => Ok(Greeted::Tls(Box::new(tls.accept(socket).await?))),
        _ => Ok(Greeted::Plain(socket)),
    }
}

/// The connections from the network, by address.
#[derive(Default)]
pub(crate) struct Connections(Mutex<HashMap<IpAddr, usize>>);

impl Connections {
    /// A place for one more, unless there are too many.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Connected> {
        let address = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let own = counts.get(&address).copied().unwrap_or(0);
        if all >= CONNECTIONS_MAX || own >= CONNECTIONS_OF_ONE_MAX {
            return None;
        }
        counts.insert(address, own + 1);
        Some(Connected {
            connections: self.clone(),
            address,
        })
    }
}

/// One connection's place.
struct Connected {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut counts = (self.connections.0.lock()).unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.address)),
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

async fn serve_connection(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    origin: Origin,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(origin);
        router.call(request)
    });
    // How a client's connection ended is the client's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

/// For browsers to which nobody said that this is HTTPS: nothing but where that is.
fn elsewhere() -> Router {
    Router::new()
        .fallback(to_https)
        .layer(middleware::from_fn(bounded))
}

async fn to_https(request: Request) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    // Nothing that could be more than a name and a port.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(plain));
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let place = host.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    match (place, request.method()) {
        (Some(place), &Method::GET | &Method::HEAD) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
        }
        // What was sent was sent in the clear already: it is not to be repeated by itself.
        _ => {
            let hint = "begin the address with https://";
            error(StatusCode::BAD_REQUEST, "this is HTTPS", Some(hint))
        }
    }
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
    for (name, value) in page::HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page's files have names of their content, and say so themselves.
    let keep = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(keep);
    response
}

/// Takes the body of whoever is let in, before anything is done with it.
async fn read(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let most = match head.extensions.get::<Caller>() {
        Some(_) => REQUEST_MAX,
        None => REQUEST_OF_STRANGER_MAX,
    };
    match timeout(BODY_MAX, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let text = format!("the request has more than {most} bytes, or ended too early");
            error(StatusCode::PAYLOAD_TOO_LARGE, &text, None)
        }
        Err(_) => error(
            StatusCode::REQUEST_TIMEOUT,
            "the request came too slowly",
            None,
        ),
    }
}

pub(crate) fn error(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let body = ApiError {
        error: error.to_owned(),
        hint: hint.map(str::to_owned),
    };
    (status, Json(body)).into_response()
}

// --- the API ---------------------------------------------------------------------------------------

async fn status(State(api): State<Api>) -> Json<ClusterStatus> {
    Json(api.hub.status())
}

#[derive(Deserialize)]
struct OfModule {
    module: Option<String>,
}

/// For load balancers: whether this node serves (the module, or all of them). Nothing is told.
async fn primary(
    State(api): State<Api>,
    Query(OfModule { module }): Query<OfModule>,
) -> StatusCode {
    health(&api, module.as_deref(), |module| {
        ["PRIM", "ALONE"].contains(&module.state.as_str())
    })
}

/// For load balancers and monitoring: whether this node does what it should.
async fn ready(State(api): State<Api>, Query(OfModule { module }): Query<OfModule>) -> StatusCode {
    health(&api, module.as_deref(), |module| module.colour == "green")
}

fn health(api: &Api, name: Option<&str>, good: impl Fn(&ModuleStatus) -> bool) -> StatusCode {
    let own = api.hub.own();
    let modules = own.iter().flat_map(|node| &node.modules);
    let mut asked = modules.filter(|module| name.is_none_or(|name| name == module.name));
    let Some(first) = asked.next() else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    match good(first) && asked.all(good) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn history(State(api): State<Api>, Query(question): Query<Question>) -> Response {
    let Some(history) = api.past.history.clone() else {
        let text = "the history cannot be used; the log says why";
        return error(StatusCode::SERVICE_UNAVAILABLE, text, None);
    };
    match history.answer(question).await {
        Ok(entries) => Json(entries).into_response(),
        Err(failed) => {
            let text = crate::report(&failed);
            error(StatusCode::INTERNAL_SERVER_ERROR, &text, None)
        }
    }
}

#[derive(Deserialize)]
struct Line {
    node: u8,
    module: String,
    step: Step,
}

async fn series(State(api): State<Api>, Query(line): Query<Line>) -> Response {
    Json(api.past.series.points(line.node, &line.module, line.step)).into_response()
}

/// A command, and why.
#[derive(Deserialize)]
struct AskedFor {
    #[serde(flatten)]
    request: CommandRequest,
    #[serde(default)]
    why: Option<String>,
}

async fn command(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    request: Result<Json<AskedFor>, JsonRejection>,
) -> Response {
    let AskedFor { request, why } = match request {
        Ok(Json(asked)) => asked,
        Err(rejection) => {
            let hint = "{\"command\": \"start\"}, with node, module, force, wait and why as you like; \
                 commands: start, stop, restart, stopstart, swap, prim, second, verify, and with on: \
                 failover, checkers, boot";
            return error(rejection.status(), &rejection.body_text(), Some(hint));
        }
    };
    let what = words(&request);
    let may_force = caller.role() == Role::Admin;
    let record = move |console: &Console, result: String| {
        let asked = Asked { what, why, result };
        console.asked(&caller, origin, asked);
    };
    let wait = request.wait;
    if request.force && !may_force {
        let text = "forcing may lose data: it needs the role admin";
        record(&api.console, format!("refused: {text}"));
        return error(StatusCode::FORBIDDEN, text, None);
    }
    // Its services are commands that run as root.
    if request.command == CommandName::Configure && origin != Origin::Local {
        let text = "a configuration is changed by root on one of the nodes: tandem config apply";
        record(&api.console, format!("refused: {text}"));
        return error(StatusCode::FORBIDDEN, text, None);
    }
    let job = match api.commands.submit(request) {
        Ok(job) => job,
        Err(refused) => {
            record(&api.console, format!("refused: {refused}"));
            return error(StatusCode::BAD_REQUEST, &refused.to_string(), None);
        }
    };
    // Whether or not the client waits, the log says how it went.
    let (watcher, watched) = (api.clone(), job.clone());
    tokio::spawn(async move {
        let end = |job: &Job| job.state.ended();
        let job = wait_for(&watcher, watched, COMMAND_AUDIT_MAX, end).await;
        let state = match job.state {
            JobState::Running => "under way",
            JobState::Done => "done",
            JobState::Refused => "refused",
            JobState::Failed => "failed",
            JobState::Unreachable => "unreachable",
            JobState::Lost => "lost",
        };
        record(&watcher.console, format!("{state}: {}", job.message));
    });
    let job = match wait {
        true => wait_for(&api, job, COMMAND_WAIT_MAX, |job| job.state.ended()).await,
        false => job,
    };
    answer(job)
}

/// A command in the words of the command line.
fn words(request: &CommandRequest) -> String {
    let command = serde_json::to_value(request.command).expect("plain data");
    let mut words = command.as_str().unwrap_or_default().to_owned();
    let manners = [
        (request.force, " --force"),
        (request.whole, " --all"),
        (request.full_sync, " --full-sync"),
    ];
    for (said, word) in manners {
        words += if said { word } else { "" };
    }
    if let Some(on) = request.on {
        words += if on { " on" } else { " off" };
    }
    if let Some(module) = &request.module {
        words += &format!(" {module}");
    }
    if let Some(node) = request.node {
        words += &format!(" on node{node}");
    }
    words
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

/// A command that ends badly is no fault of the server that was asked; its state says what it is.
fn answer(job: Job) -> Response {
    let status = match job.state {
        JobState::Running => StatusCode::ACCEPTED,
        JobState::Done => StatusCode::OK,
        JobState::Refused | JobState::Failed => StatusCode::CONFLICT,
        JobState::Unreachable | JobState::Lost => StatusCode::BAD_GATEWAY,
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
    Extension(origin): Extension<Origin>,
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
        console: api.console,
        origin,
        headers,
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
    console: Arc<Console>,
    origin: Origin,
    headers: HeaderMap,
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
            // A session that has ended and a token that was removed see nothing more; a session that
            // looks is in use.
            if !self.console.still(self.origin, &self.headers) {
                return None;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::api::CommandName;

    #[test]
    fn however_a_command_ends_it_is_described_and_no_fault_of_the_server() {
        let description: serde_json::Value = serde_json::from_str(page::DESCRIPTION).expect("JSON");
        for state in [
            JobState::Running,
            JobState::Done,
            JobState::Refused,
            JobState::Failed,
            JobState::Unreachable,
            JobState::Lost,
        ] {
            let job = Job {
                job: "1".to_owned(),
                node: 1,
                module: "files".to_owned(),
                command: CommandName::Swap,
                begun: true,
                state,
                message: String::new(),
                progress: Vec::new(),
                took_ms: None,
            };
            let status = answer(job).status();
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{state:?}");
            assert_eq!(
                status.is_success(),
                [JobState::Running, JobState::Done].contains(&state)
            );
            for (path, method) in [("command", "post"), ("jobs/{job}", "get")] {
                let operation = &description["paths"][format!("/api/v1/{path}")][method];
                let described = &operation["responses"][status.as_str()];
                assert!(described.is_object(), "{state:?} of {path}: {status}");
            }
        }
    }
}
