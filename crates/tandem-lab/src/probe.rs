//! A client that only measures: every 10 ms it asks the database for a durable row, through its
//! open connection while that answers, and through new ones as soon as it does not.

use crate::lab::Lab;
use crate::linux::boottime;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_postgres::{Client, NoTls};

/// How often it asks.
const PERIOD: Duration = Duration::from_millis(10);
/// How long one try may take. Later ones go on beside it.
const TRY_LIMIT: Duration = Duration::from_millis(300);
/// How many tries are under way at most.
const TRIES_MAX: usize = 32;
/// How many answers in a row count as working again.
const WORKING: usize = 20;

/// Probes `target` until it is ended, and notes the time of each answer in `file`.
///
/// # Errors
/// The file cannot be written.
pub fn probe(target: SocketAddr, file: &Path) -> Result<()> {
    let mut notes = fs::File::create(file).with_context(|| file.display().to_string())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            // Numbers of this run only: older ones are removed by nobody.
            let number = Arc::new(AtomicI64::new(
                -i64::try_from(boottime()).expect("in range"),
            ));
            let (answer, mut answers) = mpsc::channel(TRIES_MAX);
            let mut clock = interval(PERIOD);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut idle: Option<Client> = None;
            let mut under_way = 0;
            loop {
                tokio::select! {
                    _ = clock.tick() => {
                        if under_way >= TRIES_MAX {
                            continue;
                        }
                        under_way += 1;
                        let (client, answer) = (idle.take(), answer.clone());
                        let number = number.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(async move {
                            let outcome = timeout(TRY_LIMIT, ask(client, target, number)).await;
                            // The receiver lives as long as this runtime.
                            let _ = answer.send(outcome.ok().flatten()).await;
                        });
                    }
                    Some(outcome) = answers.recv() => {
                        under_way -= 1;
                        if let Some(client) = outcome {
                            writeln!(notes, "{}", boottime())?;
                            idle = Some(client);
                        }
                    }
                }
            }
        })
}

async fn ask(client: Option<Client>, target: SocketAddr, number: i64) -> Option<Client> {
    let client = match client {
        Some(client) => client,
        None => connect(target).await?,
    };
    let insert = format!("insert into events (id, payload) values ({number}, '')");
    client.batch_execute(&insert).await.ok()?;
    Some(client)
}

async fn connect(target: SocketAddr) -> Option<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(target.ip().to_string())
        .port(target.port())
        .user("postgres")
        .dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// A prober on the third host.
#[derive(Debug)]
pub struct Prober {
    process: Child,
    file: PathBuf,
}

impl Prober {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(lab: &Lab, target: &str) -> Result<Self> {
        let file = lab.directory.join("probed");
        let _ = fs::remove_file(&file);
        let mut words = lab.on_client();
        words.push(Lab::tool()?.display().to_string());
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["probe", target])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .context("start the prober")?;
        Ok(Self { process, file })
    }

    fn answers(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| line.trim().parse().ok())
            .collect()
    }

    /// Waits until answers come again, as from now.
    ///
    /// # Errors
    /// They did not, within the limit.
    pub fn wait_until_it_works(&self, limit: Duration) -> Result<()> {
        let now = boottime();
        wait_for("the prober to be answered", limit, || {
            let after = self.answers().iter().filter(|a| **a > now).count();
            Ok((after >= WORKING).then_some(()))
        })
    }

    /// Ends it and gives the longest time without an answer.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn stop(mut self) -> Result<Duration> {
        self.process.kill()?;
        self.process.wait()?;
        let answers = self.answers();
        let gaps = answers.windows(2).map(|w| w[1].saturating_sub(w[0]));
        Ok(Duration::from_nanos(gaps.max().unwrap_or(0)))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
