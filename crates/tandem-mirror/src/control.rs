//! The socket of the daemon.
//!
//! The mirror listens; the newest connection that greets properly replaces the older one, so that a
//! daemon that was restarted or upgraded finds its running mirror. Without a daemon the mirror goes
//! on for as long as its permit lasts.
//!
//! Commands are carried out one at a time by a thread of their own. Permits and messages do not
//! queue behind them. An answer that finds no connection is dropped: the daemon asks again, and
//! every command can be repeated.

use crate::roles::Roles;
use crate::source::Notify;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_core::Instant;
use tandem_wire::local::{Command, MESSAGE_MAX, ToDaemon, ToMirror, VERSION, VERSION_MIN};

/// How often the status is sent although nothing changed.
const STATUS_PERIOD: Duration = Duration::from_millis(100);
/// How often volumes that could not be opened are tried again, in status periods.
const VOLUMES_PERIOD: u32 = 10;
/// Commands that wait. The daemon sends few and waits for their answers.
const COMMANDS_MAX: usize = 64;
/// Answers and messages that wait for the connection.
const OUTGOING_MAX: usize = 256;
/// How long a write to a daemon that does not read may block. Then its connection is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// How long a connection may take to greet.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody answers there.
    #[error("another mirror of this module is running: it answers at {0}")]
    Running(PathBuf),
    /// The system refused.
    #[error("listen at {path}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Begins to listen, replacing the socket of a dead mirror. To be called while the process's mask
/// keeps others out.
///
/// # Errors
/// [`ControlError`]
pub fn listen(path: &Path) -> Result<UnixListener, ControlError> {
    if UnixStream::connect(path).is_ok() {
        return Err(ControlError::Running(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            let path = path.to_owned();
            return Err(ControlError::Listen { path, source });
        }
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path).map_err(|source| ControlError::Listen {
        path: path.to_owned(),
        source,
    })
}

/// What the status' listeners and the roles share.
pub struct Signals {
    /// Called at each change of the status.
    pub changed: Arc<Notify>,
    changes: Receiver<()>,
    /// Messages of the peer's daemon.
    pub gossip: Sender<Vec<u8>>,
    messages: Receiver<Vec<u8>>,
}

impl Default for Signals {
    fn default() -> Self {
        let (change, changes) = bounded(1);
        let (gossip, messages) = bounded(OUTGOING_MAX);
        let changed: Notify = Box::new(move || {
            // One that is not read yet says the same.
            let _ = change.try_send(());
        });
        Self {
            changed: Arc::new(changed),
            changes,
            gossip,
            messages,
        }
    }
}

/// The daemon's side of a mirror.
pub struct Control {
    roles: Arc<Roles>,
    module: String,
    incarnation: u64,
    connection: Mutex<Connection>,
    commands: Sender<(u64, Command)>,
    outgoing: Sender<ToDaemon>,
    quit: Sender<()>,
}

#[derive(Default)]
struct Connection {
    number: u64,
    stream: Option<UnixStream>,
}

/// Serves the daemon until it says that the process may end.
pub fn serve(
    listener: UnixListener,
    roles: Roles,
    module: &str,
    incarnation: u64,
    signals: Signals,
) {
    let (commands, waiting) = bounded(COMMANDS_MAX);
    let (outgoing, answers) = bounded(OUTGOING_MAX);
    let (quit, asked) = bounded(1);
    let control = Arc::new(Control {
        roles: Arc::new(roles),
        module: module.to_owned(),
        incarnation,
        connection: Mutex::default(),
        commands,
        outgoing,
        quit,
    });
    let accepting = control.clone();
    spawn("accept", move || accepting.accept(&listener));
    let working = control.clone();
    spawn("roles", move || working.work(&waiting));
    control.report(&signals, &answers, &asked);
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be started");
}

impl Control {
    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            let control = self.clone();
            match stream {
                Ok(stream) => spawn("daemon", move || control.talk(stream)),
                Err(error) => {
                    tracing::warn!(%error, "accept the daemon");
                    // Out of descriptors: the next moment may be better.
                    std::thread::sleep(STATUS_PERIOD);
                }
            }
        }
    }

    fn talk(&self, mut stream: UnixStream) {
        let number = match self.greet(&mut stream) {
            Ok(number) => number,
            Err(error) => {
                tracing::warn!(%error, "a connection did not greet as the daemon does");
                return;
            }
        };
        let end = self.listen_to(&mut stream, number);
        let mut connection = self.connection();
        if connection.number == number {
            connection.stream = None;
            match end {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    tracing::warn!(%error, "the daemon's connection broke");
                }
                Ok(()) | Err(_) => tracing::info!("the daemon left"),
            }
        }
    }

    fn greet(&self, stream: &mut UnixStream) -> io::Result<u64> {
        stream.set_read_timeout(Some(GREETING_LIMIT))?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let hello = ToDaemon::Hello {
            version: VERSION,
            module: self.module.clone(),
            incarnation: self.incarnation,
            configuration: self.roles.configuration(),
        };
        send(stream, &hello)?;
        match receive(stream)? {
            ToMirror::Hello { version, module } => {
                if !(VERSION_MIN..=VERSION).contains(&version) {
                    return Err(invalid(format!(
                        "version {version} of the local protocol, this mirror speaks {VERSION_MIN} \
                         to {VERSION}"
                    )));
                }
                if module != self.module {
                    return Err(invalid(format!("the daemon means module {module}")));
                }
            }
            _ => return Err(invalid("no greeting".to_owned())),
        }
        stream.set_read_timeout(None)?;
        let mut connection = self.connection();
        connection.number += 1;
        if let Some(older) = connection.stream.replace(stream.try_clone()?) {
            let _ = older.shutdown(Shutdown::Both);
        }
        let number = connection.number;
        drop(connection);
        tracing::info!("the daemon is connected");
        self.send(&ToDaemon::Status(self.roles.status()));
        Ok(number)
    }

    fn listen_to(&self, stream: &mut UnixStream, number: u64) -> io::Result<()> {
        loop {
            let message = receive(stream)?;
            if self.connection().number != number {
                // What a replaced daemon still says does not count.
                return Ok(());
            }
            match message {
                ToMirror::Hello { .. } => return Err(invalid("greeted twice".to_owned())),
                ToMirror::Permit { epoch, until } => self.roles.grant(epoch, Instant(until)),
                ToMirror::Gossip(message) => self.roles.gossip(message),
                ToMirror::Command { id, command } => {
                    if self.commands.try_send((id, command)).is_err() {
                        let reason = "too many commands wait".to_owned();
                        self.answer(ToDaemon::Refused { id, reason });
                    }
                }
                ToMirror::Quit => {
                    if self.roles.may_quit() {
                        let _ = self.quit.try_send(());
                    } else {
                        tracing::warn!("asked to quit while serving: ignored");
                    }
                }
            }
        }
    }

    /// Carries out commands, one at a time.
    fn work(&self, commands: &Receiver<(u64, Command)>) {
        for (id, command) in commands {
            tracing::debug!(id, ?command, "command");
            let answer = match self.roles.carry_out(&command) {
                Ok(position) => ToDaemon::Done { id, position },
                Err(reason) => {
                    tracing::warn!(?command, reason, "command refused");
                    ToDaemon::Refused { id, reason }
                }
            };
            self.answer(answer);
        }
    }

    fn answer(&self, answer: ToDaemon) {
        if self.outgoing.try_send(answer).is_err() {
            tracing::warn!("an answer to the daemon was dropped");
        }
    }

    /// Sends status, answers and messages until asked to quit.
    fn report(&self, signals: &Signals, answers: &Receiver<ToDaemon>, quit: &Receiver<()>) {
        let ticks = crossbeam_channel::tick(STATUS_PERIOD);
        let mut ticked = 0u32;
        loop {
            crossbeam_channel::select! {
                recv(quit) -> _ => {
                    tracing::info!("asked to quit");
                    if let Err(reason) = self.roles.carry_out(&Command::Close) {
                        tracing::warn!(reason, "close before quitting");
                    }
                    return;
                }
                recv(answers) -> answer => {
                    if let Ok(answer) = answer {
                        // The status after the command, before its answer.
                        self.send(&ToDaemon::Status(self.roles.status()));
                        self.send(&answer);
                    }
                }
                recv(signals.messages) -> message => {
                    if let Ok(message) = message {
                        self.send(&ToDaemon::Gossip(message));
                    }
                }
                recv(signals.changes) -> _ => {
                    self.send(&ToDaemon::Status(self.roles.status()));
                }
                recv(ticks) -> _ => {
                    ticked = ticked.wrapping_add(1);
                    if ticked.is_multiple_of(VOLUMES_PERIOD) {
                        self.roles.look_for_volumes();
                    }
                    self.send(&ToDaemon::Status(self.roles.status()));
                }
            }
        }
    }

    /// Sends to the connected daemon, if there is one.
    fn send(&self, message: &ToDaemon) {
        let mut connection = self.connection();
        if let Some(stream) = &mut connection.stream
            && let Err(error) = send(stream, message)
        {
            // Part of a message may have left: nothing after it could be read.
            tracing::warn!(%error, "the daemon does not read: its connection is closed");
            let _ = stream.shutdown(Shutdown::Both);
            connection.stream = None;
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(stream: &mut UnixStream, message: &ToDaemon) -> io::Result<()> {
    let body = postcard::to_stdvec(message).expect("plain values encode into memory");
    let length = u32::try_from(body.len()).map_err(|_| invalid("too long".to_owned()))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes)
}

fn receive(stream: &mut UnixStream) -> io::Result<ToMirror> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_MAX {
        return Err(invalid(format!("a message of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(|_| invalid("a message that does not decode".to_owned()))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
