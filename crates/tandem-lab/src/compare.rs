//! Compares two directory trees: an own implementation, which shares nothing with the product.
//!
//! Compared are names, types, modes, owners, sizes, modification times, link counts, which names
//! are links to one file, device numbers, extended attributes, targets of symbolic links, and
//! content. Not compared is what is not equal by nature: inode numbers, change and access times,
//! block counts, sizes of directories. The product's own hidden directory is left out.

use anyhow::{Context, Result};
use rustix::fs::SeekFrom;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The product's own directory at the top of a volume.
const OWN: &str = ".tandem";
/// The longest value of an extended attribute on Linux.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// What is hashed at once.
const BLOCK_BYTES: usize = 64 << 10;

/// One name of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: (i64, i64),
    links: u64,
    /// The first name of the same file.
    first_name: PathBuf,
    device: u64,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    content: Vec<u8>,
}

/// The differences between the trees at `left` and `right`, as sentences; none if they are equal.
///
/// # Errors
/// One of them cannot be read.
pub fn differences(left: &Path, right: &Path) -> Result<Vec<String>> {
    let (left, right) = (read(left)?, read(right)?);
    let mut found = Vec::new();
    for (name, entry) in &left {
        match right.get(name) {
            None => found.push(format!("{}: only on the left", name.display())),
            Some(other) => found.extend(difference(name, entry, other)),
        }
    }
    for name in right.keys().filter(|name| !left.contains_key(*name)) {
        found.push(format!("{}: only on the right", name.display()));
    }
    Ok(found)
}

/// What a tree looks like, to be compared with a later look. Opaque.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot(BTreeMap<PathBuf, Entry>);

/// Looks at the tree at `top`.
///
/// # Errors
/// It cannot be read.
pub fn snapshot(top: &Path) -> Result<Snapshot> {
    read(top).map(Snapshot)
}

fn difference(name: &Path, left: &Entry, right: &Entry) -> Option<String> {
    let mut what = Vec::new();
    let mut note = |field: &str, equal: bool, l: String, r: String| {
        if !equal {
            what.push(format!("{field} {l} / {r}"));
        }
    };
    macro_rules! field {
        ($field:ident) => {
            note(
                stringify!($field),
                left.$field == right.$field,
                format!("{:?}", left.$field),
                format!("{:?}", right.$field),
            )
        };
    }
    note(
        "mode",
        left.mode == right.mode,
        format!("{:o}", left.mode),
        format!("{:o}", right.mode),
    );
    field!(owner);
    field!(size);
    field!(modified);
    field!(links);
    field!(first_name);
    field!(device);
    field!(attributes);
    let (l, r) = (hex(&left.content), hex(&right.content));
    note("content", left.content == right.content, l, r);
    (!what.is_empty()).then(|| format!("{}: {}", name.display(), what.join(", ")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

fn read(top: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(name) = open.pop() {
        let path = top.join(&name);
        let about = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        if about.is_dir() {
            let mut children = fs::read_dir(&path)?
                .map(|child| Ok(name.join(child?.file_name())))
                .collect::<std::io::Result<Vec<_>>>()?;
            children.retain(|child| child.as_os_str() != OWN);
            // The smallest name is read first, on both sides.
            children.sort_by(|a, b| b.cmp(a));
            open.extend(children);
        }
        let first_name = match first_names.entry((about.dev(), about.ino())) {
            Slot::Vacant(slot) => slot.insert(name.clone()).clone(),
            Slot::Occupied(slot) => slot.get().clone(),
        };
        let entry = Entry {
            mode: about.mode(),
            owner: (about.uid(), about.gid()),
            size: if about.is_dir() { 0 } else { about.size() },
            modified: (about.mtime(), about.mtime_nsec()),
            links: about.nlink(),
            first_name,
            device: about.rdev(),
            attributes: attributes(&path)?,
            content: content(&path, &about)?,
        };
        entries.insert(name, entry);
    }
    Ok(entries)
}

fn content(path: &Path, about: &fs::Metadata) -> Result<Vec<u8>> {
    let kind = about.file_type();
    if kind.is_symlink() {
        return Ok(fs::read_link(path)?.into_os_string().as_bytes().to_vec());
    }
    if !kind.is_file() {
        return Ok(Vec::new());
    }
    let mut hasher = blake3::Hasher::new();
    let file = fs::File::open(path)?;
    hash_content(&file, about.size(), &mut hasher).with_context(|| path.display().to_string())?;
    Ok(hasher.finalize().as_bytes().to_vec())
}

/// Hashes each block that is not all zeros, with its place. So a hole is equal to zeros, and a file
/// that is mostly holes needs no long time; the size is compared for itself.
fn hash_content(file: &fs::File, size: u64, hasher: &mut blake3::Hasher) -> Result<()> {
    let mut block = vec![0_u8; BLOCK_BYTES];
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = data - data % BLOCK_BYTES as u64;
        let mut length = 0;
        while length < block.len() {
            match file.read_at(&mut block[length..], at + length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        if block[..length].iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes());
            hasher.update(&block[..length]);
        }
        at += BLOCK_BYTES as u64;
    }
    Ok(())
}

fn attributes(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::llistxattr(path, &mut names[..])?;
    let mut attributes = BTreeMap::new();
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let mut value = vec![0_u8; ATTRIBUTE_BYTES_MAX];
        let key = CString::new(name).expect("split at zero bytes");
        let length = rustix::fs::lgetxattr(path, key.as_c_str(), &mut value[..])?;
        value.truncate(length);
        attributes.insert(name.to_vec(), value);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;
    use tempfile::TempDir;

    /// Two equal trees with something of each kind.
    fn trees() -> (TempDir, TempDir) {
        let (left, right) = (
            TempDir::new().expect("left"),
            TempDir::new().expect("right"),
        );
        let top = left.path();
        fs::create_dir(top.join("inner")).expect("made");
        fs::write(top.join("file"), "content").expect("made");
        fs::hard_link(top.join("file"), top.join("inner/link")).expect("made");
        fs::write(top.join("other"), "content").expect("made");
        symlink("target", top.join("symlink")).expect("made");
        let copied = Command::new("cp")
            .arg("-aT")
            .args([top, right.path()])
            .status();
        assert!(copied.is_ok_and(|s| s.success()));
        (left, right)
    }

    fn found(left: &TempDir, right: &TempDir) -> Vec<String> {
        differences(left.path(), right.path()).expect("both can be read")
    }

    #[test]
    fn equal_trees_have_no_difference() {
        let (left, right) = trees();
        assert_eq!(found(&left, &right), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        type Change = (&'static str, fn(&Path));
        let changes: [Change; 7] = [
            ("content", |top| {
                let about = fs::metadata(top.join("file")).expect("there");
                fs::write(top.join("file"), "CONTENT").expect("written");
                let file = fs::File::options().write(true).open(top.join("file"));
                let times = fs::FileTimes::new().set_modified(about.modified().expect("a time"));
                file.expect("there").set_times(times).expect("set");
            }),
            ("modified", |top| {
                fs::write(top.join("other"), "content").expect("written");
            }),
            ("mode", |top| {
                let mode = fs::Permissions::from_mode(0o711);
                fs::set_permissions(top.join("inner"), mode).expect("set");
            }),
            ("only on the right", |top| {
                fs::write(top.join("more"), "").expect("written");
            }),
            ("only on the left", |top| {
                fs::remove_file(top.join("symlink")).expect("removed");
            }),
            ("links", |top| {
                fs::remove_file(top.join("inner/link")).expect("removed");
                fs::copy(top.join("file"), top.join("inner/link")).expect("copied");
            }),
            ("content", |top| {
                fs::remove_file(top.join("symlink")).expect("removed");
                symlink("Target", top.join("symlink")).expect("made");
            }),
        ];
        for (what, change) in changes {
            let (left, right) = trees();
            change(right.path());
            let found = found(&left, &right);
            assert!(found.iter().any(|f| f.contains(what)), "{what}: {found:?}");
        }
    }

    #[test]
    fn a_hole_is_equal_to_zeros_and_content_behind_it_is_found() {
        let (left, right) = trees();
        let time = std::time::SystemTime::UNIX_EPOCH;
        let write = |top: &TempDir, sparse: bool, last: u8| {
            let file = fs::File::create(top.path().join("sparse")).expect("made");
            if !sparse {
                file.write_all_at(&[0; 5 * BLOCK_BYTES], 0)
                    .expect("written");
            }
            let end = 5 * BLOCK_BYTES as u64;
            file.write_all_at(&[1, last], end).expect("written");
            file.set_times(fs::FileTimes::new().set_modified(time))
                .expect("set");
            let top = fs::File::open(top.path()).expect("there");
            top.set_times(fs::FileTimes::new().set_modified(time))
                .expect("set");
        };
        write(&left, true, 2);
        write(&right, false, 2);
        assert_eq!(found(&left, &right), Vec::<String>::new());
        write(&right, false, 3);
        let found = found(&left, &right);
        assert!(found.iter().any(|f| f.contains("content")), "{found:?}");
    }

    #[test]
    fn the_hidden_directory_is_left_out() {
        let (left, right) = trees();
        let modified = fs::metadata(right.path()).and_then(|m| m.modified());
        fs::create_dir(right.path().join(OWN)).expect("made");
        let times = fs::FileTimes::new().set_modified(modified.expect("a time"));
        let top = fs::File::open(right.path()).expect("there");
        top.set_times(times).expect("set");
        let found = found(&left, &right);
        // Only the number of its links tells that something is there.
        assert!(found.iter().all(|f| f.starts_with(": links ")), "{found:?}");
    }
}
