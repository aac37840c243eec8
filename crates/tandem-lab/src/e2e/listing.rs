//! Everything of a host that a set-up could change, as lines: files and what they contain, units,
//! addresses, mounts, what lies beside the volumes. The host is as it was where two of these are equal.
//!
//! Left out: what no two boots leave alike, the lock by which set-ups keep out of each other's way,
//! and the mark of one that waits, which has changed nothing yet.

use crate::postgres;
use crate::product::Node;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;

/// Where the script lies on a host. The browser's cases run it, too.
pub const PLACE: &str = "/root/listing";

const SCRIPT: &str = r#"
cd /
left_out='-path /etc/.updated -o -path /etc/ld.so.cache -o -path /var/lib/tandem/setup-lock
  -o -path /var/lib/tandem/setup-unfinished'
where='/etc /var/lib/tandem /run/systemd/system /usr/lib/systemd/system'
{
  find $where -mindepth 1 \( $left_out \) -o -printf 'file %y %m %u:%g %p %l\n'
  find $where -mindepth 1 \( $left_out \) -o -type f -exec sha256sum {} +
  find /var/lib/postgresql -maxdepth 2 -printf 'data %y %m %u:%g %p\n'
  find /var/lib/postgresql -maxdepth 3 -name '.tandem*' -printf 'mark %p\n'
  systemctl list-unit-files --no-legend --no-pager | awk '$2 != "transient" { print "unit", $1, $2 }'
  systemctl list-units --all --plain --no-legend --no-pager 'postgresql*' 'tandem*' |
    awk '$3 != "inactive" { print "unit", $1, $2, $3, $4 }'
  ip -o address show | awk '{ print "address", $2, $3, $4 }'
  findmnt -rno TARGET,FSTYPE,OPTIONS | awk '/postgresql|tandem/ { print "mount", $0 }'
} 2>/dev/null | sort
"#;

/// What was found.
#[derive(PartialEq, Eq)]
pub struct Listing(BTreeSet<String>);

/// Puts the script on a host.
///
/// # Errors
/// The host does not run.
pub fn put(node: &Node<'_>) -> Result<()> {
    let line = format!("cat >{PLACE} <<'END'\n{SCRIPT}END\nsync -f {PLACE}");
    node.host.must(&line).map(drop)
}

impl Listing {
    /// Looks at a host on which the application runs.
    ///
    /// # Errors
    /// It does not run, or a part of the listing is missing.
    pub fn of(node: &Node<'_>) -> Result<Self> {
        let text = node.host.must(&format!("sh {PLACE}"))?;
        let unit = postgres::UNIT;
        for needed in [
            "file d 755 root:root /etc/tandem",
            "data d",
            "address eth0 inet",
            "mount /var/lib/postgresql",
            &format!("unit {unit} loaded active running"),
        ] {
            let found = text.lines().any(|line| line.starts_with(needed));
            ensure!(found, "there is no line \"{needed}\"");
        }
        Ok(Self(text.lines().map(str::to_owned).collect()))
    }

    /// Looks whether the host is as it was.
    ///
    /// # Errors
    /// It is not: with what is new there, and what is gone.
    pub fn must_be(&self, before: &Self) -> Result<()> {
        let more = self.0.difference(&before.0).map(|line| format!("+ {line}"));
        let less = before.0.difference(&self.0).map(|line| format!("- {line}"));
        let differences: Vec<String> = more.chain(less).collect();
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        Ok(())
    }
}
