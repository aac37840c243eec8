//! The checks: pure functions over the facts of both nodes, one noun in each file.

#[cfg(test)]
mod fixture;

mod accounts;
mod certificate;
mod clock;
mod confinement;
mod database;
mod echo;
mod file_system;
mod firewall;
mod fuse;
mod latency;
mod license;
mod names;
mod networks;
mod ports;
mod recorders;
mod scripts;
mod space;
mod static_address;
mod subnet;
mod system;
mod units;
mod virtual_address;
mod writers;

use crate::facts::Facts;
use crate::finding::{Finding, Report};
use crate::subject::Subject;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// What this node was looked at for.
    pub subject: &'a Subject,
    /// This node.
    pub own: &'a Facts,
    /// The other node, or why it could not be asked.
    pub peer: Result<&'a Facts, &'a str>,
    /// This node's wall clock when the other one's facts came, in milliseconds since 1970.
    pub heard_ms: u64,
    /// The ways between the daemons, if they run.
    pub networks: &'a [Network],
    /// The licences, if the daemons run.
    pub licenses: &'a [License],
}

/// A way between the daemons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The node that listens.
    pub node: u8,
    /// The way's name.
    pub name: String,
    /// How long ago the other node was heard, in milliseconds.
    pub heard_ms: Option<u64>,
}

/// What a node says of its licence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct License {
    /// The node.
    pub node: u8,
    /// Whether there is a valid one.
    pub valid: bool,
    /// Whose it is, or why it does not count.
    pub text: String,
}

impl<'a> Examination<'a> {
    /// Every node that was looked at, the other one last.
    fn nodes(&self) -> impl Iterator<Item = &'a Facts> + use<'a> {
        [Some(self.own), self.peer.ok()].into_iter().flatten()
    }

    /// Both nodes, unless the other one could not be asked, which is then reported.
    fn both(&self, report: &mut Report) -> Option<(&'a Facts, &'a Facts)> {
        match self.peer {
            Ok(peer) => Some((self.own, peer)),
            Err(why) => {
                report.unknown(None, format!("not compared: {why}"));
                None
            }
        }
    }
}

type Check = fn(&Examination<'_>, &mut Report);

/// All checks by their names, in the order in which people read them.
const CHECKS: &[(&str, Check)] = &[
    ("system", system::check),
    ("fuse", fuse::check),
    ("clock", clock::check),
    ("names", names::check),
    ("static-address", static_address::check),
    ("subnet", subnet::check),
    ("virtual-address", virtual_address::check),
    ("echo", echo::check),
    ("firewall", firewall::check),
    ("networks", networks::check),
    ("latency", latency::check),
    ("ports", ports::check),
    ("space", space::check),
    ("file-system", file_system::check),
    ("writers", writers::check),
    ("accounts", accounts::check),
    ("database", database::check),
    ("units", units::check),
    ("scripts", scripts::check),
    ("confinement", confinement::check),
    ("certificate", certificate::check),
    ("license", license::check),
    ("recorders", recorders::check),
];

/// Makes all checks.
#[must_use]
pub fn examine(examination: &Examination<'_>) -> Vec<Finding> {
    let made = CHECKS.iter().flat_map(|(name, check)| {
        let mut report = Report::new(name);
        check(examination, &mut report);
        report.findings
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_good_pair_has_no_finding_that_is_not_ok() {
        let pair = Pair::good();
        let findings = examine(&pair.examination());
        let bad: Vec<_> = (findings.iter())
            .filter(|finding| finding.verdict != Verdict::Ok)
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        for (name, _) in CHECKS {
            assert!(
                findings.iter().any(|f| f.check == *name),
                "{name} says nothing"
            );
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_unknown_and_never_ok() {
        let pair = Pair::good();
        let blind = Facts {
            node: Some(1),
            ..Facts::default()
        };
        let findings = examine(&Examination {
            own: &blind,
            peer: Err("it does not answer"),
            ..pair.examination()
        });
        let judged: Vec<_> = (findings.iter())
            .filter(|finding| !matches!(finding.verdict, Verdict::Unknown))
            // What the daemons tell each other is known without the other node's facts.
            .filter(|finding| !matches!(finding.check, "networks" | "license"))
            .filter(|finding| !finding.what.contains("nothing is configured"))
            .collect();
        assert!(judged.is_empty(), "{judged:#?}");
    }

    #[test]
    fn each_failure_comes_with_a_remedy() {
        let mut pair = Pair::good();
        pair.break_everything();
        let findings = examine(&pair.examination());
        for (name, _) in CHECKS {
            let found = findings.iter().filter(|finding| finding.check == *name);
            let worst = found.max_by_key(|finding| finding.verdict);
            let worst = worst.expect("each check says something");
            assert!(worst.verdict >= Verdict::Warning, "{worst:?}");
            assert!(worst.remedy.is_some(), "{worst:?}");
        }
    }
}
