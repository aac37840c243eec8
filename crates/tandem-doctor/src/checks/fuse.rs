//! The kernel's file systems in user space, through which the application sees its data.

use super::Examination;
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    let limit = examination.subject.stall_limit;
    for facts in examination.nodes() {
        let node = facts.node;
        let Some(fuse) = report.seen(node, &facts.fuse) else {
            continue;
        };
        if !fuse.device {
            report.failed(
                node,
                "/dev/fuse is not there",
                "modprobe fuse; in a container, pass the device in",
            );
            continue;
        }
        // The kernel aborts the mount when a request takes longer, and a stalled standby makes
        // requests take as long as the stall limit and the vote.
        let short = (fuse.request_seconds_max)
            .filter(|seconds| limit.is_some_and(|limit| *seconds <= limit.as_secs() + 1));
        match short {
            Some(seconds) => report.failed(
                node,
                format!("the kernel aborts file systems in user space after {seconds} s"),
                "sysctl fs.fuse.max_request_timeout=0 fs.fuse.default_request_timeout=0",
            ),
            None => report.ok(node, "file systems in user space can be mounted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use crate::facts::Fuse;
    use crate::facts::Looked;
    use crate::finding::Verdict;

    #[test]
    fn a_missing_device_is_found() {
        let mut pair = Pair::good();
        pair.peer.fuse = Looked::Seen(Fuse {
            device: false,
            request_seconds_max: None,
        });
        pair.expect("fuse", Verdict::Failed, "/dev/fuse");
    }

    #[test]
    fn a_kernel_that_aborts_slow_requests_is_found() {
        let mut pair = Pair::good();
        let mut with = |seconds| {
            pair.own.fuse = Looked::Seen(Fuse {
                device: true,
                request_seconds_max: Some(seconds),
            });
            pair.worst("fuse").verdict
        };
        assert_eq!(with(2), Verdict::Failed);
        assert_eq!(with(60), Verdict::Ok);
    }
}
