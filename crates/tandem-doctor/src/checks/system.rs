//! The operating system: supported, and the same on both nodes.

use super::Examination;
use crate::facts::{Looked, System};
use crate::finding::Report;

/// The oldest kernel that the mirror was built for.
const KERNEL_MIN: (u32, u32) = (5, 15);

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        match &facts.system {
            Looked::Unknown(why) => report.unknown(facts.node, why),
            Looked::Seen(system) => supported(facts.node, system, report),
        }
    }
    let Some((own, peer)) = examination.both(report) else {
        return;
    };
    if own.release != peer.release {
        let what = format!(
            "Tandem {} here, {} on the other node",
            own.release, peer.release
        );
        report.warning(None, what, "install the same release on both nodes");
    }
    let (Some(mine), Some(theirs)) = (own.system.seen(), peer.system.seen()) else {
        return;
    };
    let differ = [
        ("operating system", &mine.id, &theirs.id),
        ("version", &mine.version, &theirs.version),
        ("architecture", &mine.architecture, &theirs.architecture),
    ];
    for (what, mine, theirs) in differ {
        if mine != theirs {
            report.failed(
                None,
                format!("the {what} is {mine} here and {theirs} on the other node"),
                "use the same system on both: the application must run on either with the same data",
            );
        }
    }
    if mine.kernel != theirs.kernel {
        report.warning(
            None,
            format!(
                "kernel {} here, {} on the other node",
                mine.kernel, theirs.kernel
            ),
            "upgrade both nodes, the standby first",
        );
    }
}

fn supported(node: Option<u8>, system: &System, report: &mut Report) {
    let mut numbers = system.kernel.split(['.', '-']).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        (_, _) => return report.unknown(node, format!("kernel {}", system.kernel)),
    };
    if version < KERNEL_MIN {
        let what = format!("kernel {} is older than 5.15", system.kernel);
        return report.failed(node, what, "install a newer kernel");
    }
    if !matches!(system.architecture.as_str(), "x86_64" | "aarch64") {
        let what = format!("{} is not supported", system.architecture);
        return report.failed(node, what, "use x86-64 or arm64");
    }
    let System {
        id,
        version,
        kernel,
        architecture,
    } = system;
    report.ok(
        node,
        format!("{id} {version}, kernel {kernel}, {architecture}"),
    );
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    fn with(change: impl FnOnce(&mut System)) -> Pair {
        let mut pair = Pair::good();
        if let Looked::Seen(system) = &mut pair.own.system {
            change(system);
        }
        pair
    }

    #[test]
    fn an_old_kernel_and_a_foreign_machine_are_found() {
        let pair = with(|system| system.kernel = "5.10.0-1-amd64".into());
        pair.expect("system", Verdict::Failed, "older than 5.15");
        let pair = with(|system| system.architecture = "riscv64".into());
        pair.expect("system", Verdict::Failed, "riscv64");
    }

    #[test]
    fn two_different_systems_are_found() {
        let pair = with(|system| system.version = "13".into());
        pair.expect("system", Verdict::Failed, "version is 13 here and 12");
        let pair = with(|system| system.kernel = "6.1.0-21-amd64".into());
        pair.expect("system", Verdict::Warning, "kernel 6.1.0-21");
        let mut pair = Pair::good();
        pair.peer.release = "0.2.0".into();
        pair.expect("system", Verdict::Warning, "0.2.0 on the other node");
    }
}
