//! A source and its follower in one process, over a real connection and without a mount: the
//! follower's copy is verified while the application works, and damaged beneath its mirror.
//!
//! Of the two deliberate defects, `blind-verify` fails each test that damages something, and
//! `loose-verify` gives the false alarms that the lock is there against:
//! `TANDEM_SABOTAGE=… cargo test -p tandem-mirror --features sabotage --test verifying`.

#[path = "support/keys.rs"]
mod keys;
#[path = "support/trees.rs"]
mod trees;

use std::fs::{self, OpenOptions, Permissions};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tandem_core::NodeId;
use tandem_mirror::backing::{Volume, open_volume};
use tandem_mirror::follower::Follower;
use tandem_mirror::inodes::Inode;
use tandem_mirror::link::{self, Link};
use tandem_mirror::operations::{Caller, Changes, NewName, NewObject, OpenFile, WriteAt};
use tandem_mirror::order::{Refusal, Tree};
use tandem_mirror::source::{
    Beginning, Limits, NotVerifiable, PeerAtBeginning, Source, SourceStatus,
};
use tandem_mirror::{Durability, MirrorConfig, VolumeConfig, resync, verification};
use tandem_wire::exclude::Exclude;
use tandem_wire::local::{Peer, Verification, VerificationEnd};
use tandem_wire::stream::Name;
use trees::{AccessTimes, Random, assert_equal, look};

/// The longest wait for anything here.
const LIMIT: Duration = Duration::from_secs(60);
const STALL_LIMIT: Duration = Duration::from_secs(10);

fn ready(test: &str) -> bool {
    // Both nodes are in this process. The log may be set by another test of it.
    let _ = tandem_mirror::sys::raise_file_limit();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    println!("SKIPPED {test}: needs root");
    false
}

/// Both nodes. Their volumes lie in memory, so that a sync of the file system is nobody else's.
struct Pair {
    source: Arc<Source>,
    tree: Arc<Tree>,
    follower: Option<Follower>,
    threads: Vec<JoinHandle<()>>,
    one: PathBuf,
    two: PathBuf,
    _volumes: (Arc<[Volume]>, Arc<[Volume]>),
    _directory: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        Self::excluding(&[])
    }

    fn excluding(exclude: &[&str]) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").expect("make a directory");
        let exclude = Exclude::parse(exclude).expect("what to exclude");
        let (identity_one, identity_two) = keys::pair();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let make = |node: NodeId, identity| {
            let base = directory.path().join(node.number().to_string());
            let (path, state_dir) = (base.join("db"), base.join("state"));
            fs::create_dir_all(&path).expect("make a volume");
            fs::create_dir(&state_dir).expect("make a directory");
            MirrorConfig {
                cluster: "cluster1".into(),
                module: "videeos".into(),
                node,
                volumes: vec![VolumeConfig {
                    exclude: exclude.clone(),
                    ..VolumeConfig::new("db".into(), path)
                }],
                listen: any,
                peer: any,
                identity,
                socket: state_dir.join("socket"),
                state_dir,
                configuration: 77,
                takeover_after: Duration::from_secs(25),
                stall_limit: STALL_LIMIT,
                queue_bytes_max: 64 << 20,
                durability: Durability::Disk,
            }
        };
        let open = |config: &MirrorConfig| -> Arc<[Volume]> {
            let configured = &config.volumes[0];
            let mut volume =
                open_volume(0, &configured.name, &configured.path).expect("open the volume");
            volume.exclude = configured.exclude.clone();
            [volume].into()
        };
        let two = make(NodeId::Two, identity_two);
        let volumes_two = open(&two);
        let path_two = two.volumes[0].path.clone();
        let follower = Follower::start(Arc::new(two), volumes_two.clone(), 1, 9).expect("follow");
        let mut one = make(NodeId::One, identity_one);
        one.peer = follower.address();
        let one = Arc::new(one);
        let volumes_one = open(&one);
        let path_one = one.volumes[0].path.clone();
        let beginning = Beginning {
            epoch: 1,
            generation: 9,
            peer: PeerAtBeginning::Out,
            position: 0,
            debt: None,
        };
        let limits = Limits {
            queue_bytes_max: one.queue_bytes_max,
            stall_limit: STALL_LIMIT,
            durability: Durability::Disk,
        };
        let source = Arc::new(Source::new(7, beginning, limits, Box::new(|| {})));
        let directory_one = volumes_one[0].directory.as_fd();
        let tree = Tree::new(0, directory_one, exclude, source.clone()).expect("a tree");
        let tree = Arc::new(tree);
        let (gossip, _) = crossbeam_channel::bounded(1);
        let connection = Link {
            config: one,
            source: source.clone(),
            gossip,
        };
        let trees = [tree.clone()];
        let each = || (source.clone(), trees.clone());
        let (writes, watches, compares, verifies) = (source.clone(), each(), each(), each());
        let threads = vec![
            std::thread::spawn(move || connection.run()),
            std::thread::spawn(move || link::write(&writes)),
            std::thread::spawn(move || link::watch(&watches.0, &watches.1, STALL_LIMIT)),
            std::thread::spawn(move || resync::run(&compares.0, &compares.1)),
            std::thread::spawn(move || verification::run(&verifies.0, &verifies.1)),
        ];
        Self {
            source,
            tree,
            follower: Some(follower),
            threads,
            one: path_one,
            two: path_two,
            _volumes: (volumes_one, volumes_two),
            _directory: directory,
        }
    }

    fn await_status(&self, what: &str, wanted: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        let begin = Instant::now();
        loop {
            let status = self.source.status();
            if wanted(&status) {
                return status;
            }
            assert!(begin.elapsed() < LIMIT, "never {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn await_level(&self) {
        // The daemon was told: the gate is shut for good.
        self.await_status("level", |status| status.peer == Peer::Level);
    }

    /// Verifies, and says what it came to.
    fn verify(&self) -> Verification {
        let number = self.source.begin_verification().expect("verify");
        let ended = |found: &Verification| found.number == number && found.end.is_some();
        let status = self.await_status("verified", |status| {
            status.verification.as_ref().is_some_and(ended)
        });
        let found = status.verification.expect("just seen");
        assert!(status.gated, "the gate stays shut");
        found
    }

    fn assert_clean(&self) {
        let found = self.verify();
        assert_eq!(found.end, Some(VerificationEnd::Complete));
        assert_eq!((found.differences, found.sent_bytes), (0, 0), "{found}");
    }

    /// Verifies, and that everything that was found was repaired: another pass finds nothing.
    fn assert_repairs(&self) -> Verification {
        let found = self.verify();
        assert_eq!(found.end, Some(VerificationEnd::Complete));
        assert!(found.differences > 0, "{found}");
        assert_eq!(found.differences, found.repaired, "{found}");
        self.assert_clean();
        self.assert_equal();
        let follower = self.follower.as_ref().expect("it follows");
        assert!(follower.status().level, "it goes on being level");
        assert_eq!(follower.status().fault, None);
        found
    }

    /// What the application did has arrived, and both trees are equal.
    fn assert_equal(&self) {
        let last = self.source.last_number();
        self.await_status("applied", |status| status.acknowledged >= last);
        let begin = Instant::now();
        let both = || {
            let look = |top: &Path| look(top, AccessTimes::Ignore);
            (look(&self.one), look(&self.two))
        };
        // Modification times follow a moment later.
        let (mut one, mut two) = both();
        while one != two && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
            (one, two) = both();
        }
        assert_equal("after the verification", &one, &two);
    }

    fn root(&self) -> &Arc<Inode> {
        &self.tree.root
    }

    fn create(&self, parent: &Arc<Inode>, name: &str, contents: &[u8]) -> OpenFile {
        let (_, file) = (self.tree)
            .create_file(&new(parent, name), 0o644, libc::O_RDWR)
            .expect("create");
        self.write(&file, 0, contents);
        file
    }

    fn write(&self, file: &OpenFile, offset: u64, contents: &[u8]) {
        let at = WriteAt {
            offset,
            drop_privileges: false,
        };
        self.tree.write(file, at, contents).expect("write");
    }

    fn directory(&self, parent: &Arc<Inode>, name: &str) -> Arc<Inode> {
        let object = NewObject::Directory { mode: 0o755 };
        let created = self.tree.create(&new(parent, name), &object);
        created.expect("create a directory").0
    }

    /// A tree of everything, level.
    fn with_everything() -> Self {
        let pair = Self::new();
        pair.await_level();
        let root = pair.root().clone();
        let mut random = Random::new(1);
        pair.create(&root, "small", b"a few bytes");
        pair.create(&root, "large", &random.bytes(700_000));
        let inside = pair.directory(&root, "inside");
        let deep = pair.directory(&inside, "deep");
        let linked = pair.create(&inside, "one", b"two names");
        pair.tree
            .link(&linked.inode, &deep, &name("two"))
            .expect("link");
        let symlink = NewObject::Symlink {
            target: b"../small".to_vec(),
        };
        pair.tree
            .create(&new(&deep, "link"), &symlink)
            .expect("link");
        let fifo = NewObject::Node {
            mode: libc::S_IFIFO | 0o600,
            device: 0,
        };
        pair.tree.create(&new(&deep, "fifo"), &fifo).expect("fifo");
        let sparse = pair.create(&root, "sparse", b"data");
        pair.write(&sparse, 40 << 20, b"far away");
        pair.tree
            .set_xattr(&linked.inode, b"user.colour", b"green", 0)
            .expect("set an extended attribute");
        pair.assert_equal();
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.source.end());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(follower) = self.follower.take() {
            let _ = follower.stop();
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

fn new(parent: &Arc<Inode>, text: &str) -> NewName {
    NewName {
        parent: parent.clone(),
        name: name(text),
        caller: Caller { uid: 0, gid: 0 },
        umask: 0,
    }
}

fn flip_a_byte(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file);
    let file = file.expect("open beneath the mirror");
    let before = file.metadata().expect("look").modified().expect("a time");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[!byte[0]], at).expect("write");
    // As a disk that forgets: nothing else shows it.
    file.set_modified(before).expect("set the time");
}

/// An application that does anything in a directory of its own.
fn work(tree: &Arc<Tree>, top: &Arc<Inode>, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random::new(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        if tree.source.is_congested() {
            // As whoever lets operations in does.
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let (one, two) = (random.below(12), random.below(12));
        let (one, two) = (format!("f{one}"), format!("f{two}"));
        let open = || {
            let (_, file) = tree.create_file(&new(top, &one), 0o644, libc::O_RDWR)?;
            // As the kernel does some time after the file was closed.
            tree.table.forget(file.inode.node, 1);
            Ok::<OpenFile, Refusal>(file)
        };
        match random.below(10) {
            0..=5 => {
                let Ok(file) = open() else { continue };
                let at = WriteAt {
                    offset: random.below(600_000),
                    drop_privileges: false,
                };
                let bytes = 1 + random.below(60_000);
                let _ = tree.write(&file, at, &random.bytes(bytes));
            }
            6 => {
                let Ok(file) = open() else { continue };
                let changes = Changes {
                    size: Some(random.below(400_000)),
                    mode: Some(0o600 + random.below(0o77) as u32),
                    ..Changes::default()
                };
                let _ = tree.set_attributes(&file.inode, Some(&file), &changes);
            }
            7 => drop(tree.unlink(top, &name(&one))),
            8 => drop(tree.rename((top, &name(&one)), (top, &name(&two)), 0)),
            _ => {
                let Ok(file) = open() else { continue };
                let value = random.bytes(20);
                let _ = tree.set_xattr(&file.inode, b"user.value", &value, 0);
            }
        }
        done += 1;
    }
    done
}

#[test]
fn nothing_is_found_while_the_application_writes() {
    if !ready("nothing_is_found_while_the_application_writes") {
        return;
    }
    let pair = Pair::with_everything();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<JoinHandle<u64>> = (0..3)
        .map(|number| {
            let top = pair.directory(pair.root(), &format!("worker{number}"));
            let (tree, stop) = (pair.tree.clone(), stop.clone());
            std::thread::spawn(move || work(&tree, &top, number, &stop))
        })
        .collect();
    for _ in 0..5 {
        pair.assert_clean();
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        assert!(worker.join().expect("it works") > 50, "it did work");
    }
    pair.assert_clean();
    pair.assert_equal();
}

#[test]
fn a_byte_that_the_disk_forgot_is_found_and_only_its_block_is_sent() {
    if !ready("a_byte_that_the_disk_forgot_is_found_and_only_its_block_is_sent") {
        return;
    }
    let pair = Pair::with_everything();
    flip_a_byte(&pair.two.join("large"), 300_000);
    let found = pair.assert_repairs();
    assert_eq!((found.differences, found.sent_bytes), (1, 4096), "{found}");
}

#[test]
fn names_that_were_changed_beneath_the_mirror_are_put_right() {
    if !ready("names_that_were_changed_beneath_the_mirror_are_put_right") {
        return;
    }
    let pair = Pair::with_everything();
    let two = &pair.two;
    fs::remove_file(two.join("large")).expect("remove");
    fs::write(two.join("inside/foreign"), b"nobody knows it").expect("write");
    fs::create_dir_all(two.join("foreign/within")).expect("create");
    // Two names that are one file at the source.
    fs::copy(two.join("inside/one"), two.join("inside/copy")).expect("copy");
    fs::rename(two.join("inside/copy"), two.join("inside/one")).expect("rename");
    pair.assert_repairs();
    let ino = |path: &str| fs::metadata(two.join(path)).expect("look").ino();
    assert_eq!(ino("inside/one"), ino("inside/deep/two"));
}

#[test]
fn a_directory_that_is_gone_or_elsewhere_is_made_anew() {
    if !ready("a_directory_that_is_gone_or_elsewhere_is_made_anew") {
        return;
    }
    let pair = Pair::with_everything();
    let kept = pair.directory(pair.root(), "kept");
    pair.create(&kept, "file", b"in it");
    pair.assert_equal();
    // The same name, and another directory.
    let again = pair.directory(pair.root(), "again");
    pair.create(&again, "file", b"in it");
    pair.assert_equal();
    fs::remove_dir_all(pair.two.join("inside")).expect("remove");
    fs::rename(pair.two.join("again"), pair.two.join("away")).expect("rename");
    fs::create_dir(pair.two.join("again")).expect("create");
    fs::remove_dir_all(pair.two.join("away")).expect("remove");
    fs::rename(pair.two.join("kept"), pair.two.join("moved")).expect("rename");
    pair.assert_repairs();
    // Its number goes on with the new one.
    pair.create(&kept, "later", b"more");
    pair.assert_equal();
    pair.assert_clean();
}

#[test]
fn a_file_that_the_application_has_open_is_made_anew() {
    if !ready("a_file_that_the_application_has_open_is_made_anew") {
        return;
    }
    let pair = Pair::with_everything();
    let file = pair.create(pair.root(), "open", &vec![5; 300_000]);
    pair.assert_equal();
    fs::remove_file(pair.two.join("open")).expect("remove");
    fs::write(pair.two.join("open"), b"another one").expect("write");
    pair.assert_repairs();
    pair.write(&file, 10, b"it goes on");
    pair.assert_equal();
    pair.assert_clean();
}

#[test]
fn attributes_that_were_changed_beneath_the_mirror_are_put_right() {
    if !ready("attributes_that_were_changed_beneath_the_mirror_are_put_right") {
        return;
    }
    let pair = Pair::with_everything();
    let two = &pair.two;
    fs::set_permissions(two.join("small"), Permissions::from_mode(0o777)).expect("chmod");
    std::os::unix::fs::chown(two.join("inside"), Some(1000), Some(1000)).expect("chown");
    let set = |path: &str, name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(two.join(path), name, value, flags).expect("set an attribute");
    };
    set("inside/one", "user.colour", b"red");
    set("large", "user.foreign", b"1");
    let file = OpenOptions::new().write(true).open(two.join("sparse"));
    file.expect("open").set_len(123).expect("cut off");
    let found = pair.assert_repairs();
    // One for each, and those of the contents that were cut off.
    assert!(found.differences >= 5, "{found}");
}

#[test]
fn data_in_what_should_be_a_hole_is_found() {
    if !ready("data_in_what_should_be_a_hole_is_found") {
        return;
    }
    let pair = Pair::with_everything();
    let sparse = pair.two.join("sparse");
    // Zeros are what a hole is.
    let file = OpenOptions::new().write(true).open(&sparse).expect("open");
    let before = file.metadata().expect("look").modified().expect("a time");
    file.write_all_at(&[0; 10_000], 5 << 20).expect("write");
    file.set_modified(before).expect("set the time");
    pair.assert_clean();
    flip_a_byte(&sparse, 20 << 20);
    pair.assert_repairs();
}

#[test]
fn what_is_not_mirrored_is_not_looked_at() {
    if !ready("what_is_not_mirrored_is_not_looked_at") {
        return;
    }
    let pair = Pair::excluding(&["cache/", "*.tmp"]);
    pair.await_level();
    let cache = pair.directory(pair.root(), "cache");
    pair.create(&cache, "here", b"only here");
    pair.create(pair.root(), "one.tmp", b"only here");
    pair.create(pair.root(), "kept", b"on both");
    // Everything before it is there, too.
    pair.assert_clean();
    fs::write(pair.two.join("two.tmp"), b"only there").expect("write");
    fs::write(pair.two.join("cache/there"), b"only there").expect("write");
    // What was done beneath the mirror shows in the directories' own times.
    let changed = pair.verify();
    assert!(changed.differences <= 2, "{changed}");
    pair.assert_clean();
    assert!(pair.two.join("two.tmp").exists());
    assert!(pair.two.join("cache/there").exists());
    assert!(!pair.two.join("one.tmp").exists());
}

#[test]
fn a_service_that_is_handed_over_does_not_wait_for_a_verification() {
    if !ready("a_service_that_is_handed_over_does_not_wait_for_a_verification") {
        return;
    }
    let pair = Pair::with_everything();
    let big = pair.create(pair.root(), "big", &[]);
    for piece in 0..64u64 {
        let contents = Random::new(piece).bytes(1 << 20);
        pair.write(&big, piece << 20, &contents);
    }
    pair.assert_equal();
    pair.source.begin_verification().expect("verify");
    pair.source.drain(0).expect("drain");
    let ended = pair.await_status("ended", |status| {
        let found = status.verification.as_ref();
        found.is_some_and(|found| found.end.is_some())
    });
    let found = ended.verification.expect("just seen");
    let why = VerificationEnd::Interrupted("the service is being handed over".to_owned());
    assert_eq!((found.end, found.differences), (Some(why), 0));
    let again = pair.source.begin_verification();
    assert_eq!(again, Err(NotVerifiable::Draining));
    pair.assert_equal();
}

#[test]
fn only_a_level_copy_is_verified_and_a_break_ends_it() {
    if !ready("only_a_level_copy_is_verified_and_a_break_ends_it") {
        return;
    }
    let mut pair = Pair::with_everything();
    let big = pair.create(pair.root(), "big", &[]);
    for piece in 0..64u64 {
        let contents = Random::new(piece).bytes(1 << 20);
        pair.write(&big, piece << 20, &contents);
    }
    pair.assert_equal();
    let number = pair.source.begin_verification().expect("verify");
    assert_eq!(
        pair.source.begin_verification(),
        Ok(number),
        "it runs already"
    );
    let follower = pair.follower.take().expect("it follows");
    let _ = follower.stop();
    let ended = pair.await_status("ended", |status| {
        status
            .verification
            .as_ref()
            .is_some_and(|found| found.end.is_some())
    });
    let found = ended.verification.expect("just seen");
    assert!(
        matches!(&found.end, Some(VerificationEnd::Interrupted(why)) if !why.is_empty()),
        "{found}"
    );
    assert_eq!(found.differences, 0, "{found}");
    assert!(ended.gated, "what a verification says opens no gate");
    assert_eq!(
        pair.source.begin_verification(),
        Err(NotVerifiable::NotLevel)
    );
}
