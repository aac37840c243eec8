//! Several modules on one pair: each has its own role, and what happens to one is none of the other's
//! business.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::{Machine, Stage, is_root, lines, pair_offline, run, said, until};

const PRIMARY: [&str; 3] = ["PRIM", "green", "uptodate"];
const STANDBY: [&str; 3] = ["SECOND", "green", "uptodate"];
const ALONE: [&str; 3] = ["ALONE", "green", "uptodate"];

fn stage(name: &str) -> Stage {
    let left = counter("left", "volume", "fd99::100/64", "");
    let right = counter("right", "other", "10.99.0.101/24", "data-port = 9099");
    let stage = Stage::build(name, &(cluster("") + &left + &right));
    install_counter(&stage, "left", "volume");
    install_counter(&stage, "right", "other");
    stage
}

/// Waits until a module's counter counts, and gives the newest number.
fn counts(stage: &Stage, module: &str) -> u64 {
    let numbers = || lines(&acknowledgements(stage, module));
    let begun = numbers().len();
    until("the counter counts", || {
        let numbers = numbers();
        (numbers.len() > begun + 5).then(|| numbers.last()?.parse().ok())?
    })
}

/// Both modules, crossed: left is served by node1, right by node2.
fn crossed(one: &Machine<'_>, two: &Machine<'_>) {
    for node in [one, two] {
        node.wait_for_module("left", ["STOP", "red", "not uptodate"]);
        for module in ["left", "right"] {
            run(&mut node.tandem(&["start", "--module", module, "--no-wait"]));
        }
    }
    for (module, primary, standby) in [("left", one, two), ("right", two, one)] {
        primary.wait_for_module(module, ["WAIT", "red", "not uptodate"]);
        standby.wait_for_module(module, ["WAIT", "red", "not uptodate"]);
        run(&mut primary.tandem(&["prim", "--module", module]));
        standby.wait_for_module(module, STANDBY);
        primary.wait_for_module(module, PRIMARY);
    }
}

#[test]
fn two_modules_crossed_fail_over_without_touching_each_other() {
    if !is_root("two_modules_crossed_fail_over_without_touching_each_other") {
        return;
    }
    let stage = stage("cross");
    let (one, two) = pair_offline(&stage);
    crossed(&one, &two);
    counts(&stage, "left");
    counts(&stage, "right");
    let epoch = |machine: &Machine<'_>, module: &str| {
        let record = machine.module_named(module).and_then(|m| m.record);
        record.expect("it has served").epoch
    };
    let right = epoch(&two, "right");

    // Which module is not said, and there are two.
    let output = one.tandem(&["stop"]).output().expect("the binary is built");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("name one of them: left, right"));

    // Asked for on the other node.
    run(&mut two.tandem(&["stop", "--module", "left", "--node", "1"]));
    two.wait_for_module("left", ALONE);
    counts(&stage, "left");
    let number = counts(&stage, "right");
    assert_eq!(epoch(&two, "right"), right, "right goes on as it was");
    two.wait_for_module("right", PRIMARY);
    one.wait_for_module("right", STANDBY);

    run(&mut one.tandem(&["start", "--module", "left"]));
    two.wait_for_module("left", PRIMARY);
    one.wait_for_module("left", STANDBY);
    run(&mut one.tandem(&["swap", "--module", "left"]));
    one.wait_for_module("left", PRIMARY);
    assert_eq!(epoch(&two, "right"), right, "right goes on as it was");

    // node1 dies: left is taken over, right goes on alone.
    let left = counts(&stage, "left");
    one.kill();
    two.wait_for_module("left", ALONE);
    two.wait_for_module("right", ALONE);
    assert!(counts(&stage, "left") > left);
    let addresses = run(two.command("ip").args(["addr", "show", "dev", "eth0"]));
    for address in ["fd99::100/64", "10.99.0.101/24"] {
        assert!(addresses.contains(address), "{addresses}");
    }
    assert!(counts(&stage, "right") > number);
    for directory in ["volume", "other"] {
        let file = stage.data().join(directory).join("count");
        let text = run(two.command("cat").arg(file));
        let numbers: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "nothing lost, nothing twice");
    }
}
