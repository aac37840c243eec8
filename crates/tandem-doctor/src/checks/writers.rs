//! Programs that write to a volume past the mirror: what they write is on one node only.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        if facts.volumes.is_empty() {
            report.unknown(facts.node, "no volume yet: nothing is configured");
        }
        for volume in &facts.volumes {
            let name = &volume.name;
            match &volume.writers {
                Looked::Unknown(why) => report.unknown(facts.node, format!("volume {name}: {why}")),
                Looked::Seen(_) if volume.served => {
                    report.ok(facts.node, format!("volume {name}: served by Tandem"));
                }
                Looked::Seen(writers) if writers.is_empty() => {
                    report.ok(facts.node, format!("volume {name}: nobody writes there"));
                }
                Looked::Seen(writers) => report.failed(
                    facts.node,
                    format!("volume {name} is written to by {}", writers.join(", ")),
                    "end it: what it writes now is not mirrored, and what it keeps open from \
                     before the mount never will be",
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
    fn a_program_that_writes_past_the_mirror_is_found() {
        let mut pair = Pair::good();
        pair.peer.volumes[0].writers = Looked::Seen(vec!["rsync (77)".into()]);
        pair.expect("writers", Verdict::Failed, "rsync (77)");
        pair.peer.volumes[0].served = true;
        assert_eq!(pair.worst("writers").verdict, Verdict::Ok);
    }
}
