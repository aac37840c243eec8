//! Mirror processes for tests, each with its own small ext4, and a daemon's side of their sockets.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use tandem_core::NodeId;
use tandem_mirror::transport::Identity;
use tandem_mirror::{Durability, MirrorConfig, VolumeConfig, WaitForPeer};
use tandem_wire::exclude::Exclude;
use tandem_wire::local::{Command, Peer, Role, Status, ToDaemon, ToMirror, VERSION};
use tandem_wire::position::Position;

use crate::disk::{Image, Mounted, root_or_skip};

/// No condition of these tests takes longer on a healthy machine, however busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The stall limit of the mirrors.
pub const STALL_LIMIT: Duration = Duration::from_millis(1500);
/// A permit without end.
pub const FOREVER: u64 = u64::MAX;

const CLUSTER: &str = "cluster1";
const MODULE: &str = "videeos";
const SETTING: &str = "TANDEM_TEST_MIRROR";
/// Milliseconds, where a test is not about stalls and a busy machine must not make one.
pub const STALL_SETTING: &str = "TANDEM_TEST_STALL_LIMIT";

/// Every operation waits for the peer.
pub const WAIT_SETTING: &str = "TANDEM_TEST_WAIT_FOR_WRITE";
/// What is not mirrored, separated by tabs.
pub const EXCLUDE_SETTING: &str = "TANDEM_TEST_EXCLUDE";
/// The peer's memory is enough.
pub const MEMORY_SETTING: &str = "TANDEM_TEST_MEMORY";

fn stall_limit() -> Duration {
    let setting = std::env::var(STALL_SETTING).ok();
    let milliseconds = setting.and_then(|text| text.parse().ok());
    milliseconds.map_or(STALL_LIMIT, Duration::from_millis)
}

/// Runs a mirror if this process was started to be one. The test binaries start themselves.
pub fn be_a_mirror_if_asked() {
    let Ok(setting) = std::env::var(SETTING) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // As the product does.
        .log_internal_errors(false)
        .init();
    let fields: Vec<&str> = setting.split('\n').collect();
    let [node, listen, peer, base, volumes] = fields[..] else {
        panic!("setting of a mirror");
    };
    let base = Path::new(base);
    let config = MirrorConfig {
        cluster: CLUSTER.to_owned(),
        module: MODULE.to_owned(),
        node: NodeId::from_number(node.parse().expect("a node")).expect("a node"),
        volumes: volumes
            .split('\t')
            .map(|volume| {
                let (name, path) = volume.split_once('=').expect("name and path");
                VolumeConfig {
                    wait_for_peer: match std::env::var_os(WAIT_SETTING) {
                        Some(_) => WaitForPeer::Write,
                        None => WaitForPeer::Fsync,
                    },
                    exclude: exclude(),
                    ..VolumeConfig::new(name.to_owned(), PathBuf::from(path))
                }
            })
            .collect(),
        listen: listen.parse().expect("an address"),
        peer: peer.parse().expect("an address"),
        identity: identity(base),
        socket: base.join("mirror.sock"),
        state_dir: base.to_owned(),
        configuration: 42,
        takeover_after: Duration::from_secs(5),
        stall_limit: stall_limit(),
        queue_bytes_max: tandem_mirror::QUEUE_BYTES_MAX,
        durability: match std::env::var_os(MEMORY_SETTING) {
            Some(_) => Durability::Memory,
            None => Durability::Disk,
        },
    };
    match tandem_mirror::run(config) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn exclude() -> Exclude {
    let text = std::env::var(EXCLUDE_SETTING).unwrap_or_default();
    let entries: Vec<&str> = text.split('\t').filter(|entry| !entry.is_empty()).collect();
    Exclude::parse(&entries).expect("what to exclude")
}

fn identity(base: &Path) -> Identity {
    let read = |name: &str| std::fs::read(base.join(name)).expect("read an identity");
    Identity {
        certificate_der: read("certificate.der"),
        key_der: read("key.der"),
        peer_certificate_der: read("peer.der"),
    }
}

/// Whether a test can run here; its mounts are then its own.
pub fn ready(test: &str) -> bool {
    let ready = root_or_skip(test);
    if ready {
        own_mounts();
    }
    ready
}

/// Serves with a peer that has everything, and acknowledges nothing without it.
pub fn is_level(status: &Status) -> bool {
    status.peer == Peer::Level && matches!(status.role, Role::Serving { gated: true, .. })
}

/// Gives this thread, and the processes that it starts, mounts of their own.
pub fn own_mounts() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("make a mount namespace");
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).expect("make mounts private");
}

/// Two nodes that know each other.
pub fn pair() -> (Node, Node) {
    pair_with(&["db"])
}

/// Two nodes with these volumes.
pub fn pair_with(volumes: &[&str]) -> (Node, Node) {
    pair_on(volumes, 256)
}

/// Two nodes with these volumes, on disks of so many megabytes.
pub fn pair_on(volumes: &[&str], megabytes: u64) -> (Node, Node) {
    let make = || {
        rcgen::generate_simple_self_signed(vec!["tandem".to_owned()]).expect("make a certificate")
    };
    let (first, second) = (make(), make());
    let (one, two) = (free_address(), free_address());
    let node = |number,
                own: &rcgen::CertifiedKey<rcgen::KeyPair>,
                other: &rcgen::CertifiedKey<rcgen::KeyPair>,
                listen,
                peer| {
        let image = Image::new(megabytes);
        let base = image.path().join("state");
        std::fs::create_dir(&base).expect("make a directory");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(base.join(name), bytes).expect("write an identity");
        };
        write("certificate.der", own.cert.der());
        write("key.der", &own.signing_key.serialize_der());
        write("peer.der", other.cert.der());
        let paths: Vec<(String, PathBuf)> = volumes
            .iter()
            .map(|name| {
                let path = image.path().join(name);
                std::fs::create_dir(&path).expect("make a volume");
                ((*name).to_owned(), path)
            })
            .collect();
        // The disk without what is mounted in it. Looking at it changes no access time.
        let plain = tempfile::tempdir().expect("make a directory");
        let uncovered = Mounted::bind(image.path(), plain.path());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME;
        mount(
            None::<&str>,
            plain.path(),
            None::<&str>,
            flags,
            None::<&str>,
        )
        .expect("noatime");
        Node {
            number,
            uncovered,
            plain,
            log: tempfile::NamedTempFile::new().expect("make a log"),
            log_is_full: false,
            listen,
            peer,
            base,
            volumes: paths,
            environment: Vec::new(),
            mirror: None,
            image,
        }
    };
    (
        node(1, &first, &second, one, two),
        node(2, &second, &first, two, one),
    )
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a port");
    listener.local_addr().expect("find a port")
}

/// One node of a pair.
pub struct Node {
    number: u8,
    listen: SocketAddr,
    peer: SocketAddr,
    base: PathBuf,
    volumes: Vec<(String, PathBuf)>,
    environment: Vec<(String, String)>,
    mirror: Option<Mirror>,
    uncovered: Mounted,
    plain: tempfile::TempDir,
    /// Not on the node's disk, which may fail.
    log: tempfile::NamedTempFile,
    /// The log of the mirrors that are started from now on cannot be written.
    pub log_is_full: bool,
    // Last: unmounted after the mirror is gone.
    image: Image,
}

struct Mirror {
    process: Child,
    daemon: Daemon,
}

impl Node {
    /// The path of the first volume.
    pub fn path(&self) -> &Path {
        &self.volumes[0].1
    }

    /// The path of a volume.
    pub fn volume(&self, name: &str) -> &Path {
        let found = self.volumes.iter().find(|(volume, _)| volume == name);
        &found.expect("a volume").1
    }

    /// The plain directory of a volume, whatever is mounted over it.
    pub fn plain(&self, name: &str) -> PathBuf {
        self.plain.path().join(name)
    }

    /// The node's disk.
    pub fn disk(&self) -> &Path {
        self.image.path()
    }

    /// Makes this node one that was synchronised before: what stands in its volumes is compared, and
    /// not kept aside.
    pub fn met_before(&self) {
        for (name, _) in &self.volumes {
            let position = Position {
                cluster: CLUSTER.to_owned(),
                module: MODULE.to_owned(),
                volume: name.clone(),
                node: self.number,
                written: 1,
                ..Position::default()
            };
            let hidden = self.plain(name).join(".tandem");
            std::fs::create_dir(&hidden).expect("create");
            let beside = self.base.join(format!("{MODULE}.{name}.position"));
            for place in [hidden.join("position"), beside] {
                std::fs::write(place, position.encode()).expect("write a position");
            }
        }
    }

    /// Sets a variable of the mirrors that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Its key, and the certificate that it trusts.
    pub fn identity(&self) -> Identity {
        identity(&self.base)
    }

    /// Where this node's follower listens.
    pub fn listens(&self) -> SocketAddr {
        self.listen
    }

    /// Makes the mirrors that are started from now on look for the peer elsewhere.
    pub fn set_peer(&mut self, address: SocketAddr) {
        self.peer = address;
    }

    /// Starts the mirror and connects to it.
    pub fn start(&mut self) {
        assert!(self.mirror.is_none(), "one mirror at a time");
        let volumes: Vec<String> = self
            .volumes
            .iter()
            .map(|(name, path)| format!("{name}={}", path.display()))
            .collect();
        let setting = format!(
            "{}\n{}\n{}\n{}\n{}",
            self.number,
            self.listen,
            self.peer,
            self.base.display(),
            volumes.join("\t")
        );
        let log = match self.log_is_full {
            true => Path::new("/dev/full"),
            false => self.log.path(),
        };
        let log = std::fs::File::options()
            .append(true)
            .open(log)
            .expect("open the log");
        let process = Process::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_mirror_is_a_process_of_its_own", "--nocapture"])
            .env(SETTING, setting)
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or("info,tandem_mirror=debug".into()),
            )
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start a mirror");
        let daemon = Daemon::connect(&self.base.join("mirror.sock"));
        self.mirror = Some(Mirror { process, daemon });
    }

    /// Kills the mirror as a crash does.
    pub fn kill(&mut self) {
        let mut mirror = self.mirror.take().expect("a mirror runs");
        mirror.process.kill().expect("kill the mirror");
        mirror.process.wait().expect("wait for the mirror");
    }

    /// Sends the mirror a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let process = &self.mirror.as_ref().expect("a mirror runs").process;
        let id = nix::unistd::Pid::from_raw(process.id().cast_signed());
        nix::sys::signal::kill(id, signal).expect("signal the mirror");
    }

    pub fn process_id(&self) -> u32 {
        self.mirror.as_ref().expect("a mirror runs").process.id()
    }

    /// The daemon's side of its socket.
    pub fn daemon(&self) -> &Daemon {
        &self.mirror.as_ref().expect("a mirror runs").daemon
    }

    /// Gives up the connection to the mirror and makes a new one.
    pub fn reconnect(&mut self) {
        let socket = self.base.join("mirror.sock");
        self.mirror.as_mut().expect("a mirror runs").daemon = Daemon::connect(&socket);
    }

    pub fn status(&self) -> Status {
        self.daemon().status()
    }

    pub fn command(&self, command: Command) -> Result<u64, String> {
        self.daemon().command(command)
    }

    /// Serves with a permit without end.
    pub fn serve(&self, epoch: u64, generation: u64, gated: bool) -> u64 {
        let serve = Command::Serve {
            epoch,
            generation,
            gated,
            forced: false,
        };
        let position = self.command(serve).expect("serve");
        self.daemon().permit(epoch, FOREVER);
        position
    }

    pub fn follow(&self, epoch: u64, generation: u64) {
        self.command(Command::Follow {
            epoch,
            generation,
            forget: false,
        })
        .expect("follow");
    }

    /// Believes nothing of what it has.
    pub fn forget_and_follow(&self, epoch: u64, generation: u64) {
        self.command(Command::Follow {
            epoch,
            generation,
            forget: true,
        })
        .expect("follow");
    }

    pub fn await_status(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let (met, last) = self.daemon().await_status(condition);
        assert!(
            met,
            "waited for {what} of node {}; last: {last:?}",
            self.number
        );
        last
    }

    /// What the mirrors of this node logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// That nothing was logged that a person must look at.
    pub fn assert_no_error(&self) {
        let log = self.log();
        assert!(!log.contains("ERROR"), "node {}: {log}", self.number);
        assert!(!log.contains("panicked"), "node {}: {log}", self.number);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of node {}\n{}", self.number, self.log());
        }
        if let Some(mirror) = &mut self.mirror {
            let _ = mirror.process.kill();
            let _ = mirror.process.wait();
        }
    }
}

/// What the daemon's end of the socket saw.
pub struct Daemon {
    stream: UnixStream,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    commands: AtomicU64,
}

#[derive(Default)]
struct Seen {
    status: Option<Status>,
    statuses: u64,
    answers: HashMap<u64, Result<u64, String>>,
    gossip: Vec<Vec<u8>>,
    ended: bool,
}

impl Daemon {
    fn connect(socket: &Path) -> Self {
        let mut stream = None;
        await_true("the mirror's socket", || {
            stream = UnixStream::connect(socket).ok();
            stream.is_some()
        });
        let mut stream = stream.expect("connected");
        let module = MODULE.to_owned();
        let version = VERSION;
        send(&mut stream, &ToMirror::Hello { version, module });
        let seen: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
        let (mut reader, told) = (stream.try_clone().expect("clone"), seen.clone());
        std::thread::spawn(move || {
            while let Some(message) = receive(&mut reader) {
                told.0.lock().expect("seen").take(message);
                told.1.notify_all();
            }
            told.0.lock().expect("seen").ended = true;
            told.1.notify_all();
        });
        let daemon = Self {
            stream,
            seen,
            commands: AtomicU64::new(1),
        };
        assert!(daemon.await_status(|_| true).0, "a first status");
        daemon
    }

    fn say(&self, message: &ToMirror) {
        send(&mut self.stream.try_clone().expect("clone"), message);
    }

    pub fn permit(&self, epoch: u64, until: u64) {
        self.say(&ToMirror::Permit { epoch, until });
    }

    pub fn gossip(&self, message: &[u8]) {
        self.say(&ToMirror::Gossip(message.to_vec()));
    }

    pub fn quit(&self) {
        self.say(&ToMirror::Quit);
    }

    /// Begins a command; [`Self::answer`] waits for it.
    pub fn begin(&self, command: Command) -> u64 {
        let id = self.commands.fetch_add(1, Ordering::SeqCst);
        self.say(&ToMirror::Command { id, command });
        id
    }

    pub fn answer(&self, id: u64) -> Result<u64, String> {
        let mut answer = None;
        self.wait(|seen| {
            answer = seen.answers.get(&id).cloned();
            answer.is_some()
        });
        answer.expect("an answer in time")
    }

    pub fn command(&self, command: Command) -> Result<u64, String> {
        self.answer(self.begin(command))
    }

    pub fn status(&self) -> Status {
        let seen = self.seen.0.lock().expect("seen");
        seen.status.clone().expect("a status")
    }

    /// A status that was made after this call.
    pub fn fresh_status(&self) -> Status {
        let before = self.seen.0.lock().expect("seen").statuses;
        // One may be on its way.
        assert!(
            self.wait(|seen| seen.statuses >= before + 2),
            "a new status"
        );
        self.status()
    }

    pub fn await_gossip(&self, message: &[u8]) {
        let came = self.wait(|seen| seen.gossip.iter().any(|m| m == message));
        assert!(came, "the message comes");
    }

    pub fn await_end(&self) {
        assert!(self.wait(|seen| seen.ended), "the connection ends");
    }

    /// Waits for a status, and says whether it came, and the last one.
    pub fn await_status(&self, condition: impl Fn(&Status) -> bool) -> (bool, Status) {
        let mut last = None;
        let met = self.wait(|seen| {
            last = seen.status.clone();
            seen.status.as_ref().is_some_and(&condition)
        });
        let last = last.expect("a status");
        (met, last)
    }

    /// Waits for a status no longer than this, and says whether it came.
    pub fn await_status_for(&self, time: Duration, condition: impl Fn(&Status) -> bool) -> bool {
        self.wait_for(time, |seen| seen.status.as_ref().is_some_and(&condition))
    }

    fn wait(&self, condition: impl FnMut(&Seen) -> bool) -> bool {
        self.wait_for(PATIENCE, condition)
    }

    fn wait_for(&self, time: Duration, mut condition: impl FnMut(&Seen) -> bool) -> bool {
        let seen = self.seen.0.lock().expect("seen");
        let (_seen, timeout) = self
            .seen
            .1
            .wait_timeout_while(seen, time, |seen| !condition(seen))
            .expect("seen");
        !timeout.timed_out()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Seen {
    fn take(&mut self, message: ToDaemon) {
        match message {
            ToDaemon::Hello { .. } => {}
            ToDaemon::Status(status) => {
                self.status = Some(status);
                self.statuses += 1;
            }
            ToDaemon::Done { id, position } => {
                self.answers.insert(id, Ok(position));
            }
            ToDaemon::Refused { id, reason } => {
                self.answers.insert(id, Err(reason));
            }
            ToDaemon::Gossip(message) => self.gossip.push(message),
        }
    }
}

fn send(stream: &mut UnixStream, message: &ToMirror) {
    let body = postcard::to_stdvec(message).expect("encode");
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(body);
    stream.write_all(&bytes).expect("the mirror reads");
}

fn receive(stream: &mut UnixStream) -> Option<ToDaemon> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(postcard::from_bytes(&body).expect("decode"))
}

/// Waits for something outside.
pub fn await_true(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs something in a thread of its own, to see whether it returns.
pub fn aside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Aside<T> {
    let (done, outcome) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(run());
    });
    Aside(outcome)
}

/// Something that runs.
pub struct Aside<T>(std::sync::mpsc::Receiver<T>);

impl<T> Aside<T> {
    /// That it has not returned after this time.
    pub fn assert_waits(&self, time: Duration) {
        assert!(self.0.recv_timeout(time).is_err(), "it must wait");
    }

    pub fn outcome(&self) -> T {
        self.0.recv_timeout(PATIENCE).expect("it returns")
    }
}
