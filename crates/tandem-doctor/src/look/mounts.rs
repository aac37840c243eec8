//! The mounts of this process's namespace, and which one a path lies on.

use std::fs;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    pub point: PathBuf,
    pub kind: String,
    pub options: Vec<String>,
}

/// All of them, the newest last.
pub fn mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let point = unescape(fields.nth(4)?);
    let own = fields.next()?;
    let mut after = after.split(' ');
    let kind = after.next()?.to_owned();
    let shared = after.nth(1).unwrap_or("");
    let options = own.split(',').chain(shared.split(','));
    Some(Mount {
        point: PathBuf::from(point),
        kind,
        options: options.map(str::to_owned).collect(),
    })
}

fn unescape(text: &str) -> String {
    let text = text.replace("\\040", " ").replace("\\011", "\t");
    text.replace("\\012", "\n").replace("\\134", "\\")
}

/// The mount on which a path lies; of several on one place the newest.
pub fn of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count())
}

/// The newest mount exactly there.
pub fn at<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.point == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_on_the_newest_of_the_nearest_mounts() {
        let text = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                    2 1 8:2 / /srv/my\\040data ro,noexec - xfs /dev/b rw\n\
                    3 2 8:2 / /srv/my\\040data rw - fuse.tandem tandem rw";
        let mounts: Vec<Mount> = text.lines().filter_map(|line| parse(line.trim())).collect();
        assert_eq!(mounts.len(), 3);
        let kind = |path: &str| of(&mounts, Path::new(path)).map(|m| m.kind.as_str());
        assert_eq!(kind("/srv/my data/x"), Some("fuse.tandem"));
        assert_eq!(kind("/srv"), Some("ext4"));
        let there = at(&mounts, Path::new("/srv/my data")).expect("mounted");
        assert_eq!(there.kind, "fuse.tandem");
        assert!(mounts[1].options.contains(&"noexec".to_owned()));
    }
}
