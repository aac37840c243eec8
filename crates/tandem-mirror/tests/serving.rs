//! Serving without a peer: what the application sees, and what it does not get to see.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::process::Command as Process;
use std::time::Duration;

use node::{FOREVER, aside, await_true, pair, ready};
use tandem_wire::local::{Command, Fault, Role};

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    if !ready("a_log_that_cannot_be_written_ends_nothing") {
        return;
    }
    let (mut one, _) = pair();
    one.log_is_full = true;
    one.start();
    one.serve(1, 7, false);
    fs::write(one.path().join("file"), "written").expect("write");
    // Says something each, by the thread that carries commands out.
    assert!(one.command(Command::Seal).is_err());
    assert!(one.command(Command::Drain).is_err());
    one.command(Command::Close).expect("close");
    one.serve(2, 7, false);
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"written");
    one.command(Command::Close).expect("close");
}

#[test]
fn an_idle_mirror_makes_the_directory_read_only() {
    if !ready("an_idle_mirror_makes_the_directory_read_only") {
        return;
    }
    let (mut one, _) = pair();
    fs::write(one.path().join("before"), "kept").expect("write before");
    one.start();
    assert_eq!(one.status().role, Role::Idle);
    let error = fs::write(one.path().join("after"), "").expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::read(one.path().join("before")).expect("read"), b"kept");
    // The next mirror finds it so and adds nothing.
    one.kill();
    one.start();
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    let path = one.path().display().to_string();
    let over = mounts
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some(&path));
    assert_eq!(over.count(), 1);
    one.assert_no_error();
}

#[test]
fn every_file_operation_works_and_reaches_the_plain_directory() {
    if !ready("every_file_operation_works_and_reaches_the_plain_directory") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let base = one.path().to_owned();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(base.join("file"))
        .expect("create");
    file.write_all(b"hello world").expect("write");
    file.sync_all().expect("fsync");
    file.write_all_at(b"W", 6).expect("pwrite");
    file.sync_data().expect("fdatasync");
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).expect("seek");
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello World");
    file.set_len(5).expect("truncate");
    assert_eq!(file.metadata().expect("stat").len(), 5);
    assert_eq!(file.metadata().expect("stat").mode() & 0o7777, 0o640);
    fs::set_permissions(base.join("file"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    assert_eq!(file.metadata().expect("stat").mode() & 0o7777, 0o4751);
    std::os::unix::fs::chown(base.join("file"), Some(123), Some(456)).expect("chown");
    let stat = file.metadata().expect("stat");
    assert_eq!((stat.uid(), stat.gid()), (123, 456));

    fs::create_dir(base.join("directory")).expect("mkdir");
    fs::hard_link(base.join("file"), base.join("directory/linked")).expect("link");
    assert_eq!(file.metadata().expect("stat").nlink(), 2);
    let inode = fs::metadata(base.join("directory/linked"))
        .expect("stat")
        .ino();
    assert_eq!(inode, file.metadata().expect("stat").ino());
    symlink("../file", base.join("directory/symlink")).expect("symlink");
    assert_eq!(
        fs::read(base.join("directory/symlink")).expect("read"),
        b"hello"
    );
    fs::rename(base.join("file"), base.join("renamed")).expect("rename");
    fs::write(base.join("other"), "other").expect("write");
    fs::rename(base.join("other"), base.join("directory/linked")).expect("rename over");
    assert_eq!(
        fs::read(base.join("directory/linked")).expect("read"),
        b"other"
    );
    assert_eq!(file.metadata().expect("stat").nlink(), 1);
    File::open(base.join("directory"))
        .expect("open")
        .sync_all()
        .expect("fsync directory");

    use rustix::fs as raw;
    let flags = raw::FallocateFlags::empty();
    raw::fallocate(&file, flags, 0, 1 << 20).expect("fallocate");
    assert_eq!(file.metadata().expect("stat").len(), 1 << 20);
    let punch = raw::FallocateFlags::PUNCH_HOLE | raw::FallocateFlags::KEEP_SIZE;
    raw::fallocate(&file, punch, 0, 4096).expect("punch a hole");
    assert_eq!(
        raw::seek(&file, raw::SeekFrom::Hole(0)).expect("find the hole"),
        0
    );
    raw::fsetxattr(&file, "user.color", b"blue", raw::XattrFlags::CREATE).expect("setxattr");
    let mut value = [0u8; 16];
    let length = raw::fgetxattr(&file, "user.color", &mut value).expect("getxattr");
    assert_eq!(&value[..length], b"blue");
    let mut names = [0u8; 64];
    let length = raw::flistxattr(&file, &mut names).expect("listxattr");
    assert_eq!(&names[..length], b"user.color\0");
    raw::fremovexattr(&file, "user.color").expect("removexattr");

    let exchange = raw::RenameFlags::EXCHANGE;
    let (a, b) = (base.join("renamed"), base.join("directory/linked"));
    raw::renameat_with(raw::CWD, &a, raw::CWD, &b, exchange).expect("exchange");
    assert_eq!(fs::read(&a).expect("read"), b"other");
    let careful = raw::RenameFlags::NOREPLACE;
    let refused = raw::renameat_with(raw::CWD, &a, raw::CWD, &b, careful);
    assert_eq!(refused, Err(rustix::io::Errno::EXIST));
    let kind = raw::FileType::Fifo;
    raw::mknodat(
        raw::CWD,
        base.join("pipe"),
        kind,
        raw::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("mkfifo");
    let device = raw::makedev(8, 300);
    let kind = raw::FileType::BlockDevice;
    raw::mknodat(
        raw::CWD,
        base.join("device"),
        kind,
        raw::Mode::from_raw_mode(0o600),
        device,
    )
    .expect("mknod");
    assert_eq!(
        fs::symlink_metadata(base.join("device"))
            .expect("stat")
            .rdev(),
        device
    );

    // Open without a name.
    let unnamed = File::create_new(base.join("gone")).expect("create");
    fs::remove_file(base.join("gone")).expect("unlink");
    (&unnamed).write_all(b"still here").expect("write");
    unnamed.sync_all().expect("fsync");
    assert_eq!(unnamed.metadata().expect("stat").nlink(), 0);
    let error = fs::remove_dir(base.join("directory")).expect_err("not empty");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTEMPTY));
    let long = base.join("x".repeat(256));
    let error = fs::write(long, "").expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));

    let status = Process::new("cp")
        .arg("-a")
        .arg("/usr/share/zoneinfo")
        .arg(&base)
        .status();
    assert!(status.expect("run cp").success());
    let equal = Process::new("diff")
        .args(["-r", "--no-dereference", "/usr/share/zoneinfo"])
        .arg(base.join("zoneinfo"))
        .output()
        .expect("run diff");
    assert!(equal.status.success(), "{equal:?}");

    one.command(Command::Close).expect("close");
    assert_eq!(fs::read(&a).expect("read the plain directory"), b"other");
    assert!(base.join("zoneinfo/Europe/Zurich").exists());
    assert_eq!(fs::metadata(&b).expect("stat").len(), 1 << 20);
    let error = fs::write(base.join("after"), "").expect_err("read-only again");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    one.assert_no_error();
}

#[test]
fn new_objects_belong_to_their_creator() {
    if !ready("new_objects_belong_to_their_creator") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let base = one.path().to_owned();
    let open = base.join("open");
    fs::create_dir(&open).expect("mkdir");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o2770)).expect("chmod");
    std::os::unix::fs::chown(&open, Some(0), Some(50)).expect("chown");
    // A member of the group by a supplementary group only.
    let script = "umask 027; cd \"$1\" && touch file && mkdir sub && ln -s x link";
    let status = Process::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--groups=50",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(&open)
        .status()
        .expect("run setpriv");
    assert!(status.success());
    let stat = |name: &str| {
        let stat = fs::symlink_metadata(open.join(name)).expect("stat");
        (stat.uid(), stat.gid(), stat.mode() & 0o7777)
    };
    assert_eq!(stat("file"), (65534, 50, 0o640));
    assert_eq!(stat("sub"), (65534, 50, 0o2750));
    assert_eq!(stat("link").0, 65534);
    // Somebody else may not.
    let status = Process::new("setpriv")
        .args(["--reuid=65533", "--regid=65533", "--clear-groups", "touch"])
        .arg(open.join("no"))
        .stderr(std::process::Stdio::null())
        .status()
        .expect("run setpriv");
    assert!(!status.success());
    // A write by an ordinary user drops set-user-id.
    let file = open.join("file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).expect("chmod");
    let status = Process::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--groups=50", "sh", "-c"])
        .arg(format!("echo x >> {}", file.display()))
        .status()
        .expect("run setpriv");
    assert!(status.success());
    assert_eq!(stat("file").2, 0o755);
    one.assert_no_error();
}

#[test]
fn what_is_hidden_cannot_be_seen_or_touched() {
    if !ready("what_is_hidden_cannot_be_seen_or_touched") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let base = one.path();
    assert!(fs::read_dir(base).expect("list").next().is_none());
    let hidden = base.join(".tandem");
    assert!(!hidden.exists());
    assert!(fs::create_dir(&hidden).is_err());
    assert!(fs::write(hidden.join("lock"), "").is_err());
    fs::write(base.join("file"), "").expect("write");
    assert!(fs::rename(base.join("file"), &hidden).is_err());
    fs::create_dir(base.join("sub")).expect("mkdir");
    fs::write(base.join("sub/.tandem"), "").expect("the name is free elsewhere");
    one.assert_no_error();
}

#[test]
fn without_a_permit_writes_wait_and_reads_go_on() {
    if !ready("without_a_permit_writes_wait_and_reads_go_on") {
        return;
    }
    let (mut one, _) = pair();
    fs::write(one.path().join("file"), "read me").expect("write before");
    one.start();
    let serve = Command::Serve {
        epoch: 3,
        generation: 7,
        gated: false,
        forced: false,
    };
    one.command(serve).expect("serve");
    // The kernel keeps a directory locked while something is created in it: looked up before.
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"read me");
    let path = one.path().to_owned();
    let write = aside(move || fs::write(path.join("new"), "content"));
    write.assert_waits(Duration::from_millis(300));
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"read me");
    one.daemon().permit(2, FOREVER);
    write.assert_waits(Duration::from_millis(300));
    one.daemon().permit(3, FOREVER);
    write.outcome().expect("write with a permit");
    assert_eq!(fs::read(one.path().join("new")).expect("read"), b"content");
    one.assert_no_error();
}

#[test]
fn a_permit_that_ended_parks_writes_for_ever_and_the_abort_ends_them() {
    if !ready("a_permit_that_ended_parks_writes_for_ever_and_the_abort_ends_them") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(3, 7, false);
    let path = one.path().to_owned();
    let file = File::create(path.join("file")).expect("create");
    let soon = tandem_mirror::sys::now().after(Duration::from_millis(200));
    one.daemon().permit(3, soon.0);
    one.await_status("the end of the permit", |status| status.lapsed);
    let write = aside(move || (&file).write_all(b"late"));
    write.assert_waits(Duration::from_millis(300));
    // A later grant does not help, nor does it in the status.
    one.daemon().permit(3, FOREVER);
    write.assert_waits(Duration::from_millis(300));
    assert!(one.status().lapsed);
    assert_eq!(fs::read(path.join("file")).expect("reads go on"), b"");
    one.command(Command::Close).expect("close");
    let error = write.outcome().expect_err("ended by the abort");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
    assert_eq!(
        fs::read(path.join("file")).expect("read the plain file"),
        b""
    );
    one.assert_no_error();
}

#[test]
fn a_stopped_process_finds_its_permit_ended() {
    if !ready("a_stopped_process_finds_its_permit_ended") {
        return;
    }
    use nix::sys::signal::Signal;
    let (mut one, _) = pair();
    one.start();
    one.serve(3, 7, false);
    let file = File::create(one.path().join("file")).expect("create");
    let soon = tandem_mirror::sys::now().after(Duration::from_secs(1));
    one.daemon().permit(3, soon.0);
    await_true("the grant", || one.status().permit_until == soon.0);
    one.signal(Signal::SIGSTOP);
    // The daemon knows nothing of this and goes on granting.
    await_true("the end of the permit", || tandem_mirror::sys::now() > soon);
    one.daemon().permit(3, FOREVER);
    let write = aside(move || (&file).write_all(b"late"));
    one.signal(Signal::SIGCONT);
    one.await_status("the end of the permit", |status| status.lapsed);
    write.assert_waits(Duration::from_millis(300));
    one.assert_no_error();
}

#[test]
fn closing_ends_the_session_of_whoever_has_files_open() {
    if !ready("closing_ends_the_session_of_whoever_has_files_open") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let mut file = File::create(one.path().join("file")).expect("create");
    file.write_all(b"before").expect("write");
    one.command(Command::Close).expect("close");
    assert!(
        file.write_all(b"after").is_err(),
        "no write is accepted any more"
    );
    assert!(file.sync_all().is_err(), "no sync is answered any more");
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"before");
    drop(file);
    // And once more, in the next epoch.
    one.serve(2, 7, false);
    fs::write(one.path().join("file"), "again").expect("write");
    one.command(Command::Close).expect("close");
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"again");
    one.assert_no_error();
}

#[test]
fn a_killed_mirror_leaves_nothing_in_the_way_of_the_next() {
    if !ready("a_killed_mirror_leaves_nothing_in_the_way_of_the_next") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"before").expect("write");
    one.kill();
    assert!(
        (&file).write_all(b"after").is_err(),
        "the session died with the mirror"
    );
    one.start();
    assert_eq!(one.status().role, Role::Idle);
    assert_eq!(fs::read(one.path().join("file")).expect("read"), b"before");
    assert!(fs::write(one.path().join("no"), "").is_err(), "read-only");
    one.serve(2, 7, false);
    fs::write(one.path().join("file"), "served again").expect("write");
    one.assert_no_error();
}

#[test]
fn commands_can_be_repeated_and_roles_do_not_mix() {
    if !ready("commands_can_be_repeated_and_roles_do_not_mix") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    let serve = |epoch| Command::Serve {
        epoch,
        generation: 7,
        gated: false,
        forced: false,
    };
    one.command(Command::Close).expect("close an idle mirror");
    assert!(one.command(Command::Seal).is_err());
    assert!(one.command(Command::Drain).is_err());
    one.command(serve(2)).expect("serve");
    one.command(serve(2)).expect("serve again");
    assert!(
        one.command(serve(3)).is_err(),
        "another epoch needs another session"
    );
    let follow = Command::Follow {
        epoch: 3,
        generation: 7,
        forget: false,
    };
    assert!(one.command(follow.clone()).is_err());
    assert!(one.command(Command::Drain).is_err(), "nobody to drain to");
    one.daemon().permit(2, FOREVER);
    fs::write(one.path().join("file"), "").expect("a refused drain leaves the service alone");
    // A restarted daemon finds its mirror, and the older connection is replaced.
    one.reconnect();
    assert!(matches!(
        one.status().role,
        Role::Serving {
            epoch: 2,
            gated: false
        }
    ));
    let release = Command::ReleasePeer {
        epoch: 2,
        generation: 8,
    };
    one.command(release.clone()).expect("release");
    one.command(release).expect("release again");
    one.daemon().quit();
    one.command(Command::Close)
        .expect("quitting is ignored while serving");
    one.command(Command::Close).expect("close again");
    let error = one.command(serve(1)).expect_err("an older epoch");
    assert!(error.contains("epoch 1"), "{error}");
    one.command(follow).expect("follow");
    assert!(one.command(serve(4)).is_err(), "seal first");
    one.command(Command::Seal).expect("seal");
    one.command(Command::Seal).expect("seal again");
    one.command(serve(4)).expect("serve what was sealed");
    one.command(Command::Close).expect("close");
    one.daemon().quit();
    one.daemon().await_end();
}

#[test]
fn volumes_that_cannot_be_used_are_reported_and_tried_again() {
    if !ready("volumes_that_cannot_be_used_are_reported_and_tried_again") {
        return;
    }
    let (mut one, _) = pair();
    fs::remove_dir(one.path()).expect("remove");
    one.start();
    let fault = one.status().fault;
    assert!(
        matches!(&fault, Some(Fault::Volume(text)) if text.contains("does not exist")),
        "{fault:?}"
    );
    let serve = Command::Serve {
        epoch: 1,
        generation: 7,
        gated: false,
        forced: false,
    };
    assert!(one.command(serve.clone()).is_err());
    fs::create_dir(one.path()).expect("create");
    one.await_status("the volume", |status| status.fault.is_none());
    // Somebody who writes to the plain directory would go on doing so.
    one.kill();
    nix::mount::umount2(one.path(), nix::mount::MntFlags::MNT_DETACH).expect("unmount the bind");
    let held = File::create(one.path().join("held")).expect("create");
    one.start();
    let error = one.command(serve.clone());
    // Our own process is not this test's: it is named.
    let error = error.expect_err("held open");
    assert!(error.contains("in use beneath the mirror"), "{error}");
    drop(held);
    one.command(serve).expect("serve");
}

#[test]
fn direct_and_synchronous_writes_and_maps_work() {
    if !ready("direct_and_synchronous_writes_and_maps_work") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let base = one.path();
    let script = r#"
import mmap, os, sys
base = sys.argv[1]
fd = os.open(base + "/direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_DSYNC, 0o600)
page = mmap.mmap(-1, 8192)
page.write(b"d" * 8192)
assert os.writev(fd, [page]) == 8192
assert os.preadv(fd, [page], 0) == 8192
os.close(fd)
fd = os.open(base + "/mapped", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
for at in range(0, 1 << 20, 4096):
    m[at] = 7
m.flush()
assert os.pread(fd, 1, 4096) == b"\x07"
m.close()
os.close(fd)
fd = os.open(base + "/appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o600)
for number in range(10):
    os.write(fd, b"%d\n" % number)
os.close(fd)
"#;
    let output = Process::new("python3")
        .args(["-c", script])
        .arg(base)
        .output();
    let output = output.expect("run python3");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    one.command(Command::Close).expect("close");
    let base = one.path();
    assert_eq!(
        fs::read(base.join("direct")).expect("read"),
        vec![b'd'; 8192]
    );
    let mapped = fs::read(base.join("mapped")).expect("read");
    assert!(mapped.iter().step_by(4096).all(|byte| *byte == 7));
    let appended = fs::read_to_string(base.join("appended")).expect("read");
    assert_eq!(appended, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    one.assert_no_error();
}

#[test]
fn lists_of_permissions_are_kept_inherited_and_checked() {
    if !ready("lists_of_permissions_are_kept_inherited_and_checked") {
        return;
    }
    let (mut one, _) = pair();
    one.start();
    one.serve(1, 7, false);
    let script = r#"
import os, stat, struct, sys
base = sys.argv[1]
def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NONE = 1, 2, 4, 16, 32, 0xffffffff
rules = acl((USER_OBJ, 7, NONE), (USER, 6, 65534), (GROUP_OBJ, 0, NONE), (MASK, 7, NONE), (OTHER, 0, NONE))
os.chmod(base, 0o755)
os.mkdir(base + "/shared", 0o700)
os.setxattr(base + "/shared", "system.posix_acl_default", rules)
os.setxattr(base + "/shared", "system.posix_acl_access",
    acl((USER_OBJ, 7, NONE), (USER, 7, 65534), (GROUP_OBJ, 0, NONE), (MASK, 7, NONE), (OTHER, 0, NONE)))
os.umask(0o077)
fd = os.open(base + "/shared/file", os.O_CREAT | os.O_RDWR, 0o666)
os.write(fd, b"readable")
os.close(fd)
# A default list takes the place of the mask.
assert stat.S_IMODE(os.stat(base + "/shared/file").st_mode) == 0o660, oct(os.stat(base + "/shared/file").st_mode)
assert os.getxattr(base + "/shared/file", "system.posix_acl_access")
os.mkdir(base + "/shared/sub", 0o777)
assert os.getxattr(base + "/shared/sub", "system.posix_acl_default") == rules
fd = os.open(base + "/plain", os.O_CREAT | os.O_RDWR, 0o666)
assert stat.S_IMODE(os.stat(base + "/plain").st_mode) == 0o600
try:
    os.open(base, os.O_TMPFILE | os.O_RDWR, 0o600)
    raise AssertionError("not offered")
except OSError as error:
    assert error.errno == 95, error
pid = os.fork()
if pid == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    ok = open(base + "/shared/file").read() == "readable"
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0, "the named user may read"
pid = os.fork()
if pid == 0:
    os.setgroups([]); os.setgid(65533); os.setuid(65533)
    try:
        open(base + "/shared/file").read()
        os._exit(1)
    except PermissionError:
        os._exit(0)
assert os.waitpid(pid, 0)[1] == 0, "another may not"
"#;
    let output = Process::new("python3")
        .args(["-c", script])
        .arg(one.path())
        .output();
    let output = output.expect("run python3");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Asks for the time of creation, which FUSE of this version does not know.
    let output = Process::new("stat")
        .arg(one.path().join("plain"))
        .output()
        .expect("run stat");
    assert!(output.status.success(), "{output:?}");
    fs::write(one.path().join("still"), "served").expect("write");
    one.assert_no_error();
}
