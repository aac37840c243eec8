//! Very many small files, and a very large one that is nearly empty: nothing stalls, and the memory
//! of both mirrors stays in proportion to what the kernel remembers, not to what passed.
//!
//! `TANDEM_FILES` sets how many files: `make soak` takes 200,000, which need about five minutes.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use disk::root_or_skip;
use node::{Node, is_level, own_mounts, pair_on};
use tandem_wire::local::Command;

/// In each directory.
const FILES: usize = 500;
/// Of a mirror that has done nothing yet, and of its queue when it is full.
const MEMORY_BYTES: u64 = 128 << 20;
/// For each file that the kernel remembers.
const MEMORY_BYTES_EACH: u64 = 1024;
/// What a user would call a time-out, not what a busy machine makes.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What the comparison of one file may take on a machine that does other things, too.
const COMPARED_EACH_MAX: Duration = Duration::from_millis(3);
/// Between two writes of the client that waits for each.
const CLIENT_REST: Duration = Duration::from_millis(100);

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

fn level() -> (Node, Node) {
    own_mounts();
    // Room for twice as many names as `TANDEM_FILES` is meant for.
    let (mut one, mut two) = pair_on(&["db"], 8192);
    for node in [&mut one, &mut two] {
        node.set(node::STALL_SETTING, &PAUSE_MAX.as_millis().to_string());
        node.start();
    }
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
    (one, two)
}

fn assert_never_stalled(one: &Node, two: &Node) {
    let status = one.daemon().fresh_status();
    assert!(is_level(&status) && !status.stalled, "{status:?}");
    one.assert_no_error();
    two.assert_no_error();
}

fn await_applied(one: &Node, two: &Node) {
    let position = one.daemon().fresh_status().position;
    two.await_status("everything applied", |status| status.position >= position);
}

fn memory(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.process_id()));
    let status = status.expect("look at the process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.expect("its memory") << 10
}

/// Writes and syncs meanwhile, as a client would, and says how long that took at most.
fn beside<T>(file: &Path, work: impl FnOnce() -> T) -> (T, Duration) {
    let file = File::create(file).expect("create");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !ended.load(Ordering::SeqCst) {
                let begun = Instant::now();
                file.write_all_at(&[1; 512], 0).expect("write");
                file.sync_data().expect("sync");
                longest = longest.max(begun.elapsed());
                std::thread::sleep(CLIENT_REST);
            }
            longest
        });
        let made = work();
        ended.store(true, Ordering::SeqCst);
        (made, client.join().expect("the client is well"))
    })
}

fn make(top: &Path, files: usize) -> Duration {
    let begun = Instant::now();
    for directory in 0..files.div_ceil(FILES) {
        let directory = top.join(format!("d{directory}"));
        fs::create_dir(&directory).expect("create");
        for file in 0..FILES {
            fs::write(
                directory.join(format!("f{file}")),
                format!("content {file}"),
            )
            .expect("write");
        }
    }
    begun.elapsed()
}

fn count(top: &Path) -> usize {
    let entries = fs::read_dir(top).expect("list").flatten();
    entries
        .map(|entry| match entry.file_type().expect("look").is_dir() {
            true if entry.file_name() == ".tandem" => 0,
            true => count(&entry.path()),
            false => 1,
        })
        .sum()
}

#[test]
fn many_small_files_cost_memory_only_while_the_kernel_remembers_them() {
    if !root_or_skip("many_small_files_cost_memory_only_while_the_kernel_remembers_them") {
        return;
    }
    let text = std::env::var("TANDEM_FILES").ok();
    let files = text
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000_usize);
    let (one, mut two) = level();
    let plain = make(&one.disk().join("state"), files);
    let before = (memory(&one), memory(&two));
    let client = one.path().join("client");
    let (mirrored, pause) = beside(&client, || make(one.path(), files));
    await_applied(&one, &two);
    let after = (memory(&one), memory(&two));
    println!(
        "{files} files: {plain:.1?} plain, {mirrored:.1?} mirrored, a client waited {pause:.2?} at \
         most; memory {} and {} MiB, before {} and {}",
        after.0 >> 20,
        after.1 >> 20,
        before.0 >> 20,
        before.1 >> 20
    );
    assert_never_stalled(&one, &two);
    assert!(pause < PAUSE_MAX, "{pause:?}");
    assert_eq!(count(&two.plain("db")), files + 1);
    let limit = MEMORY_BYTES + files as u64 * MEMORY_BYTES_EACH;
    assert!(after.0.max(after.1) < limit, "{after:?} of {limit}");
    // Compared as a whole: nothing but the walk is held.
    two.kill();
    one.await_status("stalled", |status| status.stalled);
    let release = Command::ReleasePeer {
        epoch: 1,
        generation: 8,
    };
    one.command(release).expect("release");
    two.start();
    two.follow(1, 8);
    let begun = Instant::now();
    let patience = node::PATIENCE + COMPARED_EACH_MAX * files as u32;
    let (compared, pause) = beside(&client, || {
        one.daemon().await_status_for(patience, is_level)
    });
    assert!(compared, "not level after {patience:?}");
    let compared = (memory(&one), memory(&two));
    println!(
        "compared in {:.1?}, a client waited {pause:.2?} at most; memory {} and {} MiB",
        begun.elapsed(),
        compared.0 >> 20,
        compared.1 >> 20
    );
    assert!(pause < PAUSE_MAX, "{pause:?}");
    assert!(
        compared.0.max(compared.1) < limit,
        "{compared:?} of {limit}"
    );
    // As often again, and gone again: the kernel forgets them, and so do we.
    for directory in fs::read_dir(one.path()).expect("list").flatten() {
        if directory.file_name().as_encoded_bytes().starts_with(b"d") {
            fs::remove_dir_all(directory.path()).expect("remove");
        }
    }
    make(one.path(), files);
    await_applied(&one, &two);
    let again = (memory(&one), memory(&two));
    println!("again: memory {} and {} MiB", again.0 >> 20, again.1 >> 20);
    assert!(again.0.max(again.1) < limit, "{again:?} of {limit}");
    assert_never_stalled(&one, &two);
}

#[test]
fn a_sparse_file_of_fifty_gigabytes_costs_what_is_in_it() {
    if !root_or_skip("a_sparse_file_of_fifty_gigabytes_costs_what_is_in_it") {
        return;
    }
    let (one, two) = level();
    let begun = Instant::now();
    let file = File::create(one.path().join("sparse")).expect("create");
    file.set_len(50 << 30).expect("make it long");
    for island in 0..50_u64 {
        file.write_all_at(&[7; 4096], island << 30).expect("write");
    }
    file.sync_all().expect("fsync");
    await_applied(&one, &two);
    println!("written in {:?}", begun.elapsed());
    let there = fs::metadata(two.plain("db").join("sparse")).expect("look");
    assert_eq!(there.size(), 50 << 30);
    assert!(there.blocks() * 512 < 8 << 20, "{} blocks", there.blocks());
    assert!(memory(&one).max(memory(&two)) < MEMORY_BYTES);
    assert_never_stalled(&one, &two);
}
