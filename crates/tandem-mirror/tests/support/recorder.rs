//! Stands between two mirrors, as each of them to the other, and keeps every numbered frame that
//! the source sends: the recorded operation stream.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_mirror::transport::{FrameReceiver, FrameSender, Identity, Listener, connect};
use tandem_wire::stream::{FrameHeader, FrameKind};

/// How long a relay waits for a frame before it looks whether the other side is gone.
const READ_LIMIT: Duration = Duration::from_millis(200);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The stream of one source.
pub struct Recorder {
    pub address: SocketAddr,
    recorded: Arc<Mutex<Recorded>>,
}

#[derive(Default)]
struct Recorded {
    /// The number of the last frame in it; of the one before the first, as long as it is empty.
    last: Option<u64>,
    bytes: Vec<u8>,
}

impl Recorder {
    /// Between a source that looks for its peer at [`Self::address`], and the follower at `target`.
    pub fn between(source: Identity, follower: Identity, target: SocketAddr) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(&any, &follower).expect("listen");
        let address = listener.address();
        let recorded = Arc::<Mutex<Recorded>>::default();
        let kept = Arc::clone(&recorded);
        std::thread::spawn(move || {
            while let Ok((to_source, from_source, _)) = listener.accept() {
                // Not there yet: the source comes again.
                let Ok((to_follower, from_follower)) = connect(target, &source, CONNECT_LIMIT)
                else {
                    to_source.close();
                    continue;
                };
                let kept = Arc::clone(&kept);
                let back = to_source.clone();
                let there = to_follower.clone();
                std::thread::spawn(move || relay(from_source, to_follower, back, Some(&kept)));
                std::thread::spawn(move || relay(from_follower, to_source, there, None));
            }
        });
        Self { address, recorded }
    }

    /// How many bytes of the stream have passed.
    pub fn length(&self) -> usize {
        self.recorded.lock().expect("recorded").bytes.len()
    }

    /// The frames that have passed, one after the other, as they are on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        self.recorded.lock().expect("recorded").bytes.clone()
    }
}

fn relay(
    mut from: FrameReceiver,
    to: FrameSender,
    back: FrameSender,
    kept: Option<&Mutex<Recorded>>,
) {
    while !to.is_closed() {
        let frame = match from.receive(READ_LIMIT) {
            Ok(Some(frame)) => frame,
            Ok(None) => continue,
            Err(_) => break,
        };
        if let Some(kept) = kept {
            kept.lock()
                .expect("recorded")
                .take(&frame.header, &frame.payload);
        }
        if to.send(frame.header, &frame.payload).is_err() {
            break;
        }
    }
    to.close();
    back.close();
}

impl Recorded {
    fn take(&mut self, header: &FrameHeader, payload: &[u8]) {
        match header.frame_kind().expect("a known kind") {
            FrameKind::Operation | FrameKind::Write => {}
            _ => return,
        }
        let number = header.sequence.get();
        match self.last {
            // Sent again on a new connection.
            Some(last) if number <= last => return,
            Some(last) => assert_eq!(number, last + 1, "nothing is missing"),
            None => {}
        }
        self.last = Some(number);
        self.bytes.extend_from_slice(header.sealed(payload).bytes());
        self.bytes.extend_from_slice(payload);
    }
}

/// Takes a recorded stream apart: where each frame ends, and what it is. What is left of the last
/// one, if the record was cut inside it, is no frame.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Recording<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (head, rest) = bytes[at..].split_first_chunk()?;
        let (header, kind) = FrameHeader::parse(head).expect("a frame");
        let payload = rest.get(..header.payload_bytes.get() as usize)?;
        header.verify(payload).expect("an undamaged frame");
        at += FrameHeader::BYTES + payload.len();
        Some(Recording {
            header,
            kind,
            payload,
            end: at,
        })
    })
}

/// A recorded frame.
#[derive(Clone, Copy)]
pub struct Recording<'a> {
    pub header: FrameHeader,
    pub kind: FrameKind,
    pub payload: &'a [u8],
    /// The bytes of the stream up to here.
    pub end: usize,
}
