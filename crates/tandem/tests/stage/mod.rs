//! Two machines out of namespaces: each has its own network, mounts, processes and disk (an ext4
//! image), and can lose all its processes at once. They are joined by one cable.
//!
//! Everything lies below one temporary directory and ends with its owner.

#![allow(
    dead_code,
    reason = "shared by several tests, of which none needs everything"
)]

pub mod configuration;
pub mod http;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tandem_wire::api::{ClusterStatus, ModuleStatus};

/// The longest wait for anything: a loaded machine with two cores is slow, not broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Enough for a small tree, and quick to make.
const DISK_BYTES: u64 = 64 << 20;
/// Where the machines' disks lie, if there is room: in memory, so that what a neighbour writes to the
/// disk below does not make a machine's sync last longer than the pair's limits, which are short here.
const MEMORY: &str = "/dev/shm";
/// Enough for the stages that a test program has at a time.
const ROOM_BYTES: u64 = 1 << 30;

/// Whether a test that needs root can run here. With `CI=true` it must.
pub fn is_root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{test} needs root, and CI skips nothing"
        );
        eprintln!("skipped: {test} needs root");
    }
    root
}

/// Waits until `condition` gives something, looking often.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the command can be started");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit status of a command, and everything it said.
pub fn outcome(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("the command can be started");
    let status = output.status.code().expect("it was not killed");
    (status, said(&output))
}

/// Everything that a command said.
pub fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Where a stage is built.
fn room() -> PathBuf {
    let found = nix::sys::statvfs::statvfs(MEMORY);
    let free = found.map_or(0, |room| room.blocks_available() * room.fragment_size());
    match free >= ROOM_BYTES {
        true => MEMORY.into(),
        false => std::env::temp_dir(),
    }
}

/// The cable, the configuration, and the room for two machines.
pub struct Stage {
    directory: tempfile::TempDir,
    name: String,
}

impl Stage {
    /// Builds the network and writes the configuration, whose `{data}` and `{shared}` become
    /// places of this stage. `name`: at most six letters, of this test only.
    pub fn build(name: &str, configuration: &str) -> Self {
        let directory = tempfile::tempdir_in(room()).expect("a temporary directory");
        let stage = Self {
            directory,
            name: format!("t{}{name}", std::process::id()),
        };
        for number in [1, 2] {
            run(Command::new("ip").args(["netns", "add", &stage.network(number)]));
            fs::create_dir_all(stage.node_dir(number)).expect("a temporary directory");
            let disk = stage.disk(number);
            let file = fs::File::create(&disk).expect("a temporary directory");
            file.set_len(DISK_BYTES).expect("a sparse file");
            run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk));
        }
        let ends = [1, 2].map(|number| stage.network(number));
        run(Command::new("ip")
            .args(["link", "add", "eth0", "netns", &ends[0], "type", "veth"])
            .args(["peer", "name", "eth0", "netns", &ends[1]]));
        for number in [1, 2] {
            let address = format!("10.99.0.{number}/24");
            for words in [
                vec!["addr", "add", &address, "dev", "eth0"],
                vec!["link", "set", "eth0", "up"],
                vec!["link", "set", "lo", "up"],
            ] {
                run(Command::new("ip")
                    .args(["-n", &stage.network(number)])
                    .args(words));
            }
        }
        fs::create_dir(stage.data()).expect("a temporary directory");
        fs::create_dir(stage.shared()).expect("a temporary directory");
        let configuration = configuration
            .replace("{data}", &stage.data().display().to_string())
            .replace("{shared}", &stage.shared().display().to_string());
        fs::write(stage.config(), configuration).expect("a temporary directory");
        stage
    }

    fn network(&self, number: u8) -> String {
        format!("{}-{number}", self.name)
    }

    fn disk(&self, number: u8) -> PathBuf {
        self.node_dir(number).join("disk")
    }

    fn node_dir(&self, number: u8) -> PathBuf {
        self.directory.path().join(format!("node{number}"))
    }

    /// The configuration file of both.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("tandem.toml")
    }

    /// Changes the network of machine 1 or 2, as `ip` does.
    pub fn ip(&self, number: u8, words: &[&str]) -> String {
        let network = self.network(number);
        run(Command::new("ip").args(["-n", &network]).args(words))
    }

    /// A command in the network of machine 1 or 2.
    pub fn command(&self, number: u8, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.network(number)))
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs something in the network of machine 1 or 2.
    pub fn in_network<T: Send>(&self, number: u8, work: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/run/netns/{}", self.network(number)));
        let network = network.expect("the network was built");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // For this thread alone.
                nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET)
                    .expect("root may do this");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Everything that both machines' processes said.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for number in [1, 2] {
            let directory = self.node_dir(number);
            let mirror = fs::read_dir(directory.join("run"))
                .into_iter()
                .flatten()
                .flatten();
            let mirror = mirror
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|e| e == "log"));
            for path in std::iter::once(directory.join("daemon.log")).chain(mirror) {
                text += &format!(
                    "-- {}\n{}",
                    path.display(),
                    fs::read_to_string(&path).unwrap_or_default()
                );
            }
        }
        text
    }

    /// Where each machine mounts its disk.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What both machines and this test see.
    pub fn shared(&self) -> PathBuf {
        self.directory.path().join("shared")
    }

    /// Starts machine 1 or 2, with its disk mounted and nothing else running.
    pub fn boot(&self, number: u8) -> Machine<'_> {
        // What was in /run is gone after a boot.
        let _ = fs::remove_dir_all(self.node_dir(number).join("run"));
        let ready = self.node_dir(number).join("ready");
        let _ = fs::remove_file(&ready);
        // The first process of a machine takes in what others leave behind.
        let script = format!(
            "mount -o loop {disk} {data} && mkdir -p {data}/volume {data}/other && touch {ready} && \
             while :; do sleep 1000 & wait $!; done",
            disk = self.disk(number).display(),
            data = self.data().display(),
            ready = ready.display(),
        );
        let console = self.node_dir(number).join("console");
        let console = fs::File::create(console).expect("a temporary directory");
        let first = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.network(number)))
            .args([
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", &script])
            .stdin(Stdio::null())
            .stderr(console)
            .spawn()
            .expect("util-linux is there");
        let mut machine = Machine {
            stage: self,
            number,
            first,
            daemon: RefCell::new(None),
            config: self.config(),
        };
        until("a machine boots", || {
            let ended = machine.first.try_wait().expect("a child");
            assert!(ended.is_none(), "the machine ended: {ended:?}");
            ready.exists().then_some(())
        });
        machine
    }
}

/// The first start of a pair that is stopped: node1 serves, node2 follows.
pub fn first_start(one: &Machine<'_>, two: &Machine<'_>) {
    one.wait_for(["STOP", "red", "not uptodate"]);
    two.wait_for(["STOP", "red", "not uptodate"]);
    for node in [one, two] {
        run(&mut node.tandem(&["start", "--no-wait"]));
    }
    one.wait_for(["WAIT", "red", "not uptodate"]);
    two.wait_for(["WAIT", "red", "not uptodate"]);
    run(&mut one.tandem(&["prim"]));
    two.wait_for(["SECOND", "green", "uptodate"]);
    one.wait_for(["PRIM", "green", "uptodate"]);
}

/// Boots and pairs both machines, and starts their daemons.
pub fn pair_offline(stage: &Stage) -> (Machine<'_>, Machine<'_>) {
    let (one, two) = (stage.boot(1), stage.boot(2));
    make_keys(&one, &two);
    one.start_daemon();
    two.start_daemon();
    (one, two)
}

/// Writes the keys of both nodes.
pub fn make_keys(one: &Machine<'_>, two: &Machine<'_>) {
    run(Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["cluster", "init", "--offline"])
        .args([one.state_dir(), two.state_dir()]));
}

impl Drop for Stage {
    fn drop(&mut self) {
        for number in [1, 2] {
            // It may not have been made.
            let _ = (Command::new("ip").args(["netns", "del", &self.network(number)])).output();
        }
    }
}

/// One machine.
pub struct Machine<'a> {
    stage: &'a Stage,
    number: u8,
    first: Child,
    daemon: RefCell<Option<Child>>,
    /// The configuration that this machine's node reads.
    pub config: PathBuf,
}

impl Machine<'_> {
    /// The id of the machine's first process, as this test sees it.
    fn init(&self) -> Option<String> {
        child_of(&self.first)
    }

    /// A command on this machine.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let init = until("the machine's first process", || self.init());
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &init, "--mount", "--net", "--pid"])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// The state directory of this machine's node.
    pub fn state_dir(&self) -> PathBuf {
        self.stage.node_dir(self.number).join("state")
    }

    /// A file of this machine's runtime directory.
    pub fn runtime(&self, name: &str) -> PathBuf {
        self.stage.node_dir(self.number).join("run").join(name)
    }

    /// The log of the daemon.
    pub fn log(&self) -> PathBuf {
        self.stage.node_dir(self.number).join("daemon.log")
    }

    /// `tandem` with these words.
    pub fn tandem(&self, words: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_tandem"));
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--runtime-dir")
            .arg(self.runtime(""));
        command
    }

    /// Starts the daemon.
    pub fn start_daemon(&self) {
        self.start_daemon_with(&[]);
    }

    /// Starts the daemon with these environment variables.
    pub fn start_daemon_with(&self, environment: &[(&str, String)]) {
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.log());
        let log = log.expect("a temporary directory");
        let daemon = (self.tandem(&["daemon"]))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the binary is built");
        *self.daemon.borrow_mut() = Some(daemon);
    }

    /// Ends the daemon without a word, and nothing else.
    pub fn kill_daemon(&self) {
        self.signal_daemon("-KILL");
    }

    /// Asks the daemon to end.
    pub fn stop_daemon(&self) {
        self.signal_daemon("-TERM");
    }

    /// The daemon's process, as this test sees it.
    pub fn daemon_id(&self) -> String {
        let daemon = self.daemon.borrow();
        let daemon = daemon.as_ref().expect("it was started");
        // What was started is nsenter; the daemon is its child in the machine.
        until("the daemon's process", || child_of(daemon))
    }

    fn signal_daemon(&self, signal: &str) {
        let pid = self.daemon_id();
        let mut daemon = self.daemon.borrow_mut().take().expect("it was started");
        run(Command::new("kill").args([signal, &pid]));
        daemon.wait().expect("a child");
    }

    /// Both nodes, as this one's daemon says.
    pub fn status(&self) -> Option<ClusterStatus> {
        let output = self.tandem(&["status", "--json"]).output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The module on this node, as its daemon says: state, colour, data, reason.
    pub fn module(&self) -> Option<ModuleStatus> {
        self.modules()?.into_iter().next()
    }

    /// All modules on this node, as its daemon says.
    pub fn modules(&self) -> Option<Vec<ModuleStatus>> {
        let nodes = self.status()?.nodes.into_iter();
        let mine = nodes.into_iter().find(|node| node.node == self.number)?;
        Some(mine.modules)
    }

    /// One of several modules on this node.
    pub fn module_named(&self, name: &str) -> Option<ModuleStatus> {
        self.modules()?.into_iter().find(|m| m.name == name)
    }

    /// Waits for a state, colour and data column of the only module.
    pub fn wait_for(&self, face: [&str; 3]) {
        self.wait_until(face, || self.module());
    }

    /// Waits for a state, colour and data column of one of several modules.
    pub fn wait_for_module(&self, name: &str, face: [&str; 3]) {
        self.wait_until(face, || self.module_named(name));
    }

    fn wait_until(&self, face: [&str; 3], look: impl Fn() -> Option<ModuleStatus>) {
        let mut last = None;
        let what = format!("node{} becomes {face:?}", self.number);
        let end = Instant::now() + PATIENCE;
        loop {
            let module = look();
            if let Some(module) = &module
                && [&module.state, &module.colour, &module.data] == face
            {
                return;
            }
            assert!(
                Instant::now() < end,
                "{what}: it is {last:?}\n{}",
                self.stage.logs()
            );
            last = module.map(|m| (m.state, m.colour, m.data, m.reason));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends every process of the machine at once, without a word to anybody.
    pub fn kill(mut self) {
        if let Some(init) = self.init() {
            run(Command::new("kill").args(["-KILL", &init]));
        }
        // The namespace is gone when its first process has been taken in.
        let _ = self.first.wait();
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Some(init) = self.init() {
            let _ = Command::new("kill").args(["-KILL", &init]).output();
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
        if let Some(mut daemon) = self.daemon.borrow_mut().take() {
            let _ = daemon.wait();
        }
    }
}

/// The first process that a process has started.
fn child_of(process: &Child) -> Option<String> {
    let children = format!("/proc/{0}/task/{0}/children", process.id());
    let children = fs::read_to_string(children).ok()?;
    children.split_whitespace().next().map(str::to_owned)
}

/// The lines of a file; none, if it is not there.
pub fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
