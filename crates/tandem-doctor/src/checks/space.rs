//! Free space: what stood in a directory is kept beside it at the first synchronisation, and a full
//! disk ends a standby.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

/// Below this nothing works for long.
const FAILED_BYTES: u64 = 256 << 20;
/// A day of an idle database's log.
const WARNING_BYTES: u64 = 2 << 30;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let state = (
            "the state directory".to_owned(),
            &facts.state_free_bytes,
            FAILED_BYTES,
        );
        let volumes = facts.volumes.iter();
        let volumes = volumes.map(|volume| {
            let name = format!("volume {}", volume.name);
            (name, &volume.free_bytes, WARNING_BYTES)
        });
        for (what, free, enough) in std::iter::once(state).chain(volumes) {
            let free = match free {
                Looked::Unknown(why) => {
                    report.unknown(facts.node, format!("{what}: {why}"));
                    continue;
                }
                Looked::Seen(free) => *free,
            };
            let text = format!("{what}: {} MiB free", free >> 20);
            let remedy = "make room, or use a larger file system";
            match free {
                free if free < FAILED_BYTES => report.failed(facts.node, text, remedy),
                free if free < enough => report.warning(facts.node, text, remedy),
                _ => report.ok(facts.node, text),
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
    fn a_disk_that_is_nearly_full_is_found() {
        let mut pair = Pair::good();
        pair.peer.volumes[0].free_bytes = Looked::Seen(1 << 30);
        pair.expect("space", Verdict::Warning, "volume db: 1024 MiB");
        pair.peer.volumes[0].free_bytes = Looked::Seen(1 << 20);
        pair.expect("space", Verdict::Failed, "1 MiB");
        let mut pair = Pair::good();
        pair.own.state_free_bytes = Looked::Seen(0);
        pair.expect("space", Verdict::Failed, "state directory");
    }
}
