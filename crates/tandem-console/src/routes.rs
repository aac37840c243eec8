//! Signing in and out, users, tokens, the audit log.

use crate::accounts::{AccountError, Holder, Name, Role, whole_seconds};
use crate::admission::{
    Asked, Caller, Console, ConsoleError, Origin, cookie_name, refusal, same_origin,
};
use crate::{Secret, page};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, patch, post};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long an attempt waits for its turn at the hash. Beyond that the node is being attacked.
const TURN_MAX: Duration = Duration::from_secs(10);

type Shared = State<Arc<Console>>;

/// The console's own routes, and the page.
pub fn routes(console: Arc<Console>) -> Router {
    Router::new()
        .route(
            "/api/v1/session",
            get(session).post(sign_in).delete(sign_out),
        )
        .route("/api/v1/password", post(change_password))
        .route("/api/v1/users", get(users).post(add_user))
        .route(
            "/api/v1/users/{name}",
            patch(change_user).delete(remove_user),
        )
        .route("/api/v1/tokens", get(tokens).post(add_token))
        .route("/api/v1/tokens/{name}", axum::routing::delete(remove_token))
        .route("/api/v1/audit", get(audit))
        .route("/api/v1/openapi.json", get(page::description))
        .route("/", get(asset))
        .route("/assets/{file}", get(asset))
        .with_state(console)
}

async fn asset(uri: Uri) -> Response {
    match page::find(uri.path()) {
        Some(file) => file.answer(),
        None => refusal(StatusCode::NOT_FOUND, "there is no such file", None),
    }
}

// --- signing in and out ------------------------------------------------------------------------------

/// `GET /api/v1/session`, and the answer to signing in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedIn {
    /// Who.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// For the header `x-tandem-command`; empty for callers without a session.
    pub command_token: String,
    /// When the session ends if nothing is asked, in milliseconds from now.
    pub ends_in_ms: u64,
    /// Whether this connection is encrypted.
    pub secure: bool,
    /// Whether this computer is being set up; a node of a cluster is not.
    pub setting_up: bool,
}

/// What the page shows to who is not signed in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedOut {
    /// What is wrong.
    pub error: String,
    /// Whether this connection is encrypted.
    pub secure: bool,
    /// Whether anybody can sign in with a password.
    pub users_exist: bool,
    /// Whether this computer is being set up: a code is asked for.
    pub setting_up: bool,
}

/// `POST /api/v1/session`: name and password, or a token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Credentials {
    Password { name: String, password: Secret },
    Token { token: Secret },
}

async fn session(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    caller: Option<Extension<Caller>>,
) -> Response {
    match caller {
        Some(Extension(caller)) => Json(signed_in(&console, &caller, origin)).into_response(),
        None => {
            let body = SignedOut {
                error: "nobody is signed in".to_owned(),
                secure: origin.secure(),
                users_exist: !console.accounts.users().is_empty(),
                setting_up: console.code_used.is_some(),
            };
            (StatusCode::UNAUTHORIZED, Json(body)).into_response()
        }
    }
}

fn signed_in(console: &Console, caller: &Caller, origin: Origin) -> SignedIn {
    let (command_token, ends_in) = match caller {
        Caller::Browser(session) => {
            let left = session.ends().saturating_duration_since(Instant::now());
            (session.command_token.clone(), left)
        }
        Caller::Root | Caller::Token(..) => (String::new(), Duration::MAX),
    };
    SignedIn {
        name: caller.words(),
        role: caller.role(),
        command_token,
        ends_in_ms: u64::try_from(ends_in.as_millis()).unwrap_or(u64::MAX >> 11),
        secure: origin.secure(),
        setting_up: console.code_used.is_some(),
    }
}

async fn sign_in(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Response {
    let Origin::Address { address, secure } = origin else {
        return refusal(StatusCode::BAD_REQUEST, "root needs no session", None);
    };
    if !same_origin(&headers) {
        return refusal(StatusCode::FORBIDDEN, "another site asked for this", None);
    }
    let credentials = match credentials {
        Ok(Json(credentials)) => credentials,
        // Not the rejection's own text: it may quote the password.
        Err(rejection) => {
            let hint = "{\"name\": …, \"password\": …} or {\"token\": …}";
            return refusal(rejection.status(), "this cannot be read", Some(hint));
        }
    };
    let tried = match &credentials {
        Credentials::Password { name, .. } => name.clone(),
        Credentials::Token { .. } => String::new(),
    };
    let turn = match console.turn().await {
        Ok(turn) => turn,
        Err(refused) => return refused,
    };
    let examiner = console.clone();
    let examine = move || match credentials {
        Credentials::Token { token } => examiner.examine(address, "", || {
            let (name, role) = examiner.token(&token)?;
            Some((Holder::Token(name), role))
        }),
        Credentials::Password { name, password } => examiner.examine(address, &name, || {
            let (name, role) = examiner.accounts.verify(&name, &password)?;
            Some((Holder::User(name), role))
        }),
    };
    // The turn is held until the session is open: a change of the account in between would not end
    // it.
    let keeper = console.clone();
    let examined = tokio::task::spawn_blocking(move || {
        let found = examine();
        if let Ok(Some(_)) = found {
            // Before the next one has its turn.
            keeper.use_code()?;
        }
        Ok::<_, ConsoleError>((found, turn))
    });
    let Ok(Ok((found, _turn))) = examined.await else {
        return broken();
    };
    let (holder, role) = match found {
        Ok(Some(found)) => found,
        Ok(None) => {
            let text = "the name or the password is wrong";
            return refusal(StatusCode::UNAUTHORIZED, text, None);
        }
        Err(wait) => return too_often(wait),
    };
    console.attempts.succeeded(address, &tried, Instant::now());
    // Whatever this browser had before is not carried on.
    if let Some((cookie, _)) = console.session(origin, &headers) {
        console.sessions.close(&cookie);
    }
    let Ok(opened) = console
        .sessions
        .open(holder, role, Some(address), Instant::now())
    else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "no random numbers", None);
    };
    let caller = Caller::Browser(opened.session);
    let asked = Asked {
        what: "sign in".to_owned(),
        why: None,
        result: "done".to_owned(),
    };
    console.asked(&caller, origin, asked);
    let mut response = Json(signed_in(&console, &caller, origin)).into_response();
    set_cookie(&mut response, secure, opened.cookie.reveal());
    response
}

impl Console {
    /// A turn at the hash, held by whoever computes. Who hangs up before it comes gives it away; who
    /// hangs up after that keeps it until the hash is there, which nothing can stop: else any number
    /// of them would be computed at a time.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Response> {
        match timeout(TURN_MAX, self.hashes.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(too_often(TURN_MAX)),
        }
    }

    /// Looks whether somebody may try, and what comes of it, in one go: those who wait for their turn
    /// at the same time share one count, and who does not wait for the answer is counted.
    fn examine<T>(
        &self,
        address: IpAddr,
        name: &str,
        verify: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Duration> {
        let wait = self.attempts.wait(address, name, Instant::now());
        if !wait.is_zero() {
            return Err(wait);
        }
        let found = verify();
        if found.is_none() {
            self.attempts.failed(address, name, Instant::now());
            tracing::warn!(from = %address, "a password or a token was wrong");
        }
        Ok(found)
    }
}

fn broken() -> Response {
    let text = "this was not carried out";
    refusal(StatusCode::INTERNAL_SERVER_ERROR, text, None)
}

fn too_often(wait: Duration) -> Response {
    let text = AccountError::TooOften(wait).to_string();
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &text, None);
    let seconds = HeaderValue::from(whole_seconds(wait));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// An empty value removes it.
fn set_cookie(response: &mut Response, secure: bool, value: &str) {
    let name = cookie_name(secure);
    let secure = if secure { "; Secure" } else { "" };
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    let cookie = HeaderValue::from_str(&cookie).expect("hexadecimal digits");
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

#[derive(Deserialize)]
struct Everywhere {
    #[serde(default)]
    everywhere: bool,
}

async fn sign_out(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Query(Everywhere { everywhere }): Query<Everywhere>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    // Another site may not even sign somebody out.
    if !same_origin(&headers) {
        let text = "another site asked for this";
        return Err(refusal(StatusCode::FORBIDDEN, text, None));
    }
    if let Some((cookie, session)) = console.session(origin, &headers) {
        let holder = session.holder.clone();
        let caller = Caller::Browser(session);
        console.sessions.close(&cookie);
        let what = "sign out".to_owned();
        match everywhere {
            // On both nodes: the other one hears of it as of a change of the account.
            true => {
                let what = what + " everywhere";
                console.sessions.close_all(&holder);
                let end = move |console: &Console| console.accounts.end_sessions(&holder);
                carry_out(console, (caller, origin), what, end).await?;
            }
            false => {
                let result = "done".to_owned();
                let asked = Asked {
                    what,
                    why: None,
                    result,
                };
                console.asked(&caller, origin, asked);
            }
        }
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, origin.secure(), "");
    Ok(response)
}

// --- users and tokens ----------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: Name,
    role: Role,
    password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    role: Option<Role>,
    password: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    old: Secret,
    new: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: Name,
    role: Role,
}

async fn users(State(console): Shared) -> Response {
    Json(console.accounts.users()).into_response()
}

async fn tokens(State(console): Shared) -> Response {
    Json(console.accounts.tokens()).into_response()
}

async fn audit(State(console): Shared) -> Response {
    Json(console.audit.recent()).into_response()
}

/// A change of an account: computed where it may take its time, written down, answered. Once it has
/// its turn it is carried out and written down, whether or not somebody waits for the answer.
async fn carry_out<T: Send + 'static>(
    console: Arc<Console>,
    (caller, origin): (Caller, Origin),
    what: String,
    change: impl FnOnce(&Console) -> Result<T, AccountError> + Send + 'static,
) -> Result<T, Response> {
    let turn = console.turn().await?;
    let carried_out = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let outcome = change(&console);
        let result = match &outcome {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        let why = None;
        console.asked(&caller, origin, Asked { what, why, result });
        outcome
    });
    let outcome = carried_out.await.map_err(|_| broken())?;
    outcome.map_err(|error| match error {
        AccountError::Unknown(_) => refusal(StatusCode::NOT_FOUND, &error.to_string(), None),
        AccountError::Exists(_) | AccountError::Full | AccountError::LastAdmin => {
            refusal(StatusCode::CONFLICT, &error.to_string(), None)
        }
        AccountError::Password => refusal(StatusCode::BAD_REQUEST, &error.to_string(), None),
        AccountError::Present => refusal(StatusCode::FORBIDDEN, &error.to_string(), None),
        AccountError::TooOften(wait) => too_often(wait),
        AccountError::File { .. } | AccountError::Damaged { .. } => {
            tracing::error!("{error}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), None)
        }
    })
}

/// What was sent, or the status of its refusal. Not the rejection's own text: it may quote a password.
fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, StatusCode> {
    body.map(|Json(body)| body)
        .map_err(|rejection| rejection.status())
}

fn unreadable(status: StatusCode, hint: &str) -> Response {
    refusal(status, "this cannot be read", Some(hint))
}

async fn add_user(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<NewUser>, JsonRejection>,
) -> Result<StatusCode, Response> {
    let hint = "{\"name\": …, \"role\": \"admin\", \"control\" or \"monitor\", \"password\": …}";
    let NewUser {
        name,
        role,
        password,
    } = read(body).map_err(|status| unreadable(status, hint))?;
    let what = format!("add user {} as {}", name.as_str(), role.word());
    let add = move |console: &Console| console.accounts.add_user(name, role, &password);
    carry_out(console, (caller, origin), what, add).await?;
    Ok(StatusCode::CREATED)
}

async fn change_user(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<StatusCode, Response> {
    let Change { role, password } =
        read(body).map_err(|status| unreadable(status, "{\"role\": …, \"password\": …}"))?;
    if role.is_none() && password.is_none() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(refusal(status, "there is nothing to change", None));
    }
    let words = [role.map(|_| "role"), password.as_ref().map(|_| "password")];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    let what = format!("change {} of user {name}", words.join(" and "));
    let change = move |console: &Console| {
        match (role, password) {
            (Some(role), password) => console.accounts.set_role(&name, role, password.as_ref())?,
            (None, Some(password)) => console.accounts.set_password(&name, &password)?,
            (None, None) => {}
        }
        // What was opened with the old password, or in the old role, ends.
        close_sessions(console, &name);
        Ok(())
    };
    carry_out(console, (caller, origin), what, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_user(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Response> {
    let what = format!("remove user {name}");
    let remove = move |console: &Console| {
        console.accounts.remove_user(&name)?;
        close_sessions(console, &name);
        Ok(())
    };
    carry_out(console, (caller, origin), what, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn close_sessions(console: &Console, name: &str) {
    if let Some(name) = Name::parse(name) {
        console.sessions.close_all(&Holder::User(name));
    }
}

async fn change_password(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<NewPassword>, JsonRejection>,
) -> Result<StatusCode, Response> {
    let NewPassword { old, new } =
        read(body).map_err(|status| unreadable(status, "{\"old\": …, \"new\": …}"))?;
    let (Caller::Browser(session), Origin::Address { address, .. }) = (&caller, origin) else {
        return Err(no_password());
    };
    let Holder::User(name) = session.holder.clone() else {
        return Err(no_password());
    };
    let change = move |console: &Console| {
        let user = name.as_str();
        // A session left open must not be a way to try passwords.
        let verify = || console.accounts.verify(user, &old);
        match console.examine(address, user, verify) {
            Err(wait) => return Err(AccountError::TooOften(wait)),
            Ok(None) => return Err(AccountError::Present),
            Ok(Some(_)) => console.accounts.set_password(user, &new)?,
        }
        console.sessions.close_all(&Holder::User(name));
        Ok(())
    };
    let what = "change the own password".to_owned();
    carry_out(console, (caller, origin), what, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_password() -> Response {
    let text = "only a signed-in user has a password";
    refusal(StatusCode::BAD_REQUEST, text, None)
}

async fn add_token(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Result<Response, Response> {
    let NewToken { name, role } =
        read(body).map_err(|status| unreadable(status, "{\"name\": …, \"role\": …}"))?;
    let what = format!("add token {} as {}", name.as_str(), role.word());
    let add = move |console: &Console| console.accounts.add_token(name, role);
    let token = carry_out(console, (caller, origin), what, add).await?;
    // The one moment in which it is shown.
    let body = serde_json::json!({ "token": token.reveal() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn remove_token(
    State(console): Shared,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Response> {
    let what = format!("remove token {name}");
    let remove = move |console: &Console| {
        console.accounts.remove_token(&name)?;
        // What was opened by showing it ends, too.
        if let Some(name) = Name::parse(&name) {
            console.sessions.close_all(&Holder::Token(name));
        }
        Ok(())
    };
    carry_out(console, (caller, origin), what, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use std::future::Future;
    use tower::ServiceExt;

    const ADDRESS: [u8; 4] = [192, 0, 2, 1];

    fn console(directory: &tempfile::TempDir) -> Arc<Console> {
        let console = Console::open(directory.path(), "token").expect("it opens");
        let (name, password) = (
            Name::parse("anna").expect("a name"),
            Secret::new("correct horse"),
        );
        let added = console.accounts.add_user(name, Role::Admin, &password);
        added.expect("a user");
        console
    }

    fn ask(console: &Arc<Console>, path: &str, body: &str) -> impl Future<Output = Response> {
        let origin = Origin::Address {
            address: IpAddr::from(ADDRESS),
            secure: false,
        };
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_owned()));
        let router = routes(console.clone());
        let router = router
            .layer(Extension(origin))
            .layer(Extension(Caller::Root));
        let answer = router.oneshot(request.expect("a request"));
        async { answer.await.expect("it always answers") }
    }

    /// Asks, and hangs up as soon as it is under way.
    async fn hang_up(console: &Arc<Console>, path: &str, body: &str) {
        let answer = timeout(Duration::ZERO, ask(console, path, body)).await;
        assert!(answer.is_err(), "it takes longer");
    }

    #[tokio::test]
    async fn who_hangs_up_is_counted_and_makes_room_only_when_the_hash_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let console = console(&directory);
        let guess = r#"{"name":"anna","password":"wrong horse"}"#;
        for _ in 0..4 {
            hang_up(&console, "/api/v1/session", guess).await;
            assert_eq!(
                console.hashes.available_permits(),
                0,
                "it is being computed"
            );
            let turn = console.hashes.acquire().await;
            drop(turn.expect("never closed"));
        }
        let answer = ask(&console, "/api/v1/session", guess).await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    }

    #[tokio::test]
    async fn what_somebody_began_and_did_not_wait_for_is_written_down() {
        let directory = tempfile::tempdir().expect("a directory");
        let console = console(&directory);
        let cleo = r#"{"name":"cleo","role":"admin","password":"correct horse"}"#;
        hang_up(&console, "/api/v1/users", cleo).await;
        drop(console.hashes.acquire().await.expect("never closed"));
        assert_eq!(console.accounts.users().len(), 2);
        let log = console.audit.recent();
        assert_eq!(log.last().expect("an entry").what, "add user cleo as admin");
    }
}
