//! Every command for a node and a module, given on the other node; and what is said when the node
//! that should carry it out cannot be reached.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::http::{Door, certificate};
use stage::{Machine, Stage, first_start, is_root, lines, outcome, pair_offline, run, until};

const PRIMARY: [&str; 3] = ["PRIM", "green", "uptodate"];
const STANDBY: [&str; 3] = ["SECOND", "green", "uptodate"];
const ALONE: [&str; 3] = ["ALONE", "green", "uptodate"];
const OUTDATED: [&str; 3] = ["STOP", "red", "not uptodate"];
const LEVEL: [&str; 3] = ["STOP", "red", "uptodate"];

fn stage(name: &str) -> Stage {
    let module = counter("counter", "volume", "10.99.0.100/24", "");
    let stage = Stage::build(name, &(cluster("") + &module));
    install_counter(&stage, "counter", "volume");
    stage
}

/// Given on `machine`, for a node; it has to succeed.
fn order(machine: &Machine<'_>, words: &[&str], node: &str) {
    let whom = ["--node", node, "--module", "counter"];
    run(&mut machine.tandem(&[words, &whom].concat()));
}

fn counts(stage: &Stage) {
    let numbers = || lines(&acknowledgements(stage, "counter")).len();
    let begun = numbers();
    until("the counter counts", || {
        (numbers() > begun + 5).then_some(())
    });
}

/// Failover, checkers, boot start, as `machine` knows them of both nodes.
fn switches(machine: &Machine<'_>) -> Option<Vec<[bool; 3]>> {
    let nodes = machine.status()?.nodes.into_iter();
    let switches = nodes.map(|node| node.modules.into_iter().next()?.switches);
    switches
        .map(|found| found.map(|s| [s.failover, s.checkers, s.boot_start]))
        .collect()
}

fn wait_for_switches(machine: &Machine<'_>, expected: [[bool; 3]; 2]) {
    until("both nodes are switched", || {
        (switches(machine)? == expected).then_some(())
    });
}

#[test]
fn every_command_is_carried_out_for_the_other_node() {
    if !is_root("every_command_is_carried_out_for_the_other_node") {
        return;
    }
    let stage = stage("every");
    let (one, two) = pair_offline(&stage);
    for node in [&one, &two] {
        node.wait_for(OUTDATED);
    }
    // All for node1 is said on node2, and the other way round.
    order(&two, &["start", "--no-wait"], "1");
    order(&one, &["start", "--no-wait"], "2");
    for node in [&one, &two] {
        node.wait_for(["WAIT", "red", "not uptodate"]);
    }
    order(&two, &["prim"], "1");
    one.wait_for(PRIMARY);
    two.wait_for(STANDBY);
    counts(&stage);

    order(&two, &["restart"], "1");
    one.wait_for(PRIMARY);
    counts(&stage);

    for verb in ["failover", "checkers"] {
        order(&two, &[verb, "off"], "1");
    }
    order(&two, &["boot", "on"], "1");
    wait_for_switches(&two, [[false, false, true], [true, true, false]]);
    // Of both nodes, unless one is named.
    for words in [["failover", "on"], ["checkers", "on"], ["boot", "on"]] {
        run(&mut two.tandem(&words));
    }
    wait_for_switches(&two, [[true, true, true]; 2]);

    order(&two, &["swap"], "1");
    two.wait_for(PRIMARY);
    one.wait_for(STANDBY);
    counts(&stage);

    // On the primary this is a failover.
    order(&one, &["stopstart"], "2");
    one.wait_for(PRIMARY);
    two.wait_for(STANDBY);
    counts(&stage);

    order(&one, &["stop"], "2");
    two.wait_for(OUTDATED);
    one.wait_for(ALONE);
    order(&one, &["second"], "2");
    two.wait_for(STANDBY);
    one.wait_for(PRIMARY);

    // A copy that is not believed is compared anew. What serves is compared with nothing.
    order(&one, &["second", "--full-sync"], "2");
    two.wait_for(STANDBY);
    one.wait_for(PRIMARY);
    assert!(stage.logs().contains("nothing is believed of this copy"));
    let words = ["second", "--full-sync", "--node", "1"];
    let (status, text) = outcome(&mut two.tandem(&words));
    assert_eq!(status, 3, "{text}");
    counts(&stage);

    run(&mut two.tandem(&["estimate", "--module", "counter"]));
    run(&mut two.tandem(&["stop", "--all", "--module", "counter"]));
    for node in [&one, &two] {
        node.wait_for(LEVEL);
    }
    // One node alone, whatever the other has.
    order(&one, &["prim", "--force"], "2");
    two.wait_for(ALONE);
    counts(&stage);
    order(&two, &["start"], "1");
    one.wait_for(STANDBY);
    two.wait_for(PRIMARY);

    // Who leaves keeps the data, and nothing of ours in it.
    order(&two, &["stop"], "1");
    one.wait_for(OUTDATED);
    one.stop_daemon();
    let volume = stage.data().join("volume");
    let holds = |name: &str| {
        let listed = run(one.command("ls").arg("-A").arg(&volume));
        listed.lines().any(|line| line == name)
    };
    assert!(holds(".tandem") && holds("count"));
    run(&mut one.tandem(&["cluster", "leave"]));
    assert!(!holds(".tandem") && holds("count"));
    counts(&stage);
}

#[test]
fn a_command_for_a_node_that_is_dead_ends_with_its_own_exit_code() {
    if !is_root("a_command_for_a_node_that_is_dead_ends_with_its_own_exit_code") {
        return;
    }
    let stage = stage("dead");
    let (one, two) = pair_offline(&stage);
    for node in [&one, &two] {
        node.wait_for(OUTDATED);
    }
    one.kill_daemon();
    until("node2 has lost the link", || {
        let words = ["stop", "--node", "1", "--no-wait"];
        (outcome(&mut two.tandem(&words)).0 == 6).then_some(())
    });
    let commands: [&[&str]; 12] = [
        &["start"],
        &["stop"],
        &["restart"],
        &["stopstart"],
        &["swap"],
        &["prim"],
        &["prim", "--force"],
        &["second"],
        &["second", "--full-sync"],
        &["failover", "off"],
        &["checkers", "off"],
        &["boot", "on"],
    ];
    // Each waits for the link, all at the same time.
    std::thread::scope(|scope| {
        for words in commands {
            let mut command = two.tandem(&[words, &["--node", "1"]].concat());
            scope.spawn(move || {
                let (status, text) = outcome(&mut command);
                assert_eq!(status, 6, "{words:?}: {text}");
                let sentence = "node1: the other node's daemon did not answer within 5 s";
                assert!(text.contains(sentence), "{words:?}: {text}");
            });
        }
    });
    // The node that can be reached is switched all the same, and does not wait for the other one.
    let mut command = two.tandem(&["boot", "on"]);
    let mut running = command.spawn().expect("run tandem");
    until("node2 is switched", || {
        let switches = two.module()?.switches?;
        switches.boot_start.then_some(())
    });
    let ended = running.try_wait().expect("look at tandem");
    assert!(ended.is_none(), "node1 was waited for first");
    assert_eq!(running.wait().expect("wait for tandem").code(), Some(6));
    let (status, text) = outcome(&mut two.tandem(&["stop", "--all"]));
    assert_eq!(status, 6, "{text}");
}

#[test]
fn who_leaves_after_the_mirror_died_gets_the_plain_directory_back() {
    if !is_root("who_leaves_after_the_mirror_died_gets_the_plain_directory_back") {
        return;
    }
    let stage = stage("dead-m");
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    counts(&stage);
    order(&two, &["stop"], "2");
    one.wait_for(ALONE);
    one.kill_daemon();
    // It serves without its daemon, as the only node: nothing is taken away from the application.
    let (status, text) = outcome(&mut one.tandem(&["cluster", "leave"]));
    assert!(
        status == 3 && text.contains("module counter is served on this node"),
        "{status}: {text}"
    );
    counts(&stage);
    let volume = stage.data().join("volume");
    let kill = |what: &str| run(one.command("pkill").args(["-KILL", "-f", what]));
    kill(&stage.shared().join("counter").display().to_string());
    kill("tandem mirror");
    let list = || outcome(one.command("ls").arg("-A").arg(&volume));
    until("the mount is dead", || {
        let (status, text) = list();
        (status != 0 && text.contains("not connected")).then_some(())
    });
    let acknowledged = lines(&acknowledgements(&stage, "counter"));
    run(&mut one.tandem(&["cluster", "leave"]));
    let (status, text) = list();
    assert!(status == 0 && !text.contains(".tandem"), "{text}");
    let counted = run(one.command("cat").arg(volume.join("count")));
    let last = acknowledged.last().expect("it counted");
    assert!(counted.lines().any(|line| line == last), "{last} is lost");
    run(one.command("touch").arg(volume.join("by-hand")));
}

#[test]
fn a_machine_in_place_of_a_lost_one_becomes_that_node_by_its_backup() {
    if !is_root("a_machine_in_place_of_a_lost_one_becomes_that_node_by_its_backup") {
        return;
    }
    let stage = stage("lost");
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    let backup = stage.shared().join("backup").display().to_string();
    run(&mut two.tandem(&["config", "backup", &backup]));
    let (status, text) = outcome(&mut two.tandem(&["config", "restore", &backup]));
    assert!(
        status == 3 && text.contains("the daemon of this node runs"),
        "{text}"
    );
    counts(&stage);
    two.kill();
    one.wait_for(ALONE);
    // Another machine: nothing of the node's state, and an empty directory.
    let two = stage.boot(2);
    std::fs::remove_dir_all(two.state_dir()).expect("the lost machine's");
    let volume = stage.data().join("volume");
    run(two.command("rm").arg("-r").arg(&volume));
    run(two.command("mkdir").arg(&volume));
    let (status, text) = outcome(&mut two.tandem(&["status"]));
    assert_eq!(status, 5, "{text}");
    let said = run(&mut two.tandem(&["config", "restore", &backup]));
    assert!(said.contains("This machine is node2 now"), "{said}");
    counts(&stage);
    two.start_daemon();
    two.wait_for(OUTDATED);
    run(&mut two.tandem(&["start"]));
    two.wait_for(STANDBY);
    one.wait_for(PRIMARY);
    let acknowledged = lines(&acknowledgements(&stage, "counter"));
    order(&one, &["swap"], "1");
    two.wait_for(PRIMARY);
    let counted = run(two.command("cat").arg(volume.join("count")));
    let last = acknowledged.last().expect("it counted");
    assert!(counted.lines().any(|line| line == last), "{last} is lost");
    counts(&stage);
}

#[test]
fn the_console_shows_the_certificate_that_it_was_given_and_then_a_new_one() {
    if !is_root("the_console_shows_the_certificate_that_it_was_given_and_then_a_new_one") {
        return;
    }
    let stage = stage("cert");
    let (one, _two) = pair_offline(&stage);
    let place = certificate(&one);
    // Whoever trusts this certificate and no other gets an answer.
    let is_shown = || {
        one.kill_daemon();
        one.start_daemon();
        let door = Door::of(&[&one]);
        assert!(matches!(door, Door::Https(_)));
        let (status, answer) = stage.in_network(2, || door.ask("GET / HTTP/1.1", ""));
        assert_eq!(status, 200, "{answer}");
    };
    run(&mut one.tandem(&["console", "https"]));
    is_shown();

    // Somebody's own: made by another node here, and known to nobody.
    let own = stage.shared().join("own");
    let [state, spare] = ["one", "two"].map(|name| own.join(name));
    let tandem = || std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
    run(tandem()
        .args(["cluster", "init", "--offline"])
        .args([&state, &spare]));
    run(tandem()
        .args(["console", "https", "--config"])
        .arg(stage.config())
        .arg("--state-dir")
        .arg(&state));
    let [theirs, key] = ["certificate.pem", "key.pem"].map(|name| state.join("https").join(name));
    let install = |key: &std::path::Path| {
        let [theirs, key] = [theirs.as_path(), key].map(|path| path.display().to_string());
        outcome(&mut one.tandem(&["console", "https", "--certificate", &theirs, "--key", &key]))
    };
    let read = |path: &std::path::Path| std::fs::read(path).expect("it is there");
    let before = read(&place);
    let (status, said) = install(&place.with_file_name("key.pem"));
    assert!(
        status == 1 && said.contains("use the certificate and the key"),
        "another one's key: {said}"
    );
    assert_eq!(read(&place), before);
    let (status, said) = install(&key);
    assert_eq!(status, 0, "{said}");
    assert_eq!(read(&place), read(&theirs));
    is_shown();

    run(&mut one.tandem(&["console", "https", "--renew"]));
    assert_ne!(read(&place), read(&theirs));
    is_shown();
}
