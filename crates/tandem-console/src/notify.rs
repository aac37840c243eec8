//! Tells people: a command or a webhook for each change of role and each alarm, so that somebody is
//! woken. Each way has its own queue, its own bounded attempts and its own task, so that one that
//! hangs holds up neither the other one nor anything else: whoever has news never waits.
//!
//! What was configured may contain a secret (a token in an address, a password in a command line).
//! It is a [`Secret`]; of an address the log names the host only, and what a command writes is not
//! read at all.

use crate::Secret;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Notices that may wait for one way. A pair that changes more often while nobody can be reached
/// has been noticed by other means.
pub const NOTICES_MAX: usize = 64;
/// How often one notice is tried again. With the pauses, and if every attempt takes as long as it
/// may, that is two minutes: longer than switches and routers need after a failover.
pub const RETRIES_MAX: u32 = 5;
/// The pause before the first retry; each next one is twice as long.
pub const PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// The longest address.
const URL_BYTES_MAX: usize = 2048;
/// Where distributions keep the authorities that they trust: Debian and SUSE, Red Hat.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Runs its arguments without the share in the daemon's protection from the out-of-memory killer
/// that they would inherit: whatever they need must not cost the application its memory.
pub const UNPROTECTED: &str = "echo 0 2>/dev/null >/proc/$$/oom_score_adj; exec \"$@\"";

/// How people are told, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ways {
    /// A shell command line.
    pub command: Option<Secret>,
    /// An address that takes a `POST`.
    pub webhook: Option<Webhook>,
}

/// An address that is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Its path and query may be what proves who calls.
    url: Secret,
    host: String,
    port: u16,
    encrypted: bool,
}

/// Why an address cannot be used. None of these names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookError {
    /// It is no address.
    #[error("this is no address of the form https://host/path")]
    Form,
    /// Neither of the two that are spoken.
    #[error("only http:// and https:// can be used")]
    Scheme,
    /// `user:password@`
    #[error("a user in front of the host is not sent")]
    User,
    /// It is too long.
    #[error("more than {URL_BYTES_MAX} bytes")]
    Long,
}

impl Webhook {
    /// Takes an address.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let text = text.trim();
        if text.len() > URL_BYTES_MAX {
            return Err(WebhookError::Long);
        }
        let uri: Uri = text.parse().map_err(|_| WebhookError::Form)?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(WebhookError::Scheme),
            None => return Err(WebhookError::Form),
        };
        let authority = uri.authority().ok_or(WebhookError::Form)?;
        if authority.as_str().contains('@') {
            return Err(WebhookError::User);
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(WebhookError::Form);
        }
        Ok(Self {
            url: Secret::new(text),
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if encrypted { 443 } else { 80 }),
            encrypted,
        })
    }

    /// The whole address, which is a secret.
    #[must_use]
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// Whom the log may name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// What happened, for people and their programs. Fields are added, never renamed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Notice {
    /// `role`: the state of the module on this node is another one. `alarm`: somebody must look.
    pub kind: &'static str,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The cluster's name.
    pub cluster: String,
    /// The module.
    pub module: String,
    /// 1 or 2: the node that tells, of itself.
    pub node: u8,
    /// Its name.
    pub node_name: String,
    /// The state before.
    pub was: String,
    /// The state now.
    pub state: String,
    /// `green`, `magenta`, `red`.
    pub colour: String,
    /// The data column.
    pub data: String,
    /// Why, as one sentence.
    pub reason: String,
}

impl Notice {
    /// For a person, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            module,
            node,
            node_name,
            was,
            state,
            reason,
            ..
        } = self;
        match self.kind {
            "role" => format!("{module} on node{node} ({node_name}): {was} -> {state}: {reason}"),
            _ => format!("{module} on node{node} ({node_name}), {state}: {reason}"),
        }
    }

    /// What a command finds in its environment.
    fn variables(&self) -> [(&'static str, String); 12] {
        [
            ("TANDEM_KIND", self.kind.to_owned()),
            ("TANDEM_AT_MS", self.at_ms.to_string()),
            ("TANDEM_CLUSTER", self.cluster.clone()),
            ("TANDEM_MODULE", self.module.clone()),
            ("TANDEM_NODE", self.node.to_string()),
            ("TANDEM_NODE_NAME", self.node_name.clone()),
            ("TANDEM_WAS", self.was.clone()),
            ("TANDEM_STATE", self.state.clone()),
            ("TANDEM_COLOUR", self.colour.clone()),
            ("TANDEM_DATA", self.data.clone()),
            ("TANDEM_REASON", self.reason.clone()),
            ("TANDEM_TEXT", self.sentence()),
        ]
        // An environment has no place for it, and a reason may quote anything.
        .map(|(name, value)| (name, value.replace('\0', " ")))
    }

    /// The body of a `POST`: the fields, and `text` with the sentence, which most chat services show.
    fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            text: String,
            #[serde(flatten)]
            notice: &'a Notice,
        }
        let body = Body {
            text: self.sentence(),
            notice: self,
        };
        serde_json::to_vec(&body).expect("plain data")
    }
}

/// Why an attempt came to nothing. No variant holds what was configured.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// It took too long.
    #[error("it took longer than {} s", ATTEMPT_MAX.as_secs())]
    Slow,
    /// The command could not be run.
    #[error("run the command")]
    Run(#[source] io::Error),
    /// The command failed.
    #[error("the command ended with {0}")]
    Ended(ExitStatus),
    /// Nobody is there.
    #[error("connect to {host}")]
    Connect {
        /// To whom.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No authorities are installed.
    #[error("no certificate authorities are installed (package ca-certificates)")]
    Authorities,
    /// The encryption cannot be set up.
    #[error("set up the encryption")]
    Encryption(#[source] rustls::Error),
    /// The host's name cannot be in a certificate.
    #[error("this host's name cannot be in a certificate")]
    Name(#[source] InvalidDnsNameError),
    /// It did not speak HTTP to the end.
    #[error("speak HTTP with {host}")]
    Speak {
        /// With whom.
        host: String,
        /// Why not.
        #[source]
        source: hyper::Error,
    },
    /// The request cannot be made from the address.
    #[error("the address cannot be asked for")]
    Request,
    /// It answered with something else than success.
    #[error("{host} answered {status}")]
    Answered {
        /// Who.
        host: String,
        /// What.
        status: u16,
    },
}

/// One way, and how patiently it is tried.
#[derive(Clone, Debug)]
enum Way {
    Command(Secret),
    Webhook(Webhook),
}

impl Way {
    fn name(&self) -> String {
        match self {
            Self::Command(_) => "the command".to_owned(),
            Self::Webhook(webhook) => format!("the webhook at {}", webhook.host),
        }
    }

    async fn attempt(&self, notice: &Notice) -> Result<(), Untold> {
        match self {
            Self::Command(line) => run(line, notice, ATTEMPT_MAX).await,
            Self::Webhook(webhook) => timeout(ATTEMPT_MAX, post(webhook, notice))
                .await
                .unwrap_or(Err(Untold::Slow)),
        }
    }

    /// Tries until it is told, at most once and [`RETRIES_MAX`] times. Gives back the attempts.
    async fn tell(&self, notice: &Notice, mut pause: Duration) -> Result<u32, Untold> {
        let mut retries = 0;
        loop {
            match self.attempt(notice).await {
                Ok(()) => return Ok(retries + 1),
                Err(untold) if retries == RETRIES_MAX => return Err(untold),
                Err(_) => {}
            }
            sleep(pause).await;
            pause *= 2;
            retries += 1;
        }
    }
}

/// Where news go in. Clones lead to the same ways.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    queues: Vec<(String, mpsc::Sender<Notice>)>,
}

impl Notifier {
    /// Begins, on the present runtime. Nothing is configured: nothing is done.
    #[must_use]
    pub fn start(ways: &Ways) -> Self {
        let command = ways.command.clone().map(Way::Command);
        let webhook = ways.webhook.clone().map(Way::Webhook);
        let ways = command.into_iter().chain(webhook);
        let queues = ways.map(|way| {
            let (sender, notices) = mpsc::channel(NOTICES_MAX);
            let name = way.name();
            tokio::spawn(deliver(way, notices));
            (name, sender)
        });
        Self {
            queues: queues.collect(),
        }
    }

    /// Takes a notice, at once. One that finds its queue full is not told, which the log says.
    pub fn tell(&self, notice: &Notice) {
        for (name, queue) in &self.queues {
            if queue.try_send(notice.clone()).is_err() {
                let text = notice.sentence();
                tracing::error!("nobody is told by {name}, which is too far behind: {text}");
            }
        }
    }
}

async fn deliver(way: Way, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        if let Err(untold) = way.tell(&notice, PAUSE).await {
            let (name, text) = (way.name(), notice.sentence());
            let attempts = RETRIES_MAX + 1;
            let why = chain(&untold);
            tracing::error!("nobody was told by {name} ({attempts} attempts): {why}: {text}");
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Kills what is left of a command's group, however this ends.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(line: &Secret, notice: &Notice, limit: Duration) -> Result<(), Untold> {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(UNPROTECTED)
        .arg("tandem")
        .args(["/bin/sh", "-c"])
        .arg(line.reveal())
        .envs(notice.variables())
        // It must not report its own readiness as the daemon's.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(Untold::Run)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let _group = Group(pid.and_then(Pid::from_raw));
    match timeout(limit, child.wait()).await {
        Err(_) => Err(Untold::Slow),
        Ok(Err(error)) => Err(Untold::Run(error)),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(Untold::Ended(status)),
    }
}

async fn post(webhook: &Webhook, notice: &Notice) -> Result<(), Untold> {
    let host = webhook.host.clone();
    let connect = |source| Untold::Connect {
        host: webhook.host.clone(),
        source,
    };
    let socket = TcpStream::connect((host.as_str(), webhook.port))
        .await
        .map_err(connect)?;
    if !webhook.encrypted {
        return speak(webhook, notice, socket).await;
    }
    let name = ServerName::try_from(host).map_err(Untold::Name)?;
    let config = encryption(&AUTHORITIES.map(Path::new))?;
    let connector = TlsConnector::from(Arc::new(config));
    let socket = connector.connect(name, socket).await.map_err(connect)?;
    speak(webhook, notice, socket).await
}

/// Read anew each time: authorities change while a daemon runs for years.
fn encryption(places: &[&Path]) -> Result<ClientConfig, Untold> {
    let mut authorities = RootCertStore::empty();
    let found = places.iter().find(|path| path.exists());
    let certificates = found.and_then(|path| CertificateDer::pem_file_iter(path).ok());
    authorities.add_parsable_certificates(certificates.into_iter().flatten().flatten());
    if authorities.is_empty() {
        return Err(Untold::Authorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Untold::Encryption)?;
    Ok(config
        .with_root_certificates(authorities)
        .with_no_client_auth())
}

async fn speak(
    webhook: &Webhook,
    notice: &Notice,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), Untold> {
    let speak = |source| Untold::Speak {
        host: webhook.host.clone(),
        source,
    };
    let uri: Uri = (webhook.url.reveal().parse()).map_err(|_| Untold::Request)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let named = uri.authority().ok_or(Untold::Request)?.as_str();
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, named)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "tandem")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(notice.body())))
        .map_err(|_| Untold::Request)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(speak)?;
    let answer = async move {
        let answer = sender.send_request(request).await;
        answer.map(|answer| answer.status())
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let status = tokio::select! {
        biased;
        status = &mut answer => status,
        // The answer says what became of it.
        _ = &mut connection => answer.await,
    };
    let status = status.map_err(speak)?;
    match status.is_success() {
        true => Ok(()),
        false => Err(Untold::Answered {
            host: webhook.host.clone(),
            status: status.as_u16(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn notice() -> Notice {
        Notice {
            kind: "role",
            at_ms: 7,
            cluster: "cluster1".into(),
            module: "videeos".into(),
            node: 2,
            node_name: "pollux".into(),
            was: "SECOND".into(),
            state: "ALONE".into(),
            colour: "green".into(),
            data: "uptodate".into(),
            reason: "the other node is silent".into(),
        }
    }

    /// Answers each connection with the next of these, and gives back what it was told.
    async fn server(answers: Vec<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            let mut told = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.ends_with(b"}") {
                    let length = socket.read(&mut buffer).await.expect("a request");
                    assert_ne!(length, 0, "the request ends too early");
                    request.extend_from_slice(&buffer[..length]);
                }
                let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(head.as_bytes()).await.expect("an answer");
                told.push(String::from_utf8(request).expect("text"));
            }
            told
        });
        (port, task)
    }

    fn webhook(port: u16) -> Way {
        let url = format!("http://127.0.0.1:{port}/hook?token=CANARY");
        Way::Webhook(Webhook::parse(&url).expect("an address"))
    }

    #[tokio::test]
    async fn a_webhook_is_tried_again_until_it_takes_the_notice() {
        let (port, told) = server(vec!["503 Busy", "500 Broken", "204 Thanks"]).await;
        let way = webhook(port);
        let attempts = way.tell(&notice(), Duration::ZERO).await.expect("told");
        assert_eq!(attempts, 3);
        let told = told.await.expect("no panic");
        let (head, body) = told[2].split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("POST /hook?token=CANARY HTTP/1.1"),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["was"], "SECOND");
        assert_eq!(body["state"], "ALONE");
        assert_eq!(
            body["text"],
            "videeos on node2 (pollux): SECOND -> ALONE: the other node is silent"
        );
    }

    #[tokio::test]
    async fn a_webhook_that_never_takes_it_is_given_up_and_its_secret_stays_secret() {
        let attempts = RETRIES_MAX as usize + 1;
        let (port, told) = server(vec!["302 Elsewhere"; attempts]).await;
        let way = webhook(port);
        let untold = way.tell(&notice(), Duration::ZERO).await;
        let untold = untold.expect_err("never told");
        assert_eq!(told.await.expect("no panic").len(), attempts);
        let said = format!("{way:?} {untold:?} {} {}", way.name(), chain(&untold));
        assert!(said.contains("127.0.0.1 answered 302"), "{said}");
        assert!(
            !said.contains("CANARY") && !said.contains("hook?"),
            "{said}"
        );
        // Nobody listens any more.
        let untold = way.attempt(&notice()).await.expect_err("nobody is there");
        assert!(!chain(&untold).contains("CANARY"));
    }

    #[tokio::test]
    async fn a_command_finds_what_happened_in_its_environment() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("told");
        let line = format!(
            "printf '%s' \"$TANDEM_MODULE $TANDEM_NODE $TANDEM_WAS $TANDEM_STATE $TANDEM_TEXT\" > {}",
            file.display()
        );
        let way = Way::Command(Secret::new(line));
        way.tell(&notice(), Duration::ZERO).await.expect("told");
        let told = std::fs::read_to_string(&file).expect("a file");
        assert!(
            told.starts_with("videeos 2 SECOND ALONE videeos on node2"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_command_has_no_share_in_the_daemons_protection() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("score");
        let line = format!("cat /proc/$$/oom_score_adj > {}", file.display());
        let way = Way::Command(Secret::new(line));
        way.tell(&notice(), Duration::ZERO).await.expect("told");
        let score = std::fs::read_to_string(&file).expect("a file");
        // Where it may not be set, it is what it was: never a better one.
        let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a score");
        assert!(["0", own.trim()].contains(&score.trim()), "{score}");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_tried_the_named_number_of_times() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("tries");
        let line = format!("echo CANARY >&2; echo x >> {}; exit 3", file.display());
        let way = Way::Command(Secret::new(line));
        let untold = way.tell(&notice(), Duration::ZERO).await;
        let said = chain(&untold.expect_err("it fails"));
        assert!(
            said.contains("exit status: 3") && !said.contains("CANARY"),
            "{said}"
        );
        let tries = std::fs::read_to_string(&file).expect("a file");
        assert_eq!(tries.lines().count(), RETRIES_MAX as usize + 1);
    }

    #[tokio::test]
    async fn a_command_that_hangs_ends_with_everything_it_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let line = format!("sleep 600 & echo $! > {}; wait", file.display());
        let limit = Duration::from_millis(300);
        let untold = run(&Secret::new(line), &notice(), limit).await;
        assert!(matches!(untold, Err(Untold::Slow)));
        let pid = std::fs::read_to_string(&file).expect("a file");
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while state().is_ok_and(|state| !state.contains(") Z ")) {
            assert!(std::time::Instant::now() < end, "it lives on");
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn whoever_has_news_never_waits() {
        let hangs = Ways {
            command: Some(Secret::new("sleep 600")),
            webhook: None,
        };
        let notifier = Notifier::start(&hangs);
        let begun = std::time::Instant::now();
        for _ in 0..NOTICES_MAX * 4 {
            notifier.tell(&notice());
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn addresses_are_taken_or_refused_without_being_named() {
        let good = Webhook::parse("https://[2001:db8::1]:8443/CANARY").expect("an address");
        assert_eq!((good.host(), good.port), ("2001:db8::1", 8443));
        assert!(!format!("{good:?}").contains("CANARY"));
        for (text, error) in [
            ("CANARY", WebhookError::Form),
            ("https:///CANARY", WebhookError::Form),
            ("ftp://host/CANARY", WebhookError::Scheme),
            ("https://CANARY:CANARY@host/", WebhookError::User),
        ] {
            assert_eq!(Webhook::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("CANARY"));
        }
    }
}
