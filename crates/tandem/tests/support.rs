//! The support bundle of a real pair: both nodes' halves, the secrets of neither, and what is left of
//! it when the other node is silent.

mod stage;

use stage::configuration::{cluster, module};
use stage::http::bearer;
use stage::{Machine, Stage, is_root, make_keys, run, said, until};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tandem_console::history::{History, Question};

/// In every planted value, and nowhere else.
const CANARY: &str = "canary3c9b";
/// What there is of each node.
const FILES: [&str; 8] = [
    "version",
    "configuration",
    "status.json",
    "history.jsonl",
    "commands.jsonl",
    "log",
    "units",
    "machine",
];

/// Two machines with a webhook and a command that are secrets.
fn secretive(name: &str) -> Stage {
    let notify = format!(
        "\n[notify]\nwebhook = \"http://10.99.0.77/{CANARY}\"\n\
         command = \"true {CANARY}-command\"\n"
    );
    Stage::build(
        name,
        &(cluster("") + &notify + &module("files", "volume", "")),
    )
}

fn program(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Boots a machine whose journal says which one it is, and quotes secrets.
fn boot(stage: &Stage, number: u8) -> (Machine<'_>, String) {
    let programs = stage.shared().join(format!("programs{number}"));
    fs::create_dir(&programs).expect("a temporary directory");
    program(
        &programs,
        "journalctl",
        &format!(
            "echo \"tandem[1]: this is the journal of machine {number}\"\n\
             echo \"tandem[1]: password={CANARY} Bearer {CANARY} https://h/{CANARY}\"\n\
             echo \"tandem[1]: told: true {CANARY}-command\"\n\
             echo \"tandem[1]: token $(cat {}/token)\"",
            stage.shared().join(format!("state{number}")).display()
        ),
    );
    program(&programs, "systemctl", "echo Id=app.service");
    let path = std::env::var("PATH").expect("there is one");
    (stage.boot(number), format!("{}:{path}", programs.display()))
}

struct Pair<'a> {
    one: Machine<'a>,
    two: Machine<'a>,
    /// Of machine 1.
    path: String,
}

fn pair(stage: &Stage) -> Pair<'_> {
    let ((one, path), (two, path_of_two)) = (boot(stage, 1), boot(stage, 2));
    make_keys(&one, &two);
    for (machine, number) in [(&one, 1), (&two, 2)] {
        let place = stage.shared().join(format!("state{number}"));
        std::os::unix::fs::symlink(machine.state_dir(), place).expect("a temporary directory");
    }
    let secret = ("TANDEM_TEST", format!("{CANARY}-environment"));
    for (machine, path) in [(&one, &path), (&two, &path_of_two)] {
        machine.start_daemon_with(&[("PATH", path.clone()), secret.clone()]);
    }
    until("the nodes know each other", || {
        let statuses = [one.status()?, two.status()?];
        let mut nodes = statuses.iter().flat_map(|status| &status.nodes);
        nodes.all(|node| node.answers).then_some(())
    });
    Pair { one, two, path }
}

/// What is in a bundle: the texts by their paths.
fn unpack(stage: &Stage, bundle: &Path) -> BTreeMap<String, String> {
    let place = bundle.with_extension("unpacked");
    fs::create_dir(&place).expect("a temporary directory");
    let mut tar = std::process::Command::new("tar");
    run(tar.arg("-xzf").arg(bundle).arg("-C").arg(&place));
    let top = place.join("tandem-support");
    let mut texts = BTreeMap::new();
    let mut waiting = vec![top.clone()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            let name = path.strip_prefix(&top).expect("below");
            texts.insert(name.display().to_string(), text);
        }
    }
    assert!(texts.contains_key("README"), "{}", stage.logs());
    texts
}

/// By the command line on machine 1.
fn by_command(stage: &Stage, pair: &Pair<'_>, name: &str, words: &[&str]) -> (PathBuf, String) {
    let file = stage.shared().join(name);
    let file_word = file.display().to_string();
    let words = [&["support", "--output", &file_word], words].concat();
    let output = (pair.one.tandem(&words).env("PATH", &pair.path)).output();
    let output = output.expect("the binary is built");
    assert!(output.status.success(), "{}", said(&output));
    (file, said(&output))
}

#[test]
fn a_bundle_has_everything_of_both_nodes_and_no_secret_of_either() {
    if !is_root("a_bundle_has_everything_of_both_nodes_and_no_secret_of_either") {
        return;
    }
    let stage = secretive("both");
    let pair = pair(&stage);
    let mut add = pair.one.tandem(&["user", "add", "anna", "--role", "admin"]);
    run(add.stdin(password(&stage)));
    run(&mut pair.one.tandem(&["start", "--no-wait"]));
    pair.one.wait_for(["WAIT", "red", "not uptodate"]);
    until("both have written down what node1 is", || {
        let known = |machine: &Machine<'_>| {
            let history = History::look(&machine.state_dir().join("history.db")).ok()?;
            let past = history.ask(&Question::default()).ok()?;
            let mut states = past.iter().filter(|entry| entry.node == 1);
            states.find(|entry| entry.state == "WAIT").map(|_| ())
        };
        known(&pair.one).and(known(&pair.two))
    });
    let (by_command, said) = by_command(&stage, &pair, "command.tar.gz", &[]);
    assert!(!said.contains("missing"), "{said}");
    // The same by the page of the other node.
    let by_page = stage.shared().join("page.tar.gz");
    let header = bearer(&pair.two);
    let answer = stage.in_network(1, || {
        let mut stream = TcpStream::connect("10.99.0.2:9010").expect("it listens");
        let request = format!(
            "GET /api/v1/support HTTP/1.1\r\nHost: two\r\nConnection: close\r\n{header}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("a bundle");
        answer
    });
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    fs::write(&by_page, &answer[head.expect("a head") + 4..]).expect("a temporary directory");
    let mut secrets = vec![CANARY.to_owned(), "$argon2id$".to_owned()];
    for machine in [&pair.one, &pair.two] {
        let token = fs::read_to_string(machine.state_dir().join("token")).expect("it was made");
        secrets.push(token.trim().to_owned());
    }
    for bundle in [by_command, by_page] {
        let texts = unpack(&stage, &bundle);
        for node in ["node1", "node2"] {
            for file in FILES {
                let text = texts.get(&format!("{node}/{file}"));
                let text = text.unwrap_or_else(|| panic!("{node}/{file} is missing: {texts:#?}"));
                assert!(
                    file == "commands.jsonl" || !text.is_empty(),
                    "{node}/{file}"
                );
            }
            let number = &node[4..];
            let log = &texts[&format!("{node}/log")];
            assert!(
                log.contains(&format!("the journal of machine {number}")),
                "{log}"
            );
            assert!(log.contains("password=[removed]"), "{log}");
            assert!(texts[&format!("{node}/version")].contains(&format!("\n{node}\n")));
            let history = &texts[&format!("{node}/history.jsonl")];
            assert!(history.contains("\"WAIT\""), "{history}");
        }
        assert_eq!(texts.len(), 2 * FILES.len() + 1, "{:?}", texts.keys());
        for (name, text) in &texts {
            for secret in &secrets {
                assert!(!text.contains(secret), "{secret} is in {name}: {text}");
            }
        }
    }
}

/// A file with a password, as the output of another program.
fn password(stage: &Stage) -> fs::File {
    let file = stage.shared().join("password");
    fs::write(&file, format!("{CANARY}-password\n")).expect("a temporary directory");
    fs::File::open(file).expect("it was written")
}

/// Both nodes have a licence of somebody.
fn license(stage: &Stage, pair: &Pair<'_>, licensee: &str) {
    // The seed of the key for tests, which everybody knows.
    let key = stage.shared().join("key");
    let seed = "7465737420736565642c206b6e6f776e20746f2065766572796f6e6520212121";
    fs::write(&key, seed).expect("a temporary directory");
    let request = run(&mut pair.one.tandem(&["license", "request"]));
    let cluster = request
        .trim()
        .strip_prefix("cluster = ")
        .expect("a request");
    let key = key.display().to_string();
    let words = ["license", "issue", "--expires", "never", "--key", &key];
    let whose = ["--cluster", cluster, "--licensee", licensee];
    let text = run(&mut pair.one.tandem(&[&words[..], &whose].concat()));
    let file = stage.shared().join("license");
    fs::write(&file, text).expect("a temporary directory");
    for node in [&pair.one, &pair.two] {
        run(&mut node.tandem(&["license", "add", &file.display().to_string()]));
        until("it counts", || node.module().filter(|m| m.license.valid));
    }
}

#[test]
fn an_anonymous_bundle_of_both_nodes_names_neither() {
    if !is_root("an_anonymous_bundle_of_both_nodes_names_neither") {
        return;
    }
    let stage = secretive("anon");
    let pair = pair(&stage);
    license(&stage, &pair, &format!("{CANARY} Ltd"));
    let (bundle, _) = by_command(&stage, &pair, "bundle.tar.gz", &["--anonymise"]);
    let texts = unpack(&stage, &bundle);
    assert!(texts["node1/status.json"].contains("licensed to licensee-1, "));
    assert_eq!(texts.len(), 2 * FILES.len() + 1);
    for (name, text) in &texts {
        for gone in ["cluster1", "10.99.0.1", "10.99.0.2", CANARY] {
            assert!(!text.contains(gone), "{gone} is in {name}: {text}");
        }
    }
    let addresses = |node: &str| {
        let lines = texts[&format!("{node}/configuration")].lines();
        let lines = lines.filter(|line| line.contains("address-"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!addresses("node1").is_empty());
    assert_eq!(addresses("node1"), addresses("node2"), "the same numbers");
}

#[test]
fn a_bundle_is_made_and_says_so_when_the_other_node_or_the_own_daemon_is_silent() {
    let name = "a_bundle_is_made_and_says_so_when_the_other_node_or_the_own_daemon_is_silent";
    if !is_root(name) {
        return;
    }
    let stage = secretive("half");
    let pair = pair(&stage);
    let of_one = |file: &str, why: &str| {
        let (bundle, said) = by_command(&stage, &pair, file, &[]);
        assert!(said.contains(why), "{said}");
        let texts = unpack(&stage, &bundle);
        assert!(texts["README"].contains(why), "{}", texts["README"]);
        assert_eq!(texts.len(), FILES.len() + 1, "{:?}", texts.keys());
        assert!(texts["node1/log"].contains("the journal of machine 1"));
        assert!(texts.values().all(|text| !text.contains(CANARY)));
    };
    pair.two.kill_daemon();
    of_one("silent.tar.gz", "the other node does not answer");
    pair.one.kill_daemon();
    of_one("alone.tar.gz", "no daemon runs on this node");
}
