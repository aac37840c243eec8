//! AppArmor and SELinux: what they forbid the application in a mounted volume, it meets at the first
//! start only.

use super::Examination;
use crate::finding::Report;

/// Profiles of applications that one protects.
const DATABASES: [&str; 5] = ["mysqld", "mariadbd", "postgres", "sqlservr", "mongod"];

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        let Some(confinement) = report.seen(facts.node, &facts.confinement) else {
            continue;
        };
        let profiles = confinement.apparmor.iter();
        let confined: Vec<&str> = profiles
            .filter(|profile| DATABASES.iter().any(|database| profile.contains(database)))
            .map(String::as_str)
            .collect();
        if confinement.selinux {
            report.warning(
                facts.node,
                "SELinux enforces: Tandem was not tried with it",
                "ausearch -m avc after the first start; allow the application fusefs_t",
            );
        }
        if !confined.is_empty() {
            report.warning(
                facts.node,
                format!("AppArmor confines {}", confined.join(", ")),
                "let its profile read and write the volume's path, and reload it",
            );
        }
        if !confinement.selinux && confined.is_empty() {
            report.ok(facts.node, "nothing confines the application");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::facts::Confinement;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn what_confines_a_database_is_found() {
        let mut pair = Pair::good();
        pair.own.confinement = Looked::Seen(Confinement {
            selinux: false,
            apparmor: vec!["/usr/sbin/mariadbd".into(), "man_filter".into()],
        });
        pair.expect(
            "confinement",
            Verdict::Warning,
            "AppArmor confines /usr/sbin/mariadbd",
        );
        pair.own.confinement = Looked::Seen(Confinement {
            selinux: true,
            apparmor: Vec::new(),
        });
        pair.expect("confinement", Verdict::Warning, "SELinux");
    }
}
