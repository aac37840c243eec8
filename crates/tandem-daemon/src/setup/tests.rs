use super::browsers::accounts;
use super::choices::Place;
use super::secondary::wait_at;
use super::*;
use crate::https;
use crate::identity::Identity;
use crate::pairing;
use std::path::Path;
use tandem_console::accounts::Role;
use tandem_console::{Console, Secret};
use tandem_core::NodeId;
use tokio::time::timeout;
use toml::{Table, Value};
use zeroize::Zeroizing;

/// What a primary would write, on two machines of which only the names differ.
pub(crate) fn configuration_of(application: &Filled) -> String {
    let place = |name: &str, address: &str| Place {
        name: name.to_owned(),
        address: address.parse().expect("an address"),
        interface: Some("eth0".to_owned()),
    };
    let choices = Choices {
        virtual_addresses: vec!["192.0.2.100/24".to_owned()],
        networks: vec![(
            "198.51.100.1".parse().expect("an address"),
            "198.51.100.2".parse().expect("an address"),
        )],
        ..choices("h2", application.clone())
    };
    choices.configuration(&place("h1", "192.0.2.1"), &place("h2", "192.0.2.2"))
}

fn choices(peer: &str, application: Filled) -> Choices {
    Choices {
        peer: peer.to_owned(),
        cluster: "cluster1".to_owned(),
        module: "videeos".to_owned(),
        application,
        virtual_addresses: Vec::new(),
        takeover_after: None,
        transport: Transport::Https,
        networks: Vec::new(),
    }
}

/// One machine, without units.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    fn settings(&self) -> Settings {
        Settings {
            config: self.directory.path().join("tandem.toml"),
            state_dir: self.directory.path().join("state"),
            runtime_dir: self.directory.path().join("run"),
        }
    }

    fn assert_untouched(&self) {
        let settings = self.settings();
        assert!(!settings.config.exists(), "a configuration");
        let [certificate, key] = https::places(&settings.state_dir);
        for path in [certificate, key, accounts(&settings)] {
            assert!(!path.exists(), "{}", path.display());
        }
        for name in ["identity", "token", "setup-unfinished", "units-disabled"] {
            assert!(!settings.state_dir.join(name).exists(), "{name}");
        }
    }
}

fn application() -> Filled {
    let mut parts = Table::new();
    let mut volume = Table::new();
    volume.insert("name".to_owned(), Value::String("data".to_owned()));
    volume.insert("path".to_owned(), Value::String("/srv/data".to_owned()));
    parts.insert(
        "volume".to_owned(),
        Value::Array(vec![Value::Table(volume)]),
    );
    Filled {
        parts,
        same: vec![PathBuf::from("/none/such")],
        takeover_after: None,
    }
}

/// Of these tests alone, because the port is fixed. node1 comes from 127.0.0.1.
const NODE2: &str = "127.78.3.1";

fn found(findings: Vec<Finding>) -> Findings {
    Box::pin(std::future::ready(Ok(findings)))
}

fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

async fn come(one: &Machine, typed: &str) -> Result<Vec<String>, SetUpFailure> {
    come_with(one, &choices(NODE2, application()), typed).await
}

async fn come_with(
    one: &Machine,
    choices: &Choices,
    typed: &str,
) -> Result<Vec<String>, SetUpFailure> {
    let settings = one.settings();
    let typed = password(typed);
    let came = primary(
        &settings,
        choices,
        &typed,
        &|| found(Vec::new()),
        &mut |_| {},
    )
    .await;
    if came.is_err() {
        undo(&settings).await.expect("taken back");
    }
    came
}

/// Waits for node2 to listen: it says so.
async fn wait_for(told: &mut tokio::sync::mpsc::UnboundedReceiver<String>, words: &str) {
    let waited = timeout(Duration::from_secs(30), async {
        while let Some(line) = told.recv().await {
            if line.contains(words) {
                return;
            }
        }
        panic!("it ended without: {words}");
    });
    waited.await.expect("it says so in time");
}

/// All on one address and port, hence one after the other.
#[tokio::test]
async fn two_machines_become_a_cluster_or_stay_as_they_were() {
    let local = tokio::task::LocalSet::new();
    local.run_until(all_of_it()).await;
}

async fn all_of_it() {
    let (one, two) = (Machine::new(), Machine::new());
    let refuse = std::rc::Rc::new(std::cell::Cell::new(false));
    let (says, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (settings, refuses) = (two.settings(), refuse.clone());
    let waiting = tokio::task::spawn_local(async move {
        let typed = password("a good password");
        let look = move || {
            let missing = Finding {
                what: "the directory is missing".to_owned(),
                remedy: "mkdir".to_owned(),
            };
            found(if refuses.get() {
                vec![missing]
            } else {
                Vec::new()
            })
        };
        let mut tell = |line: &str| drop(says.send(line.to_owned()));
        let door = [NODE2.parse().expect("an address")];
        wait_at(&door, &settings, Transport::Https, &typed, &look, &mut tell).await
    });
    wait_for(&mut told, "waits for the primary").await;

    let error = come(&one, "another password")
        .await
        .expect_err("it is another");
    assert!(matches!(error, SetUpFailure::WrongPassword), "{error}");
    one.assert_untouched();
    assert!(!two.settings().config.exists());

    // The console would be another one on each node.
    let http = Choices {
        transport: Transport::Http,
        ..choices(NODE2, application())
    };
    let error = come_with(&one, &http, "a good password")
        .await
        .expect_err("refused");
    assert!(
        error.to_string().contains("choose the same on both"),
        "{error}"
    );
    one.assert_untouched();
    wait_for(&mut told, "waits for the primary").await;

    // node2 is not ready: both are as before, and node2 waits again.
    refuse.set(true);
    let error = come(&one, "a good password").await.expect_err("refused");
    assert!(
        error.to_string().contains("the directory is missing"),
        "{error}"
    );
    one.assert_untouched();
    wait_for(&mut told, "waits for the primary").await;
    assert!(!two.settings().config.exists());
    assert!(!two.settings().state_dir.join("identity").exists());
    refuse.set(false);

    // node1 goes away in the middle: node2 takes everything back.
    let cut = async {
        let choices = choices(NODE2, application());
        let settings = one.settings();
        let typed = password("a good password");
        let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
        let mut tell = |line: &str| drop(says.send(line.to_owned()));
        let look = || found(Vec::new());
        tokio::select! {
            biased;
            _ = wait_for(&mut said, "Letting the secondary") => {}
            _ = primary(&settings, &choices, &typed, &look, &mut tell) => panic!("too fast"),
        }
        undo(&settings).await.expect("taken back");
    };
    cut.await;
    one.assert_untouched();
    wait_for(&mut told, "waits for the primary").await;
    assert!(!two.settings().config.exists());

    let notes = come(&one, "a good password").await.expect("paired");
    assert_eq!(notes, ["/none/such is not the same on both computers"]);
    waiting.await.expect("no panic").expect("paired");
    let (a, b) = (one.settings(), two.settings());
    let text = |path: &Path| std::fs::read_to_string(path).expect("written");
    assert_eq!(text(&a.config), text(&b.config));
    let first = Identity::read(&a.state_dir).expect("node1");
    let second = Identity::read(&b.state_dir).expect("node2");
    assert_eq!((first.node, second.node), (NodeId::One, NodeId::Two));
    assert_eq!(first.peer_der.as_ref(), Some(&second.certificate_der));
    assert_eq!(second.peer_der.as_ref(), Some(&first.certificate_der));
    assert_eq!(
        (first.cluster, first.secret),
        (second.cluster, second.secret)
    );
    // The password of the set-up opens the console, on node1, from which node2 gets its accounts.
    let console = Console::open(&a.state_dir, "token").expect("it opens");
    let admin = console
        .accounts
        .verify(ADMIN, &Secret::new("a good password"));
    assert!(admin.is_some_and(|(_, role)| role == Role::Admin));
    assert!(!accounts(&b).exists());
    for settings in [&a, &b] {
        let [certificate, key] = https::places(&settings.state_dir);
        assert!(certificate.exists() && key.exists());
        assert!(
            !undo(settings).await.expect("nothing to do"),
            "it is finished"
        );
        Identity::read(&settings.state_dir).expect("still there");
    }
    // And not a second time.
    let error = come(&one, "a good password")
        .await
        .expect_err("it is a node already");
    assert!(
        matches!(error, SetUpFailure::Identity(IdentityError::Exists { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_set_up_that_lost_power_is_taken_back_by_the_next_one() {
    let machine = Machine::new();
    let settings = machine.settings();
    let mut unfinished = Unfinished::begin(&settings).expect("nothing is there");
    unfinished.configuration(&settings).expect("room");
    let text = configuration_of(&application());
    pairing::write_configuration(&settings.config, &text).expect("valid");
    let identity = Identity::draw().expect("random numbers");
    identity.write(&settings.state_dir, "token").expect("room");
    // What was being written in that moment.
    let state = &settings.state_dir;
    std::fs::create_dir(state.join("identity.new")).expect("room");
    for path in [
        state.join("setup-unfinished.new"),
        state.join("identity.new/key"),
    ] {
        std::fs::write(path, "half").expect("room");
    }
    std::fs::write(settings.config.with_extension("toml.new"), "half").expect("room");
    assert!(undo(&settings).await.expect("taken back"));
    machine.assert_untouched();
    let left = |of: &Path| std::fs::read_dir(of).expect("there").count();
    assert_eq!(left(state), 0);
    assert_eq!(left(machine.directory.path()), 1, "the state directory");
}

#[tokio::test]
async fn a_configuration_that_people_wrote_is_never_taken_back() {
    let machine = Machine::new();
    let settings = machine.settings();
    std::fs::write(&settings.config, "# mine\n").expect("room");
    let mut unfinished = Unfinished::begin(&settings).expect("nothing is there");
    unfinished.configuration(&settings).expect("room");
    undo(&settings).await.expect("taken back");
    let kept = std::fs::read_to_string(&settings.config).expect("kept");
    assert_eq!(kept, "# mine\n");
}

#[tokio::test]
async fn what_people_have_put_there_for_the_console_stays_when_a_set_up_is_taken_back() {
    let machine = Machine::new();
    let settings = machine.settings();
    let mut unfinished = Unfinished::begin(&settings).expect("nothing is there");
    let [certificate, key] = https::places(&settings.state_dir);
    std::fs::create_dir_all(certificate.parent().expect("a place")).expect("room");
    for path in [&certificate, &key, &accounts(&settings)] {
        std::fs::write(path, "mine").expect("room");
    }
    let configuration =
        crate::config::Configuration::parse(Path::new("t"), &configuration_of(&application()))
            .expect("valid");
    let node = configuration.node(NodeId::One);
    browsers::enable(&settings, &mut unfinished, Transport::Https, node).expect("nothing to do");
    undo(&settings).await.expect("taken back");
    for path in [&certificate, &key, &accounts(&settings)] {
        assert_eq!(std::fs::read_to_string(path).expect("kept"), "mine");
    }
    let error = browsers::check(&settings, Transport::Http).expect_err("it would be removed");
    assert!(matches!(error, SetUpFailure::CertificateExists(path) if path == certificate));
}

#[tokio::test]
async fn another_clusters_licence_ends_a_set_up_before_it_begins() {
    let machine = Machine::new();
    let settings = machine.settings();
    std::fs::create_dir_all(&settings.state_dir).expect("room");
    let license = license::path(&settings.state_dir);
    std::fs::write(&license, "theirs").expect("room");
    let typed = password("a good password");
    let came = come(&machine, "a good password").await;
    let look = || found(Vec::new());
    let mut tell = |line: &str| panic!("it begins: {line}");
    let waited = secondary(&settings, Transport::Https, &typed, &look, &mut tell).await;
    for refused in [came.map(drop), waited] {
        let error = refused.expect_err("refused");
        assert!(matches!(&error, SetUpFailure::LicenseExists(path) if *path == license));
    }
    machine.assert_untouched();
    let kept = std::fs::read_to_string(&license).expect("kept");
    assert_eq!(kept, "theirs");
}

#[tokio::test]
async fn a_token_without_its_identity_is_taken_back_too() {
    let machine = Machine::new();
    let settings = machine.settings();
    Unfinished::begin(&settings).expect("nothing is there");
    std::fs::write(settings.state_dir.join("token"), "token").expect("room");
    assert!(undo(&settings).await.expect("taken back"));
    machine.assert_untouched();
}

#[test]
fn two_set_ups_of_one_machine_do_not_meet() {
    let machine = Machine::new();
    let settings = machine.settings();
    let first = Only::take(&settings).expect("nobody else");
    assert!(matches!(Only::take(&settings), Err(SetUpFailure::Running)));
    drop(first);
    Only::take(&settings).expect("nobody else any more");
}
