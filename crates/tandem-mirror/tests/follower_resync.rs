//! Comparing a whole tree: a scripted source walks a directory of its own and brings a standby
//! that differs in any way to equality.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/source.rs"]
mod source;
#[path = "support/trees.rs"]
mod trees;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use disk::root_or_skip;
use rustix::fs::{Mode, OFlags};
use source::{Source, Standby, entry, name, time};
use tandem_mirror::sys;
use tandem_wire::stream::{
    COMPARE_BYTES, Differs, Entry, FLAG_RESYNC, FrameHeader, Name, ObjectKind, ObjectNumber,
    Operation, ROOT_OBJECT, WritePlace, encode,
};
use trees::{AccessTimes, Random, assert_equal, change, copy, entries as entries_of, grow, look};

macro_rules! needs_root {
    ($name:literal) => {
        if !root_or_skip($name) {
            return;
        }
    };
}

/// The simplest source that is right: lists, describes and compares everything, then repairs.
struct Walk<'a> {
    source: &'a mut Source,
    secret: [u8; 32],
    top: PathBuf,
    numbers: HashMap<u64, ObjectNumber>,
    next: ObjectNumber,
    files: Vec<(ObjectNumber, PathBuf)>,
    /// Entries in one part of a listing.
    part: usize,
}

impl Walk<'_> {
    fn run(mut self) -> usize {
        self.directory(ROOT_OBJECT, &self.top.clone());
        for (number, path) in std::mem::take(&mut self.files) {
            self.describe(number, &path);
            self.compare(number, &path);
            self.numbers
                .insert(fs::metadata(&path).expect("look").ino(), number);
        }
        let end = self.source.op(Operation::CompareEnd);
        self.source.await_applied(end);
        let repaired = self.repair();
        let level = self.source.op(Operation::Level);
        self.source.await_synced(level);
        repaired
    }

    fn directory(&mut self, number: ObjectNumber, path: &Path) {
        let mut entries = Vec::new();
        let mut inside = Vec::new();
        for (found, _) in entries_of(path) {
            let at = path.join(&found);
            let data = fs::symlink_metadata(&at).expect("look");
            let known = self.numbers.get(&data.ino()).copied();
            let object = known.unwrap_or_else(|| {
                self.next += 1;
                self.next
            });
            self.numbers.insert(data.ino(), object);
            let kind = kind_of(&at);
            if known.is_none() {
                inside.push((object, at, kind.clone()));
            }
            entries.push(Entry {
                name: Name::new(found.as_bytes()).expect("a name"),
                object,
                kind,
                linked: data.nlink() > 1,
            });
        }
        let parts: Vec<&[Entry]> = match entries.is_empty() {
            true => vec![&[]],
            false => entries.chunks(self.part).collect(),
        };
        for (at, part) in parts.iter().enumerate() {
            self.source.op(Operation::ListDirectory {
                object: number,
                entries: part.to_vec(),
                first: at == 0,
                last: at + 1 == parts.len(),
            });
        }
        self.describe(number, path);
        for (object, at, kind) in inside {
            match kind {
                ObjectKind::Directory => self.directory(object, &at),
                ObjectKind::File => self.files.push((object, at)),
                _ => self.describe(object, &at),
            }
        }
    }

    fn describe(&mut self, object: ObjectNumber, path: &Path) {
        let opened = open_named(path);
        let stat = sys::stat(opened.as_fd()).expect("stat");
        let xattrs = sys::xattrs(opened.as_fd()).expect("attributes");
        self.source.op(Operation::Describe {
            object,
            attributes: sys::attributes(&stat),
            size: stat.st_size as u64,
            xattrs,
        });
    }

    fn compare(&mut self, object: ObjectNumber, path: &Path) {
        let length = fs::metadata(path).expect("look").len();
        let mut offset = 0;
        while offset < length {
            let piece = read(path, offset, (length - offset).min(COMPARE_BYTES.into()));
            self.source.op(Operation::Compare {
                object,
                offset,
                bytes: piece.len() as u32,
                hash: blake3::keyed_hash(&self.secret, &piece).into(),
            });
            offset += piece.len() as u64;
        }
    }

    fn repair(&mut self) -> usize {
        let paths: HashMap<ObjectNumber, PathBuf> = {
            let mut names = Vec::new();
            collect(&self.top, &mut names);
            names
                .into_iter()
                .map(|path| {
                    (
                        self.numbers[&fs::symlink_metadata(&path).expect("look").ino()],
                        path,
                    )
                })
                .collect()
        };
        let differs = std::mem::take(&mut self.source.heard.differs);
        for Differs {
            object,
            offset,
            bytes,
            ..
        } in &differs
        {
            let path = &paths[object];
            let data = read(path, *offset, u64::from(*bytes));
            let stat = sys::stat(open_named(path).as_fd()).expect("stat");
            self.source.last += 1;
            let place = WritePlace {
                object: *object,
                offset: *offset,
                mtime: sys::modification_time(&stat),
            };
            let mut header = FrameHeader::write(self.source.epoch, self.source.last, 0, place);
            header.flags.set(FLAG_RESYNC);
            self.source.sender.send(header, &data).expect("send");
        }
        differs.len()
    }
}

fn collect(top: &Path, names: &mut Vec<PathBuf>) {
    for (found, is_directory) in entries_of(top) {
        let path = top.join(found);
        if is_directory {
            collect(&path, names);
        }
        names.push(path);
    }
}

fn open_named(path: &Path) -> std::os::fd::OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).expect("open")
}

fn kind_of(path: &Path) -> ObjectKind {
    let opened = open_named(path);
    let stat = sys::stat(opened.as_fd()).expect("stat");
    sys::object_kind(opened.as_fd(), &stat).expect("kind")
}

fn read(path: &Path, offset: u64, bytes: u64) -> Vec<u8> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOATIME)
        .open(path)
        .expect("open");
    let mut piece = vec![0; bytes as usize];
    file.read_exact_at(&mut piece, offset).expect("read");
    piece
}

struct Scene {
    standby: Standby,
    source: PathBuf,
    copy: PathBuf,
    _base: tempfile::TempDir,
}

/// A standby over `prepare`'s second directory; the first is the source's.
fn scene(prepare: impl FnOnce(&Path, &Path)) -> Scene {
    let base = tempfile::tempdir().expect("make a directory");
    let (source, copy) = (base.path().join("source"), base.path().join("copy"));
    fs::create_dir(&source).expect("create");
    prepare(&source, &copy);
    if !copy.exists() {
        fs::create_dir(&copy).expect("create");
    }
    let mut standby = Standby::new(&[&copy]);
    standby.met_before();
    standby.follow(1, 9);
    Scene {
        standby,
        source,
        copy,
        _base: base,
    }
}

/// Compares everything and asserts that both trees are equal; says how many pieces were sent.
fn resynchronise(s: &Scene, part: usize) -> usize {
    let (mut source, secret) = s.standby.compare(1);
    let walk = Walk {
        source: &mut source,
        secret,
        top: s.source.clone(),
        numbers: HashMap::new(),
        next: ROOT_OBJECT,
        files: Vec::new(),
        part,
    };
    let repaired = walk.run();
    assert!(s.standby.status().level);
    let both = |path| look(path, AccessTimes::Compare);
    assert_equal("after the comparison", &both(&s.source), &both(&s.copy));
    let removed = fs::read_dir(s.copy.join(".tandem/removed")).expect("list");
    assert_eq!(removed.count(), 0, "nothing is left of removals");
    repaired
}

#[test]
fn an_empty_standby_becomes_equal() {
    needs_root!("an_empty_standby_becomes_equal");
    let s = scene(|source, _| grow(source, &mut Random::new(1), 300));
    resynchronise(&s, 1000);
}

#[test]
fn what_is_equal_is_not_sent() {
    needs_root!("what_is_equal_is_not_sent");
    let s = scene(|source, copy_to| {
        grow(source, &mut Random::new(2), 300);
        copy(source, copy_to);
    });
    assert_eq!(resynchronise(&s, 1000), 0);
    let file = s.source.join("big");
    fs::write(&file, vec![3; 3 << 20]).expect("write");
    assert_eq!(resynchronise(&s, 1000), 12, "all of the new file");
    let opened = OpenOptions::new().write(true).open(&file).expect("open");
    opened.write_all_at(b"x", 700_000).expect("write");
    assert_eq!(resynchronise(&s, 1000), 1, "one piece differs");
}

#[test]
fn two_trees_that_went_different_ways_become_equal() {
    needs_root!("two_trees_that_went_different_ways_become_equal");
    for seed in 10..22 {
        println!("seed {seed}");
        let s = scene(|source, copy_to| {
            let mut random = Random::new(seed);
            grow(source, &mut random, 120);
            copy(source, copy_to);
            for _ in 0..120 {
                change(source, &mut random, trees::Changes::All);
                change(copy_to, &mut random, trees::Changes::All);
            }
        });
        resynchronise(&s, 1 + (seed as usize % 5));
    }
}

#[test]
fn a_thing_of_another_kind_is_replaced_with_all_below_it() {
    needs_root!("a_thing_of_another_kind_is_replaced_with_all_below_it");
    let s = scene(|source, copy| {
        fs::write(source.join("file"), "a file").expect("write");
        fs::create_dir(source.join("directory")).expect("create");
        symlink("here", source.join("link")).expect("link");
        fs::create_dir_all(copy.join("file/deep/er")).expect("create");
        fs::write(copy.join("file/deep/er/x"), "x").expect("write");
        symlink("/etc", copy.join("directory")).expect("link");
        symlink("there", copy.join("link")).expect("link");
        fs::create_dir(copy.join("unlisted")).expect("create");
        symlink("/etc", copy.join("unlisted/link")).expect("link");
    });
    resynchronise(&s, 1);
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn a_tree_deeper_than_there_are_descriptors_is_removed() {
    needs_root!("a_tree_deeper_than_there_are_descriptors_is_removed");
    let s = scene(|_, copy| {
        fs::create_dir(copy).expect("create");
        let mut at = File::open(copy).expect("open");
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("create");
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            at = rustix::fs::openat(&at, "d", flags, Mode::empty())
                .expect("open")
                .into();
        }
    });
    resynchronise(&s, 1);
}

#[test]
fn hard_links_are_joined_and_separated() {
    needs_root!("hard_links_are_joined_and_separated");
    let s = scene(|source, copy| {
        for (top, joined) in [(source, ["a", "b"]), (copy, ["b", "c"])] {
            fs::create_dir_all(top.join("sub")).expect("create");
            for name in ["a", "b", "c"] {
                fs::write(top.join("sub").join(name), name.repeat(10_000)).expect("write");
            }
            let [one, two] = joined.map(|name| top.join("sub").join(name));
            fs::remove_file(&two).expect("remove");
            fs::hard_link(one, two).expect("link");
            fs::hard_link(top.join("sub/c"), top.join("z")).expect("link");
        }
    });
    resynchronise(&s, 10);
}

#[test]
fn what_an_interrupted_removal_left_is_removed() {
    needs_root!("what_an_interrupted_removal_left_is_removed");
    let s = scene(|_, copy| {
        for name in ["1", "2", "1000000003"] {
            fs::create_dir_all(copy.join(".tandem/removed").join(name).join("x")).expect("create");
            fs::write(copy.join(".tandem/removed").join(name).join("x/y"), "z").expect("write");
        }
    });
    resynchronise(&s, 1);
}

#[test]
fn live_operations_ride_in_the_comparison() {
    needs_root!("live_operations_ride_in_the_comparison");
    let s = scene(|_, copy| {
        fs::create_dir_all(copy.join("stale/full")).expect("create");
        fs::write(copy.join("stale/full/x"), "x").expect("write");
        fs::create_dir_all(copy.join("also/full")).expect("create");
    });
    let (mut source, secret) = s.standby.compare(1);
    source.list(
        0,
        ROOT_OBJECT,
        vec![
            entry("also", 2, ObjectKind::Directory),
            entry("moved", 3, ObjectKind::Directory),
            entry("stale", 4, ObjectKind::Directory),
            entry("file", 5, ObjectKind::File),
        ],
    );
    // Directories that are empty at the source and were not listed yet.
    source.op(Operation::RemoveDirectory {
        parent: ROOT_OBJECT,
        name: name("stale"),
        parent_mtime: time(1),
    });
    source.rename((ROOT_OBJECT, "moved"), (ROOT_OBJECT, "also"));
    source.op(Operation::Truncate {
        object: 5,
        size: 6,
        mtime: time(2),
    });
    let data = b"123456";
    let hash = |bytes: &[u8]| blake3::keyed_hash(&secret, bytes).into();
    let compare = |hash, bytes| Operation::Compare {
        object: 5,
        offset: 0,
        bytes,
        hash,
    };
    source.op(compare(hash(&[0; 6]), 6));
    source.op(compare(hash(data), 6));
    source.op(compare(hash(&[0; 7]), 7));
    let end = source.op(Operation::CompareEnd);
    source.await_applied(end);
    let lengths: Vec<u32> = source
        .heard
        .differs
        .iter()
        .map(|differs| differs.bytes)
        .collect();
    assert_eq!(
        lengths,
        [6, 7],
        "different contents, and a piece beyond the end"
    );
    source.write_with(5, 0, data, FLAG_RESYNC);
    assert!(!s.standby.status().level);
    let level = source.op(Operation::Level);
    source.await_synced(level);
    assert!(s.standby.status().level);
    assert!(s.standby.status().checkpointed >= level);
    assert_eq!(fs::read(s.copy.join("file")).expect("read"), data);
    let mut left: Vec<_> = fs::read_dir(&s.copy)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".tandem", "also", "file"]);
    source.op(compare(hash(data), 6));
    let failed = source.await_failure();
    assert!(
        failed.reason.contains("cannot be compared now"),
        "{failed:?}"
    );
}

#[test]
fn a_comparison_that_breaks_off_begins_anew_and_ends_equal() {
    needs_root!("a_comparison_that_breaks_off_begins_anew_and_ends_equal");
    let s = scene(|source, copy_to| {
        let mut random = Random::new(77);
        grow(source, &mut random, 150);
        copy(source, copy_to);
        for _ in 0..80 {
            change(source, &mut random, trees::Changes::All);
        }
    });
    for stop_after in [1, 20, 60] {
        let (mut source, _) = s.standby.compare(1);
        let names: Vec<_> = fs::read_dir(&s.source).expect("list").collect();
        let entries = names
            .into_iter()
            .take(stop_after)
            .enumerate()
            .map(|(at, found)| {
                let found = found.expect("entry");
                Entry {
                    name: Name::new(found.file_name().as_bytes()).expect("a name"),
                    object: 100 + at as u64,
                    kind: kind_of(&found.path()),
                    linked: false,
                }
            })
            .collect();
        source.op(Operation::ListDirectory {
            object: ROOT_OBJECT,
            entries,
            first: true,
            last: stop_after % 20 == 0,
        });
        source.listen(Duration::from_millis(1));
        drop(source);
    }
    resynchronise(&s, 3);
    let size = encode(&Operation::CompareEnd).len();
    assert!(size < 8, "a control operation is small");
}
