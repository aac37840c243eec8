//! The licence on two machines: how a module without one ends, and what does not make it end later.

mod stage;

use stage::configuration::{cluster, counter, install_counter};
use stage::{Machine, Stage, first_start, is_root, outcome, pair_offline, run, until};
use std::fs;
use std::process::Command;

/// The seed of the key for tests, which everybody knows.
const TEST_SEED: &str = "7465737420736565642c206b6e6f776e20746f2065766572796f6e6520212121";

/// What a module may run without a licence.
const PERIOD_MS: u64 = 72 * 3600 * 1000;

/// Both machines with a counter that serves.
fn serving(stage: &Stage) -> (Machine<'_>, Machine<'_>) {
    install_counter(stage, "counter", "volume");
    let (one, two) = pair_offline(stage);
    first_start(&one, &two);
    (one, two)
}

fn used(machine: &Machine<'_>) -> u64 {
    let module = machine
        .module()
        .and_then(|module| module.license.unlicensed_ms);
    module.unwrap_or(0)
}

/// All but this is over, as a stopped daemon finds it.
fn move_forward(machine: &Machine<'_>, left_ms: u64) {
    let path = machine.state_dir().join("modules/counter/unlicensed");
    let text = fs::read_to_string(&path).expect("it was counted");
    let moved = text.lines().map(|line| match line.split_once(" = ") {
        Some((key @ "used-milliseconds", _)) => format!("{key} = {}\n", PERIOD_MS - left_ms),
        _ => format!("{line}\n"),
    });
    fs::write(&path, moved.collect::<String>()).expect("written");
}

fn epoch(machine: &Machine<'_>) -> Option<u64> {
    machine
        .module()
        .and_then(|module| module.record)
        .map(|record| record.epoch)
}

#[test]
fn without_a_licence_a_module_stops_on_both_nodes_and_nobody_takes_over() {
    if !is_root("without_a_licence_a_module_stops_on_both_nodes_and_nobody_takes_over") {
        return;
    }
    let module = counter("counter", "volume", "10.99.0.100/24", "");
    let stage = Stage::build("lic", &(cluster("") + &module));
    let (one, two) = serving(&stage);
    // A swap and daemons that are restarted begin nothing anew.
    until("time is counted", || (used(&one) > 3000).then_some(()));
    run(&mut one.tandem(&["swap"]));
    two.wait_for(["PRIM", "green", "uptodate"]);
    one.wait_for(["SECOND", "green", "uptodate"]);
    let before = used(&two);
    assert!(before > 3000, "{before}");
    assert!(
        one.module().is_some_and(|m| m.license.warning.is_none()),
        "an hour has not passed"
    );
    for node in [&one, &two] {
        node.stop_daemon();
        node.start_daemon();
    }
    // What was counted before is still counted.
    until("the daemons count on", || {
        (used(&two) >= before).then_some(())
    });
    until("check says that all is good", || {
        (outcome(&mut two.tandem(&["check"])).0 == 0).then_some(())
    });
    // On the standby all but the last seconds are over: the primary takes that over.
    one.stop_daemon();
    move_forward(&one, 15_000);
    one.start_daemon();
    until("the warning", || {
        let module = two.module()?;
        let warning = module.license.warning?;
        warning.contains("stops after 1 minute").then_some(())
    });
    let (status, said) = outcome(&mut two.tandem(&["check"]));
    assert!(
        status == 1 && said.contains("there is no licence"),
        "{status}: {said}"
    );
    let said = run(&mut two.tandem(&["status"]));
    assert!(
        said.contains("node2 warning: there is no licence"),
        "{said}"
    );
    let term = until("the record", || epoch(&two));
    for node in [&one, &two] {
        node.wait_for(["STOP", "red", "uptodate"]);
        let module = node.module().expect("the daemon runs");
        assert!(module.reason.contains("licence"), "{}", module.reason);
        assert!(module.addresses.iter().all(|address| !address.held));
    }
    assert_eq!(epoch(&one), Some(term), "nobody took over");
    assert_eq!(epoch(&two), Some(term), "nobody took over");
    let clean = two
        .module()
        .and_then(|module| module.record)
        .map(|record| record.clean);
    assert_eq!(clean, Some(true), "both copies were brought level");

    // It may be started again, for as long as before.
    let (status, said) = outcome(&mut two.tandem(&["check"]));
    assert!(
        status == 2 && said.contains("nobody serves"),
        "{status}: {said}"
    );
    let spent = used(&two);
    assert!(spent >= PERIOD_MS, "{spent}");
    run(&mut two.tandem(&["start", "--all", "--no-wait"]));
    until("it runs again", || {
        let runs = two.module().is_some_and(|module| module.state != "STOP");
        (runs && used(&two) < spent).then_some(())
    });

    // With a licence it goes on: what was used does not count any more.
    let key = stage.shared().join("key");
    fs::write(&key, TEST_SEED).expect("written");
    let request = run(&mut one.tandem(&["license", "request"]));
    let cluster_id = request
        .trim()
        .strip_prefix("cluster = ")
        .expect("an identifier");
    let license = stage.shared().join("license");
    let issue = |cluster: &str, expires: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command
            .args(["license", "issue", "--licensee", "Example Ltd", "--key"])
            .arg(&key);
        let text = run(command.args(["--cluster", cluster, "--expires", expires]));
        fs::write(&license, &text).expect("written");
        text
    };
    let add = |node: &Machine<'_>| {
        let path = license.display().to_string();
        outcome(&mut node.tandem(&["license", "add", &path]))
    };
    issue("another", "never");
    let (status, said) = add(&one);
    assert!(
        status == 3 && said.contains("for another cluster"),
        "{said}"
    );
    issue(cluster_id, "2020-01-01");
    let (status, said) = add(&one);
    assert!(
        status == 3 && said.contains("expired on 2020-01-01"),
        "{said}"
    );
    let good = issue(cluster_id, "never");
    fs::write(&license, good.replace("Example", "Exbmple")).expect("written");
    let (status, said) = add(&one);
    assert!(status == 3 && said.contains("altered"), "{said}");
    let (status, _) = outcome(&mut one.tandem(&["license", "status"]));
    assert_eq!(status, 1, "nothing was put in place");
    fs::write(&license, good).expect("written");
    let licensed = |node: &Machine<'_>| {
        until("the daemon has it", || {
            node.module()
                .filter(|module| module.license.valid)
                .map(drop)
        });
        assert_eq!(used(node), 0);
    };
    let (status, said) = add(&one);
    assert_eq!(status, 0, "{said}");
    licensed(&one);
    // It is the cluster's: the other node counts nothing more, and says that it lacks the file.
    until("the other node says so", || {
        let license = two.module()?.license;
        let told = license.warning?.contains("add the other node's here, too");
        (told && !license.valid && license.unlicensed_ms == Some(0)).then_some(())
    });
    let (status, said) = add(&two);
    assert_eq!(status, 0, "{said}");
    licensed(&two);
    assert!(two.module().is_some_and(|m| m.license.warning.is_none()));
    let (status, said) = outcome(&mut one.tandem(&["license", "status"]));
    assert!(
        status == 0 && said.contains("licensed to Example Ltd, without end"),
        "{said}"
    );
}
