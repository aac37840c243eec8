//! P1 and P2: `pgbench` on three databases of the same two hosts, in turns.
//!
//! The client runs on the primary and uses its local socket, so that nothing but the database and
//! its storage is measured.

use super::{Measured, Options, median};
use crate::host::Host;
use crate::lab::Lab;
use crate::product::{self, Setting};
use crate::wait::wait_for;
use anyhow::{Context, Result};
use std::time::Duration;

/// Rows are this times 100,000.
const SCALE: u32 = 20;
/// With how many clients, and what is to be reached: P1, P2.
const CLIENTS: [(u32, f64, f64); 3] = [(1, 1.1, 0.80), (4, 1.1, 0.70), (16, 1.1, 0.65)];
/// The cluster without a mirror.
const PLAIN: Cluster = Cluster {
    name: "plain",
    port: 5433,
};
/// The cluster with PostgreSQL's own replication.
const STREAMING: Cluster = Cluster {
    name: "streaming",
    port: 5434,
};
/// Equal for all three.
const SETTINGS: &str = "shared_buffers = 512MB\nmax_wal_size = 1GB\nmax_connections = 100\n\
                        listen_addresses = '*'\nsynchronous_commit = on\n";

/// A database cluster by Debian's tools.
#[derive(Clone, Copy)]
struct Cluster {
    name: &'static str,
    port: u16,
}

impl Cluster {
    fn create(self, host: &Host<'_>) -> Result<()> {
        let Self { name, port } = self;
        host.must(&format!(
            "pg_createcluster -p {port} --start-conf=manual 15 {name}"
        ))?;
        host.must(&format!(
            "mkdir -p /etc/postgresql/15/{name}/conf.d && \
             printf %s \"{SETTINGS}\" >/etc/postgresql/15/{name}/conf.d/bench.conf && \
             echo 'host all,replication all 10.99.0.0/16 trust' \
               >>/etc/postgresql/15/{name}/pg_hba.conf && \
             sed -i '1i local all,replication postgres trust' /etc/postgresql/15/{name}/pg_hba.conf"
        ))?;
        Ok(())
    }

    fn start(self, host: &Host<'_>) -> Result<()> {
        host.must(&format!("systemctl start postgresql@15-{}", self.name))
            .map(drop)
    }
}

fn as_postgres(host: &Host<'_>, line: &str) -> Result<String> {
    host.must(&format!("cd / && runuser -u postgres -- {line}"))
}

/// Measures P1 and P2.
///
/// # Errors
/// The hosts or one of the databases do not work.
pub fn measure(lab: &Lab, options: Options) -> Result<Vec<Measured>> {
    lab.up()?;
    product::install(lab, &Setting::USUAL)?;
    let (one, two) = (lab.host(1), lab.host(2));
    for host in [&one, &two] {
        host.boot()?;
        host.must(&format!(
            "printf %s \"{SETTINGS}\" >/etc/postgresql/15/main/conf.d/zz-bench.conf"
        ))?;
    }
    product::set_up(lab, &Setting::USUAL)?;
    PLAIN.create(&one)?;
    PLAIN.start(&one)?;
    stream(&one, &two)?;
    let ports = [5432, STREAMING.port, PLAIN.port];
    for port in ports {
        let fill = format!("/usr/lib/postgresql/15/bin/pgbench -q -i -s {SCALE} -p {port}");
        as_postgres(&one, &fill).with_context(|| format!("port {port}"))?;
    }
    let mut results = Vec::new();
    for (clients, reach_one, reach_two) in CLIENTS {
        let mut figures = [const { Vec::new() }; 3];
        for round in 0..options.rounds {
            for (port, figures) in ports.iter().zip(&mut figures) {
                figures.push(one_round(&one, *port, clients, options.seconds)?);
            }
            let last = figures.each_ref().map(|f| f[round].round());
            println!("c={clients} round {round}: tandem, streaming, plain: {last:?} tps");
        }
        let [tandem, streaming, plain] = figures.map(median);
        for (id, peer, reach) in [("P1", streaming, reach_one), ("P2", plain, reach_two)] {
            let ratio = tandem / peer;
            results.push(Measured {
                id: id.to_owned(),
                case: format!("c={clients}"),
                tandem,
                peer,
                unit: "tps".to_owned(),
                ratio,
                rounds: options.rounds,
                reach: format!("≥ {reach:.2}"),
                reached: ratio >= reach,
            });
        }
    }
    results.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(results)
}

/// PostgreSQL's own replication from `one` to `two`: a commit waits for the other disk.
fn stream(one: &Host<'_>, two: &Host<'_>) -> Result<()> {
    let Cluster { name, port } = STREAMING;
    for host in [one, two] {
        STREAMING.create(host)?;
    }
    STREAMING.start(one)?;
    two.must(&format!("rm -rf /var/lib/postgresql/15/{name}"))?;
    as_postgres(
        two,
        &format!("pg_basebackup -h 10.99.0.1 -p {port} -D /var/lib/postgresql/15/{name} -R"),
    )?;
    STREAMING.start(two)?;
    let set = |what: &str| as_postgres(one, &format!("psql -qX -p {port} -c \"{what}\"")).map(drop);
    set("alter system set synchronous_standby_names = '*'")?;
    set("select pg_reload_conf()")?;
    wait_for("a synchronous standby", Duration::from_secs(30), || {
        let state = "select sync_state from pg_stat_replication";
        let state = as_postgres(one, &format!("psql -qAtX -p {port} -c \"{state}\""))?;
        Ok(state.contains("sync").then_some(()))
    })
}

fn one_round(host: &Host<'_>, port: u16, clients: u32, seconds: u32) -> Result<f64> {
    as_postgres(host, &format!("psql -qX -p {port} -c checkpoint"))?;
    let threads = clients.min(2);
    let said = as_postgres(
        host,
        &format!(
            "/usr/lib/postgresql/15/bin/pgbench -n -T {seconds} -c {clients} -j {threads} \
             -p {port}"
        ),
    )?;
    let line = said.lines().find(|l| l.starts_with("tps = "));
    let figure = line.and_then(|l| l.split_whitespace().nth(2));
    figure
        .and_then(|f| f.parse().ok())
        .with_context(|| format!("pgbench says: {said}"))
}
