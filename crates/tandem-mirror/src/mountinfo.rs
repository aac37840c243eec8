//! `/proc/PID/mountinfo`, parsed: what is mounted where, and which directory of which file system
//! it shows.

use crate::backing::FUSE_NAME;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount of a process's mount namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// The mount's number, the same in every process that sees it.
    pub id: u64,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The directory of the file system that is shown.
    pub root: PathBuf,
    /// Where it is shown.
    pub mount_point: PathBuf,
    /// Options of this mount, as `ro,relatime`.
    pub options: String,
    /// The kind of file system, as `ext4` or `fuse.tandem`.
    pub file_system: String,
    /// What was mounted, as `/dev/sda1`.
    pub source: String,
}

/// The mounts that a process sees, in the order of mounting; `self` for this one.
///
/// # Errors
/// When the process is gone.
pub fn mounts_of(process: &str) -> io::Result<Vec<Mount>> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(text.split(|b| *b == b'\n').filter_map(parse).collect())
}

impl Mount {
    /// Whether this is a mount through which a mirror serves, or served.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.file_system == format!("fuse.{FUSE_NAME}")
    }

    /// Whether nothing can be written through this mount.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.options.split(',').any(|option| option == "ro")
    }

    /// Where in the file system a path lies that is reached through this mount.
    #[must_use]
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.mount_point).ok()?;
        // `join` with nothing would add a slash.
        Some(match rest.as_os_str().is_empty() {
            true => self.root.clone(),
            false => self.root.join(rest),
        })
    }
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let (major, minor) = device.split_once(':')?;
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    let options = text(fields.next()?);
    // Optional fields up to a lone dash.
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    Some(Mount {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root,
        mount_point,
        options,
        file_system: text(fields.next()?),
        source: text(&unescape(fields.next()?)),
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// Space, tab, newline and backslash stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_escapes_and_optional_fields() {
        let line = b"36 35 98:0 /mnt1 /with\\040space\\134 rw,noatime master:1 shared:2 - ext3 \
            /dev/root rw,errors=continue";
        let mount = parse(line).expect("a line of the manual page");
        assert_eq!(mount.id, 36);
        assert_eq!(mount.device, (98, 0));
        assert_eq!(mount.mount_point, Path::new("/with space\\"));
        assert_eq!(mount.file_system, "ext3");
        assert_eq!(mount.source, "/dev/root");
        let inside = mount.inside(Path::new("/with space\\/a/b"));
        assert_eq!(inside.as_deref(), Some(Path::new("/mnt1/a/b")));
        assert_eq!(mount.inside(Path::new("/else")), None);
    }

    #[test]
    fn this_process_sees_a_root() {
        let mounts = mounts_of("self").expect("read mountinfo");
        assert!(mounts.iter().any(|m| m.mount_point == Path::new("/")));
    }
}
