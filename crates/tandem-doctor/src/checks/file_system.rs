//! The file systems beneath the volumes: local, writable, and able to keep what is mirrored.

use super::Examination;
use crate::facts::{Looked, VolumeFacts};
use crate::finding::Report;

pub fn check(examination: &Examination<'_>, report: &mut Report) {
    for facts in examination.nodes() {
        if facts.volumes.is_empty() {
            report.unknown(facts.node, "no volume yet: nothing is configured");
        }
        for volume in &facts.volumes {
            look(facts.node, volume, report);
        }
    }
    if let (own, Ok(peer)) = (examination.own, examination.peer) {
        for mine in &own.volumes {
            let theirs = peer.volumes.iter().find(|theirs| theirs.name == mine.name);
            let theirs = theirs.and_then(|theirs| theirs.file_system.seen());
            if let (Some(mine_type), Some(theirs)) = (mine.file_system.seen(), theirs)
                && mine_type != theirs
            {
                report.warning(
                    None,
                    format!(
                        "volume {}: {mine_type} here, {theirs} on the other node",
                        mine.name
                    ),
                    "use the same file system on both: their limits differ (names, attributes)",
                );
            }
        }
    }
}

fn look(node: Option<u8>, volume: &VolumeFacts, report: &mut Report) {
    let name = &volume.name;
    if volume.owner.is_none() {
        let what = format!("volume {name}: {} is not there", volume.path.display());
        return report.failed(
            node,
            what,
            "mkdir, with the owner and mode that the application needs",
        );
    }
    let kind = match &volume.file_system {
        Looked::Unknown(why) => return report.unknown(node, format!("volume {name}: {why}")),
        Looked::Seen(kind) => kind.as_str(),
    };
    let local = "put the data on a plain ext4 or xfs";
    let option = |wanted: &str| volume.options.iter().any(|option| option == wanted);
    match kind {
        _ if option("ro") => {
            let what = format!("volume {name}: its file system is mounted read-only");
            report.failed(
                node,
                what,
                "dmesg says whether it has errors; mount -o remount,rw",
            );
        }
        "ext4" | "xfs" | "btrfs" => report.ok(node, format!("volume {name}: on {kind}")),
        "tmpfs" | "ramfs" => {
            let what = format!("volume {name}: on {kind}, which forgets everything at power-off");
            report.warning(node, what, local);
        }
        kind if is_remote(kind) => {
            let what = format!("volume {name}: {kind} is not local: both nodes share its failure");
            report.failed(node, what, local);
        }
        "overlay" | "vfat" | "exfat" | "msdos" | "ntfs" | "ntfs3" | "iso9660" | "squashfs" => {
            let what = format!("volume {name}: {kind} cannot keep what is mirrored");
            report.failed(node, what, local);
        }
        other => {
            let what = format!("volume {name}: Tandem was not tried on {other}");
            report.warning(node, what, local);
        }
    }
    if option("nobarrier") || option("barrier=0") {
        let what = format!("volume {name}: mounted without barriers: a power cut loses writes");
        report.failed(node, what, "remove nobarrier from /etc/fstab");
    }
}

fn is_remote(kind: &str) -> bool {
    let known = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "ceph",
        "glusterfs",
        "ocfs2",
        "gfs2",
    ];
    known.contains(&kind) || kind.starts_with("fuse")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Pair;
    use super::*;
    use crate::finding::Verdict;

    fn with(change: impl FnOnce(&mut VolumeFacts)) -> Pair {
        let mut pair = Pair::good();
        change(&mut pair.own.volumes[0]);
        pair
    }

    #[test]
    fn file_systems_that_cannot_keep_the_data_are_found() {
        for (kind, part) in [
            ("nfs4", "not local"),
            ("vfat", "cannot keep"),
            ("overlay", "cannot"),
        ] {
            let pair = with(|volume| volume.file_system = Looked::Seen(kind.into()));
            pair.expect("file-system", Verdict::Failed, part);
        }
        let pair = with(|volume| volume.file_system = Looked::Seen("tmpfs".into()));
        pair.expect("file-system", Verdict::Warning, "forgets");
        let pair = with(|volume| volume.file_system = Looked::Seen("xfs".into()));
        pair.expect("file-system", Verdict::Warning, "xfs here, ext4");
    }

    #[test]
    fn mount_options_that_lose_writes_and_missing_directories_are_found() {
        let pair = with(|volume| volume.options = vec!["ro".into()]);
        pair.expect("file-system", Verdict::Failed, "read-only");
        let pair = with(|volume| volume.options = vec!["rw".into(), "nobarrier".into()]);
        pair.expect("file-system", Verdict::Failed, "without barriers");
        let pair = with(|volume| volume.owner = None);
        pair.expect("file-system", Verdict::Failed, "is not there");
    }
}
