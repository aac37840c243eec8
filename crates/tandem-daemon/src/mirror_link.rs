//! The local socket to the mirror process of the module, owned by the reactor's thread and never
//! waited for: permits must not queue behind anything.
//!
//! Commands that were not answered are sent again after a reconnection to the same process. When
//! the process is gone (nobody listens, or another incarnation answers), the core is told that the
//! mirror was lost, and each command that the process had been sent counts as refused; commands
//! that were never sent wait for the next process, unless a `Close` comes after them: what was to
//! begin is not wanted any more, and the next process must not begin it. They count as refused.
//!
//! A verification is no command of the core's: the mirror is told to begin it, and what its status
//! says of it becomes the answer to the operator. Of one that the process takes with it, that is told.
//!
//! A process that was started with another configuration, or from a program that was replaced since,
//! is asked to end as soon as it is idle; what it should do next is told to its successor.
//!
//! Starting the process is not done here; [`MirrorLink::wants_process`] says that one is missing.

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_core::{
    Answer, CommandId, EffectId, Epoch, Event, Instant, MirrorCommand, MirrorRole, MirrorStatus,
    Sequence,
};
use tandem_wire::local::{
    Command, Flow, MESSAGE_MAX, Resync, ToDaemon, ToMirror, Verification, VerificationEnd,
    version_with,
};

/// How soon a connection is tried again: short against every `takeover-after`.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// What may wait to be taken by a mirror that does not read: beyond it, gossip is dropped and the
/// connection is given up for commands. Sixteen messages of the largest size.
const WAITING_BYTES_MAX: usize = 16 * MESSAGE_MAX;
/// How many commands may be without an answer: the core has one or two.
const COMMANDS_MAX: usize = 64;

/// What the mirror said, for the reactor.
#[derive(Debug)]
pub(crate) enum Heard {
    /// For the core.
    Event(Event),
    /// The peer's daemon, over the data stream.
    Gossip(Vec<u8>),
    /// For an operator.
    Answer(CommandId, Answer),
    /// To be logged.
    Trouble(String),
}

/// The connection, or the lack of one.
pub(crate) struct MirrorLink {
    path: PathBuf,
    module: String,
    configuration: u64,
    /// The process has another configuration.
    other_configuration: bool,
    /// The process runs another program than this one: that of before an upgrade.
    other_program: bool,
    stream: Option<Stream>,
    retry_at: Instant,
    /// Without an answer, oldest first.
    commands: VecDeque<Pending>,
    /// Commands that a `Close` made void before they were sent; the core is told in the next turn.
    void: Vec<Asker>,
    next_id: u64,
    permit: Option<(u64, u64)>,
    /// The process that was talked to last; `None` after it was found to be gone.
    incarnation: Option<u64>,
    status: Option<MirrorStatus>,
    /// How far its comparison is: for people, the core decides nothing by it.
    resync: Option<Resync>,
    flow: Option<Flow>,
    verification: Option<Verification>,
    /// Operators who wait for the end of a verification.
    watchers: Vec<Watcher>,
    pub(crate) unsent: u64,
}

struct Stream {
    socket: UnixStream,
    incoming: Vec<u8>,
    outgoing: VecDeque<u8>,
    greeted: bool,
}

struct Pending {
    id: u64,
    asker: Asker,
    command: Command,
    sent: bool,
}

/// Who waits for an answer.
#[derive(Clone, Copy)]
enum Asker {
    Core(EffectId),
    Operator(CommandId),
}

impl Asker {
    fn done(self, position: u64) -> Heard {
        match self {
            Self::Core(id) => Heard::Event(Event::MirrorDone {
                id,
                position: Sequence(position),
            }),
            Self::Operator(id) => Heard::Answer(id, Answer::Progress("begun".to_owned())),
        }
    }

    fn refused(self, reason: String) -> Heard {
        match self {
            Self::Core(id) => Heard::Event(Event::MirrorRefused { id, reason }),
            Self::Operator(id) => Heard::Answer(id, Answer::Refused(reason)),
        }
    }
}

/// An operator who waits for the end of a verification.
struct Watcher {
    id: CommandId,
    /// Which one it is.
    number: u64,
    /// The tenths of it that were told.
    told: u64,
}

impl Watcher {
    /// What there is to say to a status: something new, or the end.
    fn look(&mut self, now: Option<&Verification>) -> Option<Answer> {
        let Some(now) = now.filter(|now| now.number == self.number) else {
            let lost = "it did not end: this node no longer serves".to_owned();
            return Some(Answer::Failed(lost));
        };
        match &now.end {
            Some(VerificationEnd::Complete) if now.differences == 0 => {
                Some(Answer::Done(now.to_string()))
            }
            Some(VerificationEnd::Complete | VerificationEnd::Interrupted(_)) => {
                Some(Answer::Failed(now.to_string()))
            }
            None if now.percent() / 10 > self.told => {
                self.told = now.percent() / 10;
                Some(Answer::Progress(now.to_string()))
            }
            None => None,
        }
    }
}

impl MirrorLink {
    /// A link that is not connected yet. `seed` makes the commands' numbers differ from those of
    /// an earlier daemon, whose answers may still come.
    pub(crate) fn new(path: PathBuf, module: &str, configuration: u64, seed: u64) -> Self {
        Self {
            path,
            module: module.to_owned(),
            configuration,
            other_configuration: false,
            other_program: false,
            stream: None,
            retry_at: Instant(0),
            commands: VecDeque::new(),
            void: Vec::new(),
            next_id: seed,
            permit: None,
            incarnation: None,
            status: None,
            resync: None,
            flow: None,
            verification: None,
            watchers: Vec::new(),
            unsent: 0,
        }
    }

    /// Finds out whether a mirror runs already, for at most `limit`.
    pub(crate) fn adopt(&mut self, limit: Duration) -> Option<MirrorStatus> {
        let end = std::time::Instant::now() + limit;
        self.connect(Instant(0));
        while self.stream.is_some() && self.status.is_none() {
            let left = end.checked_duration_since(std::time::Instant::now())?;
            let fd = self.as_fd().expect("connected");
            wait_readable(fd, left);
            // Before the core exists there is nothing to be said but the status.
            self.receive(Instant(0), &mut |_| {});
        }
        self.status.clone()
    }

    /// What it said last.
    pub(crate) fn status(&self) -> Option<&MirrorStatus> {
        self.status.as_ref()
    }

    /// Whether it runs the program of before an upgrade.
    pub(crate) const fn runs_old_program(&self) -> bool {
        self.other_program && self.incarnation.is_some()
    }

    /// Whether it serves or follows with a configuration of before.
    pub(crate) fn runs_old_configuration(&self) -> bool {
        let works = |status: &MirrorStatus| status.role != MirrorRole::Idle;
        self.other_configuration && self.status.as_ref().is_some_and(works)
    }

    /// How far its comparison of the peer's copy is, if there is one.
    pub(crate) const fn flow(&self) -> Option<Flow> {
        self.flow
    }

    pub(crate) const fn resync(&self) -> Option<Resync> {
        self.resync
    }

    /// The verification that runs, or the last one of this service.
    pub(crate) fn verification(&self) -> Option<&Verification> {
        self.verification.as_ref()
    }

    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(|stream| stream.socket.as_fd())
    }

    /// Whether bytes wait for the mirror to read.
    pub(crate) fn wants_to_write(&self) -> bool {
        (self.stream.as_ref()).is_some_and(|stream| !stream.outgoing.is_empty())
    }

    /// Whether nobody listens, so that a process should be started.
    pub(crate) fn wants_process(&self) -> bool {
        self.stream.is_none()
    }

    /// When the link wants a turn.
    pub(crate) fn deadline(&self) -> Instant {
        match self.stream {
            _ if !self.void.is_empty() => Instant(0),
            Some(_) => Instant::FAR,
            None => self.retry_at,
        }
    }

    /// Sends a command, at once or after the next connection.
    pub(crate) fn command(&mut self, now: Instant, effect: EffectId, command: MirrorCommand) {
        if command == MirrorCommand::Close {
            let unsent = self.commands.iter().filter(|pending| !pending.sent);
            self.void.extend(unsent.map(|pending| pending.asker));
            self.commands.retain(|pending| pending.sent);
        }
        self.ask(now, Asker::Core(effect), Command::from(command));
    }

    /// Lets the mirror verify the peer's copy; never later, when nobody may want it any more.
    pub(crate) fn verify(&mut self, now: Instant, id: CommandId) -> Result<(), &'static str> {
        if !self.greeted() {
            return Err("the mirror does not answer");
        }
        if self.commands.len() + self.watchers.len() >= COMMANDS_MAX {
            return Err("too many commands wait");
        }
        self.ask(now, Asker::Operator(id), Command::Verify);
        Ok(())
    }

    fn ask(&mut self, now: Instant, asker: Asker, command: Command) {
        if self.commands.len() >= COMMANDS_MAX {
            // An answer to the oldest one makes no difference any more.
            self.commands.pop_front();
        }
        self.next_id = self.next_id.wrapping_add(1);
        // An outdated process is not set to work again: it was asked to end, or is now. To serve need
        // not wait for a successor, unless it is to serve something else.
        let successor = self.may_be_replaced()
            && match command {
                Command::Follow { .. } => true,
                Command::Serve { .. } => self.other_configuration,
                Command::Seal
                | Command::ReleasePeer { .. }
                | Command::Drain
                | Command::Close
                | Command::Verify => false,
            };
        let pending = Pending {
            id: self.next_id,
            asker,
            command,
            sent: self.greeted() && !successor,
        };
        let message = match successor {
            true => ToMirror::Quit,
            false => pending.message(),
        };
        self.commands.push_back(pending);
        self.say(now, &message);
    }

    /// Whether the process is outdated, does nothing, and has nothing left to answer.
    fn may_be_replaced(&self) -> bool {
        let idle = |status: &MirrorStatus| status.role == MirrorRole::Idle;
        (self.other_configuration || self.other_program)
            && self.status.as_ref().is_some_and(idle)
            && self.commands.is_empty()
    }

    /// Whether the process at the other end was started from another file than this one. Where
    /// Linux does not tell, it was not.
    fn runs_another_program(&self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let Ok(peer) = getsockopt(&stream.socket, PeerCredentials) else {
            return false;
        };
        // Also finds a file that has no name any more.
        let program = |process: &str| std::fs::metadata(format!("/proc/{process}/exe")).ok();
        match (program("self"), program(&peer.pid().to_string())) {
            (Some(own), Some(its)) => (own.dev(), own.ino()) != (its.dev(), its.ino()),
            (None, _) | (_, None) => false,
        }
    }

    fn greeted(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.greeted)
    }

    /// Sends the permit, at once or after the next connection. The newest replaces all others.
    pub(crate) fn permit(&mut self, now: Instant, epoch: Epoch, until: Instant) {
        self.permit = Some((epoch.0, until.0));
        self.say(
            now,
            &ToMirror::Permit {
                epoch: epoch.0,
                until: until.0,
            },
        );
    }

    /// Sends a message of the core over the data stream, if all goes well.
    pub(crate) fn gossip(&mut self, now: Instant, bytes: &[u8]) {
        let busy = match &self.stream {
            Some(stream) => {
                !stream.greeted || stream.outgoing.len() + bytes.len() > WAITING_BYTES_MAX / 2
            }
            None => true,
        };
        match busy {
            true => self.unsent += 1,
            false => self.say(now, &ToMirror::Gossip(bytes.to_vec())),
        }
    }

    /// Connects again when it is time, reads and writes what is possible.
    pub(crate) fn turn(&mut self, now: Instant, hear: &mut impl FnMut(Heard)) {
        for asker in self.void.drain(..) {
            let reason = "the session was closed before the mirror could be told".to_owned();
            hear(asker.refused(reason));
        }
        if self.stream.is_none() && now >= self.retry_at {
            self.connect(now);
            if self.stream.is_none() {
                self.lost(hear);
            }
        }
        self.flush(now);
        self.receive(now, hear);
    }

    fn connect(&mut self, now: Instant) {
        self.retry_at = now.after(RETRY_AFTER);
        let Ok(socket) = open(&self.path) else {
            return;
        };
        self.stream = Some(Stream {
            socket,
            incoming: Vec::new(),
            outgoing: VecDeque::new(),
            greeted: false,
        });
    }

    /// The process is gone: what it was told is void.
    fn lost(&mut self, hear: &mut impl FnMut(Heard)) {
        if self.incarnation.take().is_some() {
            self.permit = None;
            self.status = None;
            self.resync = None;
            self.flow = None;
            hear(Heard::Event(Event::MirrorLost));
            let void = self.commands.iter().filter(|pending| pending.sent);
            for asker in void.map(|pending| pending.asker) {
                hear(asker.refused("the mirror's process was lost".to_owned()));
            }
            self.commands.retain(|pending| !pending.sent);
            self.verification = None;
            self.tell_watchers(hear);
        }
    }

    fn disconnect(&mut self, now: Instant) {
        self.stream = None;
        // At once: a restarted listener is found within milliseconds, a dead one as well.
        self.retry_at = now;
    }

    fn say(&mut self, now: Instant, message: &ToMirror) {
        if self.greeted() {
            self.push(message);
            self.flush(now);
        }
    }

    fn push(&mut self, message: &ToMirror) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let bytes = postcard::to_stdvec(message).expect("plain data");
        if stream.outgoing.len() + bytes.len() > WAITING_BYTES_MAX {
            self.stream = None;
            return;
        }
        stream.outgoing.extend((bytes.len() as u32).to_le_bytes());
        stream.outgoing.extend(bytes);
    }

    fn flush(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        while !stream.outgoing.is_empty() {
            let (front, _) = stream.outgoing.as_slices();
            match stream.socket.write(front) {
                Ok(0) => return self.disconnect(now),
                Ok(written) => drop(stream.outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.disconnect(now),
            }
        }
    }

    fn receive(&mut self, now: Instant, hear: &mut impl FnMut(Heard)) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let mut gone = false;
        let mut piece = [0; 16 << 10];
        // At most one largest message a turn: the networks have their turn too.
        while stream.incoming.len() <= MESSAGE_MAX + 4 {
            match stream.socket.read(&mut piece) {
                Ok(0) => gone = true,
                Ok(bytes) => {
                    stream.incoming.extend_from_slice(&piece[..bytes]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => gone = true,
            }
            break;
        }
        while let Some(stream) = &mut self.stream {
            match next_message(&mut stream.incoming) {
                Ok(Some(message)) => self.heard(now, message, hear),
                Ok(None) => break,
                Err(trouble) => {
                    hear(Heard::Trouble(trouble));
                    gone = true;
                    break;
                }
            }
        }
        if gone {
            self.disconnect(now);
        }
    }

    fn heard(&mut self, now: Instant, message: ToDaemon, hear: &mut impl FnMut(Heard)) {
        match message {
            ToDaemon::Hello {
                version,
                module,
                incarnation,
                configuration,
            } => {
                let Some(spoken) = version_with(version).filter(|_| module == self.module) else {
                    let trouble = format!(
                        "the mirror at {} speaks version {version} for module {module}",
                        self.path.display()
                    );
                    hear(Heard::Trouble(trouble));
                    self.stream = None;
                    return;
                };
                if self.incarnation.is_some_and(|known| known != incarnation) {
                    self.lost(hear);
                }
                self.incarnation = Some(incarnation);
                self.other_program = self.runs_another_program();
                self.other_configuration = configuration != self.configuration;
                if self.other_configuration {
                    let trouble = "the mirror runs with the configuration of before; it is \
                         replaced when it neither serves nor follows";
                    hear(Heard::Trouble(trouble.to_owned()));
                }
                self.greet(now, spoken);
            }
            ToDaemon::Status(mut status) => {
                self.resync = status.resync;
                self.flow = status.flow;
                self.verification = status.verification.take().map(|boxed| *boxed);
                self.tell_watchers(hear);
                let status = MirrorStatus::from(status);
                self.status = Some(status.clone());
                if self.may_be_replaced() {
                    self.say(now, &ToMirror::Quit);
                }
                hear(Heard::Event(Event::MirrorReported(status)));
            }
            ToDaemon::Done { id, position } => {
                if let Some(Pending { asker, command, .. }) = self.answered(id) {
                    if command == Command::Close
                        && let Some(status) = &mut self.status
                    {
                        // The core may go on before the next status says so.
                        status.role = MirrorRole::Idle;
                    }
                    hear(asker.done(position));
                    if let Asker::Operator(id) = asker {
                        self.watchers.push(Watcher {
                            id,
                            number: position,
                            told: 0,
                        });
                        // The status came before the answer, and may have told the end already.
                        self.tell_watchers(hear);
                    }
                }
            }
            ToDaemon::Refused { id, reason } => {
                if let Some(Pending { asker, .. }) = self.answered(id) {
                    hear(asker.refused(reason));
                }
            }
            ToDaemon::Gossip(bytes) => hear(Heard::Gossip(bytes)),
        }
    }

    /// The permit and everything that has no answer yet, in order.
    fn greet(&mut self, now: Instant, version: u16) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        stream.greeted = true;
        self.push(&ToMirror::Hello {
            version,
            module: self.module.clone(),
        });
        if let Some((epoch, until)) = self.permit {
            self.push(&ToMirror::Permit { epoch, until });
        }
        for pending in &mut self.commands {
            pending.sent = true;
        }
        let messages: Vec<ToMirror> = self.commands.iter().map(Pending::message).collect();
        for message in &messages {
            self.push(message);
        }
        self.flush(now);
    }

    fn answered(&mut self, id: u64) -> Option<Pending> {
        let place = self.commands.iter().position(|pending| pending.id == id)?;
        self.commands.remove(place)
    }

    fn tell_watchers(&mut self, hear: &mut impl FnMut(Heard)) {
        let now = self.verification.as_ref();
        self.watchers.retain_mut(|watcher| match watcher.look(now) {
            None => true,
            Some(answer) => {
                let goes_on = matches!(answer, Answer::Progress(_));
                hear(Heard::Answer(watcher.id, answer));
                goes_on
            }
        });
    }
}

impl Pending {
    fn message(&self) -> ToMirror {
        ToMirror::Command {
            id: self.id,
            command: self.command.clone(),
        }
    }
}

fn next_message(incoming: &mut Vec<u8>) -> Result<Option<ToDaemon>, String> {
    let Some(length) = incoming.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MESSAGE_MAX {
        return Err(format!("the mirror sent a message of {length} bytes"));
    }
    if incoming.len() < 4 + length {
        return Ok(None);
    }
    let message = postcard::take_from_bytes(&incoming[4..4 + length])
        .map(|(message, _later_fields)| message)
        .map_err(|_| "the mirror sent a message that cannot be read".to_owned());
    incoming.drain(..4 + length);
    message.map(Some)
}

fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) {
    use nix::poll::{PollFd, PollFlags, ppoll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    // Whatever it says, the caller looks at the socket and at the clock.
    let _ = ppoll(&mut fds, Some(limit.into()), None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use tandem_wire::local::{Status, VERSION, VERSION_MIN};

    const CONFIGURATION: u64 = 99;

    struct Mirror {
        socket: UnixStream,
    }

    impl Mirror {
        fn accept(listener: &UnixListener, incarnation: u64) -> Self {
            let (mirror, spoken) = Self::greet(listener, incarnation, VERSION);
            assert_eq!(spoken, VERSION);
            mirror
        }

        /// Greets as one of another release, and gives back the version that the daemon chose.
        fn greet(listener: &UnixListener, incarnation: u64, version: u16) -> (Self, u16) {
            let (socket, _) = listener.accept().expect("a daemon connects");
            socket
                .set_read_timeout(Some(Duration::from_secs(10)))
                .expect("a socket");
            let mut mirror = Self { socket };
            mirror.say(&ToDaemon::Hello {
                version,
                module: "m".into(),
                incarnation,
                configuration: CONFIGURATION,
            });
            mirror.say(&ToDaemon::Status(Status {
                incarnation,
                ..Status::default()
            }));
            match mirror.hear() {
                ToMirror::Hello { version, .. } => (mirror, version),
                other => panic!("{other:?}"),
            }
        }

        fn say(&mut self, message: &ToDaemon) {
            let bytes = postcard::to_stdvec(message).expect("plain data");
            let length = (bytes.len() as u32).to_le_bytes();
            self.socket.write_all(&length).expect("the daemon reads");
            self.socket.write_all(&bytes).expect("the daemon reads");
        }

        fn hear(&mut self) -> ToMirror {
            let mut length = [0; 4];
            self.socket.read_exact(&mut length).expect("a message");
            let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
            self.socket.read_exact(&mut bytes).expect("a message");
            postcard::from_bytes(&bytes).expect("a message")
        }
    }

    fn until(link: &mut MirrorLink, wanted: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut now = 0;
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !wanted(&heard) {
            assert!(std::time::Instant::now() < end, "{heard:?}");
            now += 1_000_000;
            link.turn(Instant(now), &mut |what| heard.push(what));
            std::thread::yield_now();
        }
        heard
    }

    fn reported(heard: &[Heard]) -> bool {
        (heard.iter()).any(|h| matches!(h, Heard::Event(Event::MirrorReported(_))))
    }

    fn lost(heard: &[Heard]) -> bool {
        (heard.iter()).any(|h| matches!(h, Heard::Event(Event::MirrorLost)))
    }

    fn link() -> (tempfile::TempDir, UnixListener, MirrorLink) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("m.sock");
        let listener = UnixListener::bind(&path).expect("a free name");
        (
            directory,
            listener,
            MirrorLink::new(path, "m", CONFIGURATION, 1000),
        )
    }

    #[test]
    fn a_running_mirror_is_adopted_and_an_absent_one_costs_nothing() {
        let (directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || Mirror::accept(&listener, 7));
        let status = link.adopt(Duration::from_secs(10)).expect("it answers");
        assert_eq!(status.incarnation.0, 7);
        drop(mirror.join().expect("no panic"));
        let mut absent = MirrorLink::new(directory.path().join("none"), "m", CONFIGURATION, 0);
        assert_eq!(absent.adopt(Duration::from_secs(10)), None);
    }

    #[test]
    fn a_mirror_of_a_later_release_is_spoken_to_as_this_one_speaks() {
        let (_directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || Mirror::greet(&listener, 7, VERSION + 1).1);
        link.adopt(Duration::from_secs(10)).expect("it answers");
        assert_eq!(mirror.join().expect("no panic"), VERSION);
    }

    #[test]
    fn a_mirror_that_only_speaks_what_nobody_knows_any_more_is_named() {
        let (_directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a daemon connects");
            let mut mirror = Mirror { socket };
            mirror.say(&ToDaemon::Hello {
                version: VERSION_MIN - 1,
                module: "m".into(),
                incarnation: 7,
                configuration: CONFIGURATION,
            });
            mirror
        });
        let named = |heard: &Heard| matches!(heard, Heard::Trouble(t) if t.contains("version 0"));
        until(&mut link, |heard| heard.iter().any(named));
        drop(mirror.join().expect("no panic"));
    }

    #[test]
    fn an_unanswered_command_is_sent_again_to_the_same_process() {
        let (_directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || {
            let mut first = Mirror::accept(&listener, 7);
            let sent = first.hear();
            drop(first);
            let mut second = Mirror::accept(&listener, 7);
            assert_eq!(second.hear(), sent);
            let ToMirror::Command { id, .. } = sent else {
                panic!("{sent:?}")
            };
            second.say(&ToDaemon::Done { id, position: 5 });
            second
        });
        until(&mut link, reported);
        link.command(Instant(0), EffectId(3), MirrorCommand::Seal);
        let done = Event::MirrorDone {
            id: EffectId(3),
            position: Sequence(5),
        };
        let heard = until(&mut link, |heard| {
            (heard.iter()).any(|h| matches!(h, Heard::Event(e) if *e == done))
        });
        assert!(!lost(&heard));
        drop(mirror.join().expect("no panic"));
    }

    #[test]
    fn another_process_is_a_lost_mirror_and_gets_no_old_command() {
        let (_directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || {
            let mut first = Mirror::accept(&listener, 7);
            first.hear();
            drop(first);
            let mut other = Mirror::accept(&listener, 8);
            assert!(matches!(other.hear(), ToMirror::Command { command, .. }
                if command == Command::Close));
            other
        });
        until(&mut link, reported);
        link.command(Instant(0), EffectId(3), MirrorCommand::Seal);
        let refused = |heard: &[Heard]| {
            (heard.iter()).any(|h| {
                matches!(h, Heard::Event(Event::MirrorRefused { id, .. })
                if *id == EffectId(3))
            })
        };
        assert!(lost(&until(&mut link, refused)));
        link.command(Instant(0), EffectId(4), MirrorCommand::Close);
        until(&mut link, |_| mirror.is_finished());
        drop(mirror.join().expect("no panic"));
    }

    #[test]
    fn an_operator_hears_how_a_verification_gets_on_and_ends() {
        let (_directory, listener, mut link) = link();
        assert!(
            link.verify(Instant(0), CommandId(1)).is_err(),
            "nobody listens"
        );
        let mirror = std::thread::spawn(move || {
            let mut mirror = Mirror::accept(&listener, 7);
            let status = |done_bytes, differences, end| {
                let verification = Some(Verification {
                    number: 3,
                    done_bytes,
                    total_bytes: 100,
                    differences,
                    repaired: differences,
                    end,
                    ..Verification::default()
                });
                ToDaemon::Status(Status {
                    incarnation: 7,
                    verification: verification.map(Box::new),
                    ..Status::default()
                })
            };
            for (differences, end) in [
                (0, VerificationEnd::Complete),
                (2, VerificationEnd::Complete),
                (0, VerificationEnd::Interrupted("the stream broke".into())),
            ] {
                let ToMirror::Command { id, command } = mirror.hear() else {
                    panic!("no command")
                };
                assert_eq!(command, Command::Verify);
                mirror.say(&status(0, 0, None));
                mirror.say(&ToDaemon::Done { id, position: 3 });
                mirror.say(&status(50, 0, None));
                mirror.say(&status(100, differences, Some(end)));
            }
            // It serves no more.
            let ToMirror::Command { id, .. } = mirror.hear() else {
                panic!("no command")
            };
            mirror.say(&status(0, 0, None));
            mirror.say(&ToDaemon::Done { id, position: 3 });
            mirror.say(&ToDaemon::Status(Status::default()));
            mirror
        });
        until(&mut link, reported);
        let mut ends = Vec::new();
        for number in 2..6 {
            link.verify(Instant(0), CommandId(number))
                .expect("it listens");
            let heard = until(&mut link, |heard| {
                (heard.iter()).any(|heard| match heard {
                    Heard::Answer(id, answer) => {
                        *id == CommandId(number) && !matches!(answer, Answer::Progress(_))
                    }
                    _ => false,
                })
            });
            let mut answers = heard.into_iter().filter_map(|heard| match heard {
                Heard::Answer(_, answer) => Some(answer),
                _ => None,
            });
            ends.extend(answers.next_back());
        }
        assert!(
            matches!(&ends[0], Answer::Done(text) if text.contains("equal")),
            "{ends:?}"
        );
        assert!(matches!(&ends[1], Answer::Failed(text) if text.contains("2 differences")));
        assert!(matches!(&ends[2], Answer::Failed(text) if text.contains("did not end")));
        assert!(matches!(&ends[3], Answer::Failed(text) if text.contains("no longer serves")));
        drop(mirror.join().expect("no panic"));
    }

    #[test]
    fn what_was_never_sent_is_void_once_the_session_is_to_be_closed() {
        let (_directory, listener, mut link) = link();
        link.command(Instant(0), EffectId(3), MirrorCommand::Seal);
        link.command(Instant(0), EffectId(4), MirrorCommand::Close);
        assert_eq!(link.deadline(), Instant(0));
        let mirror = std::thread::spawn(move || {
            let mut mirror = Mirror::accept(&listener, 7);
            let first = mirror.hear();
            let close = Command::Close;
            assert!(matches!(first, ToMirror::Command { command, .. } if command == close));
            mirror
        });
        let heard = until(&mut link, reported);
        assert!(
            matches!(&heard[0], Heard::Event(Event::MirrorRefused { id, .. }) if *id == EffectId(3)),
            "{heard:?}"
        );
        until(&mut link, |_| mirror.is_finished());
        drop(mirror.join().expect("no panic"));
    }

    #[test]
    fn an_idle_mirror_with_another_configuration_is_asked_to_end() {
        let (_directory, listener, mut link) = link();
        link.configuration += 1;
        let mirror = std::thread::spawn(move || {
            let mut mirror = Mirror::accept(&listener, 7);
            assert_eq!(mirror.hear(), ToMirror::Quit);
        });
        until(&mut link, |_| mirror.is_finished());
        mirror.join().expect("no panic");
    }

    #[test]
    fn an_idle_mirror_with_an_old_program_leaves_its_next_work_to_its_successor() {
        let (_directory, listener, mut link) = link();
        let mirror = std::thread::spawn(move || {
            let mut old = Mirror::accept(&listener, 7);
            let role = tandem_wire::local::Role::Serving {
                epoch: 3,
                gated: false,
            };
            old.say(&ToDaemon::Status(Status {
                incarnation: 7,
                role,
                ..Status::default()
            }));
            let ToMirror::Command { id, command } = old.hear() else {
                panic!("no command")
            };
            assert_eq!(command, Command::Close, "while it serves it is left alone");
            old.say(&ToDaemon::Done { id, position: 5 });
            assert_eq!(old.hear(), ToMirror::Quit);
            drop(old);
            let mut successor = Mirror::accept(&listener, 8);
            assert!(matches!(
                successor.hear(),
                ToMirror::Command {
                    command: Command::Follow { .. },
                    ..
                }
            ));
        });
        let serves = |heard: &[Heard]| {
            (heard.iter()).any(|h| match h {
                Heard::Event(Event::MirrorReported(status)) => status.role != MirrorRole::Idle,
                _ => false,
            })
        };
        until(&mut link, serves);
        // As after an upgrade.
        link.other_program = true;
        assert!(link.runs_old_program());
        link.command(Instant(0), EffectId(3), MirrorCommand::Close);
        let closed = |heard: &[Heard]| {
            (heard.iter()).any(|h| matches!(h, Heard::Event(Event::MirrorDone { .. })))
        };
        until(&mut link, closed);
        let follow = MirrorCommand::Follow {
            epoch: Epoch(4),
            generation: tandem_core::GenerationId(1),
            forget: false,
        };
        link.command(Instant(0), EffectId(4), follow);
        until(&mut link, |_| mirror.is_finished());
        mirror.join().expect("no panic");
        assert!(!link.runs_old_program(), "the successor is this program");
    }

    #[test]
    fn garbage_ends_the_connection_and_nothing_else() {
        let (_directory, listener, mut link) = link();
        link.turn(Instant(1), &mut |_| {});
        let (mut socket, _) = listener.accept().expect("a daemon connects");
        socket.write_all(&[0xff; 64]).expect("the daemon reads");
        let heard = until(&mut link, |heard| !heard.is_empty());
        assert!(matches!(heard[0], Heard::Trouble(_)), "{heard:?}");
    }
}
