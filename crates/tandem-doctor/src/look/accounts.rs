//! The accounts of this machine that own data, or could.

use crate::facts::{Account, Looked, VolumeFacts};
use std::fs;

/// Far more than a server has; what is told must fit into a frame.
const ACCOUNTS_MAX: usize = 256;
/// Below are those of the system and its services, on every distribution.
const PEOPLE_MIN: u32 = 1000;

/// Those of services, and the owners of the volumes.
pub fn accounts(volumes: &[VolumeFacts]) -> Looked<Vec<Account>> {
    let text = match fs::read_to_string("/etc/passwd") {
        Ok(text) => text,
        Err(error) => return Looked::Unknown(format!("/etc/passwd: {error}")),
    };
    let owners: Vec<u32> = volumes
        .iter()
        .filter_map(|v| v.owner.map(|(uid, _)| uid))
        .collect();
    let accounts = text.lines().filter_map(parse);
    let wanted = accounts.filter(|a| a.uid < PEOPLE_MIN || owners.contains(&a.uid));
    Looked::Seen(wanted.take(ACCOUNTS_MAX).collect())
}

/// `postgres:x:105:110:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash`
fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_name_and_two_numbers() {
        let account = parse("postgres:x:105:110:PostgreSQL:/var/lib/postgresql:/bin/bash");
        let account = account.expect("a line of the file");
        assert_eq!(
            (account.name.as_str(), account.uid, account.gid),
            ("postgres", 105, 110)
        );
        assert_eq!(parse("+::::::"), None);
    }
}
