//! Every operation of the stream against a real directory, sent by a scripted source.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/source.rs"]
mod source;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use disk::root_or_skip;
use source::{Source, Standby, attributes, name, time};
use tandem_wire::stream::{FLAG_DURABLE, Name, ObjectKind, Operation, ROOT_OBJECT, Timestamp};

struct Scene {
    standby: Standby,
    source: Source,
    path: PathBuf,
    _base: tempfile::TempDir,
}

/// A level standby over an empty directory.
fn scene() -> Scene {
    let base = tempfile::tempdir().expect("make a directory");
    let path = base.path().join("data");
    fs::create_dir(&path).expect("create");
    let mut standby = Standby::new(&[&path]);
    standby.follow(1, 9);
    let source = standby.level(1);
    Scene {
        standby,
        source,
        path,
        _base: base,
    }
}

fn mtime(path: &Path) -> Timestamp {
    let data = fs::symlink_metadata(path).expect("look");
    Timestamp {
        seconds: data.mtime(),
        nanoseconds: data.mtime_nsec() as u32,
    }
}

macro_rules! needs_root {
    ($name:literal) => {
        if !root_or_skip($name) {
            return;
        }
    };
}

#[test]
fn files_are_created_written_truncated_and_their_times_are_the_sources() {
    needs_root!("files_are_created_written_truncated_and_their_times_are_the_sources");
    let mut s = scene();
    s.source.create(10, ROOT_OBJECT, "file");
    s.source.write(10, 0, b"hello");
    let last = s.source.write(10, 1 << 20, b"world");
    s.source.checkpoint();
    let file = s.path.join("file");
    let data = fs::metadata(&file).expect("look");
    assert_eq!(
        (data.uid(), data.gid(), data.mode() & 0o7777),
        (1000, 1001, 0o640)
    );
    assert_eq!(data.len(), (1 << 20) + 5);
    assert!(data.blocks() * 512 < 64 << 10, "the hole stays one");
    assert_eq!(mtime(&file), time(3_000_000 + last as i64));
    assert_eq!(data.atime(), 1_000_000);
    assert_eq!(mtime(&s.path), time(4_000_000), "of the directory");
    s.source.op(Operation::Truncate {
        object: 10,
        size: 3,
        mtime: time(5_000_000),
    });
    s.source.checkpoint();
    assert_eq!(fs::read(&file).expect("read"), b"hel");
    assert_eq!(mtime(&file), time(5_000_000));
}

#[test]
fn a_thousand_small_writes_arrive_in_order() {
    needs_root!("a_thousand_small_writes_arrive_in_order");
    let mut s = scene();
    s.source.create(10, ROOT_OBJECT, "log");
    let mut expected = Vec::new();
    for round in 0..1000_u64 {
        let line = format!("line {round}\n");
        s.source.write(10, expected.len() as u64, line.as_bytes());
        expected.extend_from_slice(line.as_bytes());
        if round % 97 == 0 {
            s.source.write(10, 0, b"LINE");
            expected[..4].copy_from_slice(b"LINE");
        }
    }
    s.source.settle();
    assert!(fs::read(s.path.join("log")).expect("read") == expected);
}

#[test]
fn every_kind_of_object_is_created() {
    needs_root!("every_kind_of_object_is_created");
    let mut s = scene();
    let device = rustix::fs::makedev(1, 3);
    let kinds = [
        ("directory", ObjectKind::Directory),
        ("link", ObjectKind::Symlink(b"../no where\xff".to_vec())),
        ("fifo", ObjectKind::Fifo),
        ("socket", ObjectKind::Socket),
        ("null", ObjectKind::CharacterDevice(device)),
        ("loop", ObjectKind::BlockDevice(rustix::fs::makedev(7, 99))),
    ];
    for (at, (name, kind)) in kinds.iter().enumerate() {
        s.source
            .create_kind(20 + at as u64, ROOT_OBJECT, name, kind.clone());
    }
    s.source.op(Operation::SetAttributes {
        object: 22,
        attributes: attributes(0o604),
    });
    s.source.op(Operation::SetXattr {
        object: 21,
        name: b"trusted.link".to_vec(),
        value: b"of the link itself".to_vec(),
    });
    s.source.checkpoint();
    let look = |name: &str| fs::symlink_metadata(s.path.join(name)).expect("look");
    assert!(look("directory").is_dir());
    let target = fs::read_link(s.path.join("link")).expect("read link");
    assert_eq!(target.as_os_str().as_bytes(), b"../no where\xff");
    assert!(look("fifo").file_type().is_fifo());
    assert_eq!(look("fifo").mode() & 0o7777, 0o604);
    assert!(look("socket").file_type().is_socket());
    assert!(look("null").file_type().is_char_device());
    assert_eq!(look("null").rdev(), device);
    assert!(look("loop").file_type().is_block_device());
    for (name, _) in &kinds {
        assert_eq!((look(name).uid(), look(name).gid()), (1000, 1001), "{name}");
        assert_eq!(mtime(&s.path.join(name)), time(2_000_000), "{name}");
        if *name != "link" && *name != "fifo" {
            assert_eq!(look(name).mode() & 0o7777, 0o640, "{name}");
        }
    }
    let mut value = [0; 64];
    let read = rustix::fs::lgetxattr(s.path.join("link"), "trusted.link", &mut value[..]);
    assert_eq!(
        &value[..read.expect("attribute of the link")],
        b"of the link itself"
    );
}

#[test]
fn names_of_any_bytes_are_kept() {
    needs_root!("names_of_any_bytes_are_kept");
    let mut s = scene();
    let mut names: Vec<Vec<u8>> = (1..=255_u8)
        .filter(|byte| *byte != b'/')
        .map(|byte| vec![b'x', byte])
        .collect();
    names.push(vec![0xff; 255]);
    names.push(b"..hidden".to_vec());
    names.push(b"-rf *".to_vec());
    for (at, bytes) in names.iter().enumerate() {
        s.source.op(Operation::Create {
            object: 100 + at as u64,
            parent: ROOT_OBJECT,
            name: Name::new(bytes).expect("a name"),
            kind: ObjectKind::File,
            attributes: attributes(0o600),
            parent_mtime: time(1),
        });
    }
    s.source.settle();
    let mut found: Vec<Vec<u8>> = fs::read_dir(&s.path)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().as_bytes().to_vec())
        .filter(|name| name != b".tandem")
        .collect();
    found.sort();
    names.sort();
    assert_eq!(found, names);
}

#[test]
fn hard_links_stay_one_file_and_renames_replace_and_exchange() {
    needs_root!("hard_links_stay_one_file_and_renames_replace_and_exchange");
    let mut s = scene();
    s.source
        .create_kind(2, ROOT_OBJECT, "sub", ObjectKind::Directory);
    s.source.create(10, ROOT_OBJECT, "a");
    s.source.op(Operation::Link {
        object: 10,
        parent: 2,
        name: name("b"),
        parent_mtime: time(7),
    });
    s.source.write(10, 0, b"one file");
    s.source.create(11, ROOT_OBJECT, "other");
    s.source.write(11, 0, b"other");
    // Replaces `other`, whose object the application still holds open at the source.
    s.source.rename((ROOT_OBJECT, "a"), (ROOT_OBJECT, "other"));
    s.source.write(11, 0, b"OTHER");
    s.source
        .create_kind(3, ROOT_OBJECT, "dir", ObjectKind::Directory);
    s.source.op(Operation::Rename {
        from_parent: ROOT_OBJECT,
        from_name: name("dir"),
        to_parent: ROOT_OBJECT,
        to_name: name("other"),
        exchange: true,
        from_parent_mtime: time(8),
        to_parent_mtime: time(8),
    });
    s.source.checkpoint();
    assert!(s.path.join("other").is_dir());
    assert_eq!(fs::read(s.path.join("dir")).expect("read"), b"one file");
    let inode = |at: &str| fs::metadata(s.path.join(at)).expect("look").ino();
    assert_eq!(inode("dir"), inode("sub/b"));
    assert_eq!(mtime(&s.path.join("sub")), time(7));
    s.source.unlink(2, "b");
    s.source.unlink(ROOT_OBJECT, "dir");
    s.source.op(Operation::Link {
        object: 10,
        parent: 2,
        name: name("again"),
        parent_mtime: time(9),
    });
    let failed = s.source.await_failure();
    assert!(
        failed.reason.contains("link"),
        "a lost file stays lost: {failed:?}"
    );
}

#[test]
fn a_file_without_a_name_lives_until_it_is_forgotten() {
    needs_root!("a_file_without_a_name_lives_until_it_is_forgotten");
    let mut s = scene();
    s.source.op(Operation::CreateUnnamed {
        object: 30,
        attributes: attributes(0o600),
    });
    s.source.write(30, 0, b"temporary");
    s.source.op(Operation::Link {
        object: 30,
        parent: ROOT_OBJECT,
        name: name("saved"),
        parent_mtime: time(1),
    });
    s.source.settle();
    assert_eq!(fs::read(s.path.join("saved")).expect("read"), b"temporary");

    s.source.create(31, ROOT_OBJECT, "doomed");
    s.source.unlink(ROOT_OBJECT, "doomed");
    s.source.write(31, 0, &[7; 4096]);
    let sync = s.source.op(Operation::Sync {
        object: 31,
        data_only: false,
    });
    s.source.await_synced(sync);
    s.source.op(Operation::Forget {
        objects: vec![31, 999],
    });
    s.source.write(31, 0, b"never");
    let failed = s.source.await_failure();
    assert!(
        failed.reason.contains("object 31 is not known"),
        "{failed:?}"
    );
}

#[test]
fn directories_are_removed_and_what_is_in_them_is_not_skipped() {
    needs_root!("directories_are_removed_and_what_is_in_them_is_not_skipped");
    let mut s = scene();
    s.source
        .create_kind(2, ROOT_OBJECT, "full", ObjectKind::Directory);
    s.source.create_kind(3, 2, "empty", ObjectKind::Directory);
    s.source.create(4, 2, "file");
    let remove = |parent, at: &str| Operation::RemoveDirectory {
        parent,
        name: name(at),
        parent_mtime: time(6),
    };
    s.source.op(remove(2, "empty"));
    s.source.checkpoint();
    assert!(!s.path.join("full/empty").exists());
    assert_eq!(mtime(&s.path.join("full")), time(6));
    let number = s.source.op(remove(ROOT_OBJECT, "full"));
    s.source.create(5, ROOT_OBJECT, "after");
    let failed = s.source.await_failure();
    assert_eq!(failed.sequence, number);
    assert!(failed.reason.contains("full"), "{failed:?}");
    s.source.await_end();
    assert!(s.path.join("full/file").exists());
    assert!(
        !s.path.join("after").exists(),
        "nothing after a failure is applied"
    );
    let status = s.standby.status();
    assert!(!status.level && status.fault.is_some(), "{status:?}");
}

#[test]
fn attributes_keep_set_user_id_bits_and_drop_deferred_times() {
    needs_root!("attributes_keep_set_user_id_bits_and_drop_deferred_times");
    let mut s = scene();
    s.source.create(10, ROOT_OBJECT, "program");
    s.source.write(10, 0, b"#!");
    let mut wanted = attributes(0o6755);
    (wanted.uid, wanted.gid) = (7, 8);
    s.source.op(Operation::SetAttributes {
        object: 10,
        attributes: wanted,
    });
    s.source.checkpoint();
    let program = s.path.join("program");
    let data = fs::metadata(&program).expect("look");
    assert_eq!(
        (data.uid(), data.gid(), data.mode() & 0o7777),
        (7, 8, 0o6755)
    );
    assert_eq!(
        mtime(&program),
        time(2_000_000),
        "the attributes came after the write"
    );
}

#[test]
fn extended_attributes_and_access_lists_come_and_go() {
    needs_root!("extended_attributes_and_access_lists_come_and_go");
    let mut s = scene();
    s.source.create(10, ROOT_OBJECT, "file");
    // Version 2; user::rw-, user:1234:rw-, group::r--, mask::rw-, other::---
    let list: Vec<u8> = [
        &2_u32.to_le_bytes()[..],
        &[1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
        &[2, 0, 6, 0, 0xd2, 4, 0, 0],
        &[4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
        &[16, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
        &[32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    ]
    .concat();
    let pairs = [
        (b"user.color".to_vec(), b"blue\0\xff".to_vec()),
        (b"user.empty".to_vec(), Vec::new()),
        (b"user.gone".to_vec(), b"x".to_vec()),
        (b"system.posix_acl_access".to_vec(), list.clone()),
    ];
    for (name, value) in pairs {
        s.source.op(Operation::SetXattr {
            object: 10,
            name,
            value,
        });
    }
    s.source.op(Operation::RemoveXattr {
        object: 10,
        name: b"user.gone".to_vec(),
    });
    s.source.settle();
    let file = s.path.join("file");
    let read = |name: &str| {
        let mut value = vec![0; 256];
        rustix::fs::getxattr(&file, name, &mut value[..]).map(|length| {
            value.truncate(length);
            value
        })
    };
    assert_eq!(read("user.color").expect("color"), b"blue\0\xff");
    assert_eq!(read("user.empty").expect("empty"), b"");
    assert_eq!(read("system.posix_acl_access").expect("list"), list);
    assert!(read("user.gone").is_err());
    assert_eq!(
        fs::metadata(&file).expect("look").permissions().mode() & 0o777,
        0o660
    );
}

#[test]
fn holes_are_allocated_and_punched() {
    needs_root!("holes_are_allocated_and_punched");
    let mut s = scene();
    s.source.create(10, ROOT_OBJECT, "image");
    s.source.write(10, 0, &vec![9; 1 << 20]);
    let allocate = |mode, offset, bytes| Operation::Allocate {
        object: 10,
        mode,
        offset,
        bytes,
        mtime: time(11),
    };
    let punch = 0x02 | 0x01;
    s.source.op(allocate(punch, 64 << 10, 512 << 10));
    s.source.op(allocate(0, 1 << 20, 1 << 20));
    s.source.checkpoint();
    let image = s.path.join("image");
    let data = fs::read(&image).expect("read");
    assert_eq!(data.len(), 2 << 20);
    assert!(data[..64 << 10].iter().all(|b| *b == 9));
    assert!(data[64 << 10..576 << 10].iter().all(|b| *b == 0));
    assert!(data[576 << 10..1 << 20].iter().all(|b| *b == 9));
    assert!(data[1 << 20..].iter().all(|b| *b == 0));
    assert!(fs::metadata(&image).expect("look").blocks() * 512 < (3 << 19) + (64 << 10));
    assert_eq!(mtime(&image), time(11));
}

#[test]
fn syncs_durable_writes_and_checkpoints_are_answered_by_number() {
    needs_root!("syncs_durable_writes_and_checkpoints_are_answered_by_number");
    let mut s = scene();
    s.source
        .create_kind(2, ROOT_OBJECT, "d", ObjectKind::Directory);
    s.source.create(10, 2, "f");
    let mut wanted = Vec::new();
    for round in 0..20_u64 {
        s.source.write(10, round * 10, b"0123456789");
        let data_only = round % 2 == 0;
        wanted.push(s.source.op(Operation::Sync {
            object: 10,
            data_only,
        }));
    }
    wanted.push(s.source.write_with(10, 0, b"durable", FLAG_DURABLE));
    wanted.push(s.source.op(Operation::Sync {
        object: 2,
        data_only: false,
    }));
    wanted.push(s.source.op(Operation::Sync {
        object: ROOT_OBJECT,
        data_only: true,
    }));
    for number in wanted {
        s.source.await_synced(number);
    }
    s.source.checkpoint();
    let number = s.source.last;
    s.standby
        .await_status("checkpointed", |status| status.checkpointed == number);
    s.standby
        .await_status("idle", |status| status.completion_age.is_zero());
}

#[test]
fn an_object_is_introduced_by_its_name_and_only_once() {
    needs_root!("an_object_is_introduced_by_its_name_and_only_once");
    let mut s = scene();
    fs::write(s.path.join("there"), "old").expect("write");
    s.source.op(Operation::Introduce {
        object: 50,
        parent: ROOT_OBJECT,
        name: name("there"),
    });
    s.source.write(50, 0, b"new");
    s.source.settle();
    assert_eq!(fs::read(s.path.join("there")).expect("read"), b"new");
    s.source.op(Operation::Introduce {
        object: 51,
        parent: ROOT_OBJECT,
        name: name("there"),
    });
    let failed = s.source.await_failure();
    assert!(
        failed
            .reason
            .contains("object 51 is known here already, as object 50"),
        "{failed:?}"
    );
}

#[test]
fn a_planted_symlink_makes_nobody_write_elsewhere() {
    needs_root!("a_planted_symlink_makes_nobody_write_elsewhere");
    let outside = tempfile::tempdir().expect("make a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").expect("write");
    fs::create_dir(outside.path().join("directory")).expect("create");
    // Each attack on its own, because each ends the stream.
    let attacks: [fn(&mut Source) -> u64; 5] = [
        // A file where a link to the victim stands.
        |source| {
            source.create(60, ROOT_OBJECT, "link-file");
            source.write(60, 0, b"attack")
        },
        // The link introduced as an object and written to.
        |source| {
            source.op(Operation::Introduce {
                object: 61,
                parent: ROOT_OBJECT,
                name: name("link-file"),
            });
            source.write(61, 0, b"attack")
        },
        |source| {
            source.op(Operation::Introduce {
                object: 61,
                parent: ROOT_OBJECT,
                name: name("link-file"),
            });
            source.op(Operation::Truncate {
                object: 61,
                size: 0,
                mtime: time(0),
            })
        },
        // A directory link used as a parent.
        |source| {
            source.op(Operation::Introduce {
                object: 62,
                parent: ROOT_OBJECT,
                name: name("link-directory"),
            });
            source.create(63, 62, "file")
        },
        // A directory link listed as a directory: replaced, not followed.
        |source| {
            let entry = source::entry("link-directory", 64, ObjectKind::Directory);
            source.list(0, ROOT_OBJECT, vec![entry]);
            source.create(65, 64, "victim");
            source.create(65, 64, "twice")
        },
    ];
    for (at, attack) in attacks.iter().enumerate() {
        let mut s = scene();
        symlink(&victim, s.path.join("link-file")).expect("plant");
        symlink(
            outside.path().join("directory"),
            s.path.join("link-directory"),
        )
        .expect("plant");
        attack(&mut s.source);
        let failed = s.source.await_failure();
        assert!(!failed.reason.is_empty(), "attack {at}");
        assert_eq!(
            fs::read(&victim).expect("read"),
            b"untouched",
            "attack {at}"
        );
        let inside = fs::read_dir(outside.path().join("directory")).expect("list");
        assert_eq!(inside.count(), 0, "attack {at}");
    }
}

#[test]
fn attributes_of_a_symlink_do_not_reach_what_it_points_to() {
    needs_root!("attributes_of_a_symlink_do_not_reach_what_it_points_to");
    let outside = tempfile::tempdir().expect("make a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").expect("write");
    let before = fs::metadata(&victim).expect("look");
    let mut s = scene();
    let target = victim.as_os_str().as_bytes().to_vec();
    s.source
        .create_kind(70, ROOT_OBJECT, "link", ObjectKind::Symlink(target));
    s.source.op(Operation::SetAttributes {
        object: 70,
        attributes: attributes(0o777),
    });
    s.source.op(Operation::SetXattr {
        object: 70,
        name: b"trusted.attack".to_vec(),
        value: b"x".to_vec(),
    });
    s.source.checkpoint();
    let after = fs::metadata(&victim).expect("look");
    assert_eq!(
        (before.uid(), before.mode(), before.mtime_nsec()),
        (after.uid(), after.mode(), after.mtime_nsec())
    );
    let mut value = [0; 8];
    assert!(rustix::fs::getxattr(&victim, "trusted.attack", &mut value[..]).is_err());
}

#[test]
fn tandems_own_files_cannot_be_reached() {
    needs_root!("tandems_own_files_cannot_be_reached");
    let attacks: [fn(&mut Source) -> u64; 5] = [
        |source| source.unlink(ROOT_OBJECT, ".tandem"),
        |source| source.create(80, ROOT_OBJECT, ".tandem"),
        |source| {
            source.op(Operation::Introduce {
                object: 81,
                parent: ROOT_OBJECT,
                name: name(".tandem"),
            })
        },
        |source| {
            source.create_kind(82, ROOT_OBJECT, "d", ObjectKind::Directory);
            source.rename((ROOT_OBJECT, "d"), (ROOT_OBJECT, ".tandem"))
        },
        |source| {
            let entry = source::entry(".tandem", 83, ObjectKind::Directory);
            source.list(0, ROOT_OBJECT, vec![entry])
        },
    ];
    for attack in attacks {
        let mut s = scene();
        attack(&mut s.source);
        let failed = s.source.await_failure();
        assert!(failed.reason.contains(".tandem"), "{failed:?}");
        assert!(s.path.join(".tandem/lock").exists());
    }
    let mut s = scene();
    s.source
        .create_kind(84, ROOT_OBJECT, "d", ObjectKind::Directory);
    s.source.create(85, 84, ".tandem");
    s.source.settle();
    assert!(
        s.path.join("d/.tandem").exists(),
        "elsewhere the name is free"
    );
}

#[test]
fn impossible_operations_are_errors_with_their_number() {
    needs_root!("impossible_operations_are_errors_with_their_number");
    let bad = Timestamp {
        seconds: 1,
        nanoseconds: (1 << 30) - 2,
    };
    let operations = [
        Operation::Truncate {
            object: 10,
            size: 0,
            mtime: bad,
        },
        Operation::Truncate {
            object: 10,
            size: u64::MAX,
            mtime: time(1),
        },
        Operation::Allocate {
            object: 10,
            mode: 0xffff_ffff,
            offset: 0,
            bytes: 1,
            mtime: time(1),
        },
        Operation::SetXattr {
            object: 10,
            name: b"user.a\0b".to_vec(),
            value: vec![],
        },
        Operation::Compare {
            object: 10,
            offset: 0,
            bytes: 1,
            hash: [0; 32],
        },
        Operation::Unlink {
            parent: ROOT_OBJECT,
            name: name("missing"),
            parent_mtime: time(1),
        },
        Operation::Unlink {
            parent: 10,
            name: name("in-a-file"),
            parent_mtime: time(1),
        },
        Operation::ListDirectory {
            object: ROOT_OBJECT,
            entries: vec![],
            first: false,
            last: true,
        },
    ];
    for operation in operations {
        let mut s = scene();
        s.source.create(10, ROOT_OBJECT, "file");
        let shown = format!("{operation:?}");
        let number = s.source.op(operation);
        let failed = s.source.await_failure();
        assert_eq!(failed.sequence, number, "{shown}: {failed:?}");
        s.source.await_end();
    }
    let mut s = scene();
    let number = s.source.operation(7, Operation::Checkpoint);
    s.source.await_applied(number);
    let number = s.source.operation(
        7,
        Operation::Sync {
            object: ROOT_OBJECT,
            data_only: false,
        },
    );
    let failed = s.source.await_failure();
    assert_eq!(failed.sequence, number);
    assert!(failed.reason.contains("volume 7"), "{failed:?}");
}
