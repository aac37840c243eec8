//! PostgreSQL as Debian installs it, run as its own user on a directory of the test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.flatten().map(|version| version.path().join("bin"));
    found.filter(|bin| bin.join("postgres").exists()).max()
}

pub fn is_installed() -> bool {
    programs().is_some()
}

fn program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(programs().expect("installed").join(name))
        .current_dir("/");
    command
}

/// Makes a database in an empty directory, which the user gets, with a log of small pieces: copies
/// of it are quick.
pub fn make_cluster(directory: &Path) {
    open_the_way_to(directory);
    crate::disk::run(Command::new("chown").arg("postgres:").arg(directory));
    crate::disk::run(Command::new("chmod").arg("700").arg(directory));
    crate::disk::run(
        program("initdb")
            .args(["--wal-segsize=1", "--auth=trust", "--no-sync", "-D"])
            .arg(directory),
    );
    // `--no-sync`: the comparison and the drain bring it to both disks.
}

/// Lets the user reach what is below a directory of the test.
fn open_the_way_to(directory: &Path) {
    let mut above = directory.ancestors().skip(1);
    while let Some(above) = above.next().filter(|above| *above != std::env::temp_dir()) {
        crate::disk::run(Command::new("chmod").arg("a+x").arg(above));
    }
}

/// Whether it waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    Yes,
    /// Recovery is quick; the machine does not fail meanwhile.
    No,
}

/// A running server.
pub struct Postgres {
    data: PathBuf,
    /// Of its socket and its log.
    place: tempfile::TempDir,
}

impl Postgres {
    /// Starts it, and waits until it has recovered.
    pub fn start(data: &Path, durable: Durable) -> Result<Self, String> {
        open_the_way_to(data);
        let place = tempfile::tempdir().expect("make a directory");
        crate::disk::run(Command::new("chown").arg("postgres:").arg(place.path()));
        let fsync = match durable {
            Durable::Yes => "on",
            Durable::No => "off",
        };
        let options = format!(
            "-k {} -c listen_addresses= -c fsync={fsync} -c shared_buffers=2MB -c max_wal_size=4MB \
             -c min_wal_size=2MB -c max_connections=10 -c autovacuum_naptime=5s",
            place.path().display()
        );
        let log = place.path().join("log");
        let started = program("pg_ctl")
            .args(["-s", "-w", "-t", "60", "start", "-o", &options, "-D"])
            .arg(data)
            .arg("-l")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("run pg_ctl");
        if !started.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("PostgreSQL does not start:\n{text}"));
        }
        let data = data.to_owned();
        Ok(Self { data, place })
    }

    fn psql(&self) -> Command {
        let mut command = program("psql");
        command
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-h"])
            .arg(self.place.path());
        command
    }

    /// What it answers, one row a line.
    pub fn query(&self, statement: &str) -> Result<String, String> {
        let asked = self.psql().args(["-c", statement]).output();
        let asked = asked.expect("run psql");
        if !asked.status.success() {
            return Err(String::from_utf8_lossy(&asked.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&asked.stdout).into_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = program("pg_ctl")
            .args(["-s", "-m", "immediate", "stop", "-D"])
            .arg(&self.data)
            .stderr(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("PostgreSQL on {} did not stop", self.data.display());
        }
    }
}

/// A client that asks one thing after the other on one connection.
pub struct Client {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    pub fn connect(database: &Postgres) -> Self {
        let mut process = database
            .psql()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run psql");
        let questions = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Self {
            process,
            questions,
            answers,
        }
    }

    /// Asks for one row, and waits for it.
    pub fn ask(&mut self, statement: &str) -> String {
        writeln!(self.questions, "{statement};").expect("ask");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        assert!(answer.ends_with('\n'), "the server has gone");
        answer
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
