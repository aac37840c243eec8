//! The connection between two mirrors, over loopback, with friends, strangers and noise.

#[path = "support/keys.rs"]
mod keys;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use keys::Keys;
use tandem_mirror::transport::{
    Frame, FrameReceiver, FrameSender, Identity, Listener, TransportError, connect,
};
use tandem_wire::stream::{FrameError, FrameHeader, FrameKind, PAYLOAD_MAX};

const LIMIT: Duration = Duration::from_secs(10);

fn listener(identity: &Identity) -> Listener {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Listener::bind(&any, identity).expect("listen on loopback")
}

type Half = (FrameSender, FrameReceiver);

fn connected() -> (Half, Half, Listener) {
    let (one, two) = keys::pair();
    let listener = listener(&two);
    let client = connect(listener.address(), &one, LIMIT).expect("connect");
    let (sender, receiver, _) = listener.accept().expect("accept");
    (client, (sender, receiver), listener)
}

fn gossip() -> FrameHeader {
    FrameHeader::control(FrameKind::Gossip, 7)
}

fn receive(receiver: &mut FrameReceiver) -> Frame {
    receiver
        .receive(LIMIT)
        .expect("receive")
        .expect("a frame in time")
}

#[test]
fn frames_arrive_in_order_and_whole() {
    let (client, mut server, _listener) = connected();
    let payloads: Vec<Vec<u8>> = [0, 1, 63, 64, 65, 16_384, 300_000, PAYLOAD_MAX as usize]
        .iter()
        .map(|length| (0..*length).map(|at| (at % 251) as u8).collect())
        .collect();
    let frames: Vec<_> = payloads.iter().map(|p| (gossip(), p.as_slice())).collect();
    let (sender, _keep) = client;
    thread::scope(|scope| {
        scope.spawn(|| sender.send_all(&frames).expect("send"));
        for payload in &payloads {
            let frame = receive(&mut server.1);
            assert_eq!(frame.kind(), FrameKind::Gossip);
            assert_eq!(frame.header.epoch.get(), 7);
            assert!(&frame.payload == payload, "{} bytes", payload.len());
        }
    });
    assert!(server.1.receive(Duration::ZERO).expect("idle").is_none());
}

#[test]
fn a_frame_sent_at_once_after_the_handshake_is_seen() {
    for _ in 0..50 {
        let (one, two) = keys::pair();
        let listener = listener(&two);
        let (sender, _receiver) = connect(listener.address(), &one, LIMIT).expect("connect");
        sender.send(gossip(), b"first").expect("send");
        let (_, mut receiver, _) = listener.accept().expect("accept");
        assert_eq!(receive(&mut receiver).payload, b"first");
    }
}

#[test]
fn a_payload_that_is_too_long_is_refused_before_anything_leaves() {
    let (client, mut server, _listener) = connected();
    let long = vec![0; PAYLOAD_MAX as usize + 1];
    let refused = client.0.send(gossip(), &long);
    assert!(matches!(refused, Err(TransportError::PayloadTooLong(_))));
    client.0.send(gossip(), b"after").expect("send");
    assert_eq!(receive(&mut server.1).payload, b"after");
}

#[test]
fn both_sides_can_send_more_than_the_sockets_hold_at_the_same_time() {
    let (client, server, _listener) = connected();
    let payload = vec![5_u8; PAYLOAD_MAX as usize];
    let run = |half: Half| {
        let (sender, mut receiver) = half;
        let payload = &payload;
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..40 {
                    sender.send(gossip(), payload).expect("send");
                }
            });
            for _ in 0..40 {
                assert_eq!(receive(&mut receiver).payload.len(), payload.len());
            }
            receiver
        })
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(server));
        let _kept = run(client);
        other.join().expect("other side");
    });
}

#[test]
fn many_threads_may_send_and_no_frame_is_torn() {
    let (client, mut server, _listener) = connected();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let sender = client.0.clone();
            scope.spawn(move || {
                for count in 0..200_usize {
                    let payload = vec![thread; 1 + count * 37];
                    sender.send(gossip(), &payload).expect("send");
                }
            });
        }
        let mut next = [0_usize; 4];
        for _ in 0..800 {
            let frame = receive(&mut server.1);
            let thread = usize::from(frame.payload[0]);
            assert_eq!(
                frame.payload.len(),
                1 + next[thread] * 37,
                "in order per thread"
            );
            next[thread] += 1;
        }
    });
}

#[test]
fn a_blocked_writer_does_not_block_the_reader_and_close_frees_it() {
    let (client, server, _listener) = connected();
    let (sender, mut receiver) = client;
    let blocked = sender.clone();
    let writer = thread::spawn(move || {
        let payload = vec![0; PAYLOAD_MAX as usize];
        // Nobody reads at the other side: this must end by `close`, not by success.
        while blocked.send(gossip(), &payload).is_ok() {}
    });
    for _ in 0..100 {
        server.0.send(gossip(), b"get on").expect("send");
        assert_eq!(receive(&mut receiver).payload, b"get on");
    }
    sender.close();
    writer.join().expect("writer ended");
    let over = receiver.receive(LIMIT);
    assert!(matches!(over, Err(TransportError::Closed)), "{over:?}");
    assert!(matches!(
        sender.send(gossip(), b""),
        Err(TransportError::Closed)
    ));
}

#[test]
fn the_end_of_the_other_side_is_a_typed_error_and_what_arrived_is_handed_out_first() {
    let (client, mut server, _listener) = connected();
    client.0.send(gossip(), b"last words").expect("send");
    drop(client);
    assert_eq!(receive(&mut server.1).payload, b"last words");
    let over = server.1.receive(LIMIT);
    let typed = matches!(
        over,
        Err(TransportError::Closed | TransportError::Broken(_))
    );
    assert!(typed, "{over:?}");
    assert!(matches!(
        server.1.receive(LIMIT),
        Err(TransportError::Closed)
    ));
}

#[test]
fn an_unknown_kind_of_frame_ends_the_connection() {
    let (client, mut server, _listener) = connected();
    let mut header = gossip();
    header.kind = 4711.into();
    client.0.send(header, b"").expect("send");
    let over = server.1.receive(LIMIT);
    let kind = matches!(over, Err(TransportError::Frame(FrameError::Kind(4711))));
    assert!(kind, "{over:?}");
    let mut receiver = client.1;
    assert!(receiver.receive(LIMIT).is_err(), "the sender learns of it");
}

#[test]
fn a_foreign_certificate_is_refused_by_the_listener() {
    let (one, two) = keys::pair();
    let listener = listener(&two);
    let stranger = Keys::new("one");
    let foreign = Identity {
        certificate_der: stranger.certificate,
        key_der: stranger.key,
        ..one.clone()
    };
    let outcome = connect(listener.address(), &foreign, LIMIT)
        .and_then(|(_sender, mut receiver)| receiver.receive(LIMIT));
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(
        listener
            .accept_within(Duration::ZERO)
            .expect("open")
            .is_none()
    );
    connect(listener.address(), &one, LIMIT).expect("the peer still gets in");
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    let (one, two) = keys::pair();
    let listener = listener(&two);
    let thief = Identity {
        key_der: Keys::new("thief").key,
        ..one
    };
    let outcome = connect(listener.address(), &thief, LIMIT)
        .and_then(|(_sender, mut receiver)| receiver.receive(LIMIT));
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(
        listener
            .accept_within(Duration::ZERO)
            .expect("open")
            .is_none()
    );
}

#[test]
fn a_foreign_listener_is_refused_by_the_connecting_side() {
    let (one, two) = keys::pair();
    let stranger = Keys::new("two");
    let foreign = Identity {
        certificate_der: stranger.certificate,
        key_der: stranger.key,
        ..two
    };
    let listener = listener(&foreign);
    let outcome = connect(listener.address(), &one, LIMIT).map(|_| ());
    assert!(
        matches!(outcome, Err(TransportError::Tls(_))),
        "{outcome:?}"
    );
}

#[test]
fn garbage_and_silent_connections_do_not_keep_the_peer_out() {
    let (one, two) = keys::pair();
    let listener = listener(&two);
    let address = listener.address();
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(address).expect("connect"))
        .collect();
    let mut noisy = TcpStream::connect(address).expect("connect");
    let _ = noisy.write_all(&[0x5a; 100_000]);
    let mut answer = Vec::new();
    let _ = noisy.read_to_end(&mut answer);
    let begin = Instant::now();
    let (sender, _receiver) = connect(address, &one, LIMIT).expect("the peer gets in");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    let (_, mut receiver, _) = listener.accept().expect("accept");
    sender.send(gossip(), b"hello").expect("send");
    assert_eq!(receive(&mut receiver).payload, b"hello");
    drop(silent);
}

#[test]
fn a_handshake_that_drips_byte_by_byte_is_ended() {
    let (_, two) = keys::pair();
    let listener = listener(&two);
    let mut slow = TcpStream::connect(listener.address()).expect("connect");
    slow.set_read_timeout(Some(Duration::from_millis(100)))
        .expect("set time-out");
    // The beginning of a TLS record of 512 bytes, one byte each tenth of a second.
    let record = [&[22_u8, 3, 1, 2, 0][..], &[0; 512]].concat();
    let begin = Instant::now();
    for byte in record {
        let mut answer = [0; 64];
        let wrote = slow.write_all(&[byte]);
        let ended = match slow.read(&mut answer) {
            Ok(read) => read == 0,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        };
        if wrote.is_err() || ended {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "the handshake was never ended");
    }
    panic!("a handshake of nothing was accepted");
}

#[test]
fn nobody_there_and_nobody_answering_are_bounded() {
    let (one, two) = keys::pair();
    let mute = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let begin = Instant::now();
    let timeout = Duration::from_millis(300);
    let address = mute.local_addr().expect("address");
    let outcome = connect(address, &one, timeout).map(|_| ());
    assert!(
        matches!(outcome, Err(TransportError::HandshakeTimeout)),
        "{outcome:?}"
    );
    assert!(begin.elapsed() < LIMIT);
    drop(mute);
    let outcome = connect(address, &one, timeout).map(|_| ());
    assert!(
        matches!(outcome, Err(TransportError::Connect { .. })),
        "{outcome:?}"
    );
    let open = listener(&two);
    let twice = Listener::bind(&open.address(), &two).map(|_| ());
    assert!(
        matches!(twice, Err(TransportError::Listen { .. })),
        "{twice:?}"
    );
}

#[test]
fn it_listens_at_an_address_that_the_machine_does_not_have_yet() {
    let (one, _) = keys::pair();
    // Documentation addresses: nobody has them.
    for address in ["192.0.2.7:0", "[2001:db8::7]:0"] {
        let address: SocketAddr = address.parse().expect("an address");
        let listening = Listener::bind(&address, &one);
        assert!(listening.is_ok(), "{address}: {:?}", listening.err());
    }
}
