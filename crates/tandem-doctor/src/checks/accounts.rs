//! The owners of the data: the mirror keeps numbers, so the same account must have the same numbers
//! on both nodes.

use super::Examination;
use crate::facts::{Account, Facts};
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    let Some((own, peer)) = examination.both(report) else {
        return;
    };
    if own.volumes.is_empty() {
        return report.unknown(None, "no volume yet: nothing is configured");
    }
    let (Some(mine), Some(theirs)) = (own.accounts.seen(), peer.accounts.seen()) else {
        return report.unknown(None, "the accounts of one node could not be read");
    };
    let mut names: Vec<&str> = Vec::new();
    // The standby's directory may still be empty and root's: both say whose the data is.
    for (facts, accounts) in [(own, mine), (peer, theirs)] {
        names.extend(owners(facts, accounts));
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        let find = |accounts: &[Account]| accounts.iter().find(|a| a.name == name).cloned();
        match (find(mine), find(theirs)) {
            (Some(mine), Some(theirs)) if (mine.uid, mine.gid) == (theirs.uid, theirs.gid) => {
                let what = format!("{name} is {}:{} on both nodes", mine.uid, mine.gid);
                report.ok(None, what);
            }
            (Some(mine), Some(theirs)) => report.failed(
                None,
                format!(
                    "{name} is {}:{} here and {}:{} on the other node",
                    mine.uid, mine.gid, theirs.uid, theirs.gid
                ),
                "usermod -u and groupmod -g on the node without data, before the first start",
            ),
            (_, _) => report.failed(
                None,
                format!("{name}, who owns data, exists on one node only"),
                "install the application on both nodes; then compare the numbers with `id`",
            ),
        }
    }
}

fn owners<'a>(facts: &Facts, accounts: &'a [Account]) -> impl Iterator<Item = &'a str> {
    let uids: Vec<u32> = (facts.volumes.iter())
        .filter_map(|volume| volume.owner.map(|(uid, _)| uid))
        .collect();
    let owning = accounts
        .iter()
        .filter(move |account| uids.contains(&account.uid));
    owning.map(|account| account.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn an_owner_with_other_numbers_and_one_that_is_missing_are_found() {
        let mut pair = Pair::good();
        pair.peer.accounts = Looked::Seen(vec![Account {
            name: "postgres".into(),
            uid: 114,
            gid: 110,
        }]);
        pair.expect("accounts", Verdict::Failed, "105:110 here and 114:110");
        pair.peer.accounts = Looked::Seen(Vec::new());
        pair.expect("accounts", Verdict::Failed, "exists on one node only");
    }
}
