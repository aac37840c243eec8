//! The checkers' scripts: one that cannot run is a checker that is down.

use super::Examination;
use crate::finding::{Fix, Report};

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        if facts.scripts.is_empty() {
            report.ok(facts.node, "no scripts: nothing is configured with one");
        }
        for script in &facts.scripts {
            let path = script.path.display();
            match script.mode {
                None => report.failed(
                    facts.node,
                    format!("{path} is not there"),
                    "put it there, on both nodes",
                ),
                Some(_) if script.noexec => report.failed(
                    facts.node,
                    format!("{path} lies on a file system that is mounted noexec"),
                    "move it, or remount that file system with exec",
                ),
                Some(mode) if mode & 0o111 == 0 => {
                    let what = format!("{path} cannot be run");
                    report.failed(facts.node, what, &format!("chmod +x {path}"));
                    let path = script.path.clone();
                    report.fixable(Fix::Executable { path });
                }
                Some(_) => report.ok(facts.node, format!("{path} can be run")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::finding::Verdict;

    #[test]
    fn a_script_that_cannot_run_is_found() {
        let mut pair = Pair::good();
        pair.own.scripts[0].mode = Some(0o644);
        pair.expect("scripts", Verdict::Failed, "cannot be run");
        assert!(pair.worst("scripts").fix.is_some());
        pair.own.scripts[0].mode = None;
        pair.expect("scripts", Verdict::Failed, "is not there");
        let mut pair = Pair::good();
        pair.peer.scripts[0].noexec = true;
        pair.expect("scripts", Verdict::Failed, "noexec");
    }
}
