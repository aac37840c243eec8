//! Asks the daemon of this node over its local socket.

use crate::daemon::local_socket;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_wire::api::{ApiError, ClusterStatus, CommandRequest, Job};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longer than the daemon itself lets a request take.
const ANSWER_MAX: Duration = Duration::from_secs(100);
/// The status of many modules has some ten thousand bytes, the other node's half of a support bundle
/// a few million at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon runs on this node ({})", path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The socket is for root.
    #[error("{} is for root only", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the daemon stopped answering")]
    Broken,
    /// The answer is an error.
    #[error("{}", error.error)]
    Refused {
        /// The status.
        status: u16,
        /// What the daemon says.
        error: ApiError,
    },
    /// The answer makes no sense.
    #[error("the daemon's answer cannot be read")]
    Malformed(#[source] serde_json::Error),
}

/// The way to the daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Connects anew for each request: a daemon that is restarted in between is not noticed.
    #[must_use]
    pub fn new(runtime_dir: &Path) -> Self {
        Self {
            socket: local_socket(runtime_dir),
        }
    }

    /// Both nodes.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&self) -> Result<ClusterStatus, ClientError> {
        let (status, body) = self.ask(Method::GET, "/api/v1/status", None).await?;
        parse(status, &body, status == StatusCode::OK)
    }

    /// Gives a command; the answer names the job.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn command(&self, request: &CommandRequest) -> Result<Job, ClientError> {
        let body = serde_json::to_vec(request).expect("plain data");
        let (status, body) = (self.ask(Method::POST, "/api/v1/command", Some(body))).await?;
        parse(status, &body, is_job(&body))
    }

    /// Waits, for a while, until more than `seen` lines of progress are there, or the end.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn job(&self, name: &str, seen: usize) -> Result<Job, ClientError> {
        let path = format!("/api/v1/jobs/{name}?seen={seen}");
        let (status, body) = self.ask(Method::GET, &path, None).await?;
        parse(status, &body, is_job(&body))
    }

    /// Asks about the users of the console; `name` is empty for all of them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn accounts(
        &self,
        method: &str,
        name: &str,
        body: Option<serde_json::Value>,
    ) -> Result<serde_json::Value, ClientError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let path = match name {
            "" => "/api/v1/users".to_owned(),
            name if name.bytes().all(plain) => format!("/api/v1/users/{name}"),
            _ => "/api/v1/users/-".to_owned(),
        };
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let body = body.map(|body| serde_json::to_vec(&body).expect("plain data"));
        let (status, body) = self.ask(method, &path, body).await?;
        if status.is_success() && body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        parse(status, &body, status.is_success())
    }

    /// The other node's half of a support bundle.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn other_half(&self) -> Result<Vec<u8>, ClientError> {
        let path = "/api/v1/support/other";
        let (status, body) = self.ask(Method::GET, path, None).await?;
        match status == StatusCode::OK {
            true => Ok(body.to_vec()),
            false => parse(status, &body, false),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let socket = self.connect().await?;
        let answered = timeout(ANSWER_MAX, exchange(socket, method, path, body));
        answered.await.ok().flatten().ok_or(ClientError::Broken)
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let path = self.socket.clone();
        UnixStream::connect(&path).await.map_err(|source| {
            match source.kind() == std::io::ErrorKind::PermissionDenied {
                true => ClientError::NotPermitted { path },
                false => ClientError::NoDaemon { path, source },
            }
        })
    }
}

async fn exchange(
    socket: UnixStream,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Option<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .ok()?;
    // Ends with the sender.
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(body.unwrap_or_default()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "tandem")
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a valid request");
    let answer = sender.send_request(request).await.ok()?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    Some((status, body.ok()?.to_bytes()))
}

/// A job that ended badly has an error's status, and is still a job.
fn is_job(body: &[u8]) -> bool {
    serde_json::from_slice::<Job>(body).is_ok()
}

fn parse<T: serde::de::DeserializeOwned>(
    status: StatusCode,
    body: &[u8],
    good: bool,
) -> Result<T, ClientError> {
    if good {
        return serde_json::from_slice(body).map_err(ClientError::Malformed);
    }
    let error = serde_json::from_slice(body).map_err(ClientError::Malformed)?;
    let status = status.as_u16();
    Err(ClientError::Refused { status, error })
}
