//! The ports of this machine that Tandem uses: free, or its own.

use super::Examination;
use crate::finding::Report;
use crate::subject::Protocol;

/// Console, control link, data stream, heartbeats; and the data streams of further modules.
fn is_ours(port: u16, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Tcp => matches!(port, 9010..=9012 | 9101..=9131),
        Protocol::Udp => port == 9013,
    }
}

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    let configured = &examination.subject.ports;
    for facts in examination.nodes() {
        let Some(listeners) = report.seen(facts.node, &facts.listeners) else {
            continue;
        };
        let wanted = |port: u16, protocol: Protocol| match configured.is_empty() {
            true => is_ours(port, protocol),
            false => (configured.iter()).any(|p| p.number == port && p.protocol == protocol),
        };
        let mut free = true;
        for listener in listeners.iter().filter(|l| wanted(l.port, l.protocol)) {
            let (port, protocol) = (listener.port, listener.protocol.word());
            match listener.program.as_deref() {
                Some("tandem") => {}
                Some(program) => {
                    free = false;
                    report.failed(
                        facts.node,
                        format!("port {port}/{protocol} is in use by {program}"),
                        "end that program, or move it to another port",
                    );
                }
                None => {
                    free = false;
                    let what = format!("port {port}/{protocol} is in use; only root sees by whom");
                    report.unknown(facts.node, what);
                }
            }
        }
        if free {
            report.ok(facts.node, "the ports are free, or Tandem's own");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::facts::Listener;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn a_stranger_on_a_port_is_found_and_tandem_is_not() {
        let mut pair = Pair::good();
        let listener = |program: Option<&str>| Listener {
            port: 9013,
            protocol: Protocol::Udp,
            program: program.map(str::to_owned),
        };
        pair.own.listeners = Looked::Seen(vec![listener(Some("tandem"))]);
        assert_eq!(pair.worst("ports").verdict, Verdict::Ok);
        pair.own.listeners = Looked::Seen(vec![listener(Some("dnsmasq"))]);
        pair.expect("ports", Verdict::Failed, "9013/udp is in use by dnsmasq");
        pair.own.listeners = Looked::Seen(vec![listener(None)]);
        pair.expect("ports", Verdict::Unknown, "only root");
    }
}
