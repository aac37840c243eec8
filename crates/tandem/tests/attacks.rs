//! Attacks on port 9010 of a real pair. What needs no real connection is tried in the console's own
//! crate; here are the wire, the bounds, the pair, and what is left on the disk.

mod stage;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect as connect_socket, socket_with,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::{ClientConfig, HandshakeKind};
use serde_json::Value;
use stage::configuration::{cluster, module};
use stage::http::{ANSWER_MAX, Connection, Door, bearer, certificate, connect};
use stage::{Machine, Stage, first_start, is_root, lines, make_keys, run, until};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tandem_console::history::{Entry, History, Question};

/// Of all strangers together, and of one address: the daemon's bounds.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_OF_ONE_MAX: usize = 96;
const DESCRIPTION: &str = include_str!("../../tandem-console/openapi.json");
const PASSWORD: &str = "correct horse battery";

/// What port 9010 speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http,
    Https,
}

/// Two machines with a module that has nothing but a directory.
fn files(name: &str, speaks: Speaks) -> Stage {
    // Both run at the same time.
    let name = match speaks {
        Speaks::Http => name.to_owned(),
        Speaks::Https => format!("{name}s"),
    };
    let configuration = cluster("") + &module("files", "volume", "");
    // What is looked for is a heartbeat that is missing, not a machine that is busy.
    let patient = configuration.replace("takeover-after = \"1s\"", "takeover-after = \"4s\"");
    Stage::build(&name, &patient)
}

/// Both nodes, with their daemons running and the module stopped, and the way in.
fn pair(stage: &Stage, speaks: Speaks) -> (Machine<'_>, Machine<'_>, Door) {
    let (one, two) = (stage.boot(1), stage.boot(2));
    make_keys(&one, &two);
    for node in [&one, &two] {
        if speaks == Speaks::Https {
            run(&mut node.tandem(&["console", "https"]));
        }
        node.start_daemon();
    }
    let door = Door::of(&[&one, &two]);
    one.wait_for(["STOP", "red", "not uptodate"]);
    two.wait_for(["STOP", "red", "not uptodate"]);
    until("the nodes know each other", || {
        let status = one.status()?;
        status.nodes.iter().all(|node| node.answers).then_some(())
    });
    (one, two, door)
}

/// Each of these attacks over HTTP, and over HTTPS.
macro_rules! over_both {
    ($($attack:ident)*) => {
        mod over_http {
            $(#[test] fn $attack() { super::attack(stringify!($attack), super::Speaks::Http, super::$attack); })*
        }
        mod over_https {
            $(#[test] fn $attack() { super::attack(stringify!($attack), super::Speaks::Https, super::$attack); })*
        }
    };
}

over_both! {
    ten_thousand_connections_are_refused_while_every_heartbeat_arrives
    the_slow_are_cut_off_and_keep_nobody_else_out
    readers_that_never_read_keep_no_event_from_others
    what_is_no_request_is_refused_and_nothing_behind_it_is_answered
    every_route_is_closed_to_every_role_below_its_own
    another_certificate_counts_at_once_and_no_key_comes_over_http
    sessions_and_tokens_end_on_both_nodes_and_in_streams_that_are_open
    what_is_secret_or_forged_is_in_no_log_and_in_no_bundle
    the_api_is_what_its_description_says
}

fn attack(name: &str, speaks: Speaks, attack: fn(Speaks)) {
    if is_root(name) {
        attack(speaks);
    }
}

/// A pair that must notice nothing: what both nodes had written down and heard when it began.
struct Calm<'a> {
    nodes: [&'a Machine<'a>; 2],
    past: [Vec<Entry>; 2],
    heard: [u64; 2],
    lost: [u64; 2],
}

impl<'a> Calm<'a> {
    fn begin(one: &'a Machine<'a>, two: &'a Machine<'a>) -> Self {
        let nodes = [one, two];
        Self {
            nodes,
            past: until("what led here is written down", || settled(nodes)),
            heard: nodes.map(heartbeats),
            lost: nodes.map(lost),
        }
    }

    /// Heartbeats arrive now, too: ten more on each node.
    fn goes_on(&self) {
        for node in self.nodes {
            let now = heartbeats(node);
            until("heartbeats go on", || {
                (heartbeats(node) > now + 10).then_some(())
            });
        }
    }

    /// No node decided anything, raised an alarm, lost the other one for a moment, or could not send
    /// a heartbeat.
    fn end(self) {
        let now = until("what was until now is written down", || settled(self.nodes));
        for (place, node) in self.nodes.into_iter().enumerate() {
            assert!(heartbeats(node) > self.heard[place], "heartbeats arrive");
            let fresh: Vec<&Entry> =
                (now[place].iter().filter(|e| !self.past[place].contains(e))).collect();
            assert!(fresh.is_empty(), "somebody noticed something: {fresh:#?}");
            assert_eq!(lost(node), self.lost[place], "all of them are sent");
        }
    }
}

/// What came over the networks and counted, as a node says.
fn heartbeats(machine: &Machine<'_>) -> u64 {
    let module = until("the node answers", || machine.module());
    let channels = module
        .channels
        .iter()
        .filter(|c| c.name.starts_with("network"));
    channels.map(|channel| channel.received).sum()
}

/// What could not be sent, and what came and was refused.
fn lost(machine: &Machine<'_>) -> u64 {
    let module = until("the node answers", || machine.module());
    let lost = module.channels.iter().map(|c| c.unsent + c.refused);
    lost.sum()
}

/// Everything that the nodes decided, and showed of themselves and of each other, newest first: as
/// soon as both show the same and that is written down.
fn settled(nodes: [&Machine<'_>; 2]) -> Option<[Vec<Entry>; 2]> {
    let [one, two] = nodes.map(|node| {
        let nodes = node.status()?.nodes.into_iter();
        let faces = nodes.map(|node| {
            let module = node.modules.into_iter().next()?;
            node.answers
                .then_some((module.state, module.colour, module.reason))
        });
        faces.collect::<Option<Vec<_>>>()
    });
    let shown = one.filter(|one| two.as_ref() == Some(one))?;
    let past = nodes.map(|node| {
        let history = History::look(&node.state_dir().join("history.db")).ok()?;
        let past = history.ask(&Question::default()).ok()?;
        let stands = shown
            .iter()
            .zip(1..)
            .all(|((state, colour, reason), node)| {
                let mut states = past.iter().filter(|e| e.kind == "state");
                let last = states.find(|entry| entry.node == node);
                last.is_some_and(|l| (&l.state, &l.colour, &l.because) == (state, colour, reason))
            });
        stands.then_some(past)
    });
    let [one, two] = past;
    Some([one?, two?])
}

/// A connection to node1's API from one of many addresses.
fn connect_from(last: u8) -> TcpStream {
    // Not for programs that are started meanwhile: ten thousand are more than they can count.
    let (kind, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = socket_with(AddressFamily::INET, kind, flags, None).expect("a descriptor");
    bind(
        &socket,
        &SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, last), 0),
    )
    .expect("an own address");
    let to = SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 9010);
    connect_socket(&socket, &to).expect("node1 listens");
    TcpStream::from(socket)
}

/// So many connections from each of these addresses, at the same time.
fn connect_many(addresses: std::ops::Range<u8>, of_each: usize) -> Vec<(u8, TcpStream)> {
    std::thread::scope(|scope| {
        let attackers = addresses.map(|last| {
            scope.spawn(move || {
                let streams = (0..of_each).map(|_| (last, connect_from(last)));
                streams.collect::<Vec<_>>()
            })
        });
        let attackers: Vec<_> = attackers.collect();
        let streams = attackers.into_iter();
        let streams = streams.map(|attacker| attacker.join().expect("it connects"));
        streams.flatten().collect()
    })
}

/// Gives machine 2 more addresses, as many machines have.
fn more_addresses(stage: &Stage, addresses: std::ops::Range<u8>) {
    for last in addresses {
        let address = format!("10.99.0.{last}/24");
        stage.ip(2, &["addr", "add", &address, "dev", "eth0"]);
    }
}

/// Whether the other end keeps this connection.
fn is_held(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let read = stream.read(&mut [0; 16]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn ten_thousand_connections_are_refused_while_every_heartbeat_arrives(speaks: Speaks) {
    // One after the other: what is looked for is not how busy a machine can be.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(11_000);
    limit.maximum = limit.maximum.map(|maximum| maximum.max(11_000));
    setrlimit(Resource::Nofile, limit).expect("root may do this");
    let stage = files("many", speaks);
    more_addresses(&stage, 10..20);
    let (one, two, door) = pair(&stage, speaks);
    first_start(&one, &two);
    let calm = Calm::begin(&one, &two);
    let daemon = one.daemon_id();
    let ended = AtomicBool::new(false);
    // With its own files and sockets, and what it opens for a moment.
    let most = CONNECTIONS_MAX + 100;
    let streams = std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            let mut held = 0;
            while !ended.load(Ordering::Relaxed) {
                let open = fs::read_dir(format!("/proc/{daemon}/fd")).expect("it runs");
                held = held.max(open.count());
                std::thread::sleep(Duration::from_millis(50));
            }
            held
        });
        let streams = stage.in_network(2, || connect_many(10..20, 1000));
        assert_eq!(streams.len(), 10_000);
        // All at the same time; one address with all of its places, and others with theirs.
        until("the daemon refuses what is beyond its bounds", || {
            let mut by: HashMap<u8, usize> = HashMap::new();
            for (last, stream) in &streams {
                *by.entry(*last).or_default() += usize::from(is_held(stream));
            }
            let most = by.values().max().copied()?;
            let all: usize = by.values().sum();
            (all <= CONNECTIONS_MAX && most <= CONNECTIONS_OF_ONE_MAX).then_some(())
        });
        ended.store(true, Ordering::Relaxed);
        let held = held.join().expect("it counts");
        assert!(held <= most, "{held} descriptors were open");
        streams
    });
    calm.goes_on();
    drop(streams);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        until("operators are let in again", || {
            let (status, _) = door.ask(&format!("GET /api/v1/status HTTP/1.1\r\n{bearer}"), "");
            (status == 200).then_some(())
        });
    });
    calm.end();
}

fn the_slow_are_cut_off_and_keep_nobody_else_out(speaks: Speaks) {
    let stage = files("slow", speaks);
    more_addresses(&stage, 10..11);
    let (one, two, door) = pair(&stage, speaks);
    first_start(&one, &two);
    let calm = Calm::begin(&one, &two);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        let body = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: one\r\n{bearer}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        );
        // What never ends: the wait for a word, a head, a body, and a handshake.
        let mut kinds: Vec<(&Door, &[u8], &[u8])> = vec![
            (&door, b"", b""),
            (&door, b"GET /health/ready HTTP/1.1\r\n", b"X: y\r\n"),
            (&door, body.as_bytes(), b"x"),
        ];
        if speaks == Speaks::Https {
            kinds.push((&Door::Http, b"", b""));
            kinds.push((&Door::Http, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"x"));
            kinds.push((&Door::Http, b"GET / HTTP/1.1\r\n", b"X: y\r\n"));
        }
        let mut slow: Vec<(Connection, &[u8])> = (0..CONNECTIONS_OF_ONE_MAX)
            .map(|number| {
                let (door, start, drip) = kinds[number % kinds.len()];
                let mut stream = door.over(1, connect_from(10)).expect("node1 has room");
                stream.write_all(start).expect("node1 reads");
                (stream, drip)
            })
            .collect();
        until("this address has all its places", || {
            let mut refused = connect_from(10);
            refused
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("a socket");
            (refused.read(&mut [0]).ok() == Some(0)).then_some(())
        });
        let (status, _) = door.ask(&format!("GET /api/v1/status HTTP/1.1\r\n{bearer}"), "");
        assert_eq!(status, 200, "another address is let in");
        // However busy they look.
        until("all of them are cut off", || {
            let held = slow.iter_mut().filter_map(|(stream, drip)| {
                stream.socket().set_nonblocking(true).expect("a socket");
                let dripped = stream.write_all(drip);
                let mut rest = [0; 4096];
                let open = loop {
                    match stream.read(&mut rest) {
                        Ok(0) => break false,
                        Ok(_) => {}
                        Err(error) => break error.kind() == ErrorKind::WouldBlock,
                    }
                };
                (dripped.is_ok() && open).then_some(())
            });
            let held = held.count();
            std::thread::sleep(Duration::from_millis(200));
            (held == 0).then_some(())
        });
        let socket = connect_from(10);
        socket.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
        let mut stream = door.over(1, socket).expect("node1 has room");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: one\r\n\r\n")
            .expect("node1 reads");
        assert_ne!(stream.read(&mut [0; 16]).expect("an answer"), 0);
    });
    calm.end();
}

/// Sends some bytes as they are, and gives back what comes until node1 closes the connection.
fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(9010);
    socket.write_all(bytes).expect("node1 reads");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// How a client begins that knows no newer version of TLS than this, and is fine otherwise.
fn hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session; one suite; no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // One group, one form of its points, one kind of signature.
    body.extend([0, 22]);
    body.extend([0, 10, 0, 4, 0, 2, 0, 23]);
    body.extend([0, 11, 0, 2, 1, 0]);
    body.extend([0, 13, 0, 4, 0, 2, 4, 3]);
    let length = u8::try_from(body.len()).expect("a short one");
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

/// The first bytes that node1 answers to it.
fn answer_to_hello(version: u16) -> [u8; 7] {
    let mut socket = connect(9010);
    socket.write_all(&hello(version)).expect("node1 reads");
    let mut answer = [0; 7];
    socket.read_exact(&mut answer).expect("an answer");
    answer
}

#[test]
fn what_comes_to_https_and_is_something_else_gets_no_further() {
    if !is_root("what_comes_to_https_and_is_something_else_gets_no_further") {
        return;
    }
    let stage = files("hello", Speaks::Https);
    let (one, two, door) = pair(&stage, Speaks::Https);
    let Door::Https(config) = &door else {
        panic!("both speak HTTPS");
    };
    first_start(&one, &two);
    let calm = Calm::begin(&one, &two);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        plain_http_is_told_where_https_is(&bearer);
        // SSL 3, TLS 1.0 and 1.1: a fatal alert, "protocol version". TLS 1.2 is answered.
        for version in [0x0300, 0x0301, 0x0302] {
            let [kind, _, _, rest @ ..] = answer_to_hello(version);
            assert_eq!((kind, rest), (0x15, [0, 2, 2, 70]), "{version:x}");
        }
        assert_eq!(answer_to_hello(0x0303)[0], 0x16);
        let mut other = (**config).clone();
        other.alpn_protocols = vec![b"h2".to_vec()];
        let refused = Door::Https(Arc::new(other)).over(1, connect(9010));
        assert!(refused.is_err(), "only HTTP/1.1 is spoken");
        nothing_is_taken_before_the_handshake_ends(config);
    });
    nobody_shakes_hands_twice(
        stage.command(2, "openssl").arg("s_client"),
        &certificate(&one),
    );
    // Handshakes one after the other, or a refusal where this side is the faster one.
    stage.in_network(2, || {
        let shaken = (0..500).filter(|_| door.over(1, connect(9010)).is_ok());
        assert!(shaken.count() > 100);
    });
    calm.goes_on();
    calm.end();
}

fn plain_http_is_told_where_https_is(bearer: &str) {
    let ask = |method: &str, host: &str| {
        let answer = raw(format!(
            "{method} /api/v1/status?x=y HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .as_bytes());
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(!answer.contains("cluster1"), "{answer}");
        assert!(!answer.contains("set-cookie"), "{answer}");
        answer
    };
    let answer = ask("GET", "node1:9010");
    assert!(answer.starts_with("http/1.1 307 "), "{answer}");
    let place = "\r\nlocation: https://node1:9010/api/v1/status?x=y\r\n";
    assert!(answer.contains(place), "{answer}");
    assert!(answer.contains("default-src 'none'"), "{answer}");
    for (method, host) in [
        ("POST", "node1:9010"),
        ("GET", ""),
        ("GET", "a@evil.example"),
        ("GET", "evil.example/"),
        ("GET", "a\"><script>"),
    ] {
        let answer = ask(method, host);
        let what = format!("{method} {host}: {answer}");
        assert!(answer.starts_with("http/1.1 400 "), "{what}");
        assert!(!answer.contains("location:"), "{what}");
    }
}

/// Within TLS 1.2, at no cost of who asks for it.
fn nobody_shakes_hands_twice(client: &mut Command, certificate: &Path) {
    client
        .args(["-connect", "10.99.0.1:9010", "-tls1_2", "-CAfile"])
        .arg(certificate)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut client = client.spawn().expect("openssl is there");
    let mut input = client.stdin.take().expect("a pipe");
    input.write_all(b"R\n").expect("openssl reads");
    let lines = BufReader::new(client.stderr.take().expect("a pipe")).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said += &(line + "\n");
        if said.contains("no renegotiation") {
            break;
        }
    }
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation"), "{said}");
    // It would wait for the end of the connection.
    client.kill().expect("a child");
    client.wait().expect("a child");
}

/// It could be sent again by somebody else.
fn nothing_is_taken_before_the_handshake_ends(config: &ClientConfig) {
    let mut early = config.clone();
    early.enable_early_data = true;
    let early = Door::Https(Arc::new(early));
    assert_eq!(early.ask("GET / HTTP/1.1", "").0, 200);
    let Connection::Https(again) = early.connect() else {
        panic!("it speaks HTTPS");
    };
    let kind = again.conn.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    assert!(!again.conn.is_early_data_accepted());
}

/// Opens an event stream, reads its head, and no more.
fn open_events(door: &Door, bearer: &str) -> BufReader<Connection> {
    let mut stream = door.connect();
    let request = format!("GET /api/v1/events HTTP/1.0\r\nHost: one\r\n{bearer}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("node1 reads");
    let mut stream = BufReader::with_capacity(64, stream);
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    assert!(line.contains(" 200 "), "{line}");
    stream
}

fn readers_that_never_read_keep_no_event_from_others(speaks: Speaks) {
    let stage = files("deaf", speaks);
    let (one, _two, door) = pair(&stage, speaks);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        let deaf: Vec<_> = (0..60).map(|_| open_events(&door, &bearer)).collect();
        let mut listens = open_events(&door, &bearer);
        let post = format!("POST /api/v1/command HTTP/1.1\r\n{bearer}");
        let asked: Vec<String> = (0..10)
            .map(|_| {
                let (_, answer) = door.ask(&post, r#"{"command":"swap","wait":true}"#);
                let body = answer.split_once("\r\n\r\n").expect("a body").1;
                let job: Value = serde_json::from_str(body).expect("JSON");
                job["job"].as_str().expect("a name").to_owned()
            })
            .collect();
        let mut unseen = asked;
        while !unseen.is_empty() {
            let mut line = String::new();
            let bytes = listens.read_line(&mut line).expect("an event in time");
            assert_ne!(bytes, 0, "the stream ended");
            unseen.retain(|job| !line.contains(job.as_str()));
        }
        drop(deaf);
    });
}

fn what_is_no_request_is_refused_and_nothing_behind_it_is_answered(speaks: Speaks) {
    let stage = files("wire", speaks);
    let (one, _two, door) = pair(&stage, speaks);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        let post = "POST /api/v1/session HTTP/1.1\r\nHost: one\r\n";
        let get = "GET /health/ready HTTP/1.1\r\nHost: one\r\n";
        let behind = "GET /health/ready HTTP/1.1\r\nHost: one\r\n\r\n";
        let long = "x".repeat(100_000);
        for (request, status) in [
            // Two lengths, or one that is none: where would the next request begin?
            (
                format!("{post}Content-Length: 4\r\nContent-Length: 0\r\n\r\n{behind}"),
                400,
            ),
            (format!("{post}Content-Length: 0, 4\r\n\r\n{behind}"), 400),
            (format!("{post}Content-Length: +4\r\n\r\n{behind}"), 400),
            (format!("{post}Content-Length: -1\r\n\r\n{behind}"), 400),
            (
                format!("{post}Content-Length: 18446744073709551616\r\n\r\n{behind}"),
                400,
            ),
            (
                format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{behind}"),
                400,
            ),
            (
                format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{behind}"),
                400,
            ),
            (
                format!(
                    "{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{behind}"
                ),
                415,
            ),
            (format!("{get}X: a\r\n b\r\n\r\n{behind}"), 400),
            (format!("{get}X : a\r\n\r\n{behind}"), 400),
            (format!("{get}X: a\rY: b\r\n\r\n{behind}"), 400),
            (format!("{get}X: a\0\r\n\r\n{behind}"), 400),
            // Too much of anything.
            (format!("{get}X: {long}\r\n\r\n"), 431),
            (format!("{get}{}\r\n", "X: y\r\n".repeat(200)), 431),
            (format!("GET /{long} HTTP/1.1\r\nHost: one\r\n\r\n"), 431),
            (
                format!(
                    "{post}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{long}"
                ),
                413,
            ),
        ] {
            let answer = door.send(&request);
            let shown: String = request.chars().take(150).collect();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{shown}: {answer}"
            );
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown}: {answer}");
        }
        // What comes back in a head is never what was sent.
        for path in [
            "jobs/x%0d%0aSet-Cookie:%20planted=1",
            "jobs/%0d%0a%0d%0a%3cscript%3e",
            "log?source=application&after=%0d%0aSet-Cookie:%20planted=1",
            "support?anonymise=%0d%0aSet-Cookie:%20planted=1",
            "history?kind=%0d%0aSet-Cookie:%20planted=1",
        ] {
            let (status, answer) =
                door.ask(&format!("GET /api/v1/{path} HTTP/1.1\r\n{bearer}"), "");
            let head = answer
                .split_once("\r\n\r\n")
                .expect("a head")
                .0
                .to_lowercase();
            assert!(
                (200..500).contains(&status) || status == 503,
                "{path}: {answer}"
            );
            assert!(
                !head.contains("planted") && !head.contains("\nlocation:"),
                "{path}: {head}"
            );
            assert!(
                head.contains("x-content-type-options: nosniff"),
                "{path}: {head}"
            );
            assert!(head.contains("default-src 'none'"), "{path}: {head}");
        }
        for path in [
            "/assets/../../../etc/passwd",
            "/assets/..%2f..%2f..%2fetc%2fpasswd",
            "//etc/passwd",
            "/assets//etc/passwd",
            "/%2e%2e/etc/passwd",
            "http://one/../../etc/passwd",
        ] {
            let (status, answer) = door.ask(&format!("GET {path} HTTP/1.1\r\n{bearer}"), "");
            assert_eq!(status, 404, "{path}: {answer}");
            assert!(!answer.contains("root:"));
        }
    });
}

/// Makes a token with a role.
fn token(door: &Door, bearer: &str, role: &str) -> String {
    let body = format!(r#"{{"name":"of-{role}","role":"{role}"}}"#);
    let (status, answer) = door.ask(&format!("POST /api/v1/tokens HTTP/1.1\r\n{bearer}"), &body);
    assert_eq!(status, 201, "{answer}");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let made: Value = serde_json::from_str(body).expect("JSON");
    format!(
        "Authorization: Bearer {}",
        made["token"].as_str().expect("a token")
    )
}

/// The head of the answer: some have no end.
fn status_of(door: &Door, head: &str) -> u16 {
    let mut stream = door.connect();
    let request = format!("{head}\r\nHost: one\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("node1 reads");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("an answer");
    let word = line.split(' ').nth(1).expect("a status");
    word.parse().expect("a number")
}

fn every_route_is_closed_to_every_role_below_its_own(speaks: Speaks) {
    let stage = files("roles", speaks);
    let (one, _two, door) = pair(&stage, speaks);
    let root = bearer(&one);
    let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
    stage.in_network(2, || {
        let roles = ["none", "monitor", "control", "admin"];
        let nobody = "X: y".to_owned();
        let shown = [
            nobody,
            token(&door, &root, "monitor"),
            token(&door, &root, "control"),
            token(&door, &root, "admin"),
        ];
        let paths = description["paths"].as_object().expect("paths");
        let mut below = 0;
        for (path, operations) in paths {
            let real = path.replace("{name}", "nobody").replace("{job}", "none");
            for (method, operation) in operations.as_object().expect("operations") {
                let needed = roles.iter().position(|role| operation["x-role"] == **role);
                let needed = needed.expect("a role");
                let method = method.to_uppercase();
                for (has, (role, shown)) in roles.into_iter().zip(&shown).enumerate() {
                    let what = format!("{method} {path} as {role}");
                    // They take their time; who may not have them is told so at once.
                    let long = real.contains("/support")
                        || (real.ends_with("/doctor") && method == "POST");
                    if long && has >= needed {
                        continue;
                    }
                    let status = status_of(&door, &format!("{method} {real} HTTP/1.1\r\n{shown}"));
                    match (has >= needed, has) {
                        (true, 0) => assert_ne!(status, 403, "{what}"),
                        (true, _) => assert!(![401, 403].contains(&status), "{what}: {status}"),
                        (false, 0) => assert_eq!(status, 401, "{what}"),
                        (false, _) => assert_eq!(status, 403, "{what}"),
                    }
                    below += usize::from(has < needed && has > 0);
                }
            }
        }
        assert!(below >= 15, "{below}");
        // What the route alone does not say.
        let force = r#"{"command":"prim","force":true,"why":"because"}"#;
        let control = format!("POST /api/v1/command HTTP/1.1\r\n{}", shown[2]);
        assert_eq!(door.ask(&control, force).0, 403);
        for (shown, status) in [(&shown[1], 403), (&shown[2], 403)] {
            let head = format!("GET /api/v1/log?source=daemon HTTP/1.1\r\n{shown}");
            assert_eq!(status_of(&door, &head), status);
        }
        // Each of these refusals is in the command log, and why somebody wanted it.
        let (_, log) = door.ask(&format!("GET /api/v1/audit HTTP/1.1\r\n{root}"), "");
        let log = log.split_once("\r\n\r\n").expect("a body").1;
        let log: Vec<Value> = serde_json::from_str(log).expect("JSON");
        let refused = log.iter().filter(|entry| {
            let result = entry["result"].as_str().expect("a result");
            result.starts_with("refused: this needs the role")
        });
        assert_eq!(refused.count(), below);
        let last = log.iter().find(|entry| entry["what"] == "prim --force");
        let last = last.expect("it is there");
        assert_eq!(last["who"], "token of-control");
        assert_eq!(last["from"], "10.99.0.2");
        assert_eq!(last["why"], "because");
        assert_eq!(
            last["result"],
            "refused: forcing may lose data: it needs the role admin"
        );
    });
}

fn another_certificate_counts_at_once_and_no_key_comes_over_http(speaks: Speaks) {
    let stage = files("certs", speaks);
    let (one, two, door) = pair(&stage, speaks);
    let root = bearer(&one);
    let head = format!("POST /api/v1/certificate HTTP/1.1\r\n{root}");
    run(&mut two.tandem(&["console", "https"]));
    let read = |machine: &Machine<'_>| {
        let file = certificate(machine);
        let key = file.with_file_name("key.pem");
        [file, key].map(|path| fs::read_to_string(path).unwrap_or_default())
    };
    let ask = |door: &Door, head: &str, body: &str| stage.in_network(2, || door.ask(head, body));
    let shown = || {
        let status = one.status()?;
        Some(status.nodes.first()?.certificate.clone())
    };
    let (before, [theirs, their_key]) = (read(&one), read(&two));
    let own = serde_json::json!({ "certificate": theirs, "key": their_key }).to_string();
    let (mixed, half) = (
        serde_json::json!({ "certificate": theirs, "key": before[1] }).to_string(),
        serde_json::json!({ "certificate": theirs }).to_string(),
    );
    let refused = match speaks {
        Speaks::Http => [(&own, "could be read"), (&half, "belong together")],
        Speaks::Https => [(&mixed, "use the certificate"), (&half, "belong together")],
    };
    for (body, reason) in refused {
        let (status, answer) = ask(&door, &head, body);
        assert_eq!(status, 409, "{answer}");
        assert!(answer.contains(reason), "{answer}");
    }
    assert_eq!(read(&one), before, "nothing was changed");
    let (status, answer) = ask(&door, &head, "{}");
    assert_eq!(status, 200, "{answer}");
    assert_ne!(read(&one), before);
    // Whoever comes now is answered with it.
    let door = Door::of(&[&one]);
    let (status, answer) = ask(&door, &format!("GET /api/v1/status HTTP/1.1\r\n{root}"), "");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(r#""subject":"Tandem on one""#), "{answer}");
    let plain = ask(&Door::Http, "GET / HTTP/1.1", "");
    assert_eq!(plain.0, 307, "{}", plain.1);
    let (status, answer) = ask(&door, &head, &own);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(read(&one), [theirs, their_key.clone()]);
    let now = until("it is shown", || shown().flatten());
    assert_eq!(now.subject, "Tandem on two");
    let log = fs::read_to_string(one.log()).expect("a log");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

/// A browser's cookie at a node.
fn sign_in(door: &Door, node: u8) -> String {
    let body = format!(r#"{{"name":"anna","password":"{PASSWORD}"}}"#);
    let head = "POST /api/v1/session HTTP/1.1\r\nContent-Type: application/json";
    until("anna is let in", || {
        let answer = at(door, node, head, &body);
        let cookie = answer.split("set-cookie: ").nth(1)?.lines().next()?;
        let (prefix, flag) = match door {
            Door::Http => ("tandem=", false),
            Door::Https(_) => ("__Host-tandem=", true),
        };
        assert!(cookie.starts_with(prefix), "{cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), flag, "{cookie}");
        Some(format!("Cookie: {}", cookie.split(';').next()?))
    })
}

fn is_signed_in(door: &Door, node: u8, cookie: &str) -> bool {
    let head = format!("GET /api/v1/session HTTP/1.1\r\n{cookie}");
    at(door, node, &head, "").starts_with("HTTP/1.1 200 ")
}

/// What a node answers.
fn at(door: &Door, node: u8, head: &str, body: &str) -> String {
    let mut stream = door.connect_to(node);
    let length = body.len();
    let request =
        format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

fn sessions_and_tokens_end_on_both_nodes_and_in_streams_that_are_open(speaks: Speaks) {
    let stage = files("ends", speaks);
    let (one, _two, door) = pair(&stage, speaks);
    let root = bearer(&one);
    stage.in_network(2, || {
        let new = format!(r#"{{"name":"anna","role":"admin","password":"{PASSWORD}"}}"#);
        let (status, answer) = door.ask(&format!("POST /api/v1/users HTTP/1.1\r\n{root}"), &new);
        assert_eq!(status, 201, "{answer}");
        let cookies = [1, 2].map(|node| sign_in(&door, node));
        assert!(is_signed_in(&door, 1, &cookies[0]) && is_signed_in(&door, 2, &cookies[1]));
        let (status, _) = door.ask(
            &format!(
                "DELETE /api/v1/session?everywhere=true HTTP/1.1\r\n{}",
                cookies[0]
            ),
            "",
        );
        assert_eq!(status, 204);
        assert!(!is_signed_in(&door, 1, &cookies[0]));
        until("the session on the other node ends", || {
            (!is_signed_in(&door, 2, &cookies[1])).then_some(())
        });

        let shown = token(&door, &root, "monitor");
        let mut stream = open_events(&door, &shown);
        let (status, _) = door.ask(
            &format!("DELETE /api/v1/tokens/of-monitor HTTP/1.1\r\n{root}"),
            "",
        );
        assert_eq!(status, 204);
        // Whatever happens next is the end of it.
        door.ask(
            &format!("POST /api/v1/command HTTP/1.1\r\n{root}"),
            r#"{"command":"swap"}"#,
        );
        let end = Instant::now() + stage::PATIENCE;
        let mut line = String::new();
        while stream.read_line(&mut line).expect("the end in time") > 0 {
            assert!(
                !line.contains("\"swap\""),
                "it sees what came after: {line}"
            );
            assert!(Instant::now() < end, "the stream goes on");
            line.clear();
        }
    });
}

fn what_is_secret_or_forged_is_in_no_log_and_in_no_bundle(speaks: Speaks) {
    const CANARY: &str = "canary5e1d";
    let stage = files("leaks", speaks);
    let (one, two, door) = pair(&stage, speaks);
    let root = bearer(&one);
    let bundle = stage.in_network(2, || {
        let admin = |method: &str, path: &str| format!("{method} /api/v1/{path} HTTP/1.1\r\n{root}");
        let secret = format!("{CANARY}-password");
        for (head, body) in [
            (admin("POST", "users"), format!(r#"{{"name":"anna","role":"control","password":"{secret}"}}"#)),
            (admin("POST", "users"), format!(r#"{{"name":"{CANARY} x","role":"control","password":"{secret}"}}"#)),
            (admin("POST", "users"), format!(r#"{{"name":"bert","role":"{CANARY}","password":"{secret}"}}"#)),
            (admin("PATCH", "users/anna"), format!(r#"{{"password":"{secret}-2"}}"#)),
            (admin("POST", "session"), format!(r#"{{"name":"anna","password":"{secret}-2"}}"#)),
            (admin("POST", "session"), format!(r#"{{"name":"{CANARY}","password":"{secret}"}}"#)),
            (admin("POST", "session"), format!(r#"{{"token":"{secret}"}}"#)),
            (admin("POST", "session"), format!(r#""{secret}"#)),
            (admin("GET", &format!("status?token={secret}")), String::new()),
            (format!("GET /api/v1/status HTTP/1.1\r\nAuthorization: Bearer {secret}"), String::new()),
            (format!("GET /api/v1/status HTTP/1.1\r\nCookie: tandem={secret}"), String::new()),
            (
                admin("POST", "command"),
                r#"{"command":"swap","wait":true,"why":"x\n2026-01-01T00:00:00Z ERROR forged: line\r\u001b[2J\u2028forged: too"}"#.to_owned(),
            ),
        ] {
            let (status, answer) = door.ask(&head, &body);
            assert!((200..500).contains(&status), "{answer}");
            // A cookie is handed out once, to whom it belongs.
            assert!(!answer.contains(CANARY), "{answer}");
        }
        let mut stream = door.connect();
        stream.socket().set_read_timeout(Some(Duration::from_secs(90))).expect("a socket");
        let request = format!("{}\r\nHost: one\r\nConnection: close\r\n\r\n", admin("GET", "support"));
        stream.write_all(request.as_bytes()).expect("node1 reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("a bundle");
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..200.min(answer.len())]));
        let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        answer.split_off(body)
    });
    let file = stage.shared().join("bundle.tar.gz");
    fs::write(&file, bundle).expect("a temporary directory");
    let unpacked = stage.shared().join("bundle");
    fs::create_dir(&unpacked).expect("a temporary directory");
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&file)
        .arg("-C")
        .arg(&unpacked));
    let token = fs::read_to_string(one.state_dir().join("token")).expect("it was made");
    let secrets = [CANARY, token.trim(), "$argon2id$"];
    let mut files = Vec::new();
    everything(&unpacked, &mut files);
    assert!(files.len() > 3, "{files:?}");
    files.extend([one.log(), two.log()]);
    files.extend([&one, &two].map(|node| node.state_dir().join("audit.log")));
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file).expect("a file")).into_owned();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {}", file.display());
        }
        for line in text.lines() {
            let whole = line.contains("swap") && line.contains("forged: too");
            assert!(
                !line.contains("forged") || whole,
                "{}: {line}",
                file.display()
            );
            for pretends in ["\u{1b}", "\\u001b", "\u{2028}", "\r"] {
                assert!(!line.contains(pretends), "{}: {line}", file.display());
            }
        }
    }
    let told = lines(&one.state_dir().join("audit.log"));
    assert!(
        told.iter().any(|line| line.contains("forged: line")),
        "{told:#?}"
    );
}

fn everything(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => everything(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

/// `scripts/schemathesis` installs what this needs.
fn the_api_is_what_its_description_says(speaks: Speaks) {
    const NAME: &str = "the_api_is_what_its_description_says";
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = crate_dir.join("../../target/tools/schemathesis/bin/schemathesis");
    if !tools.exists() {
        let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(
            !ci,
            "{NAME} needs scripts/schemathesis, and CI skips nothing"
        );
        eprintln!("skipped: {NAME} needs scripts/schemathesis");
        return;
    }
    // One has no end, one makes a certificate that nobody trusts yet, the others make a bundle or
    // examine both nodes each time.
    const NOT_ASKED: [&str; 5] = [
        "/api/v1/events",
        "/api/v1/certificate",
        "/api/v1/support",
        "/api/v1/support/other",
        "/api/v1/doctor",
    ];
    let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
    let paths = description["paths"].as_object().expect("paths").iter();
    let asked = paths.filter(|(path, _)| !NOT_ASKED.contains(&path.as_str()));
    let asked: usize = asked
        .filter_map(|(_, path)| Some(path.as_object()?.len()))
        .sum();
    let stage = files("descr", speaks);
    let (one, two, _door) = pair(&stage, speaks);
    let url = match speaks {
        Speaks::Http => "http://10.99.0.1:9010",
        Speaks::Https => "https://10.99.0.1:9010",
    };
    let output = stage
        .command(2, tools)
        .env("REQUESTS_CA_BUNDLE", certificate(&one))
        .current_dir(stage.shared())
        .arg("--config-file")
        .arg(crate_dir.join("tests/schemathesis/schemathesis.toml"))
        .arg("run")
        .arg(crate_dir.join("../tandem-console/openapi.json"))
        .args(["--url", url, "--no-color", "--continue-on-failure"])
        .args(["--header", &bearer(&one)])
        .args(NOT_ASKED.iter().flat_map(|path| ["--exclude-path", path]))
        .args([
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            "6",
            "--seed",
            "9010",
        ])
        .args(["--request-timeout", "100", "--workers", "1"])
        .output()
        .expect("it is installed");
    let said = stage::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("Tested: {asked}\n")), "{said}");
    for node in [&one, &two] {
        let errors: Vec<String> = lines(&node.log());
        assert!(
            !errors
                .iter()
                .any(|line| line.contains("ERROR") || line.contains("panicked")),
            "{errors:#?}"
        );
    }
}
