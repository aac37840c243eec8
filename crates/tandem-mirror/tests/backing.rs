//! What may be a volume, what is refused and how, and who holds its files.

#[path = "support/disk.rs"]
mod disk;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disk::{Image, Mounted, root_or_skip};
use rustix::fs::{Mode, OFlags};
use tandem_mirror::backing::{HIDDEN, Volume, VolumeError, open_volume};
use tandem_mirror::holders::{Holder, holders};
use tandem_wire::position::Position;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("make a directory")
}

fn open(path: &Path) -> Result<Volume, VolumeError> {
    open_volume(0, "db", path)
}

fn refused(path: &Path) -> VolumeError {
    open(path).map(|_| ()).expect_err("must be refused")
}

fn names_in(volume: &Volume) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let again = rustix::fs::openat(volume.directory.as_fd(), ".", flags, Mode::empty());
    rustix::fs::Dir::new(again.expect("open again"))
        .expect("list")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "." && name != "..")
        .collect()
}

#[test]
fn a_volume_that_was_only_looked_at_has_no_mark_that_it_did_not_have() {
    if !root_or_skip("a_volume_that_was_only_looked_at_has_no_mark_that_it_did_not_have") {
        return;
    }
    let base = directory();
    let path = base.path().join("data");
    fs::create_dir(&path).expect("create");
    open(&path).expect("open").leave();
    assert!(!path.join(HIDDEN).exists(), "a mark is left");
    drop(open(&path).expect("open"));
    open(&path).expect("open again").leave();
    assert!(path.join(HIDDEN).exists(), "the mark of before is gone");
}

#[test]
fn the_plain_directory_is_seen_through_what_is_mounted_over_it() {
    if !root_or_skip("the_plain_directory_is_seen_through_what_is_mounted_over_it") {
        return;
    }
    let base = directory();
    let path = base.path().join("data");
    fs::create_dir(&path).expect("create");
    fs::write(path.join("file"), "plain").expect("write");
    let over = Mounted::bind_read_only(&path);
    let volume = open(&path).expect("open beneath our read-only bind");
    assert!(
        fs::write(path.join("new"), "").is_err(),
        "the path is read-only"
    );
    let over_it = Mounted::tmpfs(&path);
    assert!(
        !path.join("file").exists(),
        "the path shows what is mounted"
    );
    let mut names = names_in(&volume);
    names.sort();
    assert_eq!(names, [HIDDEN, "file"]);
    let flags = OFlags::WRONLY | OFlags::CREATE;
    rustix::fs::openat(volume.directory.as_fd(), "written", flags, Mode::RUSR).expect("write");
    drop((over_it, over));
    assert!(path.join("written").exists());
}

#[test]
fn a_second_mirror_is_refused_until_the_first_is_gone() {
    if !root_or_skip("a_second_mirror_is_refused_until_the_first_is_gone") {
        return;
    }
    let base = directory();
    let first = open(base.path()).expect("open");
    let error = refused(base.path());
    assert!(matches!(error, VolumeError::Locked(_)), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("another mirror uses this volume")
    );
    drop(first);
    open(base.path()).expect("open after the first was closed");
}

#[test]
fn what_cannot_be_a_volume_is_refused_with_a_hint() {
    if !root_or_skip("what_cannot_be_a_volume_is_refused_with_a_hint") {
        return;
    }
    let base = directory();
    let file = base.path().join("file");
    fs::write(&file, "").expect("write");
    let real = base.path().join("real");
    fs::create_dir(&real).expect("create");
    let link = base.path().join("link");
    symlink(&real, &link).expect("link");
    let missing = refused(&base.path().join("missing"));
    assert!(matches!(missing, VolumeError::Missing(_)), "{missing:?}");
    let orphan = refused(&base.path().join("no/parent"));
    assert!(matches!(orphan, VolumeError::Missing(_)), "{orphan:?}");
    assert!(matches!(refused(&file), VolumeError::NotADirectory(_)));
    let linked = refused(&link);
    assert!(
        matches!(linked, VolumeError::SymbolicLink { .. }),
        "{linked:?}"
    );
    assert!(
        linked.to_string().contains("real"),
        "names the target: {linked}"
    );
    for path in ["/", "relative/path", "/tmp/../etc"] {
        assert!(
            matches!(refused(Path::new(path)), VolumeError::Path(_)),
            "{path}"
        );
    }
    assert!(!real.join(HIDDEN).exists(), "nothing was changed");
}

#[test]
fn a_mount_point_is_refused_and_a_directory_inside_it_is_not() {
    if !root_or_skip("a_mount_point_is_refused_and_a_directory_inside_it_is_not") {
        return;
    }
    let image = Image::new(16);
    let error = refused(image.path());
    assert!(matches!(error, VolumeError::MountPoint { .. }), "{error:?}");
    assert!(error.to_string().contains("mirror a directory inside it"));
    let inside = image.path().join("data");
    fs::create_dir(&inside).expect("create");
    open(&inside).expect("open inside");
    let other = image.path().join("other");
    fs::create_dir(&other).expect("create");
    let _foreign = Mounted::bind(&other, &inside);
    let error = refused(&inside);
    assert!(
        matches!(error, VolumeError::MountPoint { .. }),
        "another bind: {error:?}"
    );
}

#[test]
fn a_parent_that_is_a_symbolic_link_or_a_bind_mount_is_followed() {
    if !root_or_skip("a_parent_that_is_a_symbolic_link_or_a_bind_mount_is_followed") {
        return;
    }
    let base = directory();
    let real = base.path().join("real");
    let data = real.join("data");
    fs::create_dir_all(&data).expect("create");
    let link = base.path().join("link");
    symlink(&real, &link).expect("link");
    let volume = open(&link.join("data")).expect("open");
    let canonical = fs::canonicalize(&data).expect("canonical");
    assert_eq!(volume.path, canonical, "mounts go to the real path");
    drop(volume);
    let bound = base.path().join("bound");
    fs::create_dir(&bound).expect("create");
    let _bind = Mounted::bind(&real, &bound);
    let _over = Mounted::bind_read_only(&bound.join("data"));
    open(&bound.join("data")).expect("our own bind, reached through a bind of the parent");
}

#[test]
fn a_file_system_without_handles_is_refused() {
    if !root_or_skip("a_file_system_without_handles_is_refused") {
        return;
    }
    let base = directory();
    let paths = ["lower", "upper", "work", "merged"].map(|name| base.path().join(name));
    for path in &paths {
        fs::create_dir(path).expect("create");
    }
    fs::create_dir(paths[0].join("data")).expect("create");
    let _overlay = Mounted::overlay(&paths[3], &paths[0], &paths[1], &paths[2]);
    let error = refused(&paths[3].join("data"));
    assert!(
        matches!(error, VolumeError::NoFileHandles { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("ext4"), "{error}");
}

#[test]
fn a_position_is_kept_and_a_damaged_one_is_not_believed() {
    if !root_or_skip("a_position_is_kept_and_a_damaged_one_is_not_believed") {
        return;
    }
    let base = directory();
    let volume = open(base.path()).expect("open");
    assert_eq!(volume.position().expect("read"), None);
    let position = Position {
        cluster: "c".into(),
        module: "m".into(),
        volume: "db".into(),
        node: 1,
        epoch: 4,
        generation: 9,
        stream_incarnation: 1,
        applied: 100,
        checkpointed: 90,
        clean: false,
        inconsistent: false,
        written: 1,
        stamp: 2,
        excluded: 16,
        comparison: None,
    };
    volume.write_position(&position).expect("write");
    volume.write_position(&position).expect("replace");
    assert_eq!(volume.position().expect("read"), Some(position));
    let file = base.path().join(HIDDEN).join("position");
    let mut bytes = fs::read(&file).expect("read");
    bytes[20] ^= 1;
    fs::write(&file, &bytes).expect("damage");
    let damaged = volume.position();
    assert!(
        matches!(damaged, Err(VolumeError::PositionDamaged { .. })),
        "{damaged:?}"
    );
    fs::write(&file, vec![0; 1 << 20]).expect("damage");
    assert!(
        volume.position().is_err(),
        "an endless file is not read to its end"
    );
    fs::remove_file(&file).expect("remove");
    symlink("/etc/passwd", &file).expect("plant");
    assert!(volume.position().is_err(), "a planted link is not followed");
}

struct Process(Child);

impl Process {
    fn new(shell: &str, at: &Path) -> Self {
        let child = Command::new("sh")
            .args(["-c", shell])
            .current_dir(at)
            .stdout(Stdio::null())
            .spawn()
            .expect("start a process");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn found_within_limit(volume: &Volume, process: u32) -> Option<Holder> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let all = holders(volume).expect("scan");
        if let Some(found) = all.into_iter().find(|holder| holder.process == process) {
            return Some(found);
        }
        std::thread::yield_now();
    }
    None
}

fn await_stands_in(process: &Process, place: &Path) {
    let link = format!("/proc/{}/cwd", process.0.id());
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read_link(&link).ok().as_deref() != Some(place) {
        assert!(Instant::now() < deadline, "the process stands there");
        std::thread::yield_now();
    }
}

#[test]
fn processes_that_hold_the_tree_are_named_by_whatever_way_they_hold_it() {
    if !root_or_skip("processes_that_hold_the_tree_are_named_by_whatever_way_they_hold_it") {
        return;
    }
    let base = directory();
    let path = base.path().join("data");
    let beside = base.path().join("data-beside");
    fs::create_dir_all(path.join("sub")).expect("create");
    fs::create_dir(&beside).expect("create");
    let volume = open(&path).expect("open");
    assert_eq!(
        holders(&volume).expect("scan"),
        [],
        "our own descriptors do not count"
    );

    let neighbour = Process::new("exec sleep 60", &beside);
    let inside = Process::new("exec sleep 60", &path.join("sub"));
    let found = found_within_limit(&volume, inside.0.id()).expect("by working directory");
    assert_eq!(found.path, path.join("sub"));
    drop(inside);

    let script = format!("exec 3>{}; exec sleep 60", path.join("log").display());
    let writer = Process::new(&script, Path::new("/"));
    let found = found_within_limit(&volume, writer.0.id()).expect("by descriptor");
    assert_eq!(found.path, path.join("log"));
    assert!(!found.name.is_empty());
    drop(writer);

    fs::copy("/bin/sleep", path.join("program")).expect("copy");
    let script = format!("exec {} 60", path.join("program").display());
    let mapped = Process::new(&script, Path::new("/"));
    found_within_limit(&volume, mapped.0.id()).expect("by mapped file");
    drop(mapped);

    // A container: another mount namespace, in which the volume has another path.
    let other = base.path().join("other");
    fs::create_dir(&other).expect("create");
    let script = format!(
        "exec unshare -m sh -c 'mount --bind {} {} && cd {} && exec sleep 60'",
        path.display(),
        other.display(),
        other.display()
    );
    let contained = Process::new(&script, Path::new("/"));
    let found = found_within_limit(&volume, contained.0.id()).expect("in a container");
    assert_eq!(found.path, other, "named by the path that the process uses");
    drop(contained);

    // A shell that an operator left in the standby's directory must not prevent a takeover.
    let read_only = Mounted::bind_read_only(&path);
    let harmless = Process::new("exec sleep 60", &path.join("sub"));
    await_stands_in(&harmless, &path.join("sub"));
    let left = holders(&volume).expect("scan");
    assert_eq!(
        left,
        [],
        "what was opened through a read-only mount does not count"
    );
    drop((harmless, read_only));

    let left = holders(&volume).expect("scan");
    assert_eq!(
        left,
        [],
        "a directory whose name only begins alike does not count"
    );
    drop(neighbour);
}
