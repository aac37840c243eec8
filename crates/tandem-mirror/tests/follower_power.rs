//! What the standby said to be on disk is there after its power was cut; and a disk that fails is
//! lost for good.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/source.rs"]
mod source;

use std::fs;
use std::path::PathBuf;

use disk::{Image, root_or_skip};
use source::{Source, Standby, name, time};
use tandem_core::MirrorFault;
use tandem_mirror::follower::FollowerError;
use tandem_mirror::{backing, standing};
use tandem_wire::stream::{FLAG_DURABLE, ObjectKind, Operation, ROOT_OBJECT};

macro_rules! needs_root {
    ($name:literal) => {
        if !root_or_skip($name) {
            return;
        }
    };
}

/// A level standby on a disk of its own.
fn scene() -> (Image, PathBuf, Standby, Source) {
    let image = Image::new(64);
    let path = image.path().join("data");
    fs::create_dir(&path).expect("create");
    let mut standby = Standby::new(&[&path]);
    standby.follow(5, 9);
    let source = standby.level(5);
    (image, path, standby, source)
}

fn sync(source: &mut Source, object: u64) -> u64 {
    source.op(Operation::Sync {
        object,
        data_only: false,
    })
}

#[test]
fn what_was_said_to_be_synced_survives_a_power_cut() {
    needs_root!("what_was_said_to_be_synced_survives_a_power_cut");
    for cut_after in [1, 7, 30] {
        let (mut image, path, standby, mut source) = scene();
        source.create_kind(2, ROOT_OBJECT, "directory", ObjectKind::Directory);
        source.create(3, 2, "log");
        let mut object = 10;
        for round in 0..cut_after {
            // An append that is durable by itself, as of a log opened with O_DSYNC.
            let record = format!("record {round:04}\n");
            let offset = round * record.len() as u64;
            let log = source.write_with(3, offset, record.as_bytes(), FLAG_DURABLE);
            // A save by rename: the new contents, then the name.
            object += 1;
            source.create(object, 2, "saved.new");
            source.write(object, 0, format!("contents {round}").as_bytes());
            sync(&mut source, object);
            source.rename((2, "saved.new"), (2, "saved"));
            // A rename, and then a sync of something else: what came before is there, too.
            source.op(Operation::Link {
                object,
                parent: ROOT_OBJECT,
                name: name(format!("link {round}")),
                parent_mtime: time(1),
            });
            let saved = sync(&mut source, 2);
            source.await_synced(log);
            source.await_synced(saved);
            // These are on their way when the power goes.
            source.write(object, 0, b"CONTENTS");
            source.create(1000 + round, ROOT_OBJECT, &format!("late {round}"));
        }
        image.cut_power();
        drop(standby);
        image.restore_power();
        let log = fs::read_to_string(path.join("directory/log")).expect("read the log");
        let records: Vec<&str> = log.lines().collect();
        assert_eq!(records.len() as u64, cut_after, "{records:?}");
        assert_eq!(
            records.last(),
            Some(&&*format!("record {:04}", cut_after - 1))
        );
        let saved = fs::read_to_string(path.join("directory/saved")).expect("read");
        let round = cut_after - 1;
        assert_eq!(saved.to_lowercase(), format!("contents {round}"));
        assert!(path.join(format!("link {round}")).exists());
    }
}

#[test]
fn after_a_power_cut_no_clean_end_is_claimed() {
    needs_root!("after_a_power_cut_no_clean_end_is_claimed");
    let (mut image, path, mut standby, mut source) = scene();
    source.create(3, ROOT_OBJECT, "file");
    source.settle();
    standby.stop();
    let volumes = &standby.volumes;
    let clean = standing::found(&standby.config, volumes).standing;
    let clean = clean.expect("recorded");
    assert!(clean.clean);
    // Goes on from there, and is cut off.
    standby.follow(6, 9);
    let hello = tandem_wire::stream::Hello {
        incarnation: 99,
        applied: clean.applied,
        received: clean.applied,
        gate: 1,
        ..standby.hello(6)
    };
    let greeted = standby.greet(&hello).expect("welcome");
    let config = standby.config.clone();
    image.cut_power();
    drop(greeted);
    let _state = standby.leave();
    image.restore_power();
    let volume = backing::open_volume(0, "volume0", &path).expect("open");
    let found = standing::found(&config, &[volume]);
    assert!(
        found.standing.is_some_and(|standing| !standing.clean),
        "{found:?}"
    );
}

#[test]
fn a_power_cut_in_the_middle_of_a_comparison_leaves_an_inconsistent_copy() {
    needs_root!("a_power_cut_in_the_middle_of_a_comparison_leaves_an_inconsistent_copy");
    let mut image = Image::new(64);
    let path = image.path().join("data");
    fs::create_dir(&path).expect("create");
    fs::write(path.join("surplus"), "of an earlier time").expect("write");
    let mut standby = Standby::new(&[&path]);
    standby.met_before();
    standby.follow(5, 9);
    let (mut source, _) = standby.compare(5);
    source.list(0, ROOT_OBJECT, vec![]);
    source.settle();
    let config = standby.config.clone();
    image.cut_power();
    drop(source);
    let _state = standby.leave();
    image.restore_power();
    let volume = backing::open_volume(0, "volume0", &path).expect("open");
    let found = standing::found(&config, &[volume]);
    assert!(found.inconsistent.is_some(), "{found:?}");
}

#[test]
fn a_disk_that_fails_is_lost_for_good() {
    needs_root!("a_disk_that_fails_is_lost_for_good");
    let attempts: [fn(&mut Source) -> u64; 3] = [
        |source| source.write(3, 0, b"onto a dead disk"),
        |source| sync(source, 3),
        |source| source.op(Operation::Checkpoint),
    ];
    for attempt in attempts {
        let (mut image, _path, standby, mut source) = scene();
        source.create(3, ROOT_OBJECT, "file");
        source.write(3, 0, b"not yet on disk");
        source.settle();
        image.cut_power();
        let number = attempt(&mut source);
        let failed = source.await_failure();
        assert_eq!(failed.sequence, number, "{failed:?}");
        source.await_end();
        let status = standby.status();
        assert!(
            matches!(status.fault, Some(MirrorFault::LocalDisk(_))),
            "{status:?}"
        );
        assert!(!status.level);
        let refused = standby
            .greet(&standby.hello(5))
            .map(|_| ())
            .expect_err("refused");
        assert!(refused.contains("disk is lost"), "{refused}");
        let sealed = standby.follower().seal();
        assert!(
            matches!(sealed, Err(FollowerError::Incomplete(_))),
            "{sealed:?}"
        );
    }
}
