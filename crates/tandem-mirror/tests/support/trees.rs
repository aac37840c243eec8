//! Directory trees for tests: changed at random from a seed, and compared by looking at them with
//! nothing of the product in between.

// Each test that includes this uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink,
};
use std::path::{Path, PathBuf};

/// Random numbers from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn bytes(&mut self, length: u64) -> Vec<u8> {
        // Long runs of the same, so that pieces of two files are often equal.
        let byte = self.below(4) as u8;
        let mut bytes = vec![byte; length as usize];
        if self.below(2) == 0 {
            bytes.iter_mut().for_each(|b| *b = self.next() as u8);
        }
        bytes
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        match from.len() {
            0 => None,
            length => from.get(self.below(length as u64) as usize),
        }
    }
}

/// Everything that two copies must have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    mtime: (i64, i64),
    atime: Option<(i64, i64)>,
    target: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    contents: Vec<u8>,
    size: u64,
    /// The first of the names of the same inode.
    same_as: PathBuf,
}

/// Whether access times are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AccessTimes {
    Compare,
    Ignore,
}

/// Looks at a whole tree, without `.tandem` in its top.
pub fn look(top: &Path, access_times: AccessTimes) -> BTreeMap<PathBuf, Look> {
    let mut names = Vec::new();
    list(top, Path::new(""), &mut names);
    names.sort();
    let mut first = BTreeMap::new();
    let mut found = BTreeMap::new();
    for name in names {
        let path = top.join(&name);
        // Before anything is opened: that may change the access time.
        let data = fs::symlink_metadata(&path).expect("look");
        // Reading a link changes its access time: that of its first name counts.
        let atime = (data.atime(), data.atime_nsec());
        let (same_as, atime) = first
            .entry(data.ino())
            .or_insert_with(|| (name.clone(), atime))
            .clone();
        let kind = data.file_type();
        let target = match kind.is_symlink() {
            true => fs::read_link(&path)
                .expect("read link")
                .as_os_str()
                .as_bytes()
                .to_vec(),
            false => Vec::new(),
        };
        let seen = Look {
            kind: data.mode() & libc::S_IFMT,
            mode: data.mode() & 0o7777,
            owner: (data.uid(), data.gid()),
            device: if kind.is_char_device() || kind.is_block_device() {
                data.rdev()
            } else {
                0
            },
            mtime: (data.mtime(), data.mtime_nsec()),
            atime: (access_times == AccessTimes::Compare).then_some(atime),
            target,
            xattrs: xattrs(&path),
            contents: if kind.is_file() {
                digest(&path)
            } else {
                Vec::new()
            },
            size: if kind.is_file() { data.len() } else { 0 },
            same_as,
        };
        found.insert(name, seen);
    }
    found
}

fn list(top: &Path, at: &Path, names: &mut Vec<PathBuf>) {
    names.push(at.to_path_buf());
    for (inside, is_directory) in entries(&top.join(at)) {
        let name = at.join(inside);
        if name == Path::new(".tandem") {
            continue;
        }
        match is_directory {
            true => list(top, &name, names),
            false => names.push(name),
        }
    }
}

/// The names in a directory, sorted, and which are directories; leaves its access time alone.
pub fn entries(directory: &Path) -> Vec<(OsString, bool)> {
    use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOATIME;
    let opened = openat(CWD, directory, flags, Mode::empty()).expect("open");
    let mut found: Vec<_> = Dir::new(opened)
        .expect("list")
        .map(|entry| {
            let entry = entry.expect("entry");
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            (name, entry.file_type() == FileType::Directory)
        })
        .filter(|(name, _)| name != "." && name != "..")
        .collect();
    found.sort();
    found
}

fn digest(path: &Path) -> Vec<u8> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOATIME)
        .open(path)
        .expect("open");
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("read") {
            0 => return hasher.finalize().as_bytes().to_vec(),
            read => hasher.update(&buffer[..read]),
        };
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("list attributes");
    let mut found: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("attribute");
            (name.to_vec(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// Asserts that two trees are equal; names the first differences.
pub fn assert_equal(context: &str, one: &BTreeMap<PathBuf, Look>, two: &BTreeMap<PathBuf, Look>) {
    let mut differences = Vec::new();
    for (name, look) in one {
        match two.get(name) {
            None => differences.push(format!("{name:?} is only in the first: {look:?}")),
            Some(other) if other != look => {
                differences.push(format!("{name:?} differs:\n    {look:?}\n    {other:?}"));
            }
            Some(_) => {}
        }
    }
    for name in two.keys().filter(|name| !one.contains_key(*name)) {
        differences.push(format!("{name:?} is only in the second"));
    }
    let count = differences.len();
    differences.truncate(5);
    assert!(
        count == 0,
        "{context}: {count} differences\n  {}",
        differences.join("\n  ")
    );
}

/// Which changes are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Everything that a file system can.
    All,
    /// What a mounted file system of ours answers, too: no device nodes.
    WithoutDevices,
}

/// Does one random thing to a tree. What cannot be done (a name is taken, a directory is not
/// empty) is left.
pub fn change(top: &Path, random: &mut Random, changes: Changes) -> &'static str {
    let mut names = Vec::new();
    list(top, Path::new(""), &mut names);
    let of_kind = |wanted: fn(&fs::FileType) -> bool| -> Vec<PathBuf> {
        names
            .iter()
            .filter(|name| {
                let data = fs::symlink_metadata(top.join(name)).expect("look");
                wanted(&data.file_type())
            })
            .map(|name| top.join(name))
            .collect()
    };
    let directories = of_kind(|kind| kind.is_dir());
    let files = of_kind(|kind| kind.is_file());
    let others = of_kind(|kind| !kind.is_dir());
    let any: Vec<PathBuf> = names[1..].iter().map(|name| top.join(name)).collect();
    let directory = random
        .pick(&directories)
        .cloned()
        .expect("the top at least");
    let new = directory.join(format!("n{}", random.below(12)));
    let file = random.pick(&files).cloned();
    let (act, outcome) = match random.below(30) {
        0 => ("create directory", fs::create_dir(&new)),
        1..=3 => (
            "create",
            File::create_new(&new).and_then(|made| {
                let length = random.below(200_000);
                made.write_all_at(&random.bytes(length), 0)
            }),
        ),
        4 => (
            "symlink",
            symlink(format!("target{}", random.below(3)), &new),
        ),
        5 => (
            "fifo",
            nix::unistd::mkfifo(&new, nix::sys::stat::Mode::S_IRUSR).map_err(to_io),
        ),
        6 if changes == Changes::All => ("device", device(&new, random)),
        6 | 7 => (
            "link",
            on(
                &others
                    .get(random.below(others.len() as u64) as usize)
                    .cloned(),
                |other| fs::hard_link(other, &new),
            ),
        ),
        8..=11 => ("write", on(&file, |file| write(file, random))),
        12 => (
            "truncate",
            on(&file, |file| {
                OpenOptions::new()
                    .write(true)
                    .open(file)?
                    .set_len(random.below(400_000))
            }),
        ),
        13 => ("punch", on(&file, |file| punch(file, random))),
        14 => (
            "append",
            on(&file, |file| {
                use std::io::Write;
                let length = random.below(5000);
                OpenOptions::new()
                    .append(true)
                    .open(file)?
                    .write_all(&random.bytes(length))
            }),
        ),
        15 => (
            "unlink",
            on(&random.pick(&others).cloned(), |other| {
                fs::remove_file(other)
            }),
        ),
        16 => (
            "remove directory",
            on(&random.pick(&directories[1..]).cloned(), |path| {
                fs::remove_dir(path)
            }),
        ),
        17..=19 => (
            "rename",
            on(&random.pick(&any).cloned(), |from| fs::rename(from, &new)),
        ),
        20 => (
            "exchange",
            on(&random.pick(&any).cloned(), |from| exchange(from, &new)),
        ),
        21 => (
            "mode",
            on(
                &random.pick(&any).cloned(),
                |path| match fs::symlink_metadata(path)?.file_type().is_symlink() {
                    true => Ok(()),
                    false => {
                        let mode = 0o400 | random.below(0o10000) as u32;
                        fs::set_permissions(path, fs::Permissions::from_mode(mode))
                    }
                },
            ),
        ),
        22 => (
            "owner",
            on(&random.pick(&any).cloned(), |path| {
                let (uid, gid) = (random.below(4) as u32, random.below(4) as u32);
                lchown(path, Some(uid), Some(gid))
            }),
        ),
        23 => (
            "times",
            on(&random.pick(&any).cloned(), |path| times(path, random)),
        ),
        24 => (
            "attribute",
            on(&random.pick(&any).cloned(), |path| attribute(path, random)),
        ),
        25 => ("map", on(&file, |file| map(file, random))),
        26 => ("unnamed", unnamed(&directory, &new, random)),
        27 => ("write unlinked", unlinked(&new, random)),
        28 => ("write direct", on(&file, |file| direct(file, random))),
        _ => (
            "save by rename",
            on(&file, |file| {
                let temporary = directory.join("temporary");
                let length = random.below(50_000);
                fs::write(&temporary, random.bytes(length))?;
                File::open(&temporary)?.sync_all()?;
                fs::rename(&temporary, file)?;
                File::open(&directory)?.sync_all()
            }),
        ),
    };
    match outcome {
        Ok(()) => act,
        Err(error) => {
            let kind = error.raw_os_error().unwrap_or_default();
            let expected = [
                libc::EEXIST,
                libc::ENOENT,
                libc::ENOTEMPTY,
                libc::EISDIR,
                libc::ENOTDIR,
                libc::EINVAL,
                libc::EBUSY,
                libc::EPERM,
                libc::EOPNOTSUPP,
                libc::ENODATA,
                libc::EMLINK,
            ];
            assert!(
                expected.contains(&kind),
                "{act} in {}: {error}",
                top.display()
            );
            "nothing"
        }
    }
}

fn to_io(errno: nix::errno::Errno) -> io::Error {
    errno.into()
}

fn on(path: &Option<PathBuf>, act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    match path {
        Some(path) => act(path),
        None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    }
}

fn device(path: &Path, random: &mut Random) -> io::Result<()> {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let number = makedev(1, random.below(8));
    mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, number).map_err(to_io)
}

fn write(file: &Path, random: &mut Random) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    for _ in 0..=random.below(4) {
        let (at, length) = (random.below(700_000), random.below(70_000));
        file.write_all_at(&random.bytes(length), at)?;
    }
    match random.below(4) {
        0 => file.sync_all(),
        1 => file.sync_data(),
        _ => Ok(()),
    }
}

/// Stores through a shared mapping, and syncs it now and then.
fn map(file: &Path, random: &mut Random) -> io::Result<()> {
    use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
    let opened = OpenOptions::new().read(true).write(true).open(file)?;
    let length = opened.metadata()?.len() as usize;
    if length == 0 {
        return Ok(());
    }
    let (read, write) = (ProtFlags::READ, ProtFlags::WRITE);
    let bytes = random.bytes(random_length(length));
    let at = random.below((length - bytes.len() + 1) as u64) as usize;
    // SAFETY: the mapping is as long as the file, which nobody shortens meanwhile, and is unmapped
    // before this returns.
    unsafe {
        let start = mmap(
            std::ptr::null_mut(),
            length,
            read | write,
            MapFlags::SHARED,
            &opened,
            0,
        )?;
        let target = start.cast::<u8>().add(at);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        let synced = msync(start, length, MsyncFlags::SYNC);
        munmap(start, length)?;
        Ok(synced?)
    }
}

fn random_length(bound: usize) -> u64 {
    bound.min(10_000) as u64
}

/// A file that gets its name after its contents.
fn unnamed(directory: &Path, new: &Path, random: &mut Random) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = File::from(open(directory, flags, Mode::RUSR | Mode::WUSR)?);
    let length = random.below(30_000);
    file.write_all_at(&random.bytes(length), random.below(10_000))?;
    if random.below(2) == 0 {
        file.sync_all()?;
    }
    linkat(&file, "", CWD, new, AtFlags::EMPTY_PATH)?;
    file.write_all_at(b"after the link", 0)
}

/// A file that is used after its name is gone.
fn unlinked(new: &Path, random: &mut Random) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(new)?;
    let length = random.below(30_000);
    file.write_all_at(&random.bytes(length), 0)?;
    fs::remove_file(new)?;
    let bytes = random.bytes(length);
    file.write_all_at(&bytes, 100)?;
    file.sync_all()?;
    let mut read = vec![0; bytes.len()];
    file.read_exact_at(&mut read, 100)?;
    assert!(
        read == bytes,
        "what was written to an unlinked file is there"
    );
    Ok(())
}

/// Writes around the page cache, as MariaDB does.
fn direct(file: &Path, random: &mut Random) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(file)?;
    let buffer = random.bytes(4096 * 5);
    let start = buffer.as_ptr().align_offset(4096);
    let pages = 4096 * (1 + random.below(4)) as usize;
    let page = 4096 * random.below(40);
    file.write_all_at(&buffer[start..][..pages.min(4096 * 4)], page)
}

fn punch(file: &Path, random: &mut Random) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let file = OpenOptions::new().write(true).open(file)?;
    let keep = FallocateFlags::KEEP_SIZE;
    let modes = [
        keep | FallocateFlags::PUNCH_HOLE,
        keep | FallocateFlags::PUNCH_HOLE,
        FallocateFlags::empty(),
        keep,
        FallocateFlags::ZERO_RANGE,
    ];
    let mode = *random.pick(&modes).expect("some");
    fallocate(
        &file,
        mode,
        random.below(500_000),
        1 + random.below(300_000),
    )?;
    Ok(())
}

fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)?)
}

fn times(path: &Path, random: &mut Random) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let mut moment = || Timespec {
        tv_sec: random.below(2_000_000_000) as i64,
        tv_nsec: random.below(1_000_000_000) as i64,
    };
    let times = Timestamps {
        last_access: moment(),
        last_modification: moment(),
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn attribute(path: &Path, random: &mut Random) -> io::Result<()> {
    use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};
    let name = format!("trusted.a{}", random.below(3));
    if random.below(3) == 0 {
        return Ok(lremovexattr(path, name.as_str())?);
    }
    let length = random.below(300);
    let value = random.bytes(length);
    Ok(lsetxattr(path, name.as_str(), &value, XattrFlags::empty())?)
}

/// Makes a tree by doing many random things to an empty directory.
pub fn grow(top: &Path, random: &mut Random, steps: usize) {
    chown(top, Some(1), Some(2)).expect("owner of the top");
    for _ in 0..steps {
        change(top, random, Changes::All);
    }
}

/// Copies a tree with everything that can be copied.
pub fn copy(from: &Path, to: &Path) {
    let output = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .output()
        .expect("run cp");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
