//! Whether two trees are equal: a comparison that shares nothing with the product's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Everything of an object that must be equal.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Object {
    kind: String,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    atime: Option<(i64, i64)>,
    size: u64,
    digest: String,
    target: Option<PathBuf>,
    device: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The names of the same object, in this tree.
    names: Vec<PathBuf>,
}

/// That two trees are equal, but for Tandem's own directory at the top.
pub fn assert_equal(one: &Path, two: &Path) {
    let (first, second) = (read(one), read(two));
    let mut differences = Vec::new();
    for (path, object) in &first {
        match second.get(path) {
            None => differences.push(format!("only in the first: {}", path.display())),
            Some(other) if other != object => {
                differences.push(format!("{}:\n  {object:?}\n  {other:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    for path in second.keys().filter(|path| !first.contains_key(*path)) {
        differences.push(format!("only in the second: {}", path.display()));
    }
    let count = differences.len();
    differences.truncate(12);
    assert!(
        count == 0,
        "{count} differences between {} and {} ({} objects):\n{}",
        one.display(),
        two.display(),
        first.len(),
        differences.join("\n")
    );
}

fn read(top: &Path) -> BTreeMap<PathBuf, Object> {
    let mut objects = BTreeMap::new();
    let mut names: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let here = top.join(&directory);
        objects.insert(directory.clone(), object(&here));
        for entry in fs::read_dir(&here).expect("list") {
            let name = entry.expect("entry").file_name();
            if directory.as_os_str().is_empty() && name == ".tandem" {
                continue;
            }
            let path = directory.join(name);
            let stat = fs::symlink_metadata(top.join(&path)).expect("stat");
            if stat.is_dir() {
                directories.push(path);
                continue;
            }
            objects.insert(path.clone(), object(&top.join(&path)));
            names.entry(stat.ino()).or_default().push(path.clone());
            inodes.insert(path, stat.ino());
        }
    }
    for (path, inode) in inodes {
        let mut all = names[&inode].clone();
        all.sort();
        objects.get_mut(&path).expect("was read").names = all;
    }
    objects
}

fn object(path: &Path) -> Object {
    let stat = fs::symlink_metadata(path).expect("stat");
    let kind = stat.file_type();
    let file = kind.is_file();
    Object {
        kind: format!(
            "{}{}{}{}{}{}{}",
            if file { "file" } else { "" },
            if kind.is_dir() { "directory" } else { "" },
            if kind.is_symlink() { "symlink" } else { "" },
            if kind.is_fifo() { "fifo" } else { "" },
            if kind.is_socket() { "socket" } else { "" },
            if kind.is_char_device() {
                "character"
            } else {
                ""
            },
            if kind.is_block_device() { "block" } else { "" },
        ),
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        // That of links and directories moves when they are looked at.
        atime: file.then(|| (stat.atime(), stat.atime_nsec())),
        size: if file { stat.size() } else { 0 },
        digest: if file { digest(path) } else { String::new() },
        target: kind
            .is_symlink()
            .then(|| fs::read_link(path).expect("readlink")),
        device: if kind.is_block_device() || kind.is_char_device() {
            stat.rdev()
        } else {
            0
        },
        xattrs: xattrs(path),
        names: Vec::new(),
    }
}

fn digest(path: &Path) -> String {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NOATIME)
        .open(path)
        .expect("open");
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let bytes = file.read(&mut buffer).expect("read");
        if bytes == 0 {
            return hasher.finalize().to_hex().to_string();
        }
        hasher.update(&buffer[..bytes]);
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0u8; 65536];
    let bytes = rustix::fs::llistxattr(path, names.as_mut_slice()).expect("listxattr");
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = names[..bytes]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0u8; 65536];
            let bytes = rustix::fs::lgetxattr(path, name, value.as_mut_slice());
            value.truncate(bytes.expect("getxattr"));
            (name.to_vec(), value)
        })
        .collect();
    found.sort();
    found
}
