//! How a comparison shares the queue with the application: it has a quarter of it to itself, and
//! waits for nothing that the application put there.

#[path = "support/keys.rs"]
mod keys;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tandem_mirror::Durability;
use tandem_mirror::source::{
    Advance, Beginning, Limits, PeerAtBeginning, SessionId, Source, Terms, Written,
};
use tandem_mirror::transport::{FrameReceiver, FrameSender, Listener, connect};
use tandem_wire::stream::{
    ComparisonId, ObjectNumber, Operation, Progress, ROOT_OBJECT, Timestamp, WritePlace,
};

const LIMIT: Duration = Duration::from_secs(10);
const QUEUE_BYTES: usize = 1 << 20;

/// A source that compares, and the connection that nobody reads.
struct Comparing {
    source: Arc<Source>,
    session: SessionId,
    link: u64,
    _ends: [(FrameSender, FrameReceiver); 2],
    _listener: Listener,
}

fn comparing() -> Comparing {
    let (one, two) = keys::pair();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(&any, &two).expect("listen on loopback");
    let near = connect(listener.address(), &one, LIMIT).expect("connect");
    let (sender, receiver, _) = listener.accept().expect("accept");
    let beginning = Beginning {
        epoch: 1,
        generation: 9,
        peer: PeerAtBeginning::Out,
        position: 0,
        debt: None,
    };
    let limits = Limits {
        queue_bytes_max: QUEUE_BYTES,
        stall_limit: LIMIT,
        durability: Durability::Disk,
    };
    let source = Arc::new(Source::new(7, beginning, limits, Box::new(|| {})));
    let terms = Terms {
        secret: [3; 32],
        comparison: ComparisonId::default(),
    };
    let begun = source.begin_compare(near.0.clone(), terms, None);
    Comparing {
        session: source.session(),
        source,
        link: begun.expect("the gate is open"),
        _ends: [near, (sender, receiver)],
        _listener: listener,
    }
}

impl Comparing {
    /// The comparison wants to go on. What it is told comes later, if it has to wait.
    fn advance(&self) -> mpsc::Receiver<Advance> {
        let (source, session) = (self.source.clone(), self.session);
        let (told, hears) = mpsc::channel();
        std::thread::spawn(move || told.send(source.advance(session, 0)));
        hears
    }

    fn write(&self, bytes: usize) {
        let place = WritePlace {
            object: ROOT_OBJECT,
            offset: 0,
            mtime: Timestamp {
                seconds: 0,
                nanoseconds: 0,
            },
        };
        let written = Written {
            volume: 0,
            place,
            resync: false,
        };
        let number = self
            .source
            .append_write(self.session, &written, vec![0; bytes]);
        number.expect("the session runs");
    }

    fn ask(&self, object: ObjectNumber) -> u64 {
        let question = Operation::Compare {
            object,
            offset: 0,
            bytes: 0,
            hash: [0; 32],
        };
        let number = self.source.append(self.session, 0, &question);
        number.expect("the session runs")
    }

    fn applied(&self, applied: u64) {
        let progress = Progress {
            applied,
            synced: 0,
            checkpointed: 0,
            received: applied,
        };
        self.source.progress(self.link, &progress);
    }
}

fn told(hears: &mpsc::Receiver<Advance>) -> u64 {
    match hears.recv_timeout(LIMIT).expect("it goes on in time") {
        Advance::Applied(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_comparison_goes_on_while_the_application_keeps_the_queue_full() {
    let comparing = comparing();
    for _ in 0..12 {
        comparing.write(QUEUE_BYTES / 16);
    }
    assert!(comparing.source.is_congested());
    assert_eq!(told(&comparing.advance()), 0);
}

#[test]
fn a_comparison_has_a_quarter_of_the_queue_and_no_more() {
    let comparing = comparing();
    let mut last = 0;
    for object in 0..QUEUE_BYTES as u64 / 4 / 128 {
        last = comparing.ask(ROOT_OBJECT + object);
    }
    let hears = comparing.advance();
    // Going on before the follower has applied half of it would say another number.
    comparing.applied(last / 2);
    assert_eq!(told(&hears), last / 2);
    assert!(!comparing.source.is_congested());
}
