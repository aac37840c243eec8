//! What every request goes through: who asks, whether the browser meant it, whether they may.
//!
//! Three kinds of callers: root over the local socket, a script with a token, a browser with a
//! session. Only browsers send what they have by themselves, so only they need proof that the page
//! itself asked: the command token in a header, which no other site can read or set, and an origin
//! that is this one.

use crate::accounts::{AccountError, Accounts, Holder, Name, Role};
use crate::attempts::Attempts;
use crate::audit::{Audit, Entry};
use crate::sessions::{Session, Sessions};
use crate::{Secret, page};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tandem_wire::api::ApiError;
use tokio::sync::{Notify, Semaphore};

/// The header in which the page shows the session's command token.
pub const COMMAND_TOKEN: &str = "x-tandem-command";
/// Password hashes at a time: each takes 19 MiB and a processor, which the service needs more.
const HASHES_MAX: usize = 1;
/// Who sets a computer up in a browser. The page knows it, and asks for the code only.
const SET_UP: &str = "setup";

/// Where a request comes from. The server puts it into each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The local socket, whose file mode is the proof: root.
    Local,
    /// The network.
    Address {
        /// From here.
        address: IpAddr,
        /// Over HTTPS.
        secure: bool,
    },
}

impl Origin {
    /// For the audit log.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Address { address, .. } => address.to_string(),
        }
    }

    pub(crate) fn secure(self) -> bool {
        matches!(self, Self::Address { secure: true, .. })
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// root on this node.
    Root,
    /// A script.
    Token(Name, Role),
    /// A browser.
    Browser(Session),
}

impl Caller {
    /// What it may do.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Root => Role::Admin,
            Self::Token(_, role) => *role,
            Self::Browser(session) => session.role,
        }
    }

    /// For the audit log.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::Token(name, _) => Holder::Token(name.clone()).words(),
            Self::Browser(session) => session.holder.words(),
        }
    }
}

/// What the console keeps.
pub struct Console {
    /// Users and tokens.
    pub accounts: Accounts,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Who failed to.
    pub attempts: Attempts,
    /// What was asked.
    pub audit: Audit,
    /// The token that pairing made, for scripts on the nodes themselves.
    cluster_token: blake3::Hash,
    pub(crate) hashes: Arc<Semaphore>,
    /// There if this computer is being set up: told when a code has opened a session.
    pub(crate) code_used: Option<Notify>,
}

/// Why the console cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The accounts.
    #[error(transparent)]
    Accounts(#[from] AccountError),
    /// The audit log.
    #[error("open the audit log")]
    Audit(#[source] std::io::Error),
    /// The code of a set-up.
    #[error("draw a code")]
    Code(#[source] std::io::Error),
}

/// Who may ask for something at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Anybody: the page's files, health, signing in.
    Nothing,
    /// This role.
    Role(Role),
}

/// Who may ask for this. Everything that is not listed needs a role, so that a new route is closed
/// until somebody opens it.
#[must_use]
pub fn need(method: &Method, path: &str) -> Need {
    let reads = method == Method::GET || method == Method::HEAD;
    match path {
        "/health/primary" | "/health/ready" if reads => Need::Nothing,
        "/api/v1/session" => Need::Nothing,
        _ if reads && page::find(path).is_some() => Need::Nothing,
        "/api/v1/password" => Need::Role(Role::Monitor),
        "/api/v1/doctor" if !reads => Need::Role(Role::Control),
        "/api/v1/command" => Need::Role(Role::Control),
        "/api/v1/audit" | "/api/v1/support" | "/api/v1/support/other" => Need::Role(Role::Admin),
        _ if path.starts_with("/api/v1/configuration") => Need::Role(Role::Admin),
        _ if path.starts_with("/api/v1/users") || path.starts_with("/api/v1/tokens") => {
            Need::Role(Role::Admin)
        }
        _ if reads => Need::Role(Role::Monitor),
        _ => Need::Role(Role::Admin),
    }
}

impl Console {
    /// Opens what lies below the state directory.
    ///
    /// # Errors
    /// [`ConsoleError`]
    pub fn open(state_dir: &Path, cluster_token: &str) -> Result<Arc<Self>, ConsoleError> {
        Ok(Arc::new(Self {
            accounts: Accounts::open(&state_dir.join("accounts.json"))?,
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            audit: Audit::open(&state_dir.join("audit.log")).map_err(ConsoleError::Audit)?,
            cluster_token: blake3::hash(cluster_token.trim().as_bytes()),
            hashes: Arc::new(Semaphore::new(HASHES_MAX)),
            code_used: None,
        }))
    }

    /// The console of a computer that is being set up, in a directory that is not kept: nobody can
    /// sign in but with the code of [`Self::draw_code`], once.
    ///
    /// # Errors
    /// [`ConsoleError`]
    pub fn for_set_up(directory: &Path) -> Result<Arc<Self>, ConsoleError> {
        let nobodys = crate::draw().map_err(ConsoleError::Code)?;
        let console = Self::open(directory, nobodys.reveal())?;
        let console = Arc::into_inner(console).expect("nobody else has it yet");
        let name = Name::parse(SET_UP).expect("a name");
        let nobodys = crate::draw().map_err(ConsoleError::Code)?;
        console.accounts.add_user(name, Role::Admin, &nobodys)?;
        Ok(Arc::new(Self {
            code_used: Some(Notify::new()),
            ..console
        }))
    }

    /// Draws a code that opens one session; the one before opens none any more.
    ///
    /// # Errors
    /// [`ConsoleError`]
    pub fn draw_code(&self) -> Result<Secret, ConsoleError> {
        let code = code().map_err(ConsoleError::Code)?;
        self.accounts.set_password(SET_UP, &code)?;
        Ok(code)
    }

    /// The code, if this is where one counts, was shown and opens nothing any more.
    pub(crate) fn use_code(&self) -> Result<(), ConsoleError> {
        let Some(used) = &self.code_used else {
            return Ok(());
        };
        let nobodys = crate::draw().map_err(ConsoleError::Code)?;
        self.accounts.set_password(SET_UP, &nobodys)?;
        used.notify_one();
        Ok(())
    }

    /// Waits until a code has opened a session.
    pub async fn code_used(&self) {
        match &self.code_used {
            Some(used) => used.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Takes over the other node's accounts, if they are newer, and ends the sessions that this
    /// concerns.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn adopt(self: Arc<Self>, theirs: Vec<u8>) -> Result<(), AccountError> {
        // A sign-in that is under way would open a session with what is changed here.
        let turn = self.hashes.clone().acquire_owned().await;
        let adopted = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            for holder in self.accounts.adopt(&theirs)? {
                self.sessions.close_all(&holder);
            }
            Ok(())
        });
        adopted.await.expect("it does not panic")
    }

    /// Whether this is a token, and whose.
    pub(crate) fn token(&self, shown: &Secret) -> Option<(Name, Role)> {
        // Hashes compare in constant time.
        if shown.fingerprint() == self.cluster_token {
            let name = Name::parse("cluster").expect("a valid name");
            return Some((name, Role::Admin));
        }
        self.accounts.token(shown)
    }

    /// The session of a browser.
    pub(crate) fn session(&self, origin: Origin, headers: &HeaderMap) -> Option<(Secret, Session)> {
        let cookie = cookie(origin, headers)?;
        let session = self.sessions.find(&cookie, Instant::now())?;
        Some((cookie, session))
    }

    /// Whether somebody may still look: for streams, which live longer than a request. A session
    /// ends, a token is removed.
    #[must_use]
    pub fn still(&self, origin: Origin, headers: &HeaderMap) -> bool {
        self.caller(origin, headers).is_some()
    }

    fn caller(&self, origin: Origin, headers: &HeaderMap) -> Option<Caller> {
        if origin == Origin::Local {
            return Some(Caller::Root);
        }
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let shown = shown.to_str().ok()?.strip_prefix("Bearer ")?;
            let (name, role) = self.token(&Secret::new(shown.trim()))?;
            return Some(Caller::Token(name, role));
        }
        let (_, session) = self.session(origin, headers)?;
        Some(Caller::Browser(session))
    }

    /// Writes down what somebody asked for.
    pub fn asked(&self, caller: &Caller, origin: Origin, asked: Asked) {
        self.audit.record(Entry {
            who: caller.words(),
            from: origin.words(),
            what: asked.what,
            why: asked.why.filter(|why| !why.trim().is_empty()),
            result: asked.result,
            ..Entry::default()
        });
    }

    /// The middleware.
    pub async fn guard(
        State(console): State<Arc<Self>>,
        mut request: Request,
        next: Next,
    ) -> Response {
        let Some(origin) = request.extensions().get::<Origin>().copied() else {
            // Whoever serves without saying where requests come from serves nobody.
            return refusal(
                StatusCode::FORBIDDEN,
                "nobody knows where this comes from",
                None,
            );
        };
        let caller = console.caller(origin, request.headers());
        if let Need::Role(role) = need(request.method(), request.uri().path()) {
            let Some(caller) = &caller else {
                return unauthorised();
            };
            if let Some(refused) = unmeant(caller, &request) {
                return refused;
            }
            if caller.role() < role {
                let asked = Asked {
                    what: format!("{} {}", request.method(), request.uri().path()),
                    why: None,
                    result: format!("refused: this needs the role {}", role.word()),
                };
                console.asked(caller, origin, asked);
                let text = format!(
                    "this needs the role {}, and {} has the role {}",
                    role.word(),
                    caller.words(),
                    caller.role().word()
                );
                return refusal(StatusCode::FORBIDDEN, &text, None);
            }
        }
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        next.run(request).await
    }
}

/// Twelve letters that nobody takes for another one: 60 bits, tried a few times in a minute.
fn code() -> io::Result<Secret> {
    const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let parts: Vec<String> = letters
        .chunks(4)
        .map(|part| part.iter().collect())
        .collect();
    Ok(Secret::new(parts.join("-")))
}

/// What somebody asked for, and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What.
    pub what: String,
    /// Why, in the words of who asked.
    pub why: Option<String>,
    /// How it went.
    pub result: String,
}

/// Refuses what a browser sent without its page having asked.
fn unmeant(caller: &Caller, request: &Request) -> Option<Response> {
    let Caller::Browser(session) = caller else {
        return None;
    };
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    let headers = request.headers();
    let shown = headers.get(COMMAND_TOKEN).map(HeaderValue::as_bytes);
    let expected = blake3::hash(session.command_token.as_bytes());
    let meant = shown.is_some_and(|shown| blake3::hash(shown) == expected);
    (!meant || !same_origin(headers)).then(|| {
        refusal(
            StatusCode::FORBIDDEN,
            "the page itself did not ask for this",
            Some("reload the page"),
        )
    })
}

/// Whether a browser says that a page of this very server asks, as far as it says anything.
pub(crate) fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = text("origin") else {
        return true;
    };
    let host = text("host").unwrap_or("?");
    let named = origin.split_once("://").map(|(_, rest)| rest);
    named == Some(host)
}

/// The cookie's name. The prefix makes browsers refuse one that was not set with `Secure`.
pub(crate) const fn cookie_name(secure: bool) -> &'static str {
    match secure {
        true => "__Host-tandem",
        false => "tandem",
    }
}

/// Over HTTPS only the one that HTTPS has set: another server on this host could plant the other.
fn cookie(origin: Origin, headers: &HeaderMap) -> Option<Secret> {
    let ours = cookie_name(origin.secure());
    let all = headers.get_all(header::COOKIE).iter();
    let pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == ours);
    found.next().map(|(_, value)| Secret::new(value))
}

/// An answer that is an error.
pub(crate) fn refusal(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let body = ApiError {
        error: error.to_owned(),
        hint: hint.map(str::to_owned),
    };
    (status, Json(body)).into_response()
}

fn unauthorised() -> Response {
    let hint = "sign in, or send `Authorization: Bearer TOKEN`; \
         the cluster's token is in /var/lib/tandem/token";
    let mut response = refusal(
        StatusCode::UNAUTHORIZED,
        "nobody is signed in, or the token is wrong",
        Some(hint),
    );
    // Not `Basic`: browsers must not ask with a window of their own.
    let bearer = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, bearer);
    response
}
