//! No secret is in a support bundle: values are planted wherever a secret can be, and searched for.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tandem_console::accounts::{Accounts, Name, Role};
use tandem_console::audit::Entry;
use tandem_console::history::History;
use tandem_console::support::{Half, Material, Names, collect, pack};
use tandem_console::{Secret, unix_ms};
use tandem_wire::api::{ClusterStatus, HistoryEntry, ModuleStatus, NodeStatus};

/// In every planted value, and nowhere else.
const CANARY: &str = "canary7f3a";

fn program(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// A node's state directory and programs, with something secret in everything.
fn plant(directory: &Path) -> Material {
    let state_dir = directory.join("state");
    fs::create_dir_all(state_dir.join("https")).expect("a directory");
    for file in ["token", "https/key.pem", "identity.json", "secret"] {
        fs::write(state_dir.join(file), CANARY).expect("a file");
    }
    let accounts = Accounts::open(&state_dir.join("accounts.json")).expect("accounts");
    drop(accounts);
    let history = History::open(&state_dir.join("history.db")).expect("a history");
    let entry = |because: String| HistoryEntry {
        at_ms: unix_ms(),
        kind: "alarm".into(),
        because,
        ..HistoryEntry::default()
    };
    let complaint = format!("service app: it ended with 1: \"psql: password={CANARY} is wrong\"");
    let address = format!("cannot reach https://u:{CANARY}@videeos.example/{CANARY}?key={CANARY}");
    let module = ModuleStatus {
        name: "videeos".into(),
        state: "ALONE".into(),
        reason: format!("the environment said environ-{CANARY}"),
        history: vec![entry(complaint), entry(address)],
        ..ModuleStatus::default()
    };
    let node = NodeStatus {
        node: 1,
        name: "castor".into(),
        address: "10.11.12.13".into(),
        modules: vec![module],
        ..NodeStatus::default()
    };
    let status = ClusterStatus {
        cluster: "cluster1".into(),
        nodes: vec![node],
        ..ClusterStatus::default()
    };
    history.observe(&status, unix_ms()).expect("it writes");
    let typed = Entry {
        at_ms: unix_ms(),
        who: "anna".into(),
        from: "10.11.12.14".into(),
        what: "restart videeos on node1".into(),
        why: Some(format!("new token: {CANARY}")),
        result: "done".into(),
    };
    let line = serde_json::to_string(&typed).expect("plain data");
    fs::write(state_dir.join("audit.log"), line + "\n").expect("a log");

    let programs = directory.join("programs");
    fs::create_dir_all(&programs).expect("a directory");
    let environment = directory.join("environment");
    fs::write(&environment, format!("# ours\nFILED='filed {CANARY}'\n")).expect("a file");
    program(
        &programs,
        "systemctl",
        &format!(
            "case \"$*\" in\n*Environment*)\n  echo 'Environment=A=environ-{CANARY} \"B=two words {CANARY}\"'\n  \
             echo 'EnvironmentFiles={} (ignore_errors=no)';;\n*) echo Id=app.service; echo ActiveState=active;;\nesac",
            environment.display()
        ),
    );
    program(
        &programs,
        "journalctl",
        &format!(
            "echo 'castor tandem[1]: it runs as node1'\n\
             echo 'castor tandem[1]: hook https://hooks.example/{CANARY}'\n\
             echo 'castor tandem[1]: it saw environ-{CANARY} and two words {CANARY} and filed {CANARY}'\n\
             echo 'castor tandem[1]: Authorization: Bearer {CANARY}'\n\
             echo 'castor tandem[1]: the command was tell-{CANARY} now'"
        ),
    );
    let path = format!("{}:/usr/bin:/bin", programs.display());
    Material {
        version: "0".into(),
        node: Some(1),
        configuration: vec![("module.videeos.volume.db.path".into(), "/srv/db".into())],
        status: serde_json::to_string_pretty(&status).expect("plain data"),
        state_dir,
        units: vec!["app.service".into()],
        secrets: vec![
            Secret::new(CANARY.to_owned() + "token"),
            Secret::new(format!("tell-{CANARY}")),
        ],
        path: Some(path.into()),
        ..Material::default()
    }
}

/// Unpacks by the system's own program, as the person who helps does.
async fn unpack(bundle: &[u8], directory: &Path) -> String {
    let file = directory.join("bundle.tar.gz");
    fs::write(&file, bundle).expect("a file");
    let output = tokio::process::Command::new("tar")
        .arg("-xzOf")
        .arg(&file)
        .output()
        .await
        .expect("tar runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut raw = Vec::new();
    GzDecoder::new(bundle).read_to_end(&mut raw).expect("gzip");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(raw.len() > text.len());
    text
}

/// The bundle of one node.
async fn bundle(material: Material, names: Names) -> Vec<u8> {
    let half = collect(material).await;
    pack(vec![half], Some("it is off"), names).expect("a bundle")
}

#[tokio::test]
async fn no_planted_secret_is_in_the_bundle() {
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = bundle(plant(directory.path()), Names::Stay).await;
    let text = unpack(&bundle, directory.path()).await;
    let found: Vec<&str> = text.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(found.is_empty(), "{found:#?}");
    // It is not empty for that reason.
    for there in [
        "it runs as node1",
        "module.videeos.volume.db.path = /srv/db",
        "\"state\": \"ALONE\"",
        "restart videeos on node1",
        "psql: password=",
        "hook https://hooks.example…",
        "Id=app.service",
        "MemTotal",
        "castor",
        "10.11.12.13",
    ] {
        assert!(text.contains(there), "{there} is missing in\n{text}");
    }
}

#[tokio::test]
async fn the_search_finds_what_is_planted_where_nobody_scrubs() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut material = plant(directory.path());
    // Not known, and nothing tells that it is a secret.
    material.configuration.push(("a".into(), CANARY.into()));
    let bundle = bundle(material, Names::Stay).await;
    assert!(unpack(&bundle, directory.path()).await.contains(CANARY));
}

fn names() -> Vec<(&'static str, String)> {
    vec![
        ("cluster", "cluster1".into()),
        ("node", "castor".into()),
        ("module", "videeos".into()),
        ("path", "/srv/db".into()),
    ]
}

#[tokio::test]
async fn an_anonymous_bundle_says_whose_it_is_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut material = plant(directory.path());
    material.names = names();
    let bundle = bundle(material, Names::Go).await;
    let text = unpack(&bundle, directory.path()).await;
    for gone in [
        "castor",
        "videeos",
        "cluster1",
        "10.11.12.13",
        "10.11.12.14",
        "anna",
        "/srv/db",
        CANARY,
    ] {
        assert!(!text.contains(gone), "{gone} is in\n{text}");
    }
    assert!(text.contains("restart module-1 on node1"), "{text}");
    assert!(text.contains("The other node's half is missing: it is off."));
}

#[tokio::test]
async fn a_machine_without_anything_still_gives_a_bundle() {
    let directory = tempfile::tempdir().expect("a directory");
    let material = Material {
        state_dir: directory.path().join("missing"),
        path: Some(directory.path().into()),
        configuration_problem: Some("it is not there".into()),
        ..Material::default()
    };
    let bundle = bundle(material, Names::Stay).await;
    let text = unpack(&bundle, directory.path()).await;
    assert!(
        text.contains("journalctl cannot be run") && text.contains("it is not there"),
        "{text}"
    );
}

#[tokio::test]
async fn users_and_tokens_are_not_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let material = plant(directory.path());
    let accounts = Accounts::open(&material.state_dir.join("accounts.json")).expect("accounts");
    let name = Name::parse("bertha").expect("a name");
    let token = accounts.add_token(name, Role::Monitor).expect("a token");
    let kept = fs::read_to_string(material.state_dir.join("accounts.json")).expect("a file");
    let bundle = bundle(material, Names::Stay).await;
    let text = unpack(&bundle, directory.path()).await;
    assert!(!text.contains(token.reveal()) && !text.contains("bertha"));
    let hash = token.fingerprint().to_hex();
    assert!(
        kept.contains(hash.as_str()) && !text.contains(hash.as_str()),
        "{kept}"
    );
}

/// What the other node sends, as it arrives.
async fn sent(directory: &Path, change: impl FnOnce(&mut Material)) -> Half {
    let mut material = plant(directory);
    material.node = Some(2);
    change(&mut material);
    let sent = collect(material).await.encode().expect("it is packed");
    let mut raw = String::new();
    let read = GzDecoder::new(&sent[..]).read_to_string(&mut raw);
    read.expect("gzip");
    assert!(!raw.contains(CANARY), "no secret leaves the node: {raw}");
    Half::decode(&sent).expect("a half")
}

#[tokio::test]
async fn both_halves_are_in_it_and_no_secret_of_either() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, two] = directories.each_ref().map(tempfile::TempDir::path);
    // The other node does not know that this is secret: the one that packs does.
    let other = sent(two, |material| {
        let field = ("seen".to_owned(), "only-known-there".to_owned());
        material.configuration.push(field);
    });
    let mut material = plant(one);
    material.secrets.push(Secret::new("only-known-there"));
    let halves = vec![collect(material).await, other.await];
    let bundle = pack(halves, None, Names::Stay).expect("a bundle");
    let text = unpack(&bundle, one).await;
    for secret in [CANARY, "only-known-there"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    assert_eq!(text.matches("it runs as node1").count(), 2, "both journals");
    assert!(text.contains("seen = [removed]"), "{text}");
    assert!(text.contains("\nnode1\n") && text.contains("\nnode2\n"));
    assert!(!text.contains("half is missing"));
}

#[tokio::test]
async fn names_have_the_same_numbers_in_both_halves() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, two] = directories.each_ref().map(tempfile::TempDir::path);
    let other = sent(two, |material| {
        // Who was met first there, and what is called like that there only.
        material.names = vec![("module", "other".to_owned())];
        material.names.extend(names());
        let field = ("who".to_owned(), "anna of videeos and other".to_owned());
        material.configuration.push(field);
    });
    let mut material = plant(one);
    material.names = names();
    let halves = vec![collect(material).await, other.await];
    let text = unpack(&pack(halves, None, Names::Go).expect("a bundle"), one).await;
    assert!(
        text.contains("who = user-1 of module-1 and module-2"),
        "{text}"
    );
    for gone in ["castor", "videeos", "anna", "10.11.12.13"] {
        assert!(!text.contains(gone), "{gone} is in\n{text}");
    }
}

#[tokio::test]
async fn a_half_that_is_none_is_refused() {
    assert!(Half::decode(b"").is_err());
    assert!(Half::decode(&[0x1f; 100]).is_err());
    for name in ["../escape", "/etc/cron.d/x", "", ".."] {
        let forged = format!(r#"{{"node":2,"names":[],"files":[["{name}","x"]]}}"#);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(forged.as_bytes()).expect("memory");
        let packed = packed.finish().expect("memory");
        assert!(Half::decode(&packed).is_err(), "{name}");
    }
}
