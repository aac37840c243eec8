//! The client on the third host: it writes numbered rows into the database through the virtual
//! address, and keeps in a file of its own what was acknowledged, and when.
//!
//! Several workers, so that the database commits in groups, as under real load. No number is ever
//! used twice: a row whose answer did not come may or may not be there.

use crate::lab::{CLIENT, Lab};
use crate::linux::boottime;
use crate::postgres::CREATE_TABLE;
use crate::shell::run;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Longer than a connection takes on a loaded machine, shorter than TCP's first retry.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// A statement that takes longer is given up together with its connection.
const STATEMENT_LIMIT: Duration = Duration::from_secs(1);
/// The pause after a failed try.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Size of a row in bytes, about.
const PAYLOAD_BYTES: usize = 200;

/// What the client is asked to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// The database's address, with its port.
    pub target: String,
    /// Where it keeps what was acknowledged.
    pub file: PathBuf,
    /// How many rows are on their way at a time.
    pub workers: u64,
    /// The first number.
    pub first: u64,
}

/// Writes until it is ended. Each acknowledged row is a line `number sent acknowledged`, in
/// nanoseconds of the boot clock, in the file before the next one is sent by that worker.
///
/// # Errors
/// The file cannot be written; whatever happens to the database is not an error.
pub fn write_rows(order: &Order) -> Result<()> {
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&order.file)
        .with_context(|| order.file.display().to_string())?;
    let shared = Arc::new(Shared {
        target: order.target.parse().context("the database's address")?,
        file: Mutex::new(file),
        next: AtomicU64::new(order.first),
    });
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let workers = (0..order.workers)
                .map(|_| tokio::spawn(work(Arc::clone(&shared))))
                .collect::<Vec<_>>();
            for worker in workers {
                worker.await??;
            }
            Ok(())
        })
}

struct Shared {
    target: std::net::SocketAddr,
    file: Mutex<fs::File>,
    next: AtomicU64,
}

async fn work(shared: Arc<Shared>) -> Result<()> {
    loop {
        if let Some(connection) = connect(&shared).await {
            write_until_broken(&shared, connection).await?;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn connect(shared: &Shared) -> Option<tokio_postgres::Client> {
    let attempt = async {
        let mut config = tokio_postgres::Config::new();
        config
            .host(shared.target.ip().to_string())
            .port(shared.target.port())
            .user("postgres")
            .dbname("postgres")
            .application_name("numbered rows");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    };
    timeout(CONNECT_LIMIT, attempt).await.ok().flatten()
}

async fn write_until_broken(shared: &Shared, client: tokio_postgres::Client) -> Result<()> {
    // The table itself may be lost with a mirror that answers early; the rows are what is counted.
    let table = client.batch_execute(CREATE_TABLE);
    let Ok(Ok(())) = timeout(STATEMENT_LIMIT, table).await else {
        return Ok(());
    };
    let statement = "insert into events (id, payload) values ($1, $2)";
    let Ok(Ok(statement)) = timeout(STATEMENT_LIMIT, client.prepare(statement)).await else {
        return Ok(());
    };
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let id = i64::try_from(number).expect("fewer rows than that");
        let payload = format!("{number:>PAYLOAD_BYTES$}");
        let sent = boottime();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&id, &payload];
        let insert = client.execute(&statement, &values);
        let Ok(Ok(1)) = timeout(STATEMENT_LIMIT, insert).await else {
            return Ok(());
        };
        let line = format!("{number} {sent} {}\n", boottime());
        let mut file = shared.file.lock().expect("no worker panics");
        file.write_all(line.as_bytes()).context("note a row")?;
    }
}

/// A client that runs on the third host.
#[derive(Debug)]
pub struct Client {
    process: Child,
    file: PathBuf,
}

impl Client {
    /// Starts it with a fresh file. Its numbers begin at `first`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(lab: &Lab, target: &str, first: u64) -> Result<Self> {
        Self::start_at(lab, CLIENT, target, first)
    }

    /// As [`Client::start`], in the network of host `stack`. It is no process of that host, and goes
    /// on when the host hangs.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_at(lab: &Lab, stack: u8, target: &str, first: u64) -> Result<Self> {
        let file = lab.directory.join(format!("acknowledged-{first}"));
        let _ = fs::remove_file(&file);
        let mut words = lab.at(stack);
        words.push(Lab::tool()?.display().to_string());
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["write-rows", target])
            .arg(&file)
            .args(["--first", &first.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("start the client")?;
        Ok(Self { process, file })
    }

    /// What is acknowledged so far.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn journal(&self) -> Result<Journal> {
        Journal::read(&self.file)
    }

    /// Waits until `count` more rows are acknowledged than now.
    ///
    /// # Errors
    /// They were not, within the limit.
    pub fn wait_for_rows(&self, count: usize, limit: Duration) -> Result<()> {
        let before = self.journal()?.rows.len();
        wait_for(&format!("{count} more acknowledged rows"), limit, || {
            Ok((self.journal()?.rows.len() >= before + count).then_some(()))
        })
    }

    /// It asks for nothing any more.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn pause(&self) -> Result<()> {
        run(&format!("kill -STOP {}", self.process.id())).map(drop)
    }

    /// It asks again.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn go_on(&self) -> Result<()> {
        run(&format!("kill -CONT {}", self.process.id())).map(drop)
    }

    /// Ends it and gives all that was acknowledged.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn stop(mut self) -> Result<Journal> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the client ended by itself: {status}");
        }
        self.process.kill()?;
        self.process.wait()?;
        self.journal()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An acknowledged row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its number.
    pub number: u64,
    /// When it was sent, on the boot clock in nanoseconds.
    pub sent: u64,
    /// When its acknowledgement came.
    pub acknowledged: u64,
}

/// What a client kept.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// In the order of their acknowledgements.
    pub rows: Vec<Row>,
}

impl Journal {
    fn read(file: &Path) -> Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e).with_context(|| file.display().to_string()),
        };
        let mut rows = Vec::new();
        // A line that the end of the client cut off was not noted, so it is not acknowledged.
        for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
            let mut words = line.split_whitespace().map(str::parse);
            let (Some(Ok(number)), Some(Ok(sent)), Some(Ok(acknowledged))) =
                (words.next(), words.next(), words.next())
            else {
                bail!("a line of the client that is no row: {line:?}");
            };
            rows.push(Row {
                number,
                sent,
                acknowledged,
            });
        }
        Ok(Self { rows })
    }

    /// The longest time between two acknowledgements.
    #[must_use]
    pub fn outage(&self) -> Duration {
        let pairs = self.rows.windows(2);
        let gap = pairs.map(|w| w[1].acknowledged.saturating_sub(w[0].acknowledged));
        Duration::from_nanos(gap.max().unwrap_or(0))
    }

    /// The rows that were acknowledged and are not among `found`.
    #[must_use]
    pub fn lost(&self, found: &BTreeSet<u64>) -> Vec<u64> {
        let numbers = self.rows.iter().map(|r| r.number);
        numbers.filter(|n| !found.contains(n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(text: &str) -> Journal {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("written");
        Journal::read(file.path()).expect("read")
    }

    #[test]
    fn the_outage_is_the_longest_gap_between_acknowledgements() {
        let journal = journal("1 10 20\n2 21 30\n3 31 500\n4 510 520\n");
        assert_eq!(journal.outage(), Duration::from_nanos(470));
    }

    #[test]
    fn a_row_that_is_missing_is_lost_and_a_line_cut_off_is_no_row() {
        let journal = journal("7 10 20\n8 21 30\n9 31 4");
        assert_eq!(journal.lost(&BTreeSet::from([7, 9])), [8]);
    }
}
