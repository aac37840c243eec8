//! The licence, as the daemons see it.

use super::Examination;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    if examination.licenses.is_empty() {
        return report.unknown(None, "the daemon does not run here");
    }
    for license in examination.licenses {
        let node = Some(license.node);
        match license.valid {
            true => report.ok(node, &license.text),
            false => report.warning(
                node,
                format!(
                    "{}: modules stop after 72 hours of running time",
                    license.text
                ),
                "tandem license request prints what whoever issues licences needs; then tandem \
                 license add on both nodes",
            ),
        }
    }
}
