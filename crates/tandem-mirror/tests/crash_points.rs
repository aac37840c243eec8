//! A standby's copy is a database at whatever point the stream breaks off: the operation stream of
//! a PostgreSQL run is recorded, cut at points drawn from a seed, and applied onto a copy of the
//! tree that the run began with. PostgreSQL has to start on each copy, and to have every row that
//! was acknowledged to the client before the cut.
//!
//! A cut is at a byte of the stream: on the end of a frame, or inside one, which is then as if it
//! had not come, because a receiver hands on whole frames only. Half of the points are exactly
//! where a row was just acknowledged: there, one frame too few loses it.
//!
//! That the check finds what it is for is shown with the same record: the write of an acknowledged
//! commit left out, and exchanged with the one before.
//!
//! `TANDEM_CRASH_POINTS` sets how many points are tried, `TANDEM_SEED` draws others.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "support/trees.rs"]
mod trees;

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use disk::{Image, root_or_skip, run};
use node::{Node, own_mounts, pair};
use postgres::{Client, Postgres};
use recorder::{Recorder, Recording, frames};
use tandem_mirror::applier::Replica;
use tandem_mirror::backing::{Volume, open_volume};
use tandem_wire::local::{Command, Peer, Status};
use tandem_wire::stream::{FrameKind, Operation, decode};
use trees::Random;

/// Rows that are written before anything else happens, so that the frame of a commit is found.
const QUIET_ROWS: u64 = 20;
/// What the database does besides: more than adding rows at the end of files.
const WORK: [&str; 8] = [
    "checkpoint",
    "select pg_switch_wal()",
    "vacuum events",
    "create table passing as select * from generate_series(1, 5000) n",
    "create index passing_n on passing (n)",
    "reindex table events",
    "vacuum full events",
    "drop table passing",
];
const ROUNDS: usize = 3;

#[test]
fn a_mirror_is_a_process_of_its_own() {
    node::be_a_mirror_if_asked();
}

fn setting(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn is_level(status: &Status) -> bool {
    status.peer == Peer::Level
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    run(Process::new("cp").arg("-a").arg(from).arg(to));
}

/// A recorded run.
struct Run {
    /// The tree that it began with.
    initial: PathBuf,
    stream: Vec<u8>,
    /// Where in the stream each row was acknowledged to the client, from row 1 on.
    acknowledged: Vec<usize>,
    /// Where there is room for copies of it.
    room: PathBuf,
}

#[test]
fn postgresql_has_every_acknowledged_row_wherever_its_stream_is_cut() {
    let name = "postgresql_has_every_acknowledged_row_wherever_its_stream_is_cut";
    if !root_or_skip(name) {
        return;
    }
    if !postgres::is_installed() {
        assert!(std::env::var_os("CI").is_none(), "{name} needs PostgreSQL");
        println!("SKIPPED {name}: PostgreSQL is not installed");
        return;
    }
    let disk = Image::new(1024);
    let run = std::thread::scope(|scope| {
        // The mirrors' mounts are those of the thread that starts them.
        let recording = scope.spawn(|| {
            own_mounts();
            record(disk.path())
        });
        recording.join().expect("record")
    });
    let (seed, points) = (
        setting("TANDEM_SEED", 1),
        setting("TANDEM_CRASH_POINTS", 200),
    );
    let mut random = Random::new(seed);
    let mut cuts: Vec<usize> = (0..points)
        .map(|point| match point % 2 {
            0 => random.below(run.stream.len() as u64) as usize,
            _ => run.acknowledged[random.below(run.acknowledged.len() as u64) as usize],
        })
        .collect();
    cuts.sort_unstable();
    let inside = cuts.iter().filter(|cut| !is_an_end(&run.stream, **cut));
    println!(
        "seed {seed}: {points} points in {} frames of {} bytes, {} of them inside a frame; {} rows",
        frames(&run.stream).count(),
        run.stream.len(),
        inside.count(),
        run.acknowledged.len()
    );
    let mut standby = Standby::new(&run);
    let mut recorded = frames(&run.stream).peekable();
    for cut in cuts {
        while let Some(frame) = recorded.next_if(|frame| frame.end <= cut) {
            standby.apply(&frame);
        }
        let checked = standby.check(&run, cut);
        checked.unwrap_or_else(|wrong| panic!("seed {seed}, cut at byte {cut}: {wrong}"));
    }
    assert_a_lost_frame_is_found(&run);
}

fn is_an_end(stream: &[u8], cut: usize) -> bool {
    frames(&stream[..cut]).last().map_or(0, |frame| frame.end) == cut
}

/// Lets PostgreSQL run on a mirrored volume, and keeps what its standby is sent.
fn record(room: &Path) -> Run {
    let (mut one, mut two) = pair();
    let recorder = Recorder::between(two.identity(), one.identity(), one.listens());
    two.set_peer(recorder.address);
    for node in [&mut one, &mut two] {
        // Nobody plays the daemon here that would release a peer.
        node.set(node::STALL_SETTING, "60000");
        node.start();
    }
    one.serve(1, 7, false);
    two.follow(1, 7);
    one.await_status("level", is_level);
    postgres::make_cluster(one.path());
    // A swap, so that the stream that is kept begins with two equal copies.
    one.command(Command::Drain).expect("drain");
    one.command(Command::Close).expect("close");
    two.command(Command::Seal).expect("seal");
    let initial = room.join("initial");
    copy(&two.plain("db"), &initial);
    two.serve(2, 7, true);
    one.follow(2, 7);
    two.await_status("level", is_level);
    let acknowledged = work(&two, &recorder);
    two.command(Command::Drain).expect("drain");
    two.assert_no_error();
    Run {
        initial,
        stream: recorder.bytes(),
        acknowledged,
        room: room.to_owned(),
    }
}

/// Rows and other work; says where in the stream each row was acknowledged.
fn work(node: &Node, recorder: &Recorder) -> Vec<usize> {
    let database = Postgres::start(node.path(), postgres::Durable::Yes).expect("start");
    database
        .query("create table events (id bigint primary key, payload text not null)")
        .expect("create a table");
    let mut client = Client::connect(&database);
    let mut acknowledged = Vec::new();
    let mut add_row = || {
        let id = acknowledged.len() as u64 + 1;
        client.ask(&format!(
            "insert into events values ({id}, repeat('{id} ', 20)) returning id"
        ));
        // Everything that the acknowledgement rests on has passed by now.
        acknowledged.push(recorder.length());
    };
    for _ in 0..QUIET_ROWS {
        add_row();
    }
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            for statement in WORK.iter().cycle().take(ROUNDS * WORK.len()) {
                database.query(statement).expect(statement);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        while !working.is_finished() {
            add_row();
        }
    });
    acknowledged
}

/// A copy of the initial tree onto which frames are applied as a follower does.
struct Standby {
    tree: PathBuf,
    copy: PathBuf,
    replica: Replica,
}

impl Standby {
    fn new(run: &Run) -> Self {
        let tree = run.room.join("tree");
        copy(&run.initial, &tree);
        let volume = open_volume(0, "db", &tree).expect("open the copy");
        let volumes: Arc<[Volume]> = vec![volume].into();
        let mut replica = Replica::new(&volumes);
        replica.begin_equal().expect("begin");
        Self {
            tree,
            copy: run.room.join("copy"),
            replica,
        }
    }

    fn apply(&mut self, frame: &Recording<'_>) {
        let applied = match frame.kind {
            FrameKind::Write => self.replica.write(&frame.header, frame.payload),
            _ => {
                let operation: Operation = decode(frame.payload).expect("an operation");
                self.replica.apply(frame.header.volume.get(), &operation)
            }
        };
        applied.unwrap_or_else(|error| panic!("{}: {error}", frame.header.sequence));
    }

    /// What the database finds in a copy of the tree as it is now.
    fn check(&mut self, run: &Run, cut: usize) -> Result<(), String> {
        self.replica.set_deferred_times().expect("set times");
        copy(&self.tree, &self.copy);
        // As a unit does that finds a process number of another node.
        let _ = std::fs::remove_file(self.copy.join("postmaster.pid"));
        let database = Postgres::start(&self.copy, postgres::Durable::No)?;
        if run.acknowledged.first().is_some_and(|first| cut < *first) {
            return database.query("select 1").map(drop);
        }
        let found = database.query("select id from events order by id")?;
        let by_index = database.query("set enable_seqscan = off; select count(*) from events")?;
        let before = |place: &&usize| **place <= cut;
        let acknowledged = run.acknowledged.iter().filter(before).count();
        let found: Vec<u64> = found.lines().filter_map(|id| id.parse().ok()).collect();
        let gapless = found.iter().zip(1..).all(|(id, at)| *id == at);
        if found.len() < acknowledged || !gapless {
            return Err(format!(
                "{} rows of {acknowledged} acknowledged",
                found.len()
            ));
        }
        if by_index.trim() != found.len().to_string() {
            return Err(format!("{} rows, {by_index} by the index", found.len()));
        }
        Ok(())
    }
}

/// The check can fail: without the write of a commit, or with an older one after it, the row that
/// was acknowledged with it is missing.
fn assert_a_lost_frame_is_found(run: &Run) {
    let recorded: Vec<_> = frames(&run.stream).collect();
    let (before, commit, cut) = (2..QUIET_ROWS as usize)
        .find_map(|row| commit_of(run, &recorded, row))
        .expect("two commits on one page of the log");
    let frame = |at: usize| &recorded[at];
    let order = |changed: &[usize]| {
        let mut standby = Standby::new(run);
        let mut at = 0;
        while frame(at).end <= cut {
            match at {
                at if at == before => changed.iter().for_each(|at| standby.apply(frame(*at))),
                at if at == commit => {}
                at => standby.apply(frame(at)),
            }
            at += 1;
        }
        standby.check(run, cut)
    };
    order(&[before, commit]).expect("nothing is wrong yet");
    let lost = order(&[before]).expect_err("a lost frame is found");
    let exchanged = order(&[commit, before]).expect_err("exchanged frames are found");
    println!("a lost frame: {lost}; two exchanged: {exchanged}");
}

/// The write of a row's commit, the one before it at the same place of the same file, and where the
/// row was acknowledged.
fn commit_of(run: &Run, recorded: &[Recording<'_>], row: usize) -> Option<(usize, usize, usize)> {
    let (cut, begin) = (run.acknowledged[row], run.acknowledged[row - 1]);
    let place = |at: usize| {
        let header = &recorded[at].header;
        let write = recorded[at].kind == FrameKind::Write;
        write.then(|| (header.object.get(), header.offset.get()))
    };
    let end = recorded.iter().rposition(|frame| frame.end <= cut)?;
    let commit = (0..=end)
        .rev()
        .take_while(|at| recorded[*at].end > begin)
        .find(|at| place(*at).is_some())?;
    let same = |at: &usize| place(*at) == place(commit);
    let before = (0..commit).rev().find(same)?;
    Some((before, commit, cut))
}
