//! The nodes' names: they stand for the nodes' addresses, on both.

use super::Examination;
use crate::facts::Looked;
use crate::finding::{Fix, Report};

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        if facts.names.is_empty() {
            report.unknown(facts.node, "no names yet: nothing is configured");
        }
        for name in &facts.names {
            let (text, wanted) = (&name.name, name.wanted);
            let line = format!("add the line `{wanted} {text}` to /etc/hosts, on both nodes");
            let found = match &name.found {
                Looked::Unknown(why) => {
                    report.unknown(facts.node, format!("{text}: {why}"));
                    continue;
                }
                Looked::Seen(found) => found,
            };
            // Debian gives a machine's own name a loopback address; for itself that is no harm.
            let own = facts.own.contains(&wanted);
            if found.contains(&wanted) || own && found.iter().any(std::net::IpAddr::is_loopback) {
                report.ok(facts.node, format!("{text} is {wanted}"));
            } else if found.is_empty() {
                let what = format!("the name {text} is not known here");
                report.warning(facts.node, what, &line);
                report.fixable(Fix::HostsLine {
                    address: wanted,
                    name: text.clone(),
                });
            } else {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                let what = format!("the name {text} is {} here, not {wanted}", found.join(", "));
                report.warning(facts.node, what, &format!("correct it, or {line}"));
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
    fn a_name_that_nobody_knows_is_found_and_can_be_fixed() {
        let mut pair = Pair::good();
        pair.own.names[1].found = Looked::Seen(Vec::new());
        pair.expect("names", Verdict::Warning, "h2 is not known here");
        let address = pair.own.names[1].wanted;
        let name = "h2".to_owned();
        assert_eq!(
            pair.worst("names").fix,
            Some(Fix::HostsLine { address, name })
        );
    }

    #[test]
    fn a_name_of_another_machine_is_found_and_left_to_a_person() {
        let mut pair = Pair::good();
        let other = "198.51.100.7".parse().expect("an address");
        pair.peer.names[0].found = Looked::Seen(vec![other]);
        pair.expect("names", Verdict::Warning, "h1 is 198.51.100.7 here");
        assert_eq!(pair.worst("names").fix, None);
    }

    #[test]
    fn a_machine_may_know_itself_by_a_loopback_address_and_the_other_may_not() {
        let mut pair = Pair::good();
        let loopback = "127.0.1.1".parse().expect("an address");
        pair.own.names[0].found = Looked::Seen(vec![loopback]);
        assert_eq!(pair.worst("names").verdict, Verdict::Ok);
        pair.own.names[1].found = Looked::Seen(vec![loopback]);
        pair.expect("names", Verdict::Warning, "h2 is 127.0.1.1");
    }
}
