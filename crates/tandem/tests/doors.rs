//! What clients and strangers find at the doors of a node: the HTTP API, the control link, the
//! heartbeats. Whoever has no key gets nowhere and does no harm.

mod stage;

use serde_json::Value;
use stage::configuration::{cluster, module};
use stage::http::{Door, bearer, connect};
use stage::{Machine, Stage, is_root, lines, make_keys, pair_offline, run, until};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::Command;

/// Two machines with a module that has nothing but a directory.
fn files(name: &str) -> Stage {
    Stage::build(name, &(cluster("") + &module("files", "volume", "")))
}

/// Both nodes, stopped, with their daemons running.
fn pair(stage: &Stage) -> (Machine<'_>, Machine<'_>) {
    let (one, two) = pair_offline(stage);
    one.wait_for(["STOP", "red", "not uptodate"]);
    two.wait_for(["STOP", "red", "not uptodate"]);
    (one, two)
}

#[test]
fn the_api_answers_to_the_token_and_to_nothing_else() {
    if !is_root("the_api_answers_to_the_token_and_to_nothing_else") {
        return;
    }
    let stage = files("api");
    let (one, _two) = pair(&stage);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        for path in ["status", "events", "jobs/x", "nothing"] {
            let (status, answer) = Door::Http.ask(&format!("GET /api/v1/{path} HTTP/1.1"), "");
            assert!(status == 401 || path == "nothing", "{answer}");
        }
        let wrong = "GET /api/v1/status HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdef";
        assert_eq!(Door::Http.ask(wrong, "").0, 401);
        let (status, answer) =
            Door::Http.ask("POST /api/v1/command HTTP/1.1", r#"{"command":"start"}"#);
        assert_eq!(status, 401, "{answer}");

        let (status, answer) = Door::Http.ask("GET / HTTP/1.1", "");
        assert_eq!(status, 200, "the page itself knows nothing");
        assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self'"));
        assert!(
            !answer.contains("http://") && !answer.contains("https://"),
            "{answer}"
        );

        let (status, answer) =
            Door::Http.ask(&format!("GET /api/v1/status HTTP/1.1\r\n{bearer}"), "");
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains(r#""cluster":"cluster1""#), "{answer}");

        let post = format!("POST /api/v1/command HTTP/1.1\r\n{bearer}");
        for (body, status) in [
            (r#"{"command":"dance"}"#, 422),
            (r#"{"command":"#, 400),
            (r#"{"command":"swap","node":3}"#, 400),
            (r#"{"command":"swap","force":true}"#, 400),
            (r#"{"command":"swap","module":"none"}"#, 400),
            (r#"{"command":"swap","wait":true}"#, 409),
        ] {
            let (found, answer) = Door::Http.ask(&post, body);
            assert_eq!(found, status, "{body}: {answer}");
        }
        // Strangers are believed less: see the attacks.
        let long = |bytes| format!(r#"{{"command":"{}"}}"#, "x".repeat(bytes));
        assert_eq!(Door::Http.ask(&post, &long((1 << 20) - 100)).0, 422);
        assert_eq!(Door::Http.ask(&post, &long(1 << 20)).0, 413);
        assert_eq!(
            Door::Http
                .ask(&format!("GET /api/v1/jobs/none HTTP/1.1\r\n{bearer}"), "")
                .0,
            404
        );
    });
}

/// The next server-sent event: its id, if it has one, and its data.
fn next_event(stream: &mut impl BufRead) -> (Option<String>, Value) {
    let (mut id, mut data) = (None, String::new());
    loop {
        let mut line = String::new();
        let bytes = stream.read_line(&mut line).expect("an event in time");
        assert!(bytes > 0, "the stream ended");
        let line = line.trim_end();
        match line.split_once(':') {
            Some(("id", value)) => id = Some(value.trim().to_owned()),
            Some(("data", value)) => data += value.trim_start(),
            _ if line.is_empty() && !data.is_empty() => {
                return (id, serde_json::from_str(&data).expect("JSON"));
            }
            _ => {}
        }
    }
}

fn events(bearer: &str, last: Option<&str>) -> impl BufRead {
    let mut stream = connect(9010);
    let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    // Without chunks: HTTP/1.0 has none.
    let request = format!("GET /api/v1/events HTTP/1.0\r\nHost: one\r\n{bearer}\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).expect("node1 reads");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("an answer");
    }
    stream
}

fn kind(event: &Value) -> &str {
    event["kind"].as_str().expect("every event has a kind")
}

#[test]
fn events_go_on_where_a_client_was() {
    if !is_root("events_go_on_where_a_client_was") {
        return;
    }
    let stage = files("events");
    let (one, _two) = pair(&stage);
    let bearer = bearer(&one);
    stage.in_network(2, || {
        let mut stream = events(&bearer, None);
        let (_, first) = next_event(&mut stream);
        assert_eq!(
            kind(&first),
            "status",
            "a client begins with the whole picture"
        );
        let post = format!("POST /api/v1/command HTTP/1.1\r\n{bearer}");
        let (_, answer) = Door::Http.ask(&post, r#"{"command":"swap"}"#);
        let job = loop {
            let (id, event) = next_event(&mut stream);
            if kind(&event) == "job" {
                break (id.expect("jobs are kept"), event);
            }
        };
        assert_eq!(job.1["state"], "refused", "{answer}");
        drop(stream);

        Door::Http.ask(&post, r#"{"command":"restart"}"#);
        let mut stream = events(&bearer, Some(&job.0));
        let next = loop {
            let (_, event) = next_event(&mut stream);
            assert_ne!(kind(&event), "missed");
            if kind(&event) == "job" {
                break event;
            }
        };
        assert_eq!(
            next["command"], "restart",
            "not the one that was seen already"
        );

        for unknown in ["0000000000000001-7", "nonsense"] {
            let (_, event) = next_event(&mut events(&bearer, Some(unknown)));
            assert_eq!(kind(&event), "missed", "{unknown}");
        }
    });
}

fn refused(machine: &Machine<'_>, channel: &str) -> u64 {
    let module = until("node1 answers", || machine.module());
    let channels = module.channels.iter();
    channels
        .filter(|c| c.name == channel)
        .map(|c| c.refused)
        .sum()
}

fn both_answer(machine: &Machine<'_>) -> bool {
    machine
        .status()
        .is_some_and(|status| status.nodes.iter().all(|node| node.answers))
}

#[test]
fn garbage_on_every_port_of_the_daemon_does_no_harm() {
    if !is_root("garbage_on_every_port_of_the_daemon_does_no_harm") {
        return;
    }
    let stage = files("noise");
    let (one, two) = pair(&stage);
    until("the nodes know each other", || {
        both_answer(&one).then_some(())
    });
    let garbage: Vec<u8> = (0..5000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let held = stage.in_network(2, || {
        let mut held = Vec::new();
        for port in [9010, 9011] {
            for length in [1, 100, 5000] {
                let mut stream = connect(port);
                let _ = stream.write_all(&garbage[..length]);
            }
            // Some say nothing at all, and stay.
            held.extend((0..20).map(|_| connect(port)));
        }
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        for length in [0, 1, 47, 48, 500, 1400] {
            let sent = socket.send_to(&garbage[..length], "10.99.0.1:9013");
            sent.expect("a datagram of this size");
        }
        // One that looks right until its code is checked.
        let mut forged = b"TNDH\x01\x00\x00\x00".to_vec();
        forged.extend_from_slice(&garbage[..200]);
        socket
            .send_to(&forged, "10.99.0.1:9013")
            .expect("a datagram of this size");
        held
    });
    until("the strange datagrams were counted", || {
        (refused(&one, "network 0") >= 7).then_some(())
    });
    // Connections that are held open do not keep the peer out: it comes back after a restart.
    two.kill_daemon();
    two.start_daemon();
    until("both nodes answer each other", || {
        (both_answer(&one) && both_answer(&two)).then_some(())
    });
    drop(held);
    one.wait_for(["STOP", "red", "not uptodate"]);
    let errors: Vec<String> = lines(&one.log());
    assert!(
        !errors.iter().any(|line| line.contains("ERROR")),
        "{errors:#?}"
    );
}

#[test]
fn a_node_of_another_cluster_is_refused_on_every_channel() {
    if !is_root("a_node_of_another_cluster_is_refused_on_every_channel") {
        return;
    }
    let stage = files("foreign");
    let (one, two) = pair(&stage);
    until("the nodes know each other", || {
        both_answer(&one).then_some(())
    });
    two.kill_daemon();
    // node2 of another cluster takes its place.
    let foreign = tempfile::tempdir().expect("a temporary directory");
    let directories = ["a", "b"].map(|name| foreign.path().join(name));
    run(Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["cluster", "init", "--offline"])
        .args(&directories));
    fs::remove_dir_all(two.state_dir().join("identity")).expect("it was made");
    let identity = directories[1].join("identity");
    run(Command::new("cp")
        .arg("-a")
        .arg(identity)
        .arg(two.state_dir()));
    let before = refused(&one, "network 0");
    two.start_daemon();
    until("its heartbeats are refused", || {
        (refused(&one, "network 0") > before + 3).then_some(())
    });
    until("it says what is wrong", || {
        let foreign = "does not show the certificate of this cluster's other node";
        lines(&two.log())
            .iter()
            .any(|line| line.contains(foreign))
            .then_some(())
    });
    until("node1 says that node2 does not answer", || {
        let status = one.status()?;
        (status.nodes[1].modules[0].state == "unknown").then_some(())
    });
}

#[test]
fn configurations_that_differ_are_told_by_the_field() {
    if !is_root("configurations_that_differ_are_told_by_the_field") {
        return;
    }
    let stage = files("differ");
    let (one, mut two) = (stage.boot(1), stage.boot(2));
    make_keys(&one, &two);
    let text = fs::read_to_string(stage.config()).expect("it was written");
    two.config = stage.shared().join("other.toml");
    let other = text.replace("takeover-after = \"1s\"", "takeover-after = \"2s\"");
    fs::write(&two.config, other).expect("a temporary directory");
    one.start_daemon();
    two.start_daemon();
    for (machine, sentence) in [
        (&one, "cluster.takeover-after is 1s here and 2s on node2"),
        (&two, "cluster.takeover-after is 2s here and 1s on node1"),
    ] {
        until(sentence, || {
            let difference = machine.status()?.configuration_differs?;
            assert_eq!(difference, sentence);
            Some(())
        });
    }
}

#[test]
fn a_configuration_is_checked_against_the_machine() {
    if !is_root("a_configuration_is_checked_against_the_machine") {
        return;
    }
    let stage = files("check");
    let mut one = stage.boot(1);
    let good = fs::read_to_string(stage.config()).expect("it was written");
    let volume = stage.data().join("volume");
    let volume = volume.to_str().expect("a temporary directory");
    one.config = stage.shared().join("other.toml");
    let check = |from: &str, to: &str| {
        fs::write(&one.config, good.replacen(from, to, 1)).expect("a temporary directory");
        let output = one
            .tandem(&["config", "check"])
            .output()
            .expect("it is built");
        (output.status.code(), stage::said(&output))
    };
    let (status, text) = check("", "");
    assert_eq!(status, Some(0), "{text}");
    let disk = volume.trim_end_matches("/volume");
    for (from, to, complaint) in [
        (
            "takeover-after",
            "take-over-after",
            "the key `take-over-after` is unknown",
        ),
        ("10.99.0.1", "10.99.0.300", "this is no address"),
        (volume, "/nonexistent/volume", "does not exist"),
        (volume, "/etc/hostname", "is not a directory"),
        (volume, disk, "is itself a mount point"),
        ("10.99.0.1", "10.99.0.77", "has the address of neither node"),
    ] {
        let (status, text) = check(from, to);
        assert_eq!(status, Some(1), "{to}: {text}");
        assert!(text.contains(complaint), "{to}: {text}");
    }
    let address = |address: &str, interface: &str| {
        format!(
            "[[module.address]]\naddress = \"{address}\"\ninterface = \"{interface}\"\n[[module.volume]]"
        )
    };
    let (status, text) = check("[[module.volume]]", &address("10.99.0.100/24", "eth9"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("no interface eth9"), "{text}");
    let two = stage.boot(2);
    run(two
        .command("ip")
        .args(["addr", "add", "10.99.0.100/24", "dev", "eth0"]));
    let (status, text) = check("[[module.volume]]", &address("10.99.0.100/24", "eth0"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("10.99.0.100 is in use"), "{text}");
}
