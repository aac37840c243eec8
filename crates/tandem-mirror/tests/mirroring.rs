//! Two mirrors: comparing, following, gated acknowledgements, breaks, and changes of roles.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/equal.rs"]
mod equal;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/random_work.rs"]
mod random_work;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use node::{Node, STALL_LIMIT, aside, await_true, is_level, pair, pair_with, ready};
use proxy::Proxy;
use random_work::Worker;
use tandem_wire::local::{Command, Fault, Role, Verification, VerificationEnd};
use tandem_wire::position::Position;

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

/// Waits until the follower has applied everything, and compares the plain directories.
fn assert_mirrored(source: &Node, follower: &Node, volumes: &[&str]) {
    let position = source.daemon().fresh_status().position;
    follower.await_status("everything applied", |status| status.position >= position);
    // Times are set when the copy is sealed.
    follower.command(Command::Seal).expect("seal");
    for volume in volumes {
        equal::assert_equal(&source.plain(volume), &follower.plain(volume));
    }
}

/// One serves alone, two follows, until both are level.
fn level(one: &mut Node, two: &mut Node) {
    one.start();
    two.start();
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
}

/// Verifies the peer's copy, and says what it came to.
fn verify(node: &Node) -> Verification {
    let number = node.command(Command::Verify).expect("verify");
    let ended = |found: &Verification| found.number == number && found.end.is_some();
    let status = node.await_status("verified", |status| {
        status.verification.as_deref().is_some_and(ended)
    });
    *status.verification.expect("just seen")
}

#[test]
fn a_mounted_volume_is_verified_while_the_application_writes() {
    if !ready("a_mounted_volume_is_verified_while_the_application_writes") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    fs::write(one.path().join("kept"), vec![7; 1 << 20]).expect("write");
    let stop = Arc::new(AtomicBool::new(false));
    let worker = {
        let (top, stop) = (one.path().to_owned(), stop.clone());
        std::thread::spawn(move || {
            let mut turn = 0u64;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let path = top.join(format!("file{}", turn % 20));
                let mut options = OpenOptions::new();
                let file = options.create(true).truncate(false).write(true).open(&path);
                let file = file.expect("open");
                let piece = vec![turn as u8; 70_000];
                file.write_all_at(&piece, turn % 9 * 50_000).expect("write");
                if turn.is_multiple_of(10) {
                    file.sync_data().expect("sync");
                    fs::remove_file(&path).expect("remove");
                }
            }
            turn
        })
    };
    for _ in 0..3 {
        let found = verify(&one);
        assert_eq!(found.end, Some(VerificationEnd::Complete));
        assert_eq!(found.differences, 0, "{found}");
    }
    let position = one.daemon().fresh_status().position;
    two.await_status("kept", |status| status.position >= position);
    let beneath = two.plain("db").join("kept");
    let beneath = OpenOptions::new().write(true).open(beneath).expect("open");
    beneath.write_all_at(b"?", 500_000).expect("write");
    let found = verify(&one);
    assert_eq!(found.end, Some(VerificationEnd::Complete));
    // The time of the file, and the piece.
    assert_eq!((found.differences, found.repaired), (2, 2), "{found}");
    assert_eq!(verify(&one).differences, 0);
    stop.store(true, Ordering::Relaxed);
    assert!(worker.join().expect("it writes") > 0);
    assert!(is_level(&one.status()), "{:?}", one.status());
    assert_mirrored(&one, &two, &["db"]);
    assert!(one.log().contains("path=\"kept\""), "{}", one.log());
    two.assert_no_error();
}

fn comparisons(node: &Node) -> usize {
    node.log()
        .matches("comparing everything with the peer")
        .count()
}

#[test]
fn a_second_copy_becomes_level_and_equal_whatever_stood_there() {
    if !ready("a_second_copy_becomes_level_and_equal_whatever_stood_there") {
        return;
    }
    let (mut one, mut two) = pair();
    let (a, b) = (one.path().to_owned(), two.path().to_owned());
    two.met_before();
    // The same, in part, in both.
    fs::write(a.join("equal"), "equal").expect("write");
    fs::write(b.join("equal"), "equal").expect("write");
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    fs::write(a.join("big"), &big).expect("write");
    let mut other = big.clone();
    other[1_500_000] ^= 1;
    fs::write(b.join("big"), &other).expect("write");
    fs::write(b.join("surplus"), "surplus").expect("write");
    fs::create_dir_all(b.join("surplus-directory/in/depth")).expect("mkdir");
    fs::write(b.join("surplus-directory/in/depth/file"), "x").expect("write");
    fs::write(a.join("longer"), "short").expect("write");
    fs::write(b.join("longer"), "longer than the other").expect("write");
    fs::create_dir(a.join("kind")).expect("mkdir");
    fs::write(b.join("kind"), "a file here").expect("write");
    fs::write(a.join("kind2"), "a file there").expect("write");
    symlink("/etc", b.join("kind2")).expect("symlink");
    fs::write(a.join("linked"), "linked").expect("write");
    fs::hard_link(a.join("linked"), a.join("kind/linked-too")).expect("link");
    fs::write(b.join("linked"), "linked").expect("write");
    fs::write(b.join("x1"), "one inode").expect("write");
    fs::hard_link(b.join("x1"), b.join("x2")).expect("link");
    fs::write(a.join("x1"), "one").expect("write");
    fs::write(a.join("x2"), "two").expect("write");
    let sparse = File::create(a.join("sparse")).expect("create");
    sparse.set_len(20 << 20).expect("grow");
    sparse.write_all_at(b"data", 10 << 20).expect("write");
    drop(sparse);
    fs::write(b.join("sparse"), vec![1; 3 << 20]).expect("write");
    let status = Process::new("cp")
        .args(["-a", "/usr/share/zoneinfo"])
        .arg(&a)
        .status();
    assert!(status.expect("run cp").success());

    level(&mut one, &mut two);
    // Through the mount, while gated.
    fs::write(a.join("after"), "after").expect("write");
    File::open(a.join("after"))
        .expect("open")
        .sync_all()
        .expect("fsync");
    fs::rename(a.join("after"), a.join("kind/after")).expect("rename");
    fs::remove_file(a.join("linked")).expect("unlink");
    assert_mirrored(&one, &two, &["db"]);
    assert_eq!(comparisons(&one), 1);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn what_stood_there_before_the_first_synchronisation_is_kept_beside_it() {
    if !ready("what_stood_there_before_the_first_synchronisation_is_kept_beside_it") {
        return;
    }
    let (mut one, mut two) = pair();
    fs::write(one.path().join("file"), "new").expect("write");
    fs::write(two.path().join("file"), "old").expect("write");
    fs::create_dir_all(two.path().join("directory/below")).expect("mkdir");
    fs::write(two.path().join("directory/below/file"), "old, too").expect("write");
    fs::set_permissions(two.path(), Permissions::from_mode(0o750)).expect("chmod");
    std::os::unix::fs::chown(two.path(), Some(7), Some(8)).expect("chown");
    // Of a node that was set up here earlier.
    let earlier = two.disk().join("db.before-tandem");
    fs::create_dir(&earlier).expect("mkdir");
    // A crash came when a part of it was moved.
    let moving = two.disk().join("db.before-tandem.moving");
    fs::create_dir(&moving).expect("mkdir");
    fs::write(moving.join("moved"), "before the crash").expect("write");
    level(&mut one, &mut two);
    assert!(!moving.exists());
    let kept = two.disk().join("db.before-tandem-2");
    assert_eq!(fs::read_to_string(kept.join("file")).expect("read"), "old");
    let moved = fs::read_to_string(kept.join("moved"));
    assert_eq!(moved.expect("read"), "before the crash");
    let below = fs::read_to_string(kept.join("directory/below/file"));
    assert_eq!(below.expect("read"), "old, too");
    let stat = fs::metadata(&kept).expect("look");
    assert_eq!(
        (stat.mode() & 0o7777, stat.uid(), stat.gid()),
        (0o750, 7, 8)
    );
    assert_eq!(fs::read_dir(&earlier).expect("list").count(), 0);
    assert!(two.log().contains("db.before-tandem-2"), "said so");
    assert!(!two.plain("db").join("directory").exists());

    // Only once: what is there from now on came from the other node.
    two.kill();
    one.await_status("a stall", |status| status.stalled);
    one.command(Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    })
    .expect("release");
    two.start();
    two.follow(1, 8);
    one.await_status("level again", is_level);
    assert!(!two.disk().join("db.before-tandem-3").exists());
    assert_mirrored(&one, &two, &["db"]);
    // The one that serves keeps nothing aside.
    assert!(!one.disk().join("db.before-tandem").exists());
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn an_fsync_waits_for_the_peer_and_a_release_answers_it() {
    if !ready("an_fsync_waits_for_the_peer_and_a_release_answers_it") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"first").expect("write");
    file.sync_all().expect("fsync with the peer");
    assert_eq!(
        fs::read(two.plain("db").join("file")).expect("read"),
        b"first"
    );

    two.signal(Signal::SIGSTOP);
    (&file)
        .write_all(b" second")
        .expect("a plain write does not wait");
    let again = file.try_clone().expect("clone");
    let sync = aside(move || again.sync_all());
    sync.assert_waits(STALL_LIMIT / 2);
    let status = one.await_status("the stall", |status| status.stalled);
    assert!(matches!(status.role, Role::Serving { gated: true, .. }));
    // Stalled is a question, not an answer.
    sync.assert_waits(STALL_LIMIT);
    let release = Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    };
    one.command(release).expect("release");
    sync.outcome().expect("fsync without the peer");
    let status = one.status();
    assert!(matches!(status.role, Role::Serving { gated: false, .. }));
    assert!(!status.stalled);
    (&file).write_all(b" third").expect("write");
    file.sync_all().expect("fsync alone");
    two.signal(Signal::SIGCONT);
    two.follow(2, 8);
    one.command(Command::ReleasePeer {
        epoch: 2,
        generation: 8,
    })
    .expect("a higher epoch");
    one.await_status("level again", is_level);
    assert_mirrored(&one, &two, &["db"]);
    assert!(read_bytes(&one).len() >= 2);
    one.assert_no_error();
}

#[test]
fn a_standby_that_is_killed_is_recorded_out_before_it_is_compared() {
    if !ready("a_standby_that_is_killed_is_recorded_out_before_it_is_compared") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"first").expect("write");
    two.kill();
    (&file).write_all(b" second").expect("write");
    let again = file.try_clone().expect("clone");
    let sync = aside(move || again.sync_all());
    sync.assert_waits(Duration::from_millis(300));
    // Its memory is gone; what it had applied and not synced may be, too. It comes back in time.
    two.start();
    two.follow(1, 7);
    // Not while the record says that it is in sync: it could be promoted half compared.
    one.await_status("a stall", |status| status.stalled);
    sync.assert_waits(Duration::from_millis(300));
    assert_eq!(comparisons(&one), 1);
    one.command(Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    })
    .expect("release the peer");
    sync.outcome().expect("fsync without the peer");
    one.await_status("level again", is_level);
    assert_eq!(
        fs::read(two.plain("db").join("file")).expect("read"),
        b"first second"
    );
    assert_eq!(comparisons(&one), 2);
    assert_mirrored(&one, &two, &["db"]);
}

#[test]
fn a_swap_goes_on_without_a_comparison() {
    if !ready("a_swap_goes_on_without_a_comparison") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let mut epoch = 1;
    for round in 0..4 {
        let (old, new) = if round % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let name = format!("round{round}");
        fs::create_dir(old.path().join(&name)).expect("mkdir");
        fs::write(old.path().join(&name).join("file"), "before the swap").expect("write");
        let drained = old.command(Command::Drain).expect("drain");
        assert_eq!(old.command(Command::Drain), Ok(drained), "repeated");
        let error = fs::write(old.path().join("late"), "").expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
        old.command(Command::Close).expect("close");
        assert_eq!(new.command(Command::Seal), Ok(drained));
        epoch += 1;
        new.serve(epoch, 7, true);
        let file = File::create(new.path().join(&name).join("file2")).expect("create");
        (&file)
            .write_all(b"gated from the first write")
            .expect("write");
        let again = file.try_clone().expect("clone");
        let sync = aside(move || again.sync_all());
        sync.assert_waits(Duration::from_millis(100));
        old.follow(epoch, 7);
        sync.outcome().expect("fsync with the new standby");
        fs::rename(
            new.path().join(&name).join("file"),
            new.path().join(&name).join("file3"),
        )
        .expect("rename what the standby was never told of");
        fs::write(new.path().join(&name).join("file3"), "overwritten").expect("write");
        new.await_status("level", is_level);
    }
    assert_eq!(
        comparisons(&one) + comparisons(&two),
        1,
        "the first one only"
    );
    assert_mirrored(&one, &two, &["db"]);
    one.assert_no_error();
    two.assert_no_error();
}

/// Ends both mirrors cleanly, level.
fn stop_both(one: &mut Node, two: &mut Node) {
    one.command(Command::Drain).expect("drain");
    one.command(Command::Close).expect("close");
    two.command(Command::Seal).expect("seal");
    one.kill();
    two.kill();
}

/// A copy of a volume as it is, with Tandem's own files in it.
fn image_of(node: &Node) -> tempfile::TempDir {
    let image = tempfile::tempdir().expect("make a directory");
    copy_tree(&node.plain("db"), image.path());
    image
}

fn set_back(node: &Node, image: &tempfile::TempDir) {
    for entry in fs::read_dir(node.plain("db")).expect("list") {
        let path = entry.expect("list").path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).expect("remove"),
            false => fs::remove_file(path).expect("remove"),
        }
    }
    copy_tree(image.path(), &node.plain("db"));
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    let status = Process::new("cp")
        .arg("-aT")
        .args([from, to])
        .status()
        .expect("run cp");
    assert!(status.success());
}

/// Waits until the whole of the standby's process stands still.
fn freeze(node: &Node) {
    node.signal(Signal::SIGSTOP);
    let state = format!("/proc/{}/stat", node.process_id());
    await_true("the standby to stand still", || {
        let text = fs::read_to_string(&state).expect("look at the process");
        text.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('T'))
    });
}

#[test]
fn every_operation_waits_for_the_peer_where_the_volume_asks_for_that() {
    if !ready("every_operation_waits_for_the_peer_where_the_volume_asks_for_that") {
        return;
    }
    let (mut one, mut two) = pair();
    one.set(node::WAIT_SETTING, "1");
    one.set(node::STALL_SETTING, "30000");
    level(&mut one, &mut two);
    let top = one.path().to_owned();
    let path = top.join("file");
    type Work = Box<dyn Fn(&std::path::Path) -> std::io::Result<()> + Send>;
    let operations: Vec<Work> = vec![
        Box::new(|top| File::create(top.join("file")).map(drop)),
        Box::new(|top| {
            let file = OpenOptions::new().write(true).open(top.join("file"))?;
            file.write_all_at(b"plainly written", 0)
        }),
        Box::new(|top| fs::create_dir(top.join("directory"))),
        Box::new(|top| fs::rename(top.join("file"), top.join("directory/file"))),
        Box::new(|top| fs::hard_link(top.join("directory/file"), top.join("file"))),
        Box::new(|top| symlink("file", top.join("symlink"))),
        Box::new(|top| std::os::unix::fs::lchown(top.join("symlink"), Some(1), Some(1))),
        Box::new(|top| fs::set_permissions(top.join("file"), Permissions::from_mode(0o640))),
        Box::new(|top| fs::remove_file(top.join("file"))),
        Box::new(|top| {
            OpenOptions::new()
                .write(true)
                .open(top.join("directory/file"))?
                .set_len(5)
        }),
    ];
    for (number, operation) in operations.into_iter().enumerate() {
        freeze(&two);
        let at = top.clone();
        let running = aside(move || operation(&at));
        running.assert_waits(Duration::from_millis(150));
        two.signal(Signal::SIGCONT);
        let done = running.outcome();
        assert!(done.is_ok(), "operation {number}: {done:?}");
    }
    assert!(!path.exists());
    assert_mirrored(&one, &two, &["db"]);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn the_peers_memory_is_enough_where_that_is_what_was_asked_for() {
    if !ready("the_peers_memory_is_enough_where_that_is_what_was_asked_for") {
        return;
    }
    let (mut one, mut two) = pair();
    one.set(node::MEMORY_SETTING, "1");
    level(&mut one, &mut two);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"first").expect("write");
    file.sync_all().expect("fsync");
    let there = fs::read(two.plain("db").join("file")).expect("read");
    assert_eq!(there, b"first", "applied before it is answered");
    file.sync_all().expect("fsync of nothing new");
    freeze(&two);
    (&file).write_all(b" second").expect("write");
    let again = file.try_clone().expect("clone");
    let sync = aside(move || again.sync_all());
    sync.assert_waits(STALL_LIMIT / 2);
    two.signal(Signal::SIGCONT);
    sync.outcome().expect("fsync");
    // A mirror that was killed has not sent what its database finds on the disk and syncs again.
    one.kill();
    one.start();
    one.serve(2, 7, true);
    let file = File::open(one.path().join("file")).expect("open");
    let sync = aside(move || file.sync_all());
    sync.assert_waits(STALL_LIMIT);
    one.command(Command::ReleasePeer {
        epoch: 2,
        generation: 8,
    })
    .expect("release");
    sync.outcome().expect("fsync alone");
}

#[test]
fn a_comparison_sends_little_more_than_what_differs() {
    if !ready("a_comparison_sends_little_more_than_what_differs") {
        return;
    }
    let (mut one, mut two) = pair();
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    let pages = 10_000u64;
    let content: Vec<u8> = (0..pages * 8192).map(|at| (at / 4096 * 31) as u8).collect();
    fs::write(one.path().join("table"), &content).expect("write");
    fs::write(two.path().join("table"), &content).expect("write");
    two.met_before();
    level(&mut one, &mut two);
    let equal = proxy.carried_bytes();
    println!("{} bytes were compared with {equal}", content.len());
    assert!(equal < content.len() as u64 / 500);
    // The standby stops; a page here and there is changed.
    two.command(Command::Seal).expect("seal");
    two.command(Command::Close).expect("close");
    let release = Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    };
    one.command(release).expect("release");
    let file = OpenOptions::new()
        .write(true)
        .open(one.path().join("table"));
    let file = file.expect("open");
    let mut changed = 0;
    for page in (0..pages).step_by(100) {
        let bytes = page.to_le_bytes().repeat(8192 / 8);
        changed += bytes.len() as u64;
        file.write_all_at(&bytes, page * 8192).expect("write");
    }
    let before = proxy.carried_bytes();
    two.follow(1, 8);
    one.await_status("level again", is_level);
    let carried = proxy.carried_bytes() - before;
    println!("{changed} bytes differed, {carried} were carried");
    assert!(carried < changed + changed / 2, "{carried} for {changed}");
    assert_mirrored(&one, &two, &["db"]);
}

/// Of each comparison of the source's, how much was read.
fn read_bytes(node: &Node) -> Vec<u64> {
    let log = node.log();
    let ended = log
        .lines()
        .filter(|line| line.contains("the comparison ended"));
    ended
        .map(|line| {
            let (_, rest) = line.split_once("read_bytes=").expect("how much");
            let number = rest.split_whitespace().next();
            number.and_then(|n| n.parse().ok()).expect("a number")
        })
        .collect()
}

#[test]
fn of_a_copy_that_left_in_order_or_lost_its_wire_only_what_changed_is_read() {
    if !ready("of_a_copy_that_left_in_order_or_lost_its_wire_only_what_changed_is_read") {
        return;
    }
    let (mut one, mut two) = pair();
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    fs::write(one.path().join("table"), vec![1; 30 << 20]).expect("write");
    fs::create_dir_all(one.path().join("directory/below")).expect("mkdir");
    fs::write(one.path().join("directory/below/file"), vec![2; 3 << 20]).expect("write");
    fs::write(one.path().join("replaced"), "old").expect("write");
    level(&mut one, &mut two);
    // Changed while mirrored, and on its way when the wire breaks.
    let table = OpenOptions::new()
        .write(true)
        .open(one.path().join("table"));
    let table = table.expect("open");
    let mut generation = 7;
    for leaving in ["the wire breaks", "a clean stop", "a crash"] {
        proxy.silence();
        table
            .write_all_at(leaving.as_bytes(), 5 << 20)
            .expect("write");
        proxy.down();
        match leaving {
            "a clean stop" => {
                two.command(Command::Seal).expect("seal");
                two.kill();
            }
            "a crash" => two.kill(),
            _ => {}
        }
        generation += 1;
        let release = Command::ReleasePeer {
            epoch: 1,
            generation,
        };
        one.command(release).expect("release");
        let before = read_bytes(&one).len();
        // Also what has another name now, and what is in a directory that has.
        table
            .write_all_at(leaving.as_bytes(), 20 << 20)
            .expect("write");
        fs::write(one.path().join("new"), leaving).expect("write");
        fs::rename(one.path().join("new"), one.path().join("replaced")).expect("rename");
        let moved = ["directory", "moved"].map(|name| one.path().join(name));
        let [from, to] = match moved[0].exists() {
            true => [&moved[0], &moved[1]],
            false => [&moved[1], &moved[0]],
        };
        fs::rename(from, to).expect("rename");
        proxy.up();
        if leaving != "the wire breaks" {
            two.start();
        }
        two.follow(1, generation);
        one.await_status("level again", is_level);
        let read = read_bytes(&one);
        assert_eq!(read.len(), before + 1, "{leaving}");
        let last = read[before];
        println!("{leaving}: {last} bytes were read");
        match leaving {
            "a crash" => assert!(last > 32 << 20, "{leaving}: {last}"),
            _ => assert!(last < 6 << 20, "{leaving}: {last}"),
        }
        let position = one.daemon().fresh_status().position;
        two.await_status("everything applied", |status| status.position >= position);
        for file in ["table", "replaced"] {
            let [ours, theirs] = [&one, &two].map(|node| fs::read(node.plain("db").join(file)));
            assert!(
                ours.expect("read") == theirs.expect("read"),
                "{leaving}: {file}"
            );
        }
    }
    assert_mirrored(&one, &two, &["db"]);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn volumes_that_were_set_back_are_compared_and_served_only_by_force() {
    if !ready("volumes_that_were_set_back_are_compared_and_served_only_by_force") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    fs::write(one.path().join("file"), "older").expect("write");
    stop_both(&mut one, &mut two);
    let images = [image_of(&one), image_of(&two)];
    one.start();
    two.start();
    two.follow(2, 7);
    one.serve(2, 7, true);
    one.await_status("level at once", is_level);
    assert_eq!(comparisons(&one), 1, "a clean stop needs none");
    fs::write(one.path().join("file"), "newer").expect("write");
    stop_both(&mut one, &mut two);

    // Both at the same number of the same generation, both cleanly: only this is not the newest.
    set_back(&one, &images[0]);
    set_back(&two, &images[1]);
    // What one was given back differs by one byte from what two was.
    fs::write(two.plain("db").join("file"), "oldeR").expect("write");
    one.start();
    two.start();
    let serve = |forced| Command::Serve {
        epoch: 3,
        generation: 7,
        gated: false,
        forced,
    };
    let status = one.status();
    assert!(status.inconsistent.is_some(), "{status:?}");
    let refused = one.command(serve(false)).expect_err("refused");
    assert!(refused.contains("set back"), "{refused}");
    assert_eq!(one.command(serve(false)), Err(refused), "for good");
    two.follow(3, 7);
    let status = two.status();
    assert!(status.inconsistent.is_some(), "{status:?}");
    one.command(serve(true)).expect("an operator decides");
    one.daemon().permit(3, node::FOREVER);
    one.await_status("level", is_level);
    assert_eq!(comparisons(&one), 2);
    two.await_status("a good copy", |status| status.inconsistent.is_none());
    assert_mirrored(&one, &two, &["db"]);
    let content = fs::read_to_string(two.plain("db").join("file"));
    assert_eq!(content.expect("read"), "older");
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn a_copy_whose_comparison_was_cut_short_is_served_only_by_force() {
    if !ready("a_copy_whose_comparison_was_cut_short_is_served_only_by_force") {
        return;
    }
    let (mut one, mut two) = pair();
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    fs::write(one.path().join("big"), vec![1; 60 << 20]).expect("write");
    fs::write(two.path().join("big"), vec![2; 60 << 20]).expect("write");
    one.start();
    two.start();
    one.serve(1, 7, false);
    two.follow(1, 7);
    two.await_status("a comparison", |status| status.inconsistent.is_some());
    proxy.silence();
    assert!(!is_level(&one.daemon().fresh_status()), "too late");
    two.kill();
    two.start();
    let status = two.await_status("its volumes", |status| status.fault.is_none());
    assert!(status.inconsistent.is_some(), "{status:?}");
    let serve = |forced| Command::Serve {
        epoch: 2,
        generation: 8,
        gated: false,
        forced,
    };
    let refused = two.command(serve(false)).expect_err("refused");
    assert!(refused.contains("two points in time"), "{refused}");
    two.command(serve(true)).expect("an operator decides");
    assert_eq!(two.status().inconsistent, None);
    two.command(Command::Close).expect("close");
    two.kill();
    // What an operator declared good stays good.
    two.start();
    two.await_status("good", |status| status.inconsistent.is_none());
}

fn position_of(node: &Node) -> Position {
    let bytes = fs::read(node.plain("db").join(".tandem/position")).expect("read the position");
    Position::decode(&bytes).expect("a position")
}

#[test]
fn both_positions_follow_the_stream_and_an_idle_pair_writes_none() {
    if !ready("both_positions_follow_the_stream_and_an_idle_pair_writes_none") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let begin = one.daemon().fresh_status().position;
    // Without any sync of the application's.
    for byte in 0..8 {
        fs::write(one.path().join("big"), vec![byte; 70 << 20]).expect("write");
    }
    await_true("a checkpoint on both disks", || {
        position_of(&one).checkpointed > begin && position_of(&two).checkpointed > begin
    });
    let positions = [position_of(&one), position_of(&two)];
    let [served, followed] = &positions;
    assert_eq!(served.checkpointed, followed.checkpointed);
    assert!(!served.clean && !followed.clean && !followed.inconsistent);
    // Twice as long as it is looked whether one is due.
    one.daemon()
        .await_status_for(Duration::from_millis(2500), |_| false);
    assert_eq!(positions, [position_of(&one), position_of(&two)]);
    assert_mirrored(&one, &two, &["db"]);
}

#[test]
fn names_of_any_bytes_and_files_without_a_name_are_mirrored() {
    if !ready("names_of_any_bytes_and_files_without_a_name_are_mirrored") {
        return;
    }
    let (mut one, mut two) = pair();
    let odd = |number: u8| {
        // Neither a slash nor a NUL; alone, a dot would be the directory.
        let byte = if matches!(number, 0 | b'/') {
            0xff
        } else {
            number
        };
        OsStr::from_bytes(&[b'n', byte, number | 0x80, b'\n']).to_owned()
    };
    for number in 0..128 {
        fs::write(one.path().join(odd(number)), [number]).expect("write before");
    }
    level(&mut one, &mut two);
    for number in 128..=255 {
        fs::write(one.path().join(odd(number)), [number]).expect("write");
    }
    for number in (0..=255).step_by(3) {
        let long = [number | 0x81; 255];
        let to = one.path().join(OsStr::from_bytes(&long));
        fs::rename(one.path().join(odd(number)), to).expect("rename");
    }
    symlink(odd(200), one.path().join(odd(0))).expect("symlink");
    // Saved as editors do.
    for round in 0..50 {
        let new = one.path().join("document.new");
        let mut file = File::create(&new).expect("create");
        write!(file, "version {round}").expect("write");
        file.sync_all().expect("fsync");
        fs::rename(&new, one.path().join("document")).expect("rename");
    }
    // Goes on without a name, over a break and a comparison.
    let nameless = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(one.path().join("nameless"))
        .expect("create");
    nameless.write_all_at(b"with a name", 0).expect("write");
    fs::remove_file(one.path().join("nameless")).expect("unlink");
    nameless
        .write_all_at(b"without one", 1 << 20)
        .expect("write");
    nameless.sync_all().expect("fsync");
    two.kill();
    one.await_status("a stall", |status| status.stalled);
    one.command(Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    })
    .expect("release");
    nameless.write_all_at(b"alone", 0).expect("write");
    two.start();
    two.follow(1, 8);
    one.await_status("level again", is_level);
    nameless.write_all_at(b"mirrored again", 0).expect("write");
    nameless.sync_all().expect("fsync");
    let mut content = [0; 14];
    nameless.read_exact_at(&mut content, 0).expect("read");
    assert_eq!(&content, b"mirrored again");
    assert_mirrored(&one, &two, &["db"]);
    // After a failover it is gone, as after a reboot, and everything else is there.
    one.kill();
    two.serve(2, 9, false);
    let document = fs::read_to_string(two.path().join("document"));
    assert_eq!(document.expect("read"), "version 49");
    assert!(!two.path().join("nameless").exists());
    assert_eq!(fs::read(two.path().join(odd(200))).expect("read"), [200]);
    two.assert_no_error();
}

#[test]
fn a_takeover_has_everything_that_was_acknowledged() {
    if !ready("a_takeover_has_everything_that_was_acknowledged") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let path = one.path().join("log");
    let writer = aside(move || {
        let file = File::create(path).expect("create");
        let mut acknowledged = 0u64;
        for number in 0..u64::MAX {
            let line = format!("{number:019}\n");
            if file.write_all_at(line.as_bytes(), number * 20).is_err() || file.sync_data().is_err()
            {
                break;
            }
            acknowledged = number + 1;
        }
        acknowledged
    });
    let begin = one.status().position;
    one.await_status("some writes", |status| status.position > begin + 400);
    one.kill();
    let acknowledged = writer.outcome();
    assert!(acknowledged > 50);
    two.command(Command::Seal).expect("seal");
    two.serve(2, 9, false);
    let log = fs::read_to_string(two.path().join("log")).expect("read");
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines.len() as u64 >= acknowledged,
        "{} of {acknowledged}",
        lines.len()
    );
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{number:019}"));
    }
    // The dead node comes back and follows.
    fs::write(two.path().join("new"), "written alone").expect("write");
    one.start();
    one.follow(2, 9);
    two.await_status("level", is_level);
    assert_mirrored(&two, &one, &["db"]);
}

#[test]
fn trees_are_equal_after_random_work_while_everything_is_compared() {
    if !ready("trees_are_equal_after_random_work_while_everything_is_compared") {
        return;
    }
    let seeds: Vec<u64> = match std::env::var("SEEDS") {
        Ok(range) => {
            let (first, last) = range.split_once("..").expect("SEEDS=first..last");
            (first.parse().expect("a number")..last.parse().expect("a number")).collect()
        }
        Err(_) => vec![1, 2],
    };
    for seed in seeds {
        println!("seed {seed}");
        random_work(seed);
    }
}

fn random_work(seed: u64) {
    let (mut one, mut two) = pair_with(&["db", "logs"]);
    one.start();
    two.start();
    one.serve(1, 7, false);
    // Both begin with something, and not the same.
    for (number, volume) in ["db", "logs"].into_iter().enumerate() {
        Worker::new(one.volume(volume), seed * 100 + number as u64).work(1500);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = ["db", "db", "logs"]
        .into_iter()
        .enumerate()
        .map(|(number, volume)| {
            let top = one.volume(volume).to_owned();
            let stop = stop.clone();
            aside(move || {
                let mut worker = Worker::new(&top, seed * 100 + 10 + number as u64);
                while !stop.load(Ordering::SeqCst) {
                    worker.work(50);
                }
                worker.done
            })
        })
        .collect();
    two.follow(1, 7);
    one.await_status("level", is_level);
    let position = one.status().position;
    one.await_status("some work while gated", |status| {
        status.position > position + 500
    });
    // The standby dies and comes back, in the middle of it.
    two.kill();
    two.start();
    two.follow(1, 7);
    one.await_status("a stall", |status| status.stalled);
    one.command(Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    })
    .expect("release the peer");
    one.await_status("level again", |status| is_level(status) && !status.stalled);
    let position = one.status().position;
    one.await_status("more work while gated", |status| {
        status.position > position + 500
    });
    stop.store(true, Ordering::SeqCst);
    let done: u64 = workers.iter().map(|worker| worker.outcome()).sum();
    assert!(done > 500, "{done}");
    assert_mirrored(&one, &two, &["db", "logs"]);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn sqlite_survives_the_loss_of_its_node() {
    if !ready("sqlite_survives_the_loss_of_its_node") {
        return;
    }
    if Process::new("sqlite3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "sqlite3 is needed");
        println!("SKIPPED: sqlite3 is not installed");
        return;
    }
    for mode in ["wal", "delete"] {
        let (mut one, mut two) = pair();
        level(&mut one, &mut two);
        let path = one.path().join("events.db");
        let begin = format!(
            "pragma journal_mode={mode}; pragma synchronous=extra; \
             create table event (number integer primary key, text);"
        );
        let made = Process::new("sqlite3")
            .arg(&path)
            .arg(begin)
            .output()
            .expect("run sqlite3");
        assert!(made.status.success(), "{made:?}");
        let inserted = aside(move || {
            let mut acknowledged = 0;
            loop {
                // `full` does not sync the removal of the journal, which is the commit.
                let insert = format!(
                    "pragma synchronous=extra; insert into event values ({}, 'text')",
                    acknowledged + 1
                );
                let done = Process::new("sqlite3").arg(&path).arg(insert).output();
                if !done.is_ok_and(|done| done.status.success()) {
                    return acknowledged;
                }
                acknowledged += 1;
            }
        });
        let begin = one.status().position;
        one.await_status("some inserts", |status| status.position > begin + 300);
        one.kill();
        let acknowledged: u64 = inserted.outcome();
        assert!(acknowledged > 5);
        two.command(Command::Seal).expect("seal");
        two.serve(2, 9, false);
        let found = Process::new("sqlite3")
            .arg(two.path().join("events.db"))
            .arg("pragma integrity_check; select count(*), max(number) from event;")
            .output()
            .expect("run sqlite3");
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let count: u64 = text
            .lines()
            .nth(1)
            .and_then(|line| line.split('|').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{mode}: {found:?}"));
        assert!(text.starts_with("ok\n"), "{mode}: {text}");
        assert!(count >= acknowledged, "{mode}: {count} of {acknowledged}");
    }
}

#[test]
fn a_full_queue_parks_writes_until_the_peer_is_released() {
    if !ready("a_full_queue_parks_writes_until_the_peer_is_released") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    two.signal(Signal::SIGSTOP);
    let path = one.path().join("big");
    let write = aside(move || {
        let file = File::create(path).expect("create");
        let megabyte = vec![7; 1 << 20];
        for number in 0..120 {
            file.write_all_at(&megabyte, number << 20)?;
        }
        Ok::<(), std::io::Error>(())
    });
    one.await_status("the stall", |status| status.stalled);
    write.assert_waits(Duration::from_millis(300));
    // Reading goes on.
    fs::metadata(one.path()).expect("stat");
    let release = Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    };
    one.command(release).expect("release");
    write.outcome().expect("written alone");
    one.assert_no_error();
}

#[test]
fn a_drain_that_the_peer_does_not_follow_is_refused_and_the_service_goes_on() {
    if !ready("a_drain_that_the_peer_does_not_follow_is_refused_and_the_service_goes_on") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    two.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let refused = one.command(Command::Drain).expect_err("refused");
    assert!(begin.elapsed() >= STALL_LIMIT, "{refused}");
    two.signal(Signal::SIGCONT);
    let file = File::create(one.path().join("file")).expect("mutations are accepted again");
    file.sync_all().expect("fsync with the peer");
    one.await_status("level", |status| is_level(status) && !status.stalled);
    assert_mirrored(&one, &two, &["db"]);
}

#[test]
fn the_daemons_talk_over_the_stream() {
    if !ready("the_daemons_talk_over_the_stream") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    one.daemon().gossip(b"from the source");
    two.daemon().await_gossip(b"from the source");
    two.daemon().gossip(b"from the follower");
    one.daemon().await_gossip(b"from the follower");
}

#[test]
fn a_full_disk_is_told_to_the_application_and_mirrored() {
    if !ready("a_full_disk_is_told_to_the_application_and_mirrored") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    // The standby's disk is as large; its own files are fewer.
    let file = File::create(one.path().join("big")).expect("create");
    let megabyte = vec![7; 1 << 20];
    let mut written = 0;
    let error = loop {
        match (&file).write(&megabyte) {
            Ok(bytes) => written += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert!(written > 50 << 20);
    assert_eq!(one.status().fault, None);
    fs::remove_file(one.path().join("big")).expect("unlink");
    drop(file);
    await_true("room again", || {
        fs::write(one.path().join("small"), "small").is_ok()
    });
}

#[test]
fn a_broken_connection_is_resumed_without_a_comparison() {
    if !ready("a_broken_connection_is_resumed_without_a_comparison") {
        return;
    }
    let (mut one, mut two) = pair();
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    level(&mut one, &mut two);
    let path = one.path().to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let ending = stop.clone();
    let worker = aside(move || {
        let file = File::create(path.join("file")).expect("create");
        let mut number = 0u64;
        while !ending.load(Ordering::SeqCst) {
            file.write_all_at(&number.to_le_bytes(), number * 8)
                .expect("write");
            file.sync_data().expect("fsync");
            fs::write(path.join(format!("f{}", number % 50)), "content").expect("write");
            number += 1;
        }
    });
    for _ in 0..5 {
        let position = one.status().position;
        one.await_status("some work", |status| status.position > position + 100);
        proxy.down();
        await_true("the break is noticed", || {
            one.log().matches("stream to the peer ended").count() > 0
        });
        assert!(
            is_level(&one.status()),
            "the gate stays shut, the copy stays level"
        );
        proxy.up();
        let position = one.status().position;
        one.await_status("work again", |status| {
            status.acknowledged > position + 50 && !status.stalled
        });
    }
    stop.store(true, Ordering::SeqCst);
    worker.outcome();
    assert_eq!(comparisons(&one), 1);
    assert_mirrored(&one, &two, &["db"]);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn a_killed_source_leaves_a_copy_that_can_be_served_and_followed() {
    if !ready("a_killed_source_leaves_a_copy_that_can_be_served_and_followed") {
        return;
    }
    let (mut one, mut two) = pair_with(&["db", "logs"]);
    level(&mut one, &mut two);
    let mut epoch = 1;
    for round in 0..4u64 {
        let (source, standby) = match round % 2 {
            0 => (&mut one, &mut two),
            _ => (&mut two, &mut one),
        };
        let workers: Vec<_> = ["db", "db", "logs"]
            .into_iter()
            .zip(0u64..)
            .map(|(volume, number)| {
                let top = source.volume(volume).to_owned();
                aside(move || {
                    let mut worker = Worker::new(&top, 1000 + round * 10 + number);
                    // Everything fails once the mirror is dead.
                    let mut before = u64::MAX;
                    while worker.done != before {
                        before = worker.done;
                        worker.work(200);
                    }
                })
            })
            .collect();
        let position = source.status().position;
        source.await_status("some work", |status| status.position > position + 800);
        source.kill();
        for worker in workers {
            worker.outcome();
        }
        epoch += 1;
        standby.command(Command::Seal).expect("seal");
        standby.serve(epoch, 7 + epoch, false);
        Worker::new(standby.volume("db"), 2000 + round).work(200);
        source.start();
        source.follow(epoch, 7 + epoch);
        standby.await_status("level", is_level);
    }
    assert_mirrored(&one, &two, &["db", "logs"]);
    two.assert_no_error();
}

/// Takes the file system away without a word to it, as a dead disk does.
fn shut_disk_down(node: &Node) {
    let script = "import fcntl, os, struct, sys\n\
                  fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    let output = Process::new("python3")
        .args(["-c", script])
        .arg(node.disk())
        .output();
    let output = output.expect("run python3");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_failing_disk_answers_nothing_and_the_peer_has_everything() {
    if !ready("a_failing_disk_answers_nothing_and_the_peer_has_everything") {
        return;
    }
    let (mut one, mut two) = pair();
    level(&mut one, &mut two);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"acknowledged").expect("write");
    file.sync_all().expect("fsync");
    shut_disk_down(&one);
    let again = file.try_clone().expect("clone");
    let sync = aside(move || (&again).write_all(b" lost").and_then(|()| again.sync_all()));
    let status = one.await_status("the fault", |status| status.fault.is_some());
    assert!(
        matches!(status.fault, Some(Fault::LocalDisk(_))),
        "{status:?}"
    );
    sync.assert_waits(Duration::from_millis(300));
    let other = file.try_clone().expect("clone");
    let write = aside(move || (&other).write_all(b" never"));
    write.assert_waits(Duration::from_millis(300));
    two.command(Command::Seal).expect("seal");
    two.serve(2, 8, false);
    assert!(
        fs::read(two.path().join("file"))
            .expect("read")
            .starts_with(b"acknowledged")
    );
    one.command(Command::Close).expect("close");
    assert!(sync.outcome().is_err());
    assert!(write.outcome().is_err());
    // This process does not trust what it would read.
    let follow = Command::Follow {
        epoch: 2,
        generation: 8,
        forget: false,
    };
    assert!(one.command(follow).is_err());
}

#[cfg(feature = "sabotage")]
#[test]
fn a_sabotaged_source_loses_what_it_acknowledged() {
    if !ready("a_sabotaged_source_loses_what_it_acknowledged") {
        return;
    }
    let (mut one, mut two) = pair();
    one.set("TANDEM_SABOTAGE", "early-ack");
    level(&mut one, &mut two);
    let file = File::create(one.path().join("file")).expect("create");
    (&file).write_all(b"acknowledged").expect("write");
    file.sync_all().expect("fsync");
    one.kill();
    two.command(Command::Seal).expect("seal");
    two.serve(2, 9, false);
    let found = fs::read(two.path().join("file")).unwrap_or_default();
    assert_ne!(found, b"acknowledged");

    let (mut one, mut two) = pair();
    one.set("TANDEM_SABOTAGE", "skip-drain");
    level(&mut one, &mut two);
    fs::write(one.path().join("file"), "written before the drain").expect("write");
    one.command(Command::Drain).expect("drain");
    one.command(Command::Close).expect("close");
    two.command(Command::Seal).expect("seal");
    two.serve(2, 7, false);
    assert!(!two.path().join("file").exists());
}
