//! MariaDB 10.11 from Debian, the application of the second module: it writes its tables with
//! `O_DIRECT` and native asynchronous requests, past the page cache.

use crate::host::Host;
use crate::lab::{CLIENT, Lab};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Its module.
pub const MODULE: &str = "records";
/// Its unit.
pub const UNIT: &str = "mariadb.service";
/// Its directory: the volume of its module.
pub const DATA: &str = "/srv/mariadb";
/// The virtual address of its module.
pub const VIRTUAL: &str = "10.99.0.101";
/// Its module in the configuration.
pub const CONFIGURATION: &str = r#"
[[module]]
name = "records"

[[module.volume]]
name = "records"
path = "/srv/mariadb"

[[module.address]]
address = "10.99.0.101/24"
interface = "eth0"

[[module.service]]
name = "mariadb"
unit = "mariadb.service"
ready = { tcp = "127.0.0.1:3306" }
"#;
/// The table of the client's rows, and the client.
pub const CREATE: &str = "create database client; \
    create table client.events (id bigint primary key, payload varchar(200) not null) \
      engine=innodb; \
    create user client@'%'; grant all on client.* to client@'%'";

/// Settings that the tests need; durable by default.
const SETTINGS: &str = "\
[mysqld]
datadir = /srv/mariadb
bind-address = 0.0.0.0
skip-name-resolve
innodb_flush_method = O_DIRECT
innodb_use_native_aio = ON
innodb_buffer_pool_size = 32M
innodb_log_file_size = 16M
";
/// How long a statement of the client may take, with its connection, before it is given up.
const STATEMENTS_LIMIT: &str = "5";
/// Statements on one connection. A row is acknowledged when its number is printed.
const WRITE_ROWS: &str = r#"
while :; do
  for number in $(seq $first $((first + 99))); do
    echo "insert into events values ($number, repeat('x', 200)); select $number;"
  done | timeout -s KILL $limit chroot $root mariadb --no-defaults -h $address -u client \
           --connect-timeout=1 -N -B --unbuffered client
  first=$((first + 100))
done"#;

/// Prepares it on a host that runs: its settings and an empty database.
///
/// # Errors
/// A command failed.
pub fn prepare(host: &Host<'_>) -> Result<()> {
    host.must(&format!(
        "cat >/etc/mysql/mariadb.conf.d/90-lab.cnf <<'END'\n{SETTINGS}\nEND\n\
         mariadb-install-db --user=mysql --skip-test-db >/dev/null && sync"
    ))
    .map(drop)
}

/// Runs statements on the host and gives what is printed, one row a line.
///
/// # Errors
/// The database does not answer, or refuses.
pub fn query(host: &Host<'_>, statements: &str) -> Result<String> {
    host.exec(&["mariadb", "-N", "-B", "-e", statements])?
        .success()
        .with_context(|| format!("h{}: {statements}", host.number))
}

/// Its tables are whole, and every row of `expected` is there.
///
/// # Errors
/// One of these does not hold.
pub fn has_all(host: &Host<'_>, expected: &[u64]) -> Result<()> {
    let checked = query(host, "check table client.events extended")?;
    ensure!(
        checked.trim_end().ends_with("\tOK") && checked.lines().count() == 1,
        "the table is damaged: {checked}"
    );
    let found = query(host, "select id from client.events")?
        .lines()
        .map(str::parse)
        .collect::<Result<BTreeSet<u64>, _>>()?;
    let lost = expected.iter().filter(|n| !found.contains(n)).count();
    ensure!(
        lost == 0,
        "{lost} of {} acknowledged rows are lost",
        expected.len()
    );
    Ok(())
}

/// Its files are really open with `O_DIRECT`, and its requests are really native ones.
///
/// # Errors
/// They are not.
pub fn writes_past_the_page_cache(host: &Host<'_>) -> Result<()> {
    let native = query(host, "select @@innodb_use_native_aio")?;
    ensure!(native.trim() == "1", "native requests are off: {native}");
    let pid = host.main_process(UNIT)?.context("MariaDB runs")?;
    let mut direct = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(name) = fs::read_link(entry.path()) else {
            continue;
        };
        if !name.to_string_lossy().ends_with(".ibd") {
            continue;
        }
        let number = entry.file_name();
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.display()))?;
        let flags = about.lines().find_map(|l| l.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap_or_default().trim(), 8)?;
        if flags & rustix::fs::OFlags::DIRECT.bits() != 0 {
            direct += 1;
        }
    }
    ensure!(direct > 0, "no table is open with O_DIRECT");
    Ok(())
}

/// A client on the third host, which writes numbered rows all the time.
#[derive(Debug)]
pub struct Writer {
    process: Child,
    acknowledged: PathBuf,
}

impl Writer {
    /// Starts it. Its numbers begin at `first`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(lab: &Lab, first: u64) -> Result<Self> {
        let acknowledged = lab.directory.join(format!("mariadb-{first}"));
        let words = lab.at(CLIENT);
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["bash", "-c", WRITE_ROWS])
            .env("first", first.to_string())
            .env("limit", STATEMENTS_LIMIT)
            .env("root", &lab.root)
            .env("address", VIRTUAL)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&acknowledged)?)
            // What it says while nobody serves is not of interest.
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the client of MariaDB")?;
        Ok(Self {
            process,
            acknowledged,
        })
    }

    /// What was acknowledged so far: whole lines only.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn rows(&self) -> Result<Vec<u64>> {
        let text = fs::read_to_string(&self.acknowledged)?;
        let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
        lines
            .map(|l| l.trim().parse().context("a row's number"))
            .collect()
    }

    /// Waits until `count` more rows are acknowledged than now.
    ///
    /// # Errors
    /// They were not, within the limit.
    pub fn wait_for_rows(&self, count: usize, limit: Duration) -> Result<()> {
        let before = self.rows()?.len();
        let what = format!("{count} more rows in MariaDB");
        wait_for(&what, limit, || {
            Ok((self.rows()?.len() >= before + count).then_some(()))
        })
    }

    /// Ends it and gives all that was acknowledged.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn stop(mut self) -> Result<Vec<u64>> {
        self.end();
        self.rows()
    }

    /// Ends the shell and what it started: a client that lives on would write on.
    fn end(&mut self) {
        let pid = i32::try_from(self.process.id()).expect("a process's number");
        if let Some(group) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}
