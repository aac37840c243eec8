//! PostgreSQL 15 from Debian, as it stands on the test hosts.

use crate::host::Host;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Its unit.
pub const UNIT: &str = "postgresql@15-main.service";
/// Its directory: the volume of the tests.
pub const DATA: &str = "/var/lib/postgresql/15/main";
/// The table of the client's rows.
pub const CREATE_TABLE: &str = "create table if not exists events \
    (id bigint primary key, at timestamptz not null default now(), payload text not null)";

/// Settings that the tests need; durable by default, as Debian's.
const SETTINGS: &str = "\
listen_addresses = '*'
shared_buffers = 64MB
max_wal_size = 256MB
max_connections = 200
log_line_prefix = '%m [%p] '
";

/// Prepares it in a host's root: reachable from the test networks, and not started at boot.
///
/// # Errors
/// A file cannot be written.
pub fn configure(root: &Path) -> Result<()> {
    let directory = root.join("etc/postgresql/15/main");
    fs::write(directory.join("conf.d/lab.conf"), SETTINGS)?;
    fs::write(directory.join("start.conf"), "manual\n")?;
    let access = directory.join("pg_hba.conf");
    let mut lines = fs::read_to_string(&access)?;
    lines += "host all all 10.99.0.0/16 trust\n";
    fs::write(access, lines).context("write pg_hba.conf")
}

/// Runs a statement inside the host as the superuser and gives what `psql` prints, one row a line.
///
/// # Errors
/// The database does not answer, or refuses.
pub fn query(host: &Host<'_>, statement: &str) -> Result<String> {
    host.exec(&[
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        statement,
    ])?
    .success()
    .with_context(|| format!("h{}: {statement}", host.number))
}

/// The numbers of the client's rows that are there.
///
/// # Errors
/// The database does not answer.
pub fn rows(host: &Host<'_>) -> Result<BTreeSet<u64>> {
    query(host, "select id from events")?
        .lines()
        .map(|line| line.trim().parse().context("a row's number"))
        .collect()
}

/// The mounts that the running postmaster sees at its data directory, as in `mountinfo`.
///
/// # Errors
/// It does not run.
pub fn mounts_seen(host: &Host<'_>) -> Result<Vec<String>> {
    let script = format!(
        "pid=$(head -1 {DATA}/postmaster.pid) && cat /proc/$pid/mountinfo | grep ' {DATA} '"
    );
    Ok(host.must(&script)?.lines().map(str::to_owned).collect())
}
