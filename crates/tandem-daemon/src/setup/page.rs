//! The set-up in a browser: the console's server with nobody in it but whoever has the code that root
//! reads on a terminal. It shows how far the work is, and hands on what is asked for; the work itself
//! is done by whoever holds the [`Wizard`], so a closed page changes nothing.
//!
//! Everything of it lies below the runtime directory, which is empty after a boot.

mod asked;
mod presets;
#[cfg(test)]
mod tests;

use super::choices::host_name;
use super::{Choices, SHIPPED, Transport};
use crate::config::HTTP_PORT;
use crate::daemon::Settings;
use crate::files::{self, FileError};
use crate::http::{self, Connections};
use crate::https::{self, HttpsError};
use crate::identity::Identity;
use crate::link::bind;
use asked::Page;
use axum::Router;
use axum::routing::get;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::ifaddrs::getifaddrs;
use presets::ShownPreset;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tandem_console::admission::ConsoleError;
use tandem_console::{Console, Secret};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use zeroize::Zeroizing;

/// How often a daemon looks whether the page has left the console's port.
const LOOK: Duration = Duration::from_millis(200);
/// Orders that were not taken yet; whoever does the work takes them at once.
const ORDERS_MAX: usize = 8;
/// Lines of one step; its own are fewer than twenty, and a synchronisation tells of states only.
const LINES_MAX: usize = 200;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The door.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// The certificate.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// Its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The port.
    #[error(
        "listen on port {HTTP_PORT} for browsers (a computer that is set up has its console there)"
    )]
    Listen(#[source] io::Error),
}

/// Which of the three steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Configure the secondary computer.
    Secondary,
    /// Configure the primary computer.
    Primary,
    /// I have already configured the primary computer.
    Complete,
}

/// What somebody in the browser asks for.
pub enum Order {
    /// Configure the secondary computer, with this password.
    Secondary(Transport, Zeroizing<String>),
    /// Configure the primary computer.
    Primary(Box<Choices>, Zeroizing<String>),
    /// The last step.
    Complete,
    /// What is under way is not wanted any more.
    Cancel,
    /// The page is done with.
    Close,
}

/// Something happened on the page.
pub enum Event {
    /// Somebody used the code.
    SignedIn,
    /// Somebody asked for something.
    Order(Order),
}

/// How a step ended.
pub enum End {
    /// It is done.
    Done,
    /// It is not, and why; and what became of this computer.
    Failed {
        /// Why.
        reason: String,
        /// Whether everything is as before.
        taken_back: bool,
    },
}

/// What the page shows.
#[derive(Clone, Serialize)]
struct View {
    /// Grows with each change.
    version: u64,
    computer: String,
    presets: Vec<ShownPreset>,
    /// 1 or 2 once this computer is a node.
    node: Option<u8>,
    /// Where the console will be.
    console: Option<Transport>,
    work: Option<Work>,
}

#[derive(Clone, Serialize)]
struct Work {
    step: Step,
    state: WorkState,
    lines: Vec<String>,
    reason: Option<String>,
    taken_back: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum WorkState {
    Running,
    Done,
    Failed,
}

/// Where everything of the page lies.
pub(super) fn directory(settings: &Settings) -> PathBuf {
    settings.runtime_dir.join("setup")
}

fn port_lock(settings: &Settings) -> PathBuf {
    directory(settings).join("port-lock")
}

/// Waits until no set-up in a browser has the console's port.
pub(crate) async fn page_closed(settings: &Settings) {
    let path = port_lock(settings);
    while let Ok(file) = File::open(&path) {
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((_, Errno::EWOULDBLOCK)) => sleep(LOOK).await,
            Ok(_) | Err(_) => return,
        }
    }
}

/// Writes into the page.
#[derive(Clone)]
pub struct Board {
    view: Arc<watch::Sender<View>>,
}

impl Board {
    fn change(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(|view| {
            change(view);
            view.version += 1;
        });
    }

    /// A step gets on.
    pub fn tell(&self, words: &str) {
        self.change(|view| {
            if let Some(work) = &mut view.work
                && work.lines.len() < LINES_MAX
            {
                work.lines.push(words.to_owned());
            }
        });
    }

    /// A step has ended.
    pub fn ended(&self, end: End, settings: &Settings) {
        let node = node(settings);
        self.change(|view| {
            view.node = node;
            let Some(work) = &mut view.work else {
                return;
            };
            match end {
                End::Done => work.state = WorkState::Done,
                End::Failed { reason, taken_back } => {
                    work.state = WorkState::Failed;
                    work.reason = Some(reason);
                    work.taken_back = taken_back;
                }
            }
        });
    }

    /// Whether nothing else is under way; from now on this step is.
    fn claim(&self, step: Step) -> bool {
        self.view.send_if_modified(|view| {
            let running = |work: &Work| work.state == WorkState::Running;
            if view.work.as_ref().is_some_and(running) {
                return false;
            }
            view.work = Some(Work {
                step,
                state: WorkState::Running,
                lines: Vec::new(),
                reason: None,
                taken_back: false,
            });
            view.version += 1;
            true
        })
    }
}

fn node(settings: &Settings) -> Option<u8> {
    let identity = Identity::read(&settings.state_dir).ok()?;
    Some(identity.node.number())
}

/// The page, served until this is dropped.
pub struct Wizard {
    console: Arc<Console>,
    orders: mpsc::Receiver<Order>,
    /// What the page shows.
    pub board: Board,
    /// Where a browser finds it.
    pub addresses: Vec<String>,
    /// By which a person knows the certificate.
    pub fingerprint: String,
    serving: JoinHandle<()>,
    directory: PathBuf,
    _port: Flock<File>,
}

impl Drop for Wizard {
    fn drop(&mut self) {
        self.serving.abort();
        // With the lock in it: whoever waits for the port finds nothing, and goes on.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Wizard {
    /// Serves the page on the console's port, over HTTPS with a certificate that this computer signs.
    ///
    /// # Errors
    /// [`PageError`]
    pub fn open(settings: &Settings) -> Result<Self, PageError> {
        let everywhere = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        Self::open_at(&everywhere, HTTP_PORT, settings)
    }

    fn open_at(doors: &[IpAddr], port: u16, settings: &Settings) -> Result<Self, PageError> {
        let listener = listen(doors, port).map_err(PageError::Listen)?;
        let directory = directory(settings);
        // Left by one that was killed.
        let _ = std::fs::remove_dir_all(&directory);
        files::create_directory(&directory)?;
        let path = port_lock(settings);
        let file = File::create(&path).map_err(files::failed("make", &path))?;
        // Nobody else can have it: the directory is new, and the port ours.
        let port_lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| files::failed("lock", &path)(error.into()))?;
        let names = own_names();
        https::make(&directory, &host_name(), names.clone())?;
        let places = https::places(&directory);
        let tls = https::acceptor_of(&places)?;
        let console = Console::for_set_up(&directory)?;
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let view = View {
            version: 1,
            computer: host_name(),
            presets: presets::shown(Path::new(SHIPPED)),
            node: node(settings),
            console: None,
            work: None,
        };
        let board = Board {
            view: Arc::new(watch::Sender::new(view)),
        };
        let page = Page {
            board: board.clone(),
            orders,
        };
        let routes = Router::new()
            .route("/api/v1/setup", get(asked::shown).post(asked::ask))
            .with_state(page);
        let router = http::guarded(routes, console.clone());
        let connections = Arc::new(Connections::default());
        let serving =
            http::serve_network(listener, router, connections, watch::channel(Some(tls)).1);
        Ok(Self {
            console,
            orders: ordered,
            board,
            addresses: names.iter().map(|name| url(name, port)).collect(),
            fingerprint: https::fingerprint(&places[0])?,
            serving: tokio::spawn(serving),
            directory,
            _port: port_lock,
        })
    }

    /// Draws another code; the one before opens nothing any more.
    ///
    /// # Errors
    /// [`PageError::Console`]
    pub fn draw_code(&self) -> Result<Secret, PageError> {
        Ok(self.console.draw_code()?)
    }

    /// Whether somebody is signed in. An open page asks at least every few seconds.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        self.console.sessions.any(std::time::Instant::now())
    }

    /// Waits for something to happen on the page.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(order) => Event::Order(order),
                // The server never gives its end away.
                None => std::future::pending().await,
            },
            () = self.console.code_used() => Event::SignedIn,
        }
    }
}

fn listen(doors: &[IpAddr], port: u16) -> io::Result<TcpListener> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    // The one of IPv6 takes IPv4 too, and is not there where IPv6 is switched off.
    for door in doors {
        match bind(SocketAddr::new(*door, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The computer's name and the addresses at which others may reach it.
fn own_names() -> Vec<String> {
    let mut names = vec![host_name()];
    names.retain(|name| !name.is_empty());
    let interfaces = getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let link_local = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let reached = addresses.filter(|address| !address.is_loopback() && !link_local(address));
    names.extend(reached.map(|address| address.to_string()));
    names
}

fn url(name: &str, port: u16) -> String {
    match name.contains(':') {
        true => format!("https://[{name}]:{port}"),
        false => format!("https://{name}:{port}"),
    }
}
