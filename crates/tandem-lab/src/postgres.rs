//! PostgreSQL 15 from Debian, as it stands on the test hosts.

use crate::host::Host;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
    lines += "host all all 10.99.0.0/16 trust\nhost all all fd99::/16 trust\n";
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

/// A copy of the data directory, on the same disk.
pub const COPY: &str = "/var/lib/postgresql/15/copy";

/// As [`query`], of a database that is started for it on [`COPY`], on a host on which the database
/// itself does not run. The copy is gone afterwards.
///
/// # Errors
/// The database does not start on the copy, or refuses: with the end of its log.
pub fn query_copy(host: &Host<'_>, statement: &str) -> Result<String> {
    let script = format!(
        "set -e
cd /
control='/usr/lib/postgresql/15/bin/pg_ctl -s -D {COPY}'
$control -w -t 60 -l /tmp/copy.log -o '-p 5499 \
  -c config_file=/etc/postgresql/15/main/postgresql.conf -c data_directory={COPY} \
  -c external_pid_file= -c listen_addresses=' start >/dev/null 2>&1 </dev/null \
  || {{ tail -5 /tmp/copy.log >&2; exit 1; }}
psql -qAtX -p 5499 -c \"{statement}\"
$control -m immediate stop"
    );
    host.must(&format!(
        "rm -f {COPY}/postmaster.pid /tmp/copy.log; cat >/tmp/look <<'END'\n{script}\nEND\n\
         runuser -u postgres -- sh /tmp/look && rm -rf {COPY}"
    ))
}

/// The numbers of the client's rows in [`COPY`].
///
/// # Errors
/// As [`query_copy`].
pub fn rows_of_copy(host: &Host<'_>) -> Result<BTreeSet<u64>> {
    numbers(&query_copy(host, "select id from events")?)
}

/// The numbers of the client's rows that are there.
///
/// # Errors
/// The database does not answer.
pub fn rows(host: &Host<'_>) -> Result<BTreeSet<u64>> {
    numbers(&query(host, "select id from events")?)
}

fn numbers(lines: &str) -> Result<BTreeSet<u64>> {
    lines
        .lines()
        .map(|line| line.trim().parse().context("a row's number"))
        .collect()
}

/// The database's own log on `host`.
#[must_use]
pub fn log(host: &Host<'_>) -> PathBuf {
    host.database_log().join("postgresql-15-main.log")
}

/// The last lines of `log`, without what clients were told while they had to wait.
#[must_use]
pub fn last_words(log: &str) -> Vec<&str> {
    const LINES: usize = 8;
    let waiting = ["not yet accepting connections", "Consistent recovery state"];
    let lines = log
        .lines()
        .filter(|l| !waiting.iter().any(|w| l.contains(w)))
        .collect::<Vec<_>>();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_leave_out_what_clients_were_told_while_they_waited() {
        let log = "2026 [7] FATAL:  the database system is not yet accepting connections\n\
                   2026 [7] DETAIL:  Consistent recovery state has not been yet reached.\n\
                   2026 [5] LOG:  invalid record length at 0/19\n";
        assert_eq!(
            last_words(log),
            ["2026 [5] LOG:  invalid record length at 0/19"]
        );
    }
}
