//! A scripted source: says hello to a follower, sends it numbered operations, and waits for what
//! it answers. And the standby around that follower.

// Each test that includes this uses a part of it.
#![allow(dead_code)]

#[path = "keys.rs"]
mod keys;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_core::NodeId;
use tandem_mirror::backing::{Volume, open_volume};
use tandem_mirror::follower::{Follower, FollowerError, FollowerStatus};
use tandem_mirror::standing::{self, Standing};
use tandem_mirror::transport::{FrameReceiver, FrameSender, Identity, connect};
use tandem_mirror::{Durability, MirrorConfig, VolumeConfig};
use tandem_wire::stream::{
    ApplyFailed, Attributes, Differs, Entry, FrameHeader, FrameKind, Hello, Name, ObjectKind,
    ObjectNumber, Operation, Progress, ROOT_OBJECT, Refusal, Timestamp, VERSION, VERSION_MIN,
    Welcome, WritePlace, decode, encode,
};

/// The longest wait for anything in a test.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn name(bytes: impl AsRef<[u8]>) -> Name {
    Name::new(bytes.as_ref()).expect("a name")
}

pub fn time(seconds: i64) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: 123_456_789,
    }
}

pub fn attributes(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: 1000,
        gid: 1001,
        atime: time(1_000_000),
        mtime: time(2_000_000),
    }
}

pub fn entry(at: &str, object: ObjectNumber, kind: ObjectKind) -> Entry {
    Entry {
        name: name(at),
        object,
        kind,
        linked: false,
    }
}

/// A node that follows, with its volumes.
pub struct Standby {
    pub config: Arc<MirrorConfig>,
    pub volumes: Arc<[Volume]>,
    pub source_identity: Identity,
    follower: Option<Follower>,
    _state: tempfile::TempDir,
}

impl Standby {
    /// With one volume at each path.
    pub fn new(paths: &[&Path]) -> Self {
        let (source_identity, identity) = keys::pair();
        let state = tempfile::tempdir().expect("make a directory");
        let volumes: Vec<VolumeConfig> = paths
            .iter()
            .enumerate()
            .map(|(at, path)| VolumeConfig::new(format!("volume{at}"), path.to_path_buf()))
            .collect();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = MirrorConfig {
            cluster: "cluster1".into(),
            module: "videeos".into(),
            node: NodeId::Two,
            volumes: volumes.clone(),
            listen: any,
            peer: any,
            identity,
            socket: state.path().join("socket"),
            state_dir: state.path().to_path_buf(),
            configuration: 77,
            takeover_after: Duration::from_secs(5),
            stall_limit: Duration::from_secs(2),
            queue_bytes_max: 64 << 20,
            durability: Durability::Disk,
        };
        let opened: Vec<Volume> = volumes
            .iter()
            .enumerate()
            .map(|(at, v)| open_volume(at as u16, &v.name, &v.path).expect("open volume"))
            .collect();
        Self {
            config: Arc::new(config),
            volumes: opened.into(),
            source_identity,
            follower: None,
            _state: state,
        }
    }

    pub fn try_follow(&mut self, epoch: u64, generation: u64) -> Result<(), FollowerError> {
        self.follower = None;
        let config = Arc::clone(&self.config);
        let volumes = Arc::clone(&self.volumes);
        self.follower = Some(Follower::start(config, volumes, epoch, generation)?);
        Ok(())
    }

    pub fn follow(&mut self, epoch: u64, generation: u64) {
        self.try_follow(epoch, generation).expect("follow");
    }

    pub fn follower(&self) -> &Follower {
        self.follower.as_ref().expect("following")
    }

    /// Makes this node one that was synchronised before: what stands in its volumes is compared, and
    /// not kept aside.
    #[allow(dead_code, reason = "most tests begin with nothing")]
    pub fn met_before(&self) {
        let before = Standing::default();
        standing::record(&self.config, &self.volumes, &before).expect("record");
    }

    /// Lets go of everything but the state directory.
    #[allow(dead_code, reason = "not every test cuts the power")]
    pub fn leave(self) -> tempfile::TempDir {
        self._state
    }

    pub fn stop(&mut self) {
        let fault = self.follower.take().expect("following").stop();
        assert_eq!(fault, None);
    }

    pub fn status(&self) -> FollowerStatus {
        self.follower().status()
    }

    /// Waits until the status is as wanted.
    pub fn await_status(&self, what: &str, wanted: impl Fn(&FollowerStatus) -> bool) {
        let changes = self.follower().changes();
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if wanted(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:?}");
            let _ = changes.recv_timeout(Duration::from_millis(20));
        }
    }

    /// The hello of a serving node 1, whose numbers begin after `received`.
    pub fn hello(&self, epoch: u64) -> Hello {
        Hello {
            version: VERSION,
            version_min: VERSION_MIN,
            cluster: self.config.cluster.clone(),
            module: self.config.module.clone(),
            volumes: self.config.volumes.iter().map(|v| v.name.clone()).collect(),
            node: 1,
            configuration: self.config.configuration,
            boot_id: "source-boot".into(),
            incarnation: 4242,
            epoch,
            generation: 9,
            received: 0,
            applied: u64::MAX,
            checkpointed: 0,
            stream_incarnation: 4242,
            gate: 0,
            debt: None,
            extensions: vec![(900, b"of a later version".to_vec())],
        }
    }

    /// Connects and says hello.
    pub fn greet(&self, hello: &Hello) -> Result<Greeted, String> {
        let address = self.follower().address();
        let (sender, mut receiver) =
            connect(address, &self.source_identity, LIMIT).expect("connect");
        let header = FrameHeader::control(FrameKind::Hello, hello.epoch);
        sender.send(header, &encode(hello)).expect("say hello");
        let mut answered = None;
        loop {
            let frame = receiver
                .receive(LIMIT)
                .map_err(|error| format!("connection ended: {error}"))?
                .expect("an answer to the hello in time");
            match frame.kind() {
                FrameKind::Hello => answered = decode::<Hello>(&frame.payload).ok(),
                FrameKind::Welcome => {
                    let welcome: Welcome = decode(&frame.payload).expect("a welcome");
                    let source = Source {
                        sender,
                        receiver,
                        epoch: hello.epoch,
                        last: hello.received,
                        heard: Heard::default(),
                    };
                    return Ok(Greeted {
                        source,
                        hello: answered.expect("a hello before the welcome"),
                        welcome,
                    });
                }
                FrameKind::Refuse => {
                    let refusal: Refusal = decode(&frame.payload).expect("a refusal");
                    return Err(refusal.reason);
                }
                kind => panic!("a frame of kind {kind:?} before the welcome"),
            }
        }
    }

    /// A session that compares, with its secret.
    pub fn compare(&self, epoch: u64) -> (Source, [u8; 32]) {
        let greeted = self.greet(&self.hello(epoch)).expect("welcome");
        match greeted.welcome {
            Welcome::Compare { secret, .. } | Welcome::CompareOwed { secret, .. } => {
                (greeted.source, secret)
            }
            Welcome::Replay { from } => panic!("replay from {from} where nothing is known"),
        }
    }

    /// A session of two empty volumes that are level.
    pub fn level(&self, epoch: u64) -> Source {
        let (mut source, _) = self.compare(epoch);
        for volume in 0..self.volumes.len() {
            source.list(volume as u16, ROOT_OBJECT, vec![]);
        }
        source.operation(0, Operation::CompareEnd);
        let level = source.operation(0, Operation::Level);
        source.await_synced(level);
        source
    }
}

/// A follower that said welcome.
pub struct Greeted {
    pub source: Source,
    pub hello: Hello,
    pub welcome: Welcome,
}

/// What the follower said so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub applied: u64,
    pub received: u64,
    pub checkpointed: u64,
    pub synced: Vec<u64>,
    pub differs: Vec<Differs>,
    /// Files that it had to make.
    pub made: Vec<ObjectNumber>,
    pub failed: Option<ApplyFailed>,
    pub refused: Option<String>,
    pub gossip: Vec<Vec<u8>>,
    pub pongs: usize,
    pub ended: bool,
}

/// A source on one connection.
pub struct Source {
    pub sender: FrameSender,
    receiver: FrameReceiver,
    pub epoch: u64,
    pub last: u64,
    pub heard: Heard,
}

impl Source {
    pub fn operation(&mut self, volume: u16, operation: Operation) -> u64 {
        self.last += 1;
        let header = FrameHeader::operation(self.epoch, self.last, volume);
        // A connection that is over shows where its answer is awaited.
        let _ = self.sender.send(header, &encode(&operation));
        self.last
    }

    /// In volume 0.
    pub fn op(&mut self, operation: Operation) -> u64 {
        self.operation(0, operation)
    }

    pub fn write(&mut self, object: ObjectNumber, offset: u64, data: &[u8]) -> u64 {
        self.write_with(object, offset, data, 0)
    }

    pub fn write_with(
        &mut self,
        object: ObjectNumber,
        offset: u64,
        data: &[u8],
        flags: u32,
    ) -> u64 {
        self.last += 1;
        let place = WritePlace {
            object,
            offset,
            mtime: time(3_000_000 + self.last as i64),
        };
        let mut header = FrameHeader::write(self.epoch, self.last, 0, place);
        header.flags.set(flags);
        let _ = self.sender.send(header, data);
        self.last
    }

    pub fn create(&mut self, object: ObjectNumber, parent: ObjectNumber, at: &str) -> u64 {
        self.create_kind(object, parent, at, ObjectKind::File)
    }

    pub fn create_kind(
        &mut self,
        object: ObjectNumber,
        parent: ObjectNumber,
        at: &str,
        kind: ObjectKind,
    ) -> u64 {
        self.op(Operation::Create {
            object,
            parent,
            name: name(at),
            kind,
            attributes: attributes(0o640),
            parent_mtime: time(4_000_000),
        })
    }

    pub fn unlink(&mut self, parent: ObjectNumber, at: &str) -> u64 {
        self.op(Operation::Unlink {
            parent,
            name: name(at),
            parent_mtime: time(4_000_001),
        })
    }

    pub fn rename(&mut self, from: (ObjectNumber, &str), to: (ObjectNumber, &str)) -> u64 {
        self.op(Operation::Rename {
            from_parent: from.0,
            from_name: name(from.1),
            to_parent: to.0,
            to_name: name(to.1),
            exchange: false,
            from_parent_mtime: time(4_000_002),
            to_parent_mtime: time(4_000_003),
        })
    }

    pub fn list(&mut self, volume: u16, object: ObjectNumber, entries: Vec<Entry>) -> u64 {
        self.operation(
            volume,
            Operation::ListDirectory {
                object,
                entries,
                first: true,
                last: true,
            },
        )
    }

    /// Takes what the follower says until `wanted`, or until the connection ends.
    pub fn listen_until(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !wanted(&self.heard) {
            assert!(
                !self.heard.ended,
                "connection ended before {what}: {:?}",
                self.heard
            );
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not in time: {what}: {:?}", self.heard);
            self.listen(left);
        }
    }

    pub fn listen(&mut self, limit: Duration) {
        let frame = match self.receiver.receive(limit) {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => {
                self.heard.ended = true;
                return;
            }
        };
        match frame.kind() {
            FrameKind::Progress => {
                let progress: Progress = decode(&frame.payload).expect("progress");
                assert!(progress.applied <= progress.received, "{progress:?}");
                assert!(progress.checkpointed <= progress.applied, "{progress:?}");
                self.heard.applied = progress.applied;
                self.heard.received = progress.received;
                self.heard.checkpointed = progress.checkpointed;
                if progress.synced != 0 {
                    assert!(progress.synced <= progress.applied, "{progress:?}");
                    self.heard.synced.push(progress.synced);
                }
            }
            FrameKind::Differs => {
                let differs: Differs = decode(&frame.payload).expect("differs");
                match differs.bytes {
                    0 => self.heard.made.push(differs.object),
                    _ => self.heard.differs.push(differs),
                }
            }
            FrameKind::ApplyFailed => {
                self.heard.failed = Some(decode(&frame.payload).expect("apply failed"));
            }
            FrameKind::Refuse => {
                let refusal: Refusal = decode(&frame.payload).expect("refusal");
                self.heard.refused = Some(refusal.reason);
            }
            FrameKind::Gossip => self.heard.gossip.push(frame.payload),
            FrameKind::Pong => self.heard.pongs += 1,
            kind => panic!("unexpected frame {kind:?}"),
        }
    }

    pub fn await_applied(&mut self, number: u64) {
        self.listen_until("applied", |heard| heard.applied >= number);
    }

    pub fn await_synced(&mut self, number: u64) {
        self.listen_until("synced", |heard| heard.synced.contains(&number));
    }

    /// Waits for everything sent so far.
    pub fn settle(&mut self) {
        self.await_applied(self.last);
    }

    /// Waits until everything sent so far is applied with its times, and on disk.
    pub fn checkpoint(&mut self) {
        let number = self.op(Operation::Checkpoint);
        self.listen_until("checkpoint", |heard| heard.checkpointed >= number);
    }

    pub fn await_failure(&mut self) -> ApplyFailed {
        self.listen_until("failure", |heard| heard.failed.is_some());
        self.heard.failed.clone().expect("just heard")
    }

    pub fn await_refusal(&mut self) -> String {
        self.listen_until("refusal", |heard| heard.refused.is_some());
        self.heard.refused.clone().expect("just heard")
    }

    pub fn await_end(&mut self) {
        self.listen_until("end", |heard| heard.ended);
    }
}
