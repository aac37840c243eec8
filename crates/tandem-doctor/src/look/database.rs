//! Databases: which packages are installed, and the settings that decide what a commit is worth.

use super::command;
use crate::facts::{Looked, Package, Setting};
use crate::subject::Volume;
use std::fs;
use std::path::{Path, PathBuf};

/// Databases, and what is protected together with one.
const PATTERNS: [&str; 6] = [
    "postgresql-[0-9]*",
    "mariadb-server*",
    "mysql-server*",
    "mssql-server",
    "mongodb-org-server",
    "zoneminder",
];
/// The settings that are told.
const KEYS: [&str; 4] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "innodb_flush_log_at_trx_commit",
];
/// Files that are read: distributions split a configuration into a dozen.
const FILES_MAX: usize = 64;

pub async fn packages() -> Looked<Vec<Package>> {
    let mut arguments = vec![
        "--show",
        "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n",
    ];
    arguments.extend(PATTERNS);
    match command::output("dpkg-query", &arguments).await {
        Ok(text) => Looked::Seen(text.lines().filter_map(package).collect()),
        // So it says that none of them is known.
        Err(error) if error.contains("no packages found") => Looked::Seen(Vec::new()),
        Err(error) => Looked::Unknown(error),
    }
}

fn package(line: &str) -> Option<Package> {
    let mut fields = line.split('\t');
    let installed = fields.next()?.starts_with("ii");
    let (name, version) = (fields.next()?, fields.next()?);
    installed.then(|| Package {
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

pub fn settings(volumes: &[Volume]) -> Vec<Setting> {
    let mut files: Vec<PathBuf> = Vec::new();
    for volume in volumes {
        files.push(volume.path.join("postgresql.conf"));
        // The database's own changes win.
        files.push(volume.path.join("postgresql.auto.conf"));
    }
    for directory in ["/etc/postgresql", "/etc/mysql"] {
        below(Path::new(directory), 3, &mut files);
    }
    files.truncate(FILES_MAX);
    let read = |file: PathBuf| {
        // Those that are not there set nothing.
        let text = fs::read_to_string(&file).unwrap_or_default();
        parse(&file, &text)
    };
    files.into_iter().flat_map(read).collect()
}

fn below(directory: &Path, depth: u8, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let kind = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && depth > 0 {
            below(&path, depth - 1, files);
        } else if matches!(kind, Some("conf" | "cnf")) && files.len() < FILES_MAX {
            files.push(path);
        }
    }
}

/// Of a key that is set twice in one file the last one counts.
fn parse(file: &Path, text: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        let Some((key, value)) = line.split_once('=').or_else(|| line.trim().split_once(' '))
        else {
            continue;
        };
        let key = key.trim().replace('-', "_");
        let value = value.trim().trim_matches('\'').to_owned();
        if !KEYS.contains(&key.as_str()) {
            continue;
        }
        settings.retain(|setting| setting.key != key);
        settings.push(Setting {
            file: file.to_owned(),
            key,
            value,
        });
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_the_databases_read_them() {
        let text = "#fsync = off\nfsync = on # really\nfsync off\nport = 5432\n\
                    innodb-flush-log-at-trx-commit = 2\n";
        let found = parse(Path::new("x"), text);
        let pairs: Vec<(&str, &str)> = found
            .iter()
            .map(|s| (s.key.as_str(), s.value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("fsync", "off"), ("innodb_flush_log_at_trx_commit", "2")]
        );
    }

    #[test]
    fn a_package_that_was_removed_does_not_count() {
        let there = package("ii \tpostgresql-15\t15.6-0+deb12u1");
        assert_eq!(there.expect("installed").version, "15.6-0+deb12u1");
        assert_eq!(package("rc \tpostgresql-13\t13.1"), None);
    }
}
