//! The application that the demonstration protects: a recorder of numbered events.
//!
//! A client sends a number on a line; the recorder inserts it into an SQLite database, commits, and
//! answers `ok NUMBER`. The commit is SQLite's own: write-ahead log with `synchronous=FULL`, so each
//! answer stands on an fsync. The log is used in exclusive mode because its shared index would be
//! memory that is mapped, rebuilt at every start, and not worth mirroring.
//!
//! It knows nothing of Tandem and does nothing to help it: no retry, no second fsync, no cache. An
//! error of the disk ends it.

use rusqlite::{Connection, params};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// The file in the mirrored directory.
pub const DATABASE: &str = "events.db";
/// The port on the virtual address.
pub const PORT: u16 = 7700;
/// Connections at a time: the client has one, and leaves a few dead ones behind.
const CONNECTIONS_MAX: usize = 64;
/// The longest line of a client: a number of 20 digits.
const LINE_BYTES_MAX: u64 = 32;
/// How long a stop may take before it is enforced: one commit, and the log's way into the database.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the check waits for the greeting.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// The recorder, and the two commands beside it that make it a service.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum RecorderCommand {
    /// Is it: runs until it is ended.
    Serve(RecorderOptions),
    /// Ends it.
    Stop(RecorderOptions),
    /// Succeeds if it answers.
    Check(RecorderOptions),
}

/// Where the recorder lives.
#[derive(Debug, Clone, clap::Args)]
pub struct RecorderOptions {
    /// The directory of the database.
    #[arg(long)]
    directory: PathBuf,
    /// The file with the number of its process.
    #[arg(long)]
    pid_file: PathBuf,
}

/// Why the recorder cannot go on.
#[derive(Debug, thiserror::Error)]
enum RecorderError {
    #[error("{attempt}: {source}")]
    Io {
        attempt: &'static str,
        source: io::Error,
    },
    #[error("{attempt}: {source}")]
    Database {
        attempt: &'static str,
        source: rusqlite::Error,
    },
    #[error("it greets with {greeting:?}")]
    Stranger { greeting: String },
    #[error("it cannot be ended")]
    Immortal,
}

/// Runs one of the recorder's commands.
pub fn run(command: &RecorderCommand) -> ExitCode {
    let outcome = match command {
        RecorderCommand::Serve(options) => serve(options),
        RecorderCommand::Stop(options) => stop(options),
        RecorderCommand::Check(_) => check(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recorder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stop(options: &RecorderOptions) -> Result<(), RecorderError> {
    for (signal, limit) in [(Signal::SIGTERM, STOP_LIMIT), (Signal::SIGKILL, STOP_LIMIT)] {
        let Some(process) = running(options) else {
            return Ok(());
        };
        // A process that ends in this moment is what is wanted.
        let _ = kill(process, signal);
        if wait_for(limit, || running(options).is_none()) {
            return Ok(());
        }
    }
    Err(RecorderError::Immortal)
}

fn check() -> Result<(), RecorderError> {
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let stream = TcpStream::connect_timeout(&address, CHECK_LIMIT)
        .and_then(|stream| stream.set_read_timeout(Some(CHECK_LIMIT)).map(|()| stream))
        .map_err(io_error("connect to the recorder"))?;
    let mut greeting = String::new();
    BufReader::new(stream)
        .read_line(&mut greeting)
        .map_err(io_error("read its greeting"))?;
    match node_of(&greeting) {
        Some(_) => Ok(()),
        None => Err(RecorderError::Stranger { greeting }),
    }
}

/// The first line of a connection: who records, and on which node.
fn greeting() -> String {
    let host = rustix::system::uname();
    format!("recorder {}\n", host.nodename().to_string_lossy())
}

/// The node that a greeting names.
pub fn node_of(greeting: &str) -> Option<&str> {
    greeting.strip_prefix("recorder ").map(str::trim_end)
}

fn serve(options: &RecorderOptions) -> Result<(), RecorderError> {
    // Before the first thread, so that all have it blocked and only the wait below takes it.
    let mut end = SigSet::empty();
    end.add(Signal::SIGTERM);
    end.thread_block()
        .map_err(io::Error::from)
        .map_err(io_error("block SIGTERM"))?;
    let database = open_database(&options.directory.join(DATABASE))?;
    let database = Arc::new(Mutex::new(Some(database)));
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], PORT)))
        .map_err(io_error("listen for clients"))?;
    fs::write(&options.pid_file, std::process::id().to_string())
        .map_err(io_error("write the process file"))?;

    let accepting = Arc::clone(&database);
    thread::spawn(move || accept(&listener, &accepting));
    end.wait()
        .map_err(io::Error::from)
        .map_err(io_error("wait for SIGTERM"))?;
    close(&database)
}

/// Waits for the commit in progress, then closes the database, which brings its log to an end.
fn close(database: &Mutex<Option<Connection>>) -> Result<(), RecorderError> {
    let connection = database
        .lock()
        .expect("a thread that holds the database ends the process instead of panicking")
        .take();
    match connection.map(Connection::close) {
        None | Some(Ok(())) => Ok(()),
        Some(Err((_, source))) => Err(RecorderError::Database {
            attempt: "close the database",
            source,
        }),
    }
}

fn open_database(path: &Path) -> Result<Connection, RecorderError> {
    let failed = |attempt| move |source| RecorderError::Database { attempt, source };
    let database = Connection::open(path).map_err(failed("open the database"))?;
    // The order matters: exclusive before the log is touched, or it makes its shared index.
    database
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS event (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 number INTEGER NOT NULL
             );",
        )
        .map_err(failed("prepare the database"))?;
    Ok(database)
}

fn accept(listener: &TcpListener, database: &Arc<Mutex<Option<Connection>>>) {
    let connections = Arc::new(());
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if Arc::strong_count(&connections) > CONNECTIONS_MAX {
            continue;
        }
        let database = Arc::clone(database);
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            // A client that goes away is no matter for the recorder.
            let _ = converse(stream, &database);
            drop(counted);
        });
    }
}

fn converse(mut stream: TcpStream, database: &Mutex<Option<Connection>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(greeting().as_bytes())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        io::Read::take(&mut reader, LINE_BYTES_MAX).read_line(&mut line)?;
        let Ok(number) = line.trim_end().parse::<i64>() else {
            return Ok(());
        };
        if !record(database, number) {
            return Ok(());
        }
        stream.write_all(format!("ok {number}\n").as_bytes())?;
    }
}

/// Inserts and commits; `false` when the recorder is about to end.
fn record(database: &Mutex<Option<Connection>>, number: i64) -> bool {
    let database = database
        .lock()
        .expect("a thread that holds the database ends the process instead of panicking");
    let Some(connection) = database.as_ref() else {
        return false;
    };
    let inserted = connection
        .prepare_cached("INSERT INTO event (number) VALUES (?1)")
        .and_then(|mut insert| insert.execute(params![number]));
    if let Err(error) = inserted {
        // As a database does: what is on the disk is unknown now, so begin again from there.
        eprintln!("recorder: commit event {number}: {error}");
        std::process::exit(1);
    }
    true
}

/// The recorder's process, if it runs: a number in a file may be another's by now.
fn running(options: &RecorderOptions) -> Option<Pid> {
    let number: i32 = fs::read_to_string(&options.pid_file).ok()?.parse().ok()?;
    let words = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    words
        .split(|byte| *byte == 0)
        .any(|word| word == b"demo-recorder")
        .then(|| Pid::from_raw(number))
}

fn wait_for(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

fn io_error(attempt: &'static str) -> impl Fn(io::Error) -> RecorderError {
    move |source| RecorderError::Io { attempt, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_node() {
        assert_eq!(node_of("recorder node2\n"), Some("node2"));
        assert_eq!(node_of("SSH-2.0\n"), None);
        assert!(node_of(&greeting()).is_some());
    }

    #[test]
    fn the_database_keeps_its_log_without_a_shared_index() {
        let directory = std::env::temp_dir().join(format!("recorder-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for the test");
        let database = Mutex::new(Some(
            open_database(&directory.join(DATABASE)).expect("the database opens"),
        ));
        assert!(record(&database, 7));
        assert!(directory.join("events.db-wal").exists());
        assert!(!directory.join("events.db-shm").exists());
        close(&database).expect("the database closes");
        assert!(!record(&database, 8), "closed");
        assert!(!directory.join("events.db-wal").exists());
        fs::remove_dir_all(&directory).expect("the test's directory");
    }
}
