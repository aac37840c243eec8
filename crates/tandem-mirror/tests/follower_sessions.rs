//! Sessions of a follower: who is let in, how a stream goes on after a break, how it ends.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/source.rs"]
mod source;

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use disk::{Image, root_or_skip};
use source::{LIMIT, Standby, time};
use tandem_core::MirrorFault;
use tandem_mirror::follower::{Follower, FollowerError};
use tandem_mirror::standing::{self, Found, Inconsistent, Standing};
use tandem_wire::stream::{FrameHeader, FrameKind, Hello, Operation, ROOT_OBJECT, Welcome, encode};

struct Scene {
    standby: Standby,
    path: PathBuf,
    _base: tempfile::TempDir,
}

/// A standby that follows epoch 5, over an empty directory.
fn scene() -> Scene {
    let base = tempfile::tempdir().expect("make a directory");
    let path = base.path().join("data");
    fs::create_dir(&path).expect("create");
    let mut standby = Standby::new(&[&path]);
    standby.follow(5, 9);
    Scene {
        standby,
        path,
        _base: base,
    }
}

macro_rules! needs_root {
    ($name:literal) => {
        if !root_or_skip($name) {
            return;
        }
    };
}

/// The hello of the source of a level stream that reconnects.
fn again(standby: &Standby, applied: u64, received: u64) -> Hello {
    Hello {
        applied,
        received,
        gate: 1,
        ..standby.hello(5)
    }
}

#[test]
fn a_source_that_differs_is_refused_and_the_field_named() {
    needs_root!("a_source_that_differs_is_refused_and_the_field_named");
    let s = scene();
    let hello = s.standby.hello(5);
    let cases: Vec<(&str, Hello)> = vec![
        (
            "protocol version",
            Hello {
                version: 9,
                version_min: 8,
                ..hello.clone()
            },
        ),
        (
            "protocol version",
            Hello {
                version: 0,
                version_min: 0,
                ..hello.clone()
            },
        ),
        (
            "cluster",
            Hello {
                cluster: "other".into(),
                ..hello.clone()
            },
        ),
        (
            "module",
            Hello {
                module: "other".into(),
                ..hello.clone()
            },
        ),
        (
            "node",
            Hello {
                node: 2,
                ..hello.clone()
            },
        ),
        (
            "volumes",
            Hello {
                volumes: vec!["volume0".into(), "more".into()],
                ..hello.clone()
            },
        ),
        (
            "configuration",
            Hello {
                configuration: 78,
                ..hello.clone()
            },
        ),
        (
            "epoch",
            Hello {
                epoch: 4,
                ..hello.clone()
            },
        ),
    ];
    for (field, hello) in cases {
        let refused = s.standby.greet(&hello).map(|greeted| greeted.welcome);
        let reason = refused.expect_err(field);
        assert!(
            reason.contains(&format!("{field} differs")),
            "{field}: {reason}"
        );
        assert!(!s.standby.status().connected);
    }
    let later = Hello {
        version: 3,
        version_min: 1,
        ..hello
    };
    s.standby
        .greet(&later)
        .expect("a later version that still speaks ours");
}

#[test]
fn a_higher_epoch_is_written_down_before_it_is_welcomed() {
    needs_root!("a_higher_epoch_is_written_down_before_it_is_welcomed");
    let mut s = scene();
    let greeted = s.standby.greet(&s.standby.hello(8)).expect("welcome");
    let file = s.standby.config.state_dir.join("videeos.epoch");
    let bytes = fs::read(&file).expect("written");
    assert_eq!(tandem_wire::position::decode_epoch(&bytes), Ok(8));
    assert_eq!(s.standby.status().epoch, 8);
    drop(greeted);
    let reason = s
        .standby
        .greet(&s.standby.hello(7))
        .map(|_| ())
        .expect_err("older");
    assert!(reason.contains("epoch differs"), "{reason}");
    let older = s.standby.try_follow(7, 9);
    let refused = matches!(
        older,
        Err(FollowerError::OldEpoch {
            asked: 7,
            highest: 8
        })
    );
    assert!(refused, "after a restart too: {older:?}");
    s.standby.follow(8, 9);
}

#[test]
fn an_epoch_that_cannot_be_written_down_is_not_welcomed() {
    needs_root!("an_epoch_that_cannot_be_written_down_is_not_welcomed");
    let s = scene();
    // A directory at the temporary file's place: also root cannot write there.
    fs::create_dir(s.standby.config.state_dir.join("videeos.epoch.new")).expect("create");
    let reason = s
        .standby
        .greet(&s.standby.hello(6))
        .map(|_| ())
        .expect_err("refused");
    assert!(reason.contains("cannot write the epoch"), "{reason}");
    s.standby
        .greet(&s.standby.hello(5))
        .expect("the present epoch needs no writing");
}

#[test]
fn what_is_no_hello_is_turned_away_and_the_peer_still_gets_in() {
    needs_root!("what_is_no_hello_is_turned_away_and_the_peer_still_gets_in");
    let s = scene();
    let address = s.standby.follower().address();
    let silent = TcpStream::connect(address).expect("connect");
    let identity = &s.standby.source_identity;
    let (mute, _mute) =
        tandem_mirror::transport::connect(address, identity, LIMIT).expect("connect");
    for (kind, payload) in [
        (FrameKind::Hello, &b"garbage"[..]),
        (FrameKind::Ping, &b""[..]),
        (FrameKind::Operation, &b""[..]),
    ] {
        let (sender, mut receiver) =
            tandem_mirror::transport::connect(address, identity, LIMIT).expect("connect");
        sender
            .send(FrameHeader::control(kind, 5), payload)
            .expect("send");
        let answer = receiver
            .receive(LIMIT)
            .expect("an answer")
            .expect("in time");
        assert_eq!(answer.kind(), FrameKind::Refuse);
    }
    s.standby.greet(&s.standby.hello(5)).expect("welcome");
    drop((silent, mute));
}

#[test]
fn a_level_stream_is_resumed_and_its_objects_keep_their_numbers() {
    needs_root!("a_level_stream_is_resumed_and_its_objects_keep_their_numbers");
    let s = scene();
    let mut source = s.standby.level(5);
    source.create(10, ROOT_OBJECT, "file");
    source.write(10, 0, b"before ");
    source.settle();
    let last = source.last;
    drop(source);
    s.standby
        .await_status("disconnected", |status| !status.connected);
    let status = s.standby.status();
    assert!(status.level, "what was level stays so: {status:?}");
    assert_eq!((status.applied, status.received), (last, last));

    let greeted = s
        .standby
        .greet(&again(&s.standby, last - 1, last + 3))
        .expect("welcome");
    assert_eq!(greeted.welcome, Welcome::Replay { from: last + 1 });
    assert_eq!(
        (greeted.hello.applied, greeted.hello.received),
        (last, last)
    );
    assert_eq!(greeted.hello.stream_incarnation, 4242);
    let mut source = greeted.source;
    source.last = last;
    source.write(10, 7, b"after");
    let sync = source.op(Operation::Sync {
        object: 10,
        data_only: true,
    });
    source.await_synced(sync);
    assert_eq!(
        fs::read(s.path.join("file")).expect("read"),
        b"before after"
    );
    assert!(s.standby.status().level);
}

#[test]
fn what_cannot_be_resumed_is_compared() {
    needs_root!("what_cannot_be_resumed_is_compared");
    let s = scene();
    let compared = |hello: &Hello| {
        let greeted = s.standby.greet(hello).expect("welcome");
        let compared = matches!(greeted.welcome, Welcome::Compare { .. });
        assert!(compared, "{:?} after {hello:?}", greeted.welcome);
        s.standby.await_status("not level", |status| !status.level);
        assert_eq!(s.standby.status().applied, 0, "numbers begin anew");
    };
    let last = s.standby.level(5).last;
    compared(&again(&s.standby, last + 1, last + 2));
    let last = s.standby.level(5).last;
    compared(&again(&s.standby, 0, last - 1));
    let last = s.standby.level(5).last;
    compared(&Hello {
        incarnation: 4243,
        ..again(&s.standby, 0, last)
    });
    let last = s.standby.level(5).last;
    compared(&Hello {
        boot_id: "another boot".into(),
        ..again(&s.standby, 0, last)
    });
    let last = s.standby.level(5).last;
    compared(&Hello {
        generation: 10,
        ..again(&s.standby, 0, last)
    });
    // A comparison that broke off.
    let (mut source, _) = s.standby.compare(5);
    source.list(0, ROOT_OBJECT, vec![]);
    source.settle();
    let last = source.last;
    drop(source);
    compared(&again(&s.standby, 0, last));
}

#[test]
fn a_newer_session_closes_an_older_one_and_nothing_received_is_lost() {
    needs_root!("a_newer_session_closes_an_older_one_and_nothing_received_is_lost");
    let s = scene();
    let mut old = s.standby.level(5);
    old.create(10, ROOT_OBJECT, "file");
    for at in 0..500 {
        old.write(10, at * 4, b"data");
    }
    let sent = old.last;
    old.listen_until("received", |heard| heard.received == sent);
    let greeted = s
        .standby
        .greet(&again(&s.standby, 0, sent))
        .expect("welcome");
    assert_eq!(greeted.welcome, Welcome::Replay { from: sent + 1 });
    old.await_end();
    let mut source = greeted.source;
    source.last = sent;
    source.write(10, 2000, b"more");
    source.settle();
    assert_eq!(fs::metadata(s.path.join("file")).expect("look").len(), 2004);
}

#[test]
fn a_gap_a_repetition_and_a_wrong_epoch_end_the_session() {
    needs_root!("a_gap_a_repetition_and_a_wrong_epoch_end_the_session");
    let s = scene();
    type Spoil = fn(&mut source::Source);
    let spoil: [(&str, Spoil); 5] = [
        ("missing", |source| source.last += 1),
        ("missing", |source| source.last -= 1),
        ("epoch", |source| source.epoch = 4),
        ("epoch", |source| source.epoch = 6),
        ("missing", |source| source.last = u64::MAX - 1),
    ];
    for (word, spoil) in spoil {
        let mut source = s.standby.level(5);
        let applied = source.last;
        spoil(&mut source);
        source.create(10, ROOT_OBJECT, "spoiled");
        let reason = source.await_refusal();
        assert!(reason.contains(word), "{reason}");
        source.await_end();
        assert!(!s.path.join("spoiled").exists());
        assert!(!s.standby.status().level, "it cannot know what it missed");
        let greeted = s
            .standby
            .greet(&again(&s.standby, 0, applied))
            .expect("welcome");
        assert!(matches!(greeted.welcome, Welcome::Compare { .. }));
    }
}

#[test]
fn an_operation_that_does_not_decode_ends_the_session() {
    needs_root!("an_operation_that_does_not_decode_ends_the_session");
    let s = scene();
    let mut good = encode(&Operation::Unlink {
        parent: ROOT_OBJECT,
        name: source::name("x"),
        parent_mtime: time(1),
    });
    good.push(0);
    let slash: Vec<u8> = encode(&Operation::Unlink {
        parent: ROOT_OBJECT,
        name: source::name("aXb"),
        parent_mtime: time(1),
    })
    .iter()
    .map(|byte| if *byte == b'X' { b'/' } else { *byte })
    .collect();
    for payload in [good, slash, vec![], vec![0xff; 40]] {
        let mut source = s.standby.level(5);
        let header = FrameHeader::operation(5, source.last + 1, 0);
        source.sender.send(header, &payload).expect("send");
        let reason = source.await_refusal();
        assert!(reason.contains("unreadable"), "{reason}");
        source.await_end();
    }
    for kind in [FrameKind::Hello, FrameKind::Welcome, FrameKind::Progress] {
        let mut source = s.standby.level(5);
        source
            .sender
            .send(FrameHeader::control(kind, 5), &[])
            .expect("send");
        assert!(source.await_refusal().contains("no place here"));
    }
}

#[test]
fn pings_are_answered_and_daemons_hear_each_other() {
    needs_root!("pings_are_answered_and_daemons_hear_each_other");
    let s = scene();
    let mut source = s.standby.level(5);
    let ping = FrameHeader::control(FrameKind::Ping, 5);
    source.sender.send(ping, b"").expect("send");
    source.listen_until("pong", |heard| heard.pongs == 1);
    let gossip = FrameHeader::control(FrameKind::Gossip, 5);
    source.sender.send(gossip, b"from node 1").expect("send");
    let heard = s.standby.follower().gossip_in().recv_timeout(LIMIT);
    assert_eq!(heard.expect("heard"), b"from node 1");
    s.standby.follower().gossip_out(b"from node 2".to_vec());
    source.listen_until("gossip", |heard| !heard.gossip.is_empty());
    assert_eq!(source.heard.gossip, [b"from node 2".to_vec()]);
    drop(source);
    s.standby
        .await_status("disconnected", |status| !status.connected);
    for _ in 0..1000 {
        s.standby.follower().gossip_out(vec![0; 1 << 20]);
    }
}

#[test]
fn silence_of_the_source_is_reported_and_ends_with_a_frame() {
    needs_root!("silence_of_the_source_is_reported_and_ends_with_a_frame");
    let s = scene();
    let begin = Instant::now();
    s.standby
        .await_status("stalled without any source", |status| status.stalled);
    assert!(begin.elapsed() > Duration::from_secs(1));
    let source = s.standby.level(5);
    s.standby.await_status("heard", |status| !status.stalled);
    s.standby
        .await_status("stalled in a session", |status| status.stalled);
    let ping = FrameHeader::control(FrameKind::Ping, 5);
    source.sender.send(ping, b"").expect("send");
    s.standby
        .await_status("heard again", |status| !status.stalled);
}

#[test]
fn sealing_applies_all_that_was_received_and_accepts_nothing_after() {
    needs_root!("sealing_applies_all_that_was_received_and_accepts_nothing_after");
    let s = scene();
    let mut source = s.standby.level(5);
    source.create(10, ROOT_OBJECT, "file");
    for at in 0..2000 {
        source.write(10, at * 512, &[at as u8; 512]);
    }
    let sent = source.last;
    source.listen_until("received", |heard| heard.received == sent);
    let position = s.standby.follower().seal().expect("seal");
    assert_eq!(position, sent);
    assert_eq!(
        fs::metadata(s.path.join("file")).expect("look").len(),
        2000 * 512
    );
    let status = s.standby.status();
    assert!(status.sealed && !status.connected, "{status:?}");
    assert_eq!(status.checkpointed, sent);
    source.await_end();
    assert_eq!(s.standby.follower().seal().expect("again"), sent);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        s.standby.greet(&s.standby.hello(5)).map(|_| ()).is_ok()
    }));
    assert!(!matches!(refused, Ok(true)), "nobody gets in any more");
    let recorded = standing::found(&s.standby.config, &s.standby.volumes);
    let expected = Standing {
        epoch: 5,
        generation: 9,
        stream_incarnation: 4242,
        applied: sent,
        checkpointed: sent,
        clean: true,
        ..Standing::default()
    };
    assert_eq!(recorded.standing, Some(expected));
}

#[test]
fn sealing_without_any_stream_or_in_mid_comparison_claims_nothing() {
    needs_root!("sealing_without_any_stream_or_in_mid_comparison_claims_nothing");
    let s = scene();
    assert_eq!(s.standby.follower().seal().expect("seal"), 0);
    let nothing = standing::found(&s.standby.config, &s.standby.volumes);
    assert_eq!(nothing, Found::default());
    let mut s = scene();
    let (mut source, _) = s.standby.compare(5);
    // Nothing was changed yet, and may never be.
    assert_eq!(s.standby.status().inconsistent, None);
    source.list(0, ROOT_OBJECT, vec![]);
    source.settle();
    assert!(s.standby.status().inconsistent.is_some());
    s.standby.follower().seal().expect("seal");
    let mixed = standing::found(&s.standby.config, &s.standby.volumes);
    assert_eq!(mixed.standing, None);
    let is_mixed =
        |found: &Found| matches!(found.inconsistent, Some(Inconsistent::HalfCompared { .. }));
    assert!(is_mixed(&mixed), "{mixed:?}");
    // Still so after another beginning of which nothing came, and until one ended.
    s.standby.follow(6, 9);
    assert!(s.standby.status().inconsistent.is_some());
    drop(s.standby.compare(6));
    s.standby.stop();
    let mixed = standing::found(&s.standby.config, &s.standby.volumes);
    assert!(is_mixed(&mixed), "{mixed:?}");
    s.standby.follow(7, 9);
    let _source = s.standby.level(7);
    assert_eq!(s.standby.status().inconsistent, None);
    let level = standing::found(&s.standby.config, &s.standby.volumes);
    assert_eq!(level.inconsistent, None);
}

#[test]
fn a_crash_between_the_two_places_of_a_position_is_no_volume_set_back() {
    needs_root!("a_crash_between_the_two_places_of_a_position_is_no_volume_set_back");
    let mut s = scene();
    let _source = s.standby.level(5);
    s.standby.stop();
    let Standby {
        config, volumes, ..
    } = &s.standby;
    let found = || standing::found(config, volumes);
    let inside = s.path.join(".tandem/position");
    let beside = config.state_dir.join("videeos.volume0.position");
    let read = |path: &PathBuf| fs::read(path).expect("read a position");
    let before = (read(&inside), read(&beside));
    assert_eq!(before.0, before.1);
    let clean = found().standing.expect("a standing");
    assert!(clean.clean);
    let next = Standing {
        clean: true,
        ..clean
    };
    standing::record(config, volumes, &next).expect("record");
    let after = (read(&inside), read(&beside));
    assert_ne!(before, after);
    // As a crash leaves it: inside the volume first.
    fs::write(&beside, &before.1).expect("write");
    let expected = Found {
        standing: Some(Standing {
            clean: false,
            ..clean
        }),
        ..Found::default()
    };
    assert_eq!(found(), expected);
    let set_back = Some(Inconsistent::SetBack {
        volume: "volume0".to_owned(),
    });
    // The same numbers, from before: only where they were written tells it.
    fs::write(&beside, &after.1).expect("write");
    fs::write(&inside, &before.0).expect("write");
    assert_eq!(found().inconsistent, set_back);
    assert_eq!(found().standing, None);
    fs::remove_file(&inside).expect("remove");
    assert_eq!(found().inconsistent, set_back, "an empty volume instead");
    fs::write(&inside, b"torn").expect("write");
    assert_eq!(found().inconsistent, set_back);
    // Whoever writes the position now does not make it good.
    drop(s.standby.try_follow(6, 9));
    drop(s.standby.compare(6));
    s.standby.stop();
    let found = standing::found(&s.standby.config, &s.standby.volumes);
    assert!(found.inconsistent.is_some(), "{found:?}");
}

#[test]
fn after_a_clean_end_the_stream_goes_on_without_comparing() {
    needs_root!("after_a_clean_end_the_stream_goes_on_without_comparing");
    let mut s = scene();
    let mut source = s.standby.level(5);
    source.create(10, ROOT_OBJECT, "file");
    source.settle();
    let last = source.last;
    s.standby.stop();
    s.standby.follow(6, 9);
    // The other node took over cleanly, or the same one serves again: another process, and
    // numbers that go on.
    let hello = Hello {
        incarnation: 99,
        gate: last + 1,
        applied: last,
        received: last + 2,
        ..s.standby.hello(6)
    };
    let other_generation = Hello {
        generation: 10,
        ..hello.clone()
    };
    let greeted = s.standby.greet(&hello).expect("welcome");
    assert_eq!(greeted.welcome, Welcome::Replay { from: last + 1 });
    let mut source = greeted.source;
    source.last = last;
    s.standby
        .await_status("level", |status| status.level && status.connected);
    let recorded = standing::found(&s.standby.config, &s.standby.volumes);
    assert!(
        recorded.standing.is_some_and(|standing| !standing.clean),
        "withdrawn: {recorded:?}"
    );
    source.op(Operation::Introduce {
        object: 1000,
        parent: ROOT_OBJECT,
        name: source::name("file"),
    });
    source.write(1000, 0, b"goes on");
    source.settle();
    assert_eq!(fs::read(s.path.join("file")).expect("read"), b"goes on");
    let last = source.last;
    s.standby.stop();
    s.standby.follow(7, 10);
    let other = Hello {
        epoch: 7,
        applied: last,
        received: last,
        ..other_generation
    };
    let greeted = s.standby.greet(&other).expect("welcome");
    let compared = matches!(greeted.welcome, Welcome::Compare { .. });
    assert!(compared, "another line of history: {:?}", greeted.welcome);
}

#[test]
fn a_follower_that_was_restarted_is_compared_by_the_session_that_goes_on() {
    needs_root!("a_follower_that_was_restarted_is_compared_by_the_session_that_goes_on");
    let mut s = scene();
    let mut source = s.standby.level(5);
    source.create(10, ROOT_OBJECT, "file");
    source.settle();
    let last = source.last;
    s.standby.stop();
    s.standby.follow(5, 9);
    let greeted = s
        .standby
        .greet(&again(&s.standby, last, last))
        .expect("welcome");
    let compared = matches!(greeted.welcome, Welcome::Compare { .. });
    assert!(
        compared,
        "it does not know what object 10 was: {:?}",
        greeted.welcome
    );
}

#[test]
fn a_full_standby_ends_the_session_with_the_operation_and_the_reason() {
    needs_root!("a_full_standby_ends_the_session_with_the_operation_and_the_reason");
    let image = Image::new(8);
    let path = image.path().join("data");
    fs::create_dir(&path).expect("create");
    let mut standby = Standby::new(&[&path]);
    standby.follow(5, 9);
    let mut source = standby.level(5);
    source.create(10, ROOT_OBJECT, "big");
    let mut at = 0;
    while source.heard.failed.is_none() && !source.heard.ended {
        assert!(at < 64 << 20, "the disk is smaller than that");
        source.write(10, at, &[1; 256 << 10]);
        at += 256 << 10;
        source.listen(Duration::from_millis(1));
    }
    let failed = source.await_failure();
    assert!(failed.reason.contains("No space left"), "{failed:?}");
    assert!(failed.reason.contains("big"), "names the file: {failed:?}");
    source.await_end();
    let status = standby.status();
    assert!(!status.level, "{status:?}");
    assert!(
        matches!(status.fault, Some(MirrorFault::Apply(_))),
        "{status:?}"
    );
    assert_eq!(status.applied, failed.sequence - 1, "nothing is skipped");
    let refused = standby
        .greet(&standby.hello(5))
        .map(|_| ())
        .expect_err("refused");
    assert!(refused.contains("pauses"), "{refused}");
    let sealed = standby.follower().seal();
    assert!(
        matches!(sealed, Err(FollowerError::Incomplete(_))),
        "{sealed:?}"
    );
    drop(standby);
}

#[test]
fn a_failure_is_forgotten_when_the_copy_is_level_again() {
    needs_root!("a_failure_is_forgotten_when_the_copy_is_level_again");
    let s = scene();
    let mut source = s.standby.level(5);
    source.unlink(ROOT_OBJECT, "never there");
    source.await_failure();
    source.await_end();
    assert!(s.standby.status().fault.is_some());
    let deadline = Instant::now() + LIMIT;
    let mut source = loop {
        match s.standby.greet(&again(&s.standby, 0, source.last)) {
            Ok(greeted) => {
                assert!(matches!(greeted.welcome, Welcome::Compare { .. }));
                break greeted.source;
            }
            Err(reason) => assert!(Instant::now() < deadline, "{reason}"),
        }
    };
    source.list(0, ROOT_OBJECT, vec![]);
    let level = source.op(Operation::Level);
    source.await_synced(level);
    s.standby
        .await_status("healthy", |status| status.fault.is_none() && status.level);
}

#[test]
fn a_port_in_use_is_an_error_with_a_hint() {
    needs_root!("a_port_in_use_is_an_error_with_a_hint");
    let mut s = scene();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    s.standby.stop();
    let mut config = (*s.standby.config).clone();
    config.listen = taken.local_addr().expect("address");
    let started = Follower::start(config.into(), s.standby.volumes.clone(), 5, 9);
    let error = started.map(|_| ()).expect_err("the port is taken");
    assert!(matches!(error, FollowerError::Listen(_)), "{error:?}");
}
