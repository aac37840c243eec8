//! What a comparison reads and sends after stops in good order, crashes, and interruptions.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/equal.rs"]
mod equal;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/proxy.rs"]
mod proxy;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use node::{Node, is_level, pair, ready};
use proxy::Proxy;
use tandem_wire::local::{Command, Peer, Role};

const MIB: u64 = 1 << 20;

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

/// Two nodes on a wire; the first serves in epoch 1 and generation 7, both are level.
fn level_pair(prepare: impl FnOnce(&Node)) -> (Node, Node, Proxy) {
    let (mut one, mut two) = pair();
    for node in [&mut one, &mut two] {
        node.set(node::STALL_SETTING, "30000");
    }
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    prepare(&one);
    one.start();
    two.start();
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
    (one, two, proxy)
}

/// The standby leaves in good order, and is recorded out.
fn leave_in_order(one: &Node, two: &mut Node, generation: u64) {
    await_applied(one, two);
    two.command(Command::Seal).expect("seal");
    two.kill();
    release(one, generation);
}

fn release(node: &Node, generation: u64) {
    let Role::Serving { epoch, .. } = node.status().role else {
        panic!("serves");
    };
    let release = Command::ReleasePeer { epoch, generation };
    node.command(release).expect("release");
}

fn await_applied(one: &Node, two: &Node) {
    let position = one.daemon().fresh_status().position;
    two.await_status("everything applied", |status| status.position >= position);
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

/// Waits until both are level, and says how much the newest comparison has read.
fn read_until_level(one: &Node, two: &Node, what: &str) -> u64 {
    one.await_status(what, is_level);
    await_applied(one, two);
    let read = *read_bytes(one).last().expect("a comparison");
    println!("{what}: {read} bytes were read");
    read
}

fn assert_equal(one: &Node, two: &Node, context: &str) {
    await_applied(one, two);
    two.command(Command::Seal).expect("seal");
    println!("{context}");
    equal::assert_equal(&one.plain("db"), &two.plain("db"));
}

fn open(node: &Node, name: &str) -> File {
    let file = OpenOptions::new().write(true).open(node.path().join(name));
    file.expect("open")
}

/// Bytes that no two blocks of which are equal.
fn content(bytes: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

fn left_debt(node: &Node) -> PathBuf {
    node.disk().join("state/videeos.debt")
}

#[test]
fn after_a_clean_stop_of_the_standby_little_more_is_sent_than_what_changed() {
    if !ready("after_a_clean_stop_of_the_standby_little_more_is_sent_than_what_changed") {
        return;
    }
    let pages = 160 * MIB / 8192;
    let (one, mut two, proxy) = level_pair(|one| {
        fs::write(one.path().join("table"), content(160 * MIB, 1)).expect("write");
        for number in 0..1000u32 {
            let path = one.path().join(format!("small{number}"));
            fs::write(path, number.to_le_bytes().repeat(500)).expect("write");
        }
    });
    leave_in_order(&one, &mut two, 8);
    let table = open(&one, "table");
    let mut changed = 0;
    for page in (0..pages).step_by(80) {
        let bytes = content(8192, page + 2);
        changed += bytes.len() as u64;
        table.write_all_at(&bytes, page * 8192).expect("write");
    }
    let before = proxy.carried_bytes();
    two.start();
    two.follow(1, 8);
    let read = read_until_level(&one, &two, "level again");
    let carried = proxy.carried_bytes() - before;
    println!("{changed} bytes were changed, {carried} were carried");
    assert!(carried < changed * 3 / 2, "{carried} for {changed}");
    assert!(read < 161 * MIB, "{read}");
    assert_equal(&one, &two, "at the end");
}

#[test]
fn a_copy_that_is_to_be_forgotten_is_compared_as_a_whole_also_after_a_crash() {
    if !ready("a_copy_that_is_to_be_forgotten_is_compared_as_a_whole_also_after_a_crash") {
        return;
    }
    let (one, mut two, _proxy) = level_pair(|one| {
        fs::write(one.path().join("table"), content(40 * MIB, 1)).expect("write");
    });
    leave_in_order(&one, &mut two, 8);
    // A byte rots, and nothing shows it: neither size nor times, nor what changed at the source.
    let path = two.plain("db").join("table");
    let rotten = OpenOptions::new().write(true).open(&path).expect("open");
    let modified = rotten.metadata().and_then(|m| m.modified());
    rotten.write_all_at(b"rot", 7 * MIB).expect("write");
    let times = fs::FileTimes::new().set_modified(modified.expect("a time"));
    rotten.set_times(times).expect("set the times");
    drop(rotten);
    two.start();
    two.follow(1, 8);
    let read = read_until_level(&one, &two, "what is owed");
    assert!(read < MIB, "{read}: the rot is outside of what is read");
    leave_in_order(&one, &mut two, 9);
    two.start();
    two.forget_and_follow(1, 9);
    // Also if it dies before anything was compared.
    two.kill();
    release(&one, 10);
    two.start();
    two.follow(1, 10);
    let read = read_until_level(&one, &two, "everything");
    assert!(read >= 40 * MIB, "{read}");
    assert_equal(&one, &two, "at the end");
}

#[test]
fn a_node_that_served_and_stopped_in_order_is_compared_in_what_changed_since() {
    if !ready("a_node_that_served_and_stopped_in_order_is_compared_in_what_changed_since") {
        return;
    }
    let (mut one, two, _proxy) = level_pair(|one| {
        fs::write(one.path().join("table"), content(40 * MIB, 1)).expect("write");
    });
    // As an operator's stop of the primary: the other one serves on.
    one.command(Command::Drain).expect("drain");
    one.command(Command::Close).expect("close");
    two.command(Command::Seal).expect("seal");
    two.serve(2, 7, true);
    release(&two, 8);
    open(&two, "table")
        .write_all_at(b"changed while the other one was away", 5 * MIB)
        .expect("write");
    one.kill();
    one.start();
    one.follow(2, 8);
    let read = read_until_level(&two, &one, "the stopped primary returns");
    assert!(read < MIB, "{read}");
    assert_equal(&two, &one, "the stopped primary returned");
}

#[test]
fn what_the_other_copy_lacks_survives_a_stop_in_order_once_and_no_crash() {
    if !ready("what_the_other_copy_lacks_survives_a_stop_in_order_once_and_no_crash") {
        return;
    }
    let (mut one, mut two, _proxy) = level_pair(|one| {
        fs::write(one.path().join("table"), content(40 * MIB, 1)).expect("write");
        fs::write(one.path().join("other"), content(MIB, 2)).expect("write");
    });
    let debt = left_debt(&one);
    let mut generation = 7;
    let mut epoch = 1;
    let mut copied = Vec::new();
    for end in [
        // Nothing is written between begin and end: the same debt is left again.
        "a stop in order",
        "two stops in order",
        "a stop in order and a crash of what began then",
        "a crash",
        "a stop in order whose file is one of before",
        "a stop in order and a copy of the volume's position",
    ] {
        generation += 1;
        leave_in_order(&one, &mut two, generation);
        let change = |node: &Node, at: u64| {
            let table = open(node, "table");
            table.write_all_at(end.as_bytes(), at * MIB).expect("write");
            fs::write(node.path().join("new"), end).expect("write");
            fs::rename(node.path().join("new"), node.path().join("other")).expect("rename");
        };
        change(&one, 3);
        if end != "a crash" {
            one.command(Command::Close).expect("close");
            assert!(debt.exists(), "{end}");
        }
        match end {
            "a stop in order whose file is one of before" => {
                fs::write(&debt, &copied).expect("put the older one back");
            }
            "a stop in order and a copy of the volume's position" => {
                // What a copy of all files to another disk has in place of it.
                let position = one.plain("db").join(".tandem/position");
                let bytes = fs::read(&position).expect("read");
                fs::write(position.with_extension("copy"), bytes).expect("write");
                fs::rename(position.with_extension("copy"), position).expect("rename");
            }
            _ => copied = fs::read(&debt).unwrap_or_default(),
        }
        one.kill();
        one.start();
        let mut begin = |one: &Node| {
            epoch += 1;
            one.serve(epoch, generation, false);
            assert!(!debt.exists(), "{end}: it is believed once");
        };
        begin(&one);
        match end {
            "two stops in order" => {
                change(&one, 9);
                one.command(Command::Close).expect("close");
                begin(&one);
            }
            "a stop in order and a crash of what began then" => {
                change(&one, 9);
                let left = copied.clone();
                one.kill();
                one.start();
                // Even if the crash came before it was removed.
                fs::write(&debt, left).expect("put it back");
                begin(&one);
            }
            _ => {}
        }
        two.start();
        two.follow(epoch, generation);
        let read = read_until_level(&one, &two, end);
        match end {
            "a stop in order" | "two stops in order" => assert!(read < 3 * MIB, "{end}: {read}"),
            _ => assert!(read > 40 * MIB, "{end}: {read}"),
        }
        for file in ["table", "other"] {
            let [ours, theirs] = [&one, &two].map(|node| fs::read(node.plain("db").join(file)));
            assert!(
                ours.expect("read") == theirs.expect("read"),
                "{end}: {file}"
            );
        }
    }
    assert_equal(&one, &two, "at the end");
    one.assert_no_error();
    two.assert_no_error();
}

/// Cuts the wire when so many bytes came through since.
fn cut_after(proxy: &Proxy, since: u64, bytes: u64) {
    let deadline = Instant::now() + node::PATIENCE;
    while proxy.carried_bytes() - since < bytes {
        assert!(Instant::now() < deadline, "never so far");
        proxy.wait(Duration::from_millis(2));
    }
    proxy.down();
}

#[test]
fn an_interrupted_comparison_goes_on_where_it_was() {
    if !ready("an_interrupted_comparison_goes_on_where_it_was") {
        return;
    }
    let size = 90 * MIB;
    for interruption in ["the wire breaks", "a stop in order", "a crash"] {
        let (mut one, mut two) = pair();
        for node in [&mut one, &mut two] {
            node.set(node::STALL_SETTING, "30000");
        }
        let proxy = Proxy::to(two.listens());
        one.set_peer(proxy.address);
        fs::write(one.path().join("a"), content(size / 2, 1)).expect("write");
        fs::write(one.path().join("b"), content(size / 2, 2)).expect("write");
        one.start();
        two.start();
        one.serve(1, 7, false);
        two.follow(1, 7);
        let mut since = 0;
        for part in [20 * MIB, 25 * MIB, 20 * MIB] {
            cut_after(&proxy, since, part);
            match interruption {
                "a stop in order" => {
                    two.command(Command::Close).expect("close");
                    two.kill();
                    two.start();
                    two.follow(1, 7);
                }
                "a crash" => {
                    two.kill();
                    two.start();
                    two.follow(1, 7);
                }
                _ => {}
            }
            // In what may have been found equal, and in what was not reached.
            let written = format!("written after {part} bytes");
            for file in ["a", "b"] {
                let file = open(&one, file);
                file.write_all_at(written.as_bytes(), MIB).expect("write");
            }
            since = proxy.carried_bytes();
            proxy.up();
        }
        one.await_status("level", is_level);
        let carried = proxy.carried_bytes();
        println!("{interruption}: {carried} bytes were carried for {size}");
        let read = *read_bytes(&one).last().expect("a comparison");
        match interruption {
            "a crash" => assert!(read == size, "everything again: {read}"),
            // Some pieces were under way at each end.
            _ => {
                assert!(read < size / 3 * 2, "{interruption}: {read}");
                // What is compared again is carried as hashes; what was in the wire was lost.
                assert!(carried < size + 16 * MIB, "{interruption}: {carried}");
            }
        }
        assert_equal(&one, &two, interruption);
        one.assert_no_error();
        two.assert_no_error();
    }
}

#[test]
fn holes_are_neither_read_nor_sent_and_become_holes() {
    if !ready("holes_are_neither_read_nor_sent_and_become_holes") {
        return;
    }
    let (mut one, mut two) = pair();
    let proxy = Proxy::to(two.listens());
    one.set_peer(proxy.address);
    let size = 50 << 30;
    for (node, at) in [(&one, 20 << 30), (&two, 30 << 30)] {
        let file = File::create(node.path().join("sparse")).expect("create");
        file.set_len(size).expect("set the size");
        let here = content(3 * MIB + 4096, at);
        file.write_all_at(&here, at + 12_288).expect("write");
        file.write_all_at(b"the last bytes", size - 100)
            .expect("write");
    }
    two.met_before();
    one.start();
    two.start();
    let begun = Instant::now();
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
    let carried = proxy.carried_bytes();
    let read = *read_bytes(&one).last().expect("a comparison");
    let took = begun.elapsed();
    println!("{carried} bytes were carried and {read} read for {size} in {took:?}");
    assert!(carried < 5 * MIB, "{carried}");
    assert!(read < 5 * MIB, "{read}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let blocks = [&one, &two].map(|node| {
        let found = fs::metadata(node.plain("db").join("sparse")).expect("look");
        assert_eq!(found.size(), size);
        found.blocks() * 512
    });
    assert!(blocks[1] <= blocks[0] + MIB, "{blocks:?}");
    await_applied(&one, &two);
    for at in [20 << 30, 30 << 30, size - 4 * MIB] {
        let [ours, theirs] = [&one, &two].map(|node| {
            let file = File::open(node.plain("db").join("sparse")).expect("open");
            let mut bytes = vec![0; 4 << 20];
            file.read_exact_at(&mut bytes, at).expect("read");
            bytes
        });
        assert!(ours == theirs, "at {at}");
    }
    one.assert_no_error();
    two.assert_no_error();
}

/// Writes a page and syncs it, again and again, until something is so; says how often.
fn write_pages(node: &Node, name: &str, until: impl Fn() -> bool) -> u64 {
    let file = File::create(node.path().join(name)).expect("create");
    let begun = Instant::now();
    let mut written = 0;
    while !until() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never ends");
        let at = written % 500;
        file.write_all_at(&content(8192, at), at * 8192)
            .expect("write");
        file.sync_data().expect("sync");
        written += 1;
    }
    written
}

#[test]
fn a_comparison_ends_under_an_application_that_never_rests() {
    if !ready("a_comparison_ends_under_an_application_that_never_rests") {
        return;
    }
    let (one, mut two, _proxy) = level_pair(|one| {
        fs::write(one.path().join("table"), content(170 * MIB, 1)).expect("write");
    });
    two.kill();
    release(&one, 8);
    two.start();
    two.follow(1, 8);
    one.await_status("compared", |status| {
        matches!(status.peer, Peer::Comparing { .. })
    });
    let written = write_pages(&one, "pages", || one.status().peer == Peer::Level);
    println!("{written} pages were written and synced meanwhile");
    assert!(written > 0, "the application was at work");
    assert_equal(&one, &two, "at the end");
}
