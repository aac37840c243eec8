//! `tandem doctor` on two machines: what is broken on either is found on the other, through the
//! daemons; what is broken between them is found from both.

mod stage;

use serde_json::Value;
use stage::configuration::{cluster, module};
use stage::http::{Door, bearer};
use stage::{Machine, Stage, is_root, make_keys, outcome, run, said, until};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use tandem_wire::api::{ChannelStatus, NodeStatus};

/// What `doctor --json` says on a machine, and its exit status.
fn doctor(machine: &Machine<'_>, words: &[&str]) -> (i32, Vec<Value>) {
    let words = [&["doctor", "--json"], words].concat();
    let output = machine
        .tandem(&words)
        .output()
        .expect("the binary is built");
    let status = output.status.code().expect("it was not killed");
    let diagnosis: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let findings = diagnosis["findings"].as_array().expect("a list").clone();
    (status, findings)
}

/// Whether a check has this verdict for this node (0: between the nodes), with these words.
fn has(findings: &[Value], check: &str, node: u64, verdict: &str, words: &str) -> bool {
    findings.iter().any(|finding| {
        finding["check"] == check
            && finding["node"].as_u64().unwrap_or(0) == node
            && finding["verdict"] == verdict
            && finding["what"]
                .as_str()
                .is_some_and(|what| what.contains(words))
    })
}

#[test]
fn what_is_broken_on_either_node_and_between_them_is_found() {
    if !is_root("what_is_broken_on_either_node_and_between_them_is_found") {
        return;
    }
    let files = module("files", "volume", "")
        + r#"
[[module.address]]
address = "10.99.0.100/24"
interface = "eth0"

[[module.checker]]
name = "probe"
script = "{data}/probe"
"#;
    let stage = Stage::build("doctor", &(cluster("") + &files));
    let (one, two) = (stage.boot(1), stage.boot(2));
    // Somebody on the other node has a file of the volume open from before Tandem came.
    let file = stage.data().join("volume/file");
    let held = stage.shared().join("held");
    let hold = format!(
        "exec 3>>{} && touch {} && sleep 600",
        file.display(),
        held.display()
    );
    let mut writer = (two.command("sh").args(["-c", &hold]).spawn()).expect("sh runs");
    until("the file is held", || held.exists().then_some(()));
    make_keys(&one, &two);
    one.start_daemon();
    two.start_daemon();
    one.wait_for(["STOP", "red", "not uptodate"]);
    two.wait_for(["STOP", "red", "not uptodate"]);
    // A node answers by a heartbeat before it has told all about itself.
    let heard = || {
        let told = |node: &NodeStatus| {
            let channels = node.modules.iter().flat_map(|module| &module.channels);
            let is_heard =
                |c: &ChannelStatus| c.name.starts_with("network") && c.heard_ms.is_some();
            node.answers && channels.into_iter().any(is_heard)
        };
        one.status()?.nodes.iter().all(told).then_some(())
    };
    until("the daemons talk", heard);
    // Each machine has a script of its own; this one cannot be run, the other one is missing.
    let probe = stage.data().join("probe");
    let make = format!("echo '#!/bin/sh' >{0} && chmod 640 {0}", probe.display());
    run(one.command("sh").args(["-c", &make]));

    let (status, findings) = doctor(&one, &[]);
    assert_eq!(status, 1, "{findings:#?}");
    assert!(
        has(&findings, "scripts", 1, "failed", "cannot be run"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "scripts", 2, "failed", "is not there"),
        "{findings:#?}"
    );
    assert!(has(&findings, "system", 2, "ok", "kernel"), "{findings:#?}");
    assert!(
        has(&findings, "virtual-address", 0, "ok", "is free"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "networks", 2, "ok", "is heard"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "firewall", 2, "ok", "can be reached"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "clock", 0, "ok", "within a second"),
        "{findings:#?}"
    );

    // What can be fixed is, on this node.
    let looked = one.command("test").arg("-x").arg(&probe).status();
    assert!(!looked.expect("test runs").success());
    let (_, findings) = doctor(&one, &["--fix"]);
    assert!(
        has(&findings, "scripts", 1, "ok", "can be run"),
        "{findings:#?}"
    );
    let mode = run(one.command("stat").args(["-c", "%a"]).arg(&probe));
    assert_eq!(mode.trim(), "750");

    // That, and the virtual address is there.
    stage.ip(2, &["addr", "add", "10.99.0.100/24", "dev", "eth0"]);
    let (status, findings) = doctor(&one, &[]);
    assert_eq!(status, 1);
    assert!(
        has(&findings, "writers", 2, "failed", "sleep"),
        "{findings:#?}"
    );
    // It is on the other node, which need not serve for that.
    assert!(
        has(&findings, "virtual-address", 2, "ok", "is here"),
        "{findings:#?}"
    );
    let (door, root) = (Door::of(&[&one]), bearer(&one));
    stage.in_network(2, || the_page_is_told(&door, &root));
    writer.kill().expect("a child");
    writer.wait().expect("a child");

    // The other node's daemon is gone: what it alone can see is unknown, and the status says so.
    two.kill_daemon();
    run(two.command("sh").args([
        "-c",
        &format!("echo '#!/bin/sh' >{0}; chmod 755 {0}", probe.display()),
    ]));
    until("the silence is noticed", || {
        let module = one.module()?;
        let silent = |channel: &ChannelStatus| channel.heard_ms.is_none_or(|age| age > 5000);
        module.channels.iter().all(silent).then_some(())
    });
    let (status, findings) = doctor(&one, &[]);
    assert!(
        has(&findings, "system", 0, "unknown", "not compared"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "networks", 1, "failed", "is not heard"),
        "{findings:#?}"
    );
    assert_eq!(status, 1);
}

/// Over HTTP the same is found, by one examination at a time, and kept for whoever comes later.
fn the_page_is_told(door: &Door, root: &str) {
    let last = || door.ask(&format!("GET /api/v1/doctor HTTP/1.1\r\n{root}"), "");
    assert_eq!(last().0, 404);
    let request = format!(
        "POST /api/v1/doctor HTTP/1.1\r\n{root}\r\nHost: one\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let answers = [(); 2].map(|()| {
        let mut connection = door.connect();
        (connection.write_all(request.as_bytes())).expect("the node takes it");
        connection
    });
    // Whichever came second; the other one may take longer than this end waits.
    let refused = answers.into_iter().map(|mut answer| {
        let mut text = String::new();
        let _ = answer.read_to_string(&mut text);
        text
    });
    let refused = refused.filter(|text| text.contains(" 503 ")).count();
    assert_eq!(refused, 1);
    let answer = until("the findings", || match last() {
        (200, answer) => Some(answer),
        _ => None,
    });
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let found: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        (&found["node"], &found["result"]),
        (&1.into(), &"failed".into())
    );
    let findings = found["findings"].as_array().expect("a list");
    assert!(
        has(findings, "writers", 2, "failed", "sleep"),
        "{findings:#?}"
    );
    assert!(
        has(findings, "scripts", 1, "ok", "can be run"),
        "{findings:#?}"
    );
    let log = door
        .ask(&format!("GET /api/v1/audit HTTP/1.1\r\n{root}"), "")
        .1;
    assert!(log.contains(r#""what":"doctor""#), "{log}");
}

#[test]
fn before_set_up_a_machine_is_looked_at_all_the_same() {
    if !is_root("before_set_up_a_machine_is_looked_at_all_the_same") {
        return;
    }
    let stage = Stage::build("fresh", &(cluster("") + &module("files", "volume", "")));
    let mut one = stage.boot(1);
    let two = stage.boot(2);
    one.config = stage.shared().join("no-such-file");
    // A program on one of Tandem's ports, on the other machine and here; nothing else is wrong.
    let (status, findings) = doctor(&one, &["--peer", "10.99.0.2"]);
    assert!(
        has(&findings, "configuration", 0, "unknown", "not set up yet"),
        "{findings:#?}"
    );
    assert!(has(&findings, "echo", 0, "ok", "answers"), "{findings:#?}");
    assert!(
        has(&findings, "firewall", 0, "ok", "can be reached"),
        "{findings:#?}"
    );
    assert_eq!(status, 0, "{findings:#?}");
    drop(two);
    stage.ip(2, &["link", "set", "eth0", "down"]);
    let (status, findings) = doctor(&one, &["--peer", "10.99.0.2"]);
    assert!(
        has(&findings, "echo", 0, "warning", "does not answer"),
        "{findings:#?}"
    );
    assert!(
        has(&findings, "firewall", 0, "failed", "9011/tcp"),
        "{findings:#?}"
    );
    assert_eq!(status, 1);
    // A file that is not good is a finding too, and not the end.
    fs::write(&one.config, "[cluster]\nname = 3\n").expect("written");
    fs::set_permissions(&one.config, fs::Permissions::from_mode(0o644)).expect("set");
    let (status, text) = outcome(&mut one.tandem(&["doctor"]));
    assert_eq!(status, 1);
    assert!(text.contains("failed   configuration:"), "{text}");
    assert!(text.contains("= remedy:"), "{text}");
}
