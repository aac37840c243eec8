//! Recording servers: they keep their own data, and Tandem does not protect them.

use super::Examination;
use crate::finding::Report;

/// The ports of recording servers: for their clients, and for their administration.
const RECORDER_PORTS: [u16; 2] = [7563, 9001];

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let Some(listeners) = report.seen(facts.node, &facts.listeners) else {
            continue;
        };
        let mut recorders = listeners
            .iter()
            .filter(|l| RECORDER_PORTS.contains(&l.port));
        match recorders.next() {
            Some(recorder) => report.warning(
                facts.node,
                format!(
                    "{} listens on {}: a recording server is not protected by Tandem",
                    recorder.program.as_deref().unwrap_or("a program"),
                    recorder.port
                ),
                "run recording servers on other machines, with failover recording servers of \
                 their own",
            ),
            None => report.ok(facts.node, "no recording server runs here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::facts::Listener;
    use crate::facts::Looked;
    use crate::finding::Verdict;
    use crate::subject::Protocol;

    #[test]
    fn a_recording_server_is_named_as_not_protected() {
        let mut pair = Pair::good();
        pair.peer.listeners = Looked::Seen(vec![Listener {
            port: 7563,
            protocol: Protocol::Tcp,
            program: Some("VideoOS.Recorder".into()),
        }]);
        pair.expect("recorders", Verdict::Warning, "VideoOS.Recorder");
    }
}
