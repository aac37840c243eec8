//! Starts the mirror's process when nobody listens at its socket: as a systemd unit where systemd
//! runs, else detached from this process, so that it outlives a daemon that is killed or upgraded.
//!
//! It is never ended while it serves the application.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tandem_host::systemd::{self, Systemd};
use tandem_wire::local::{ToMirror, VERSION_MIN};

/// The pause after an attempt, doubled up to [`PAUSE_MAX`]; begins anew when a mirror was there.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// A mirror that cannot start is tried for ever: only it can bring the module back. No longer than a
/// person's patience: what kept it from starting may just have been repaired.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long systemd may take to start the unit.
const START_MAX: Duration = Duration::from_secs(30);

/// How long an idle mirror may take to end.
const QUIT_MAX: Duration = Duration::from_secs(5);

/// How the process of one module's mirror is started.
#[derive(Clone, Debug)]
pub(crate) struct MirrorProcess {
    pub module: String,
    pub config: PathBuf,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
}

/// Starts it again and again, not too often.
pub(crate) struct Starter {
    process: MirrorProcess,
    busy: Arc<AtomicBool>,
    pause: Duration,
    next: Instant,
}

impl Starter {
    /// Nothing was started yet.
    pub(crate) fn new(process: MirrorProcess) -> Self {
        Self {
            process,
            busy: Arc::new(AtomicBool::new(false)),
            pause: PAUSE_MIN,
            next: Instant::now(),
        }
    }

    /// A mirror is there.
    pub(crate) fn found(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// None is there: starts one, unless that is under way or was tried just now.
    pub(crate) fn missing(&mut self) {
        let now = Instant::now();
        if now < self.next || self.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let (process, busy) = (self.process.clone(), self.busy.clone());
        tokio::spawn(async move {
            match systemd::is_present() {
                true => process.start_unit().await,
                false => process.spawn().await,
            }
            busy.store(false, Ordering::Relaxed);
        });
    }
}

/// Ends an idle mirror, for good if no daemon runs. Gives back whether none is left.
#[must_use]
pub fn dismiss(socket: &Path, module: &str) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return true;
    };
    let hello = ToMirror::Hello {
        // Whatever it speaks, it knows this word in its oldest version.
        version: VERSION_MIN,
        module: module.to_owned(),
    };
    let words = [hello, ToMirror::Quit].map(|word| {
        let bytes = postcard::to_stdvec(&word).expect("plain data");
        [(bytes.len() as u32).to_le_bytes().as_slice(), &bytes].concat()
    });
    if stream.write_all(&words.concat()).is_err() {
        return true;
    }
    let end = Instant::now() + QUIT_MAX;
    let mut piece = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        // What it reports makes no difference; its end does.
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Ok(_) | Err(_) => {}
        }
    }
}

impl MirrorProcess {
    async fn start_unit(&self) {
        let unit = format!("tandem-mirror@{}.service", self.module);
        let started = match Systemd::connect().await {
            Ok(systemd) => systemd.start(&unit, START_MAX).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => tracing::info!("started {unit}"),
            Err(error) => tracing::error!("start {unit}: {}", crate::report(&error)),
        }
    }

    /// Returns when the process has ended.
    async fn spawn(&self) {
        let mut child = match self.command() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!("start the mirror of module {}: {error}", self.module);
                return;
            }
        };
        tracing::info!("started the mirror of module {}", self.module);
        match child.wait().await {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::error!("the mirror of module {} ended: {status}", self.module),
            Err(error) => tracing::error!("wait for the mirror: {error}"),
        }
    }

    fn command(&self) -> std::io::Result<tokio::process::Child> {
        // Its own log: the daemon's may be a pipe that nobody reads once the daemon is gone.
        let log = self.runtime_dir.join(format!("{}.mirror.log", self.module));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        // A binary that was replaced by an upgrade is still to be found under its old name.
        let program = std::env::current_exe()?;
        let program = match program.to_string_lossy().strip_suffix(" (deleted)") {
            Some(name) => PathBuf::from(name),
            None => program.clone(),
        };
        let mut command = tokio::process::Command::new(program);
        command
            .arg("mirror")
            .args(["--module", &self.module])
            .arg("--config")
            .arg(&self.config)
            .arg("--state-dir")
            .arg(&self.state_dir)
            .arg("--runtime-dir")
            .arg(&self.runtime_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/");
        crate::sys::in_a_session_of_its_own(&mut command);
        command.spawn()
    }
}
