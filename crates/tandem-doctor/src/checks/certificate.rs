//! The console's certificate: browsers refuse one that is over. The nodes know each other by keys
//! whose dates nobody looks at.

use super::Examination;
use crate::facts::Looked;
use crate::finding::Report;

const DAY: u64 = 86_400;
/// Time enough to get another one.
const WARNING_DAYS: u64 = 30;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let end = match &facts.certificate_ends {
            Looked::Unknown(why) => {
                report.unknown(facts.node, why);
                continue;
            }
            Looked::Seen(None) => {
                report.ok(
                    facts.node,
                    "the console has no HTTPS, and so no certificate",
                );
                continue;
            }
            Looked::Seen(Some(end)) => *end,
        };
        let days = end.saturating_sub(facts.wall_clock_ms / 1000) / DAY;
        match days {
            0 => report.failed(facts.node, "the console's certificate is over", REPLACE),
            days if days < WARNING_DAYS => {
                let what = format!("the console's certificate ends in {days} days");
                report.warning(facts.node, what, REPLACE);
            }
            _ => report.ok(facts.node, "the console's certificate is good"),
        }
    }
}

const REPLACE: &str = "tandem console https --certificate FILE --key FILE, or --renew for one that the \
                       node signs itself; then systemctl restart tandem";

#[cfg(test)]
mod tests {
    use crate::checks::fixture::Pair;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn a_certificate_is_warned_of_before_its_end_and_failed_after() {
        let mut pair = Pair::good();
        let now = pair.own.wall_clock_ms / 1000;
        pair.own.certificate_ends = Looked::Seen(Some(now + 10 * 86_400));
        pair.expect("certificate", Verdict::Warning, "ends in 10 days");
        pair.own.certificate_ends = Looked::Seen(Some(now - 1));
        pair.expect("certificate", Verdict::Failed, "is over");
        pair.own.certificate_ends = Looked::Seen(Some(now + 90 * 86_400));
        pair.expect("certificate", Verdict::Ok, "is good");
    }
}
