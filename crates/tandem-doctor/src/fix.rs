//! Repairs what is safe to repair without asking further: on this machine only, and nothing that
//! touches data.

use crate::finding::Fix;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Carries a fix out. Gives back whether it is one of this crate's: units belong to who keeps the
/// list of what has to be given back.
///
/// # Errors
/// What the operating system says.
pub fn apply(fix: &Fix) -> io::Result<bool> {
    match fix {
        Fix::HostsLine { address, name } => add_host(Path::new("/etc/hosts"), *address, name)?,
        Fix::Executable { path } => make_executable(path)?,
        Fix::SynchroniseClock => {
            let output = Command::new("timedatectl")
                .args(["set-ntp", "true"])
                .output()?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(text.trim().to_owned()));
            }
        }
        Fix::DisableUnits => return Ok(false),
    }
    Ok(true)
}

fn add_host(hosts: &Path, address: IpAddr, name: &str) -> io::Result<()> {
    let text = fs::read_to_string(hosts).unwrap_or_default();
    let newline = match text.is_empty() || text.ends_with('\n') {
        true => "",
        false => "\n",
    };
    let mut file = OpenOptions::new().append(true).create(true).open(hosts)?;
    file.write_all(format!("{newline}{address} {name}\n").as_bytes())?;
    file.sync_all()
}

fn make_executable(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    // Who may read it may run it.
    let mode = mode | (mode & 0o444) >> 2;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_below_what_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let hosts = dir.path().join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost").expect("written");
        add_host(&hosts, "192.0.2.2".parse().expect("an address"), "h2").expect("added");
        let text = fs::read_to_string(&hosts).expect("there");
        assert_eq!(text, "127.0.0.1 localhost\n192.0.2.2 h2\n");
    }

    #[test]
    fn who_may_read_a_script_may_run_it_and_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o640)).expect("set");
        let fix = Fix::Executable {
            path: script.clone(),
        };
        assert!(apply(&fix).expect("fixed"));
        let mode = fs::metadata(&script).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }
}
