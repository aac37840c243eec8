//! Two mirror processes, an application that does anything, and a wire that breaks: at the end both
//! copies are equal, and what was acknowledged is on both.
//!
//! The test plays the daemon: it releases a peer that stalls, as the core would after it recorded
//! that. Everything random comes from a seed; `TANDEM_SEED` runs another one, `TANDEM_SEEDS` that
//! many.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/trees.rs"]
mod trees;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use node::{Node, pair, ready};
use proxy::Proxy;
use tandem_wire::local::{Command, Peer, Role, Status};
use trees::{AccessTimes, Changes, Random, assert_equal, change, look};

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

fn seeds(usual: u64, many: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("TANDEM_SEED").unwrap_or(usual);
    first..first + number("TANDEM_SEEDS").unwrap_or(many)
}

/// What the daemons know in this test.
struct Record {
    epoch: AtomicU64,
    generation: AtomicU64,
}

impl Record {
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

/// Does what the core does about a stall: the peer is out of the record, in a new generation.
fn release_if_stalled(node: &Node, record: &Record) {
    let status = node.status();
    let gated = matches!(status.role, Role::Serving { gated: true, .. });
    if status.stalled && gated {
        let generation = record.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let release = Command::ReleasePeer {
            epoch: record.epoch(),
            generation,
        };
        node.command(release).expect("release the peer");
    }
}

fn is_level(status: &Status) -> bool {
    status.peer == Peer::Level
}

/// Waits until the peer is level, playing the daemon meanwhile.
fn await_level(node: &Node, record: &Record) {
    let begin = Instant::now();
    while !is_level(&node.status()) {
        release_if_stalled(node, record);
        let fault = node.status().fault;
        assert!(fault.is_none(), "{fault:?}");
        assert!(
            begin.elapsed() < node::PATIENCE * 2,
            "never level: {:?}",
            node.status()
        );
        let _ = node
            .daemon()
            .await_status_for(Duration::from_millis(50), is_level);
    }
}

/// An application that does anything in a directory of its own until it is told to stop.
fn do_anything(top: &Path, seed: u64, stop: &AtomicBool) -> usize {
    let mut random = Random::new(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        change(top, &mut random, Changes::All);
        done += 1;
    }
    done
}

/// A log of numbered records; says how many of them a sync has acknowledged.
fn keep_a_log(file: &Path, stop: &AtomicBool) -> u64 {
    let mut options = OpenOptions::new();
    let log = options.create(true).truncate(false).write(true).open(file);
    let log = log.expect("open the log");
    let mut acknowledged = log.metadata().expect("look").len() / 8;
    while !stop.load(Ordering::Relaxed) {
        let record = (acknowledged + 1).to_le_bytes();
        log.write_all_at(&record, acknowledged * 8).expect("write");
        log.sync_data().expect("sync");
        acknowledged += 1;
    }
    acknowledged
}

fn read_log(file: &Path) -> u64 {
    let bytes = fs::read(file).expect("read the log");
    for (at, record) in bytes.chunks_exact(8).enumerate() {
        let number = u64::from_le_bytes(record.try_into().expect("eight bytes"));
        assert_eq!(number, at as u64 + 1, "record {at} of {}", file.display());
    }
    bytes.len() as u64 / 8
}

/// Breaks the wire in every way until it is told to stop.
fn break_the_wire(proxy: &Proxy, random: &mut Random, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        proxy.wait(Duration::from_millis(20 + random.below(700)));
        match random.below(8) {
            0..=4 => proxy.cut(),
            5 => {
                proxy.down();
                proxy.wait(Duration::from_millis(random.below(600)));
            }
            6 => {
                proxy.silence();
                proxy.wait(Duration::from_millis(random.below(800)));
            }
            _ => {
                // Longer than the stall limit: the primary has to go on alone.
                proxy.down();
                proxy.wait(node::STALL_LIMIT + Duration::from_millis(300));
            }
        }
        proxy.up();
    }
}

fn directories(node: &Node) -> [PathBuf; 2] {
    ["one", "two"].map(|name| node.path().join(name))
}

/// Lets applications work on the serving node for a while.
fn work(node: &Node, record: &Record, seed: u64, wire: Option<&Proxy>, time: Duration) -> u64 {
    let stop = AtomicBool::new(false);
    let [one, two] = directories(node);
    let log = node.path().join("log");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| do_anything(&one, seed, &stop));
        let second = scope.spawn(|| do_anything(&two, seed ^ 0xffff, &stop));
        let logged = scope.spawn(|| keep_a_log(&log, &stop));
        if let Some(proxy) = wire {
            let stop = &stop;
            scope.spawn(move || break_the_wire(proxy, &mut Random::new(!seed), stop));
        }
        let begin = Instant::now();
        while begin.elapsed() < time {
            release_if_stalled(node, record);
            let _ = node
                .daemon()
                .await_status_for(Duration::from_millis(50), |_| false);
        }
        stop.store(true, Ordering::Relaxed);
        while !(first.is_finished() && second.is_finished() && logged.is_finished()) {
            release_if_stalled(node, record);
            let _ = node
                .daemon()
                .await_status_for(Duration::from_millis(50), |_| false);
        }
        let done = first.join().expect("first") + second.join().expect("second");
        let acknowledged = logged.join().expect("log");
        println!("seed {seed}: {done} changes, {acknowledged} records acknowledged");
        acknowledged
    })
}

/// Drains and compares what the application sees with what the standby shows.
fn drain_and_compare(context: &str, serving: &Node, standby: &Node, record: &Record) {
    let begin = Instant::now();
    let position = loop {
        // A busy machine may stall where nothing is broken: as the core does, once more then.
        await_level(serving, record);
        match serving.command(Command::Drain) {
            Ok(position) => break position,
            Err(reason) => {
                println!("{context}: {reason}");
                assert!(
                    begin.elapsed() < node::PATIENCE * 2,
                    "never drained: {reason}"
                );
            }
        }
    };
    standby.await_status("everything applied", |status| status.position == position);
    let ours = look(serving.path(), AccessTimes::Ignore);
    let theirs = look(standby.path(), AccessTimes::Ignore);
    assert_equal(context, &ours, &theirs);
}

#[test]
fn whatever_the_application_does_both_copies_end_equal_on_a_wire_that_breaks() {
    if !ready("whatever_the_application_does_both_copies_end_equal_on_a_wire_that_breaks") {
        return;
    }
    for seed in seeds(1, 2) {
        let (mut one, two) = pair();
        let mut random = Random::new(seed);
        // What both had before they ever met.
        for (at, node) in [&one, &two].into_iter().enumerate() {
            for directory in directories(node) {
                fs::create_dir(&directory).expect("create");
                let mut random = Random::new(seed + at as u64 % 2);
                trees::grow(&directory, &mut random, 40);
            }
        }
        two.met_before();
        let proxy = Proxy::to(two.listens());
        one.set_peer(proxy.address);
        let mut two = two;
        one.start();
        two.start();
        let record = Record {
            epoch: AtomicU64::new(1),
            generation: AtomicU64::new(1000 + seed),
        };
        one.serve(1, record.generation.load(Ordering::SeqCst), false);
        two.follow(1, record.generation.load(Ordering::SeqCst));
        let time = Duration::from_secs(8);
        let acknowledged = work(&one, &record, random.next(), Some(&proxy), time);
        proxy.up();
        await_level(&one, &record);
        // Level from here on, and nothing breaks for longer than the stall limit.
        let more = work(&one, &record, random.next(), None, Duration::from_secs(1));
        assert!(more >= acknowledged);
        drain_and_compare(&format!("seed {seed}"), &one, &two, &record);
        assert_eq!(read_log(&two.path().join("log")), more);
        let status = two.status();
        assert!(status.level && status.fault.is_none(), "{status:?}");
        let log = one.log();
        println!(
            "seed {seed}: compared {} times everything, {} times what changed",
            log.matches("comparing everything").count(),
            log.matches("comparing what changed").count()
        );
    }
}

#[test]
fn whatever_is_done_while_the_peer_is_away_is_found_in_what_is_owed() {
    if !ready("whatever_is_done_while_the_peer_is_away_is_found_in_what_is_owed") {
        return;
    }
    for seed in seeds(1, 1) {
        let (mut one, mut two) = pair();
        let mut random = Random::new(seed);
        for directory in directories(&one) {
            fs::create_dir(&directory).expect("create");
            trees::grow(&directory, &mut random, 60);
        }
        one.set(node::STALL_SETTING, "30000");
        let proxy = Proxy::to(two.listens());
        one.set_peer(proxy.address);
        one.start();
        two.start();
        let record = Record {
            epoch: AtomicU64::new(1),
            generation: AtomicU64::new(1000),
        };
        one.serve(1, 1000, false);
        two.follow(1, 1000);
        await_level(&one, &record);
        let time = Duration::from_millis(300);
        for round in 0..8 {
            let context = format!("seed {seed} round {round}");
            work(&one, &record, random.next(), None, time);
            let in_order = random.below(2) == 0;
            if in_order {
                let position = one.daemon().fresh_status().position;
                two.await_status("everything applied", |status| status.position >= position);
                two.command(Command::Seal).expect("seal");
                let ours = look(one.path(), AccessTimes::Ignore);
                let theirs = look(two.path(), AccessTimes::Ignore);
                assert_equal(&context, &ours, &theirs);
                two.kill();
            } else {
                // With something on its way.
                proxy.down();
            }
            let generation = record.generation.fetch_add(1, Ordering::SeqCst) + 1;
            one.command(Command::ReleasePeer {
                epoch: record.epoch(),
                generation,
            })
            .expect("release the peer");
            work(&one, &record, random.next(), None, time);
            // The one that serves ends in order, too, and begins again in the same place.
            if random.below(3) == 0 {
                one.command(Command::Close).expect("close");
                one.kill();
                one.start();
                record.epoch.fetch_add(1, Ordering::SeqCst);
                one.serve(record.epoch(), generation, false);
                work(&one, &record, random.next(), None, time);
            }
            if in_order {
                two.start();
            }
            proxy.up();
            two.follow(record.epoch(), generation);
            // While it is compared.
            work(&one, &record, random.next(), None, time);
            await_level(&one, &record);
        }
        drain_and_compare(&format!("seed {seed}"), &one, &two, &record);
        let log = one.log();
        let everything = log.matches("comparing everything").count();
        let owed = log.matches("comparing what changed").count();
        println!("seed {seed}: compared {everything} times everything, {owed} times what changed");
        // A name that was one of two of a file, and is the only one of another now, costs a
        // comparison of everything.
        assert!(owed >= 6, "{log}");
    }
}

#[test]
fn roles_are_swapped_under_load_without_comparing_anything() {
    if !ready("roles_are_swapped_under_load_without_comparing_anything") {
        return;
    }
    for seed in seeds(1, 1) {
        let (mut one, mut two) = pair();
        let mut random = Random::new(seed);
        for directory in directories(&one) {
            fs::create_dir(directory).expect("create");
        }
        for node in [&mut one, &mut two] {
            node.set(node::STALL_SETTING, "30000");
        }
        one.start();
        two.start();
        let generation = 77;
        one.serve(1, generation, false);
        two.follow(1, generation);
        let record = Record {
            epoch: AtomicU64::new(1),
            generation: AtomicU64::new(generation),
        };
        await_level(&one, &record);
        let mut nodes = [one, two];
        for round in 0..6 {
            let epoch = round + 1;
            let record = Record {
                epoch: AtomicU64::new(epoch),
                generation: AtomicU64::new(generation),
            };
            let [serving, standby] = &nodes;
            let time = Duration::from_millis(800);
            let acknowledged = work(serving, &record, random.next(), None, time);
            let unchanged = record.generation.load(Ordering::SeqCst);
            assert_eq!(unchanged, generation, "nobody stalled");
            let context = format!("seed {seed} round {round}");
            drain_and_compare(&context, serving, standby, &record);
            assert_eq!(read_log(&standby.path().join("log")), acknowledged);
            serving.command(Command::Close).expect("close");
            standby.command(Command::Seal).expect("seal");
            standby.serve(epoch + 1, generation, true);
            serving.follow(epoch + 1, generation);
            nodes.swap(0, 1);
            let [serving, standby] = &nodes;
            serving.await_status("level at once", is_level);
            standby.await_status("level at once", |status| status.level);
        }
        for node in &nodes {
            node.assert_no_error();
            let compared = node.log().matches("comparing everything").count();
            assert!(compared <= 1, "only at the very beginning:\n{}", node.log());
        }
    }
}
