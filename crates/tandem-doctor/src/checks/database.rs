//! Databases: the same supported version on both nodes, and settings under which a commit is on
//! disk when it is answered. What a database does not sync, nobody can mirror in time.

use super::Examination;
use crate::facts::{Facts, Setting};
use crate::finding::Report;

/// The oldest PostgreSQL that its makers still care for.
const POSTGRESQL_MIN: u32 = 13;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        durable(facts, report);
        present(facts, report);
    }
    let Some((own, peer)) = examination.both(report) else {
        return;
    };
    let (Some(mine), Some(theirs)) = (own.packages.seen(), peer.packages.seen()) else {
        return report.unknown(None, "the packages of one node could not be listed");
    };
    let mut names: Vec<&str> = mine.iter().chain(theirs).map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        report.ok(None, "no database package is installed");
    }
    for name in names {
        let mine = mine.iter().find(|package| package.name == name);
        let theirs = theirs.iter().find(|package| package.name == name);
        match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine.version == theirs.version => {
                report.ok(None, format!("{name} {} on both nodes", mine.version));
            }
            (Some(mine), Some(theirs)) => report.warning(
                None,
                format!(
                    "{name} is {} here, {} on the other node",
                    mine.version, theirs.version
                ),
                "upgrade the older one; the standby first",
            ),
            (_, _) => report.failed(
                None,
                format!("{name} is installed on one node only"),
                "install the same version on both nodes",
            ),
        }
    }
}

fn durable(facts: &Facts, report: &mut Report) {
    for setting in &facts.settings {
        let Setting { file, key, value } = setting;
        if let Some((wanted, loss)) = wanted(key, value) {
            report.failed(
                facts.node,
                format!("{key} = {value} in {}: {loss}", file.display()),
                &format!("set {key} = {wanted}, and restart the database"),
            );
        }
    }
}

/// What a setting should be, and what is lost with what it is.
fn wanted(key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    const COMMITS: &str = "commits that were answered are lost at a failover";
    let off = matches!(
        value.to_ascii_lowercase().as_str(),
        "off" | "0" | "false" | "no"
    );
    match key {
        "fsync" if off => Some(("on", "the database is damaged after a failover")),
        "full_page_writes" if off => Some(("on", "the database may be damaged after a failover")),
        "synchronous_commit" if off => Some(("on", COMMITS)),
        "innodb_flush_log_at_trx_commit" if value != "1" => Some(("1", COMMITS)),
        _ => None,
    }
}

fn present(facts: &Facts, report: &mut Report) {
    let Some(packages) = facts.packages.seen() else {
        return report.unknown(facts.node, "the installed packages could not be listed");
    };
    for volume in &facts.volumes {
        let Some(version) = &volume.postgresql else {
            continue;
        };
        let name = &volume.name;
        let package = format!("postgresql-{version}");
        if !packages.is_empty() && !packages.iter().any(|installed| installed.name == package) {
            report.failed(
                facts.node,
                format!("volume {name} is of PostgreSQL {version}, and {package} is not installed"),
                &format!("apt install {package}"),
            );
        }
        let number = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if number.is_none_or(|number: u32| number < POSTGRESQL_MIN) {
            report.warning(
                facts.node,
                format!("volume {name} is of PostgreSQL {version}, which nobody repairs any more"),
                "pg_upgradecluster, while both nodes are in sync",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::facts::{Looked, Package};
    use crate::finding::Verdict;

    #[test]
    fn settings_that_lose_commits_are_found() {
        for (key, value) in [
            ("fsync", "off"),
            ("full_page_writes", "no"),
            ("synchronous_commit", "OFF"),
            ("innodb_flush_log_at_trx_commit", "2"),
        ] {
            let mut pair = Pair::good();
            pair.peer.settings = vec![Setting {
                file: "/etc/some.conf".into(),
                key: key.into(),
                value: value.into(),
            }];
            pair.expect("database", Verdict::Failed, key);
        }
        assert_eq!(wanted("synchronous_commit", "local"), None);
    }

    #[test]
    fn versions_that_differ_are_found() {
        let mut pair = Pair::good();
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
        };
        pair.peer.packages = Looked::Seen(vec![package("postgresql-15", "15.3")]);
        pair.expect("database", Verdict::Warning, "15.3 on the other node");
        pair.peer.packages = Looked::Seen(vec![package("postgresql-14", "14.1")]);
        pair.expect("database", Verdict::Failed, "");
        let mut pair = Pair::good();
        pair.own.volumes[0].postgresql = Some("9.6".into());
        pair.expect(
            "database",
            Verdict::Failed,
            "postgresql-9.6 is not installed",
        );
    }
}
