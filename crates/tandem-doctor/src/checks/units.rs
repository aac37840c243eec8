//! The application's units: there, and started by Tandem only.

use super::Examination;
use crate::facts::Looked;
use crate::finding::{Fix, Report};

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        if facts.units.is_empty() {
            report.ok(facts.node, "no units: nothing is configured with one");
        }
        for unit in &facts.units {
            let name = &unit.name;
            let load = match &unit.load {
                Looked::Unknown(why) => {
                    report.unknown(facts.node, format!("{name}: {why}"));
                    continue;
                }
                Looked::Seen(load) => load.as_str(),
            };
            match (load, unit.at_boot.as_str()) {
                ("loaded", "enabled" | "enabled-runtime") => {
                    report.failed(
                        facts.node,
                        format!("{name} starts at boot by itself"),
                        &format!("systemctl disable {name}: Tandem starts it where it serves"),
                    );
                    report.fixable(Fix::DisableUnits);
                }
                ("loaded", _) => report.ok(facts.node, format!("{name}: Tandem starts it")),
                ("masked", _) => report.failed(
                    facts.node,
                    format!("{name} is masked: it cannot start on this node"),
                    &format!("systemctl unmask {name}"),
                ),
                (load, _) => report.failed(
                    facts.node,
                    format!("{name} cannot be used: systemd says {load}"),
                    "install the application on both nodes, or correct the unit's name",
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_unit_that_starts_at_boot_is_found_and_can_be_fixed() {
        let mut pair = Pair::good();
        pair.own.units[0].at_boot = "enabled".into();
        pair.expect("units", Verdict::Failed, "starts at boot");
        assert_eq!(pair.worst("units").fix, Some(Fix::DisableUnits));
    }

    #[test]
    fn a_unit_that_is_missing_or_masked_is_found() {
        let mut pair = Pair::good();
        pair.peer.units[0].load = Looked::Seen("not-found".into());
        pair.expect("units", Verdict::Failed, "not-found");
        pair.peer.units[0].load = Looked::Seen("masked".into());
        pair.expect("units", Verdict::Failed, "masked");
    }
}
