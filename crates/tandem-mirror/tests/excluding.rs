//! What is excluded stays on its node: it is never told, never waited for, never removed by the
//! other node, and nothing crosses the border by a rename or a link.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/equal.rs"]
mod equal;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use node::{Node, aside, await_true, is_level, pair, ready};
use tandem_wire::local::Command;

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

/// Two nodes whose database leaves out what databases leave out.
fn excluding_pair() -> (Node, Node) {
    let (mut one, mut two) = pair();
    for node in [&mut one, &mut two] {
        node.set(node::EXCLUDE_SETTING, "stat/\tbase/tmp/\t*-shm");
    }
    (one, two)
}

fn level(one: &mut Node, two: &mut Node) {
    one.start();
    two.start();
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
}

fn await_applied(serving: &Node, standby: &Node) {
    let position = serving.daemon().fresh_status().position;
    standby.await_status("everything applied", |status| status.position >= position);
}

/// Removes from a copy of a tree what is not mirrored, by its own look at the names; compares what
/// is left.
fn assert_equal_but_excluded(one: &Node, two: &Node) {
    let changed = |node: &Node| fs::metadata(node.plain("db").join("mirrored"))?.modified();
    // A standby sets the times of what was written all together, once a second.
    await_true("the times", || changed(one).ok() == changed(two).ok());
    let copies = [one, two].map(|node| {
        let copy = tempfile::tempdir().expect("make a directory");
        let top = node.plain("db");
        disk::run(
            std::process::Command::new("cp")
                .arg("-aT")
                .arg(&top)
                .arg(copy.path()),
        );
        let script = "rm -rf stat/* base/tmp/*; find . -name '*-shm' ! -type d -delete; \
                      find . -type d -exec touch -r \"$1/{}\" {} \\;";
        disk::run(
            std::process::Command::new("sh")
                .args(["-c", script, "sh"])
                .arg(&top)
                .current_dir(copy.path()),
        );
        copy
    });
    equal::assert_equal(copies[0].path(), copies[1].path());
}

fn is_across(result: std::io::Result<()>) {
    let error = result.expect_err("across the border");
    assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{error}");
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(path, text).expect("write");
}

#[test]
fn what_is_excluded_stays_here_and_nothing_crosses_the_border() {
    if !ready("what_is_excluded_stays_here_and_nothing_crosses_the_border") {
        return;
    }
    let (mut one, mut two) = excluding_pair();
    level(&mut one, &mut two);
    let top = one.path();
    let at = |name: &str| top.join(name);
    for directory in [
        "stat",
        "stat/deep",
        "base",
        "base/tmp",
        "base/tmp2",
        "dir-shm",
    ] {
        fs::create_dir(at(directory)).expect(directory);
    }
    for file in [
        "stat/a",
        "stat/deep/b",
        "base/tmp/c",
        "db-shm",
        "base/x-shm",
    ] {
        write(at(file), "excluded");
        File::open(at(file))
            .expect("open")
            .sync_all()
            .expect("sync");
    }
    for file in ["db", "base/tmp2/d", "dir-shm/e", "db-shm2"] {
        write(at(file), "mirrored");
    }
    // Across: in, out, by a link, by an exchange, and with a directory on the path.
    is_across(fs::rename(at("db"), at("stat/db")));
    is_across(fs::rename(at("stat/a"), at("a")));
    is_across(fs::rename(at("db"), at("other-shm")));
    is_across(fs::rename(at("db-shm"), at("db.shm")));
    is_across(fs::hard_link(at("db"), at("base/tmp/db")));
    is_across(fs::hard_link(at("stat/a"), at("a")));
    is_across(fs::rename(at("stat"), at("stat2")));
    is_across(fs::rename(at("base"), at("base2")));
    is_across(fs::rename(at("dir-shm"), at("stat/dir")));
    let exchange = rustix::fs::RenameFlags::EXCHANGE;
    let current = rustix::fs::CWD;
    let swapped = rustix::fs::renameat_with(current, at("db"), current, at("stat/a"), exchange);
    is_across(swapped.map_err(Into::into));
    // On one side everything goes on.
    fs::rename(at("stat/a"), at("base/tmp/a")).expect("between excluded directories");
    fs::rename(at("db-shm"), at("db2-shm")).expect("between excluded names");
    fs::rename(at("db2-shm"), at("stat/plain")).expect("from a name to a directory");
    fs::hard_link(at("stat/plain"), at("stat/linked")).expect("link");
    fs::rename(at("dir-shm"), at("directory")).expect("a directory is mirrored");
    fs::rename(at("directory"), at("again-shm")).expect("whatever its name is");
    fs::remove_file(at("base/x-shm")).expect("remove");
    fs::remove_file(at("stat/deep/b")).expect("remove");
    fs::remove_dir(at("stat/deep")).expect("remove");
    assert_eq!(fs::read(at("stat/linked")).expect("read"), b"excluded");
    await_applied(&one, &two);
    two.command(Command::Seal).expect("seal");
    let plain = two.plain("db");
    for absent in [
        "stat/plain",
        "stat/a",
        "base/tmp/c",
        "base/tmp/a",
        "db-shm",
        "base/x-shm",
    ] {
        assert!(!plain.join(absent).exists(), "{absent} was mirrored");
    }
    for present in ["stat", "base/tmp", "base/tmp2/d", "again-shm/e", "db-shm2"] {
        assert!(plain.join(present).exists(), "{present} is missing");
    }
    assert_equal_but_excluded(&one, &two);
    one.assert_no_error();
    two.assert_no_error();
}

#[test]
fn nothing_excluded_waits_for_the_peer() {
    if !ready("nothing_excluded_waits_for_the_peer") {
        return;
    }
    let (mut one, mut two) = excluding_pair();
    for node in [&mut one, &mut two] {
        node.set(node::STALL_SETTING, "60000");
    }
    level(&mut one, &mut two);
    fs::create_dir(one.path().join("stat")).expect("create");
    let excluded = File::create(one.path().join("stat/file")).expect("create");
    let mirrored = File::create(one.path().join("file")).expect("create");
    await_applied(&one, &two);
    two.signal(nix::sys::signal::Signal::SIGSTOP);
    (&excluded).write_all(b"here").expect("write");
    excluded
        .sync_all()
        .expect("an excluded file waits for nobody");
    (&mirrored).write_all(b"there").expect("write");
    let waits = aside(move || mirrored.sync_all());
    waits.assert_waits(Duration::from_millis(300));
    two.signal(nix::sys::signal::Signal::SIGCONT);
    waits.outcome().expect("sync");
}

#[test]
fn a_node_keeps_its_own_leftovers_through_swaps_and_comparisons() {
    if !ready("a_node_keeps_its_own_leftovers_through_swaps_and_comparisons") {
        return;
    }
    let (mut one, mut two) = excluding_pair();
    level(&mut one, &mut two);
    let fill = |node: &Node, text: &str| {
        for directory in ["stat", "base", "base/tmp", "gone", "replaced"] {
            let _ = fs::create_dir(node.path().join(directory));
        }
        for file in [
            "stat/file",
            "base/tmp/file",
            "gone/x-shm",
            "replaced/x-shm",
            "db-shm",
            "d-shm",
        ] {
            write(node.path().join(file), text);
        }
        write(node.path().join("mirrored"), text);
    };
    let read = |node: &Node, name: &str| fs::read_to_string(node.plain("db").join(name)).ok();
    fill(&one, "one");
    // To node 2, and back: each finds what it left, and not the other's.
    let swap = |from: &Node, to: &Node, epoch| {
        from.command(Command::Drain).expect("drain");
        from.command(Command::Close).expect("close");
        to.command(Command::Seal).expect("seal");
        to.serve(epoch, 7, true);
        from.follow(epoch, 7);
        to.await_status("level", is_level);
    };
    swap(&one, &two, 2);
    assert_eq!(read(&two, "stat/file"), None);
    assert_eq!(read(&two, "mirrored").as_deref(), Some("one"));
    fill(&two, "two");
    await_applied(&two, &one);
    assert_eq!(read(&one, "stat/file").as_deref(), Some("one"));
    // What node 1 holds must not be in the way of what node 2 does.
    for file in ["gone/x-shm", "replaced/x-shm", "d-shm", "db-shm"] {
        fs::remove_file(two.path().join(file)).expect("remove");
    }
    fs::remove_dir(two.path().join("gone")).expect("remove a directory");
    fs::create_dir(two.path().join("new")).expect("create");
    fs::rename(two.path().join("new"), two.path().join("replaced")).expect("replace a directory");
    fs::create_dir(two.path().join("d-shm")).expect("a directory where node 1 has a file");
    fs::create_dir(two.path().join("new")).expect("create");
    fs::rename(two.path().join("new"), two.path().join("db-shm")).expect("the same by a rename");
    fs::remove_file(two.path().join("stat/file")).expect("remove");
    fs::remove_dir(two.path().join("stat")).expect("remove an excluded directory");
    fs::create_dir(two.path().join("stat")).expect("create it again");
    fs::remove_dir(two.path().join("d-shm")).expect("remove");
    write(two.path().join("d-shm"), "two");
    await_applied(&two, &one);
    assert_equal_but_excluded(&two, &one);
    assert_eq!(read(&one, "base/tmp/file").as_deref(), Some("one"));
    // A comparison leaves it alone as well.
    fs::create_dir(two.path().join("stat/sub")).expect("create");
    one.kill();
    two.await_status("stalled", |status| status.stalled);
    let release = Command::ReleasePeer {
        epoch: 2,
        generation: 8,
    };
    two.command(release).expect("release");
    write(one.plain("db").join("x-shm"), "one");
    write(one.plain("db").join("only here"), "one");
    one.start();
    one.follow(2, 8);
    two.await_status("level again", is_level);
    await_applied(&two, &one);
    assert_eq!(read(&one, "base/tmp/file").as_deref(), Some("one"));
    assert_eq!(read(&one, "x-shm").as_deref(), Some("one"));
    assert_eq!(read(&one, "only here"), None, "compared, and removed");
    assert!(!one.plain("db").join("stat/sub").exists());
    assert_equal_but_excluded(&two, &one);
    // A takeover without a farewell.
    two.kill();
    await_true("the copy is sealed", || one.command(Command::Seal).is_ok());
    one.serve(3, 9, false);
    assert_eq!(
        fs::read(one.path().join("base/tmp/file")).expect("read"),
        b"one"
    );
    write(one.path().join("stat/file"), "one again");
    for node in [&one, &two] {
        node.assert_no_error();
    }
}

#[test]
fn what_is_not_excluded_any_more_is_compared() {
    if !ready("what_is_not_excluded_any_more_is_compared") {
        return;
    }
    let (mut one, mut two) = excluding_pair();
    level(&mut one, &mut two);
    write(one.path().join("db-shm"), "excluded");
    one.command(Command::Drain).expect("drain");
    one.command(Command::Close).expect("close");
    two.command(Command::Seal).expect("seal");
    one.kill();
    two.kill();
    for node in [&mut one, &mut two] {
        node.set(node::EXCLUDE_SETTING, "stat/");
        node.start();
    }
    one.serve(2, 7, true);
    two.follow(2, 7);
    // Behind a shut gate nothing is compared: the stall is what the daemon records.
    one.await_status("stalled", |status| status.stalled);
    let release = Command::ReleasePeer {
        epoch: 2,
        generation: 8,
    };
    one.command(release).expect("release");
    one.await_status("level", is_level);
    await_applied(&one, &two);
    let found = fs::read(two.plain("db").join("db-shm"));
    assert_eq!(found.expect("mirrored now"), b"excluded");
}
