//! A configuration that changes under a pair that serves.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::{Machine, Stage, first_start, is_root, lines, pair_offline, run, until};
use std::fs;

fn stage(name: &str) -> Stage {
    let counter = counter("counter", "volume", "10.99.0.100/24", "restart-budget = 3");
    let stage = Stage::build(name, &(cluster("") + &counter));
    install_counter(&stage, "counter", "volume");
    stage
}

/// Both nodes get the file with `from` made `to`, and their daemons start anew.
fn change(stage: &Stage, nodes: [&Machine<'_>; 2], from: &str, to: &str) {
    let text = fs::read_to_string(stage.config()).expect("the stage wrote it");
    assert!(text.contains(from), "{from}");
    fs::write(stage.config(), text.replace(from, to)).expect("a temporary directory");
    for node in nodes {
        node.kill_daemon();
    }
    for node in nodes {
        node.start_daemon();
    }
}

fn counted(stage: &Stage) -> usize {
    lines(&acknowledgements(stage, "counter")).len()
}

/// The only module of a node, when its daemon answers.
fn warning(node: &Machine<'_>) -> Option<String> {
    until("an answer", || node.module()).warning
}

fn mirror_id(node: &Machine<'_>) -> u64 {
    let found = run(node.command("pgrep").args(["-f", "tandem mirror"]));
    let first = found.lines().next().expect("it serves");
    first.parse().expect("a number")
}

#[test]
fn what_no_mirror_is_told_changes_while_the_application_runs() {
    if !is_root("what_no_mirror_is_told_changes_while_the_application_runs") {
        return;
    }
    let stage = stage("small");
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    let mirror = mirror_id(&one);
    let before = counted(&stage);
    change(
        &stage,
        [&one, &two],
        "restart-budget = 3",
        "restart-budget = 5",
    );
    one.wait_for(["PRIM", "green", "uptodate"]);
    two.wait_for(["SECOND", "green", "uptodate"]);
    assert_eq!([warning(&one), warning(&two)], [None, None]);
    assert_eq!(mirror_id(&one), mirror, "it was not touched");
    until("the counter goes on", || {
        (counted(&stage) > before).then_some(())
    });
}

#[test]
fn a_mirror_with_the_configuration_of_before_is_named_until_the_module_was_stopped() {
    if !is_root("a_mirror_with_the_configuration_of_before_is_named_until_the_module_was_stopped") {
        return;
    }
    let stage = stage("large");
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    let before = counted(&stage);
    let memory = "restart-budget = 3\ndurability = \"memory\"";
    change(&stage, [&one, &two], "restart-budget = 3", memory);
    for node in [&one, &two] {
        let said = until("the warning", || warning(node));
        assert!(said.contains("the configuration of before"), "{said}");
        assert!(said.contains("tandem stop --all"), "{said}");
    }
    until("the counter goes on", || {
        (counted(&stage) > before).then_some(())
    });
    // Both mirrors have the same one of before: they go on. One that starts anew has another.
    two.wait_for(["SECOND", "green", "uptodate"]);
    run(&mut two.tandem(&["stop", "--node", "2"]));
    run(&mut two.tandem(&["start", "--node", "2", "--no-wait"]));
    two.wait_for(["SECOND", "magenta", "not uptodate"]);
    one.wait_for(["ALONE", "green", "uptodate"]);
    assert!(warning(&one).is_some() && warning(&two).is_none());

    run(&mut one.tandem(&["stop", "--all"]));
    run(&mut one.tandem(&["start", "--all"]));
    one.wait_for(["PRIM", "green", "uptodate"]);
    two.wait_for(["SECOND", "green", "uptodate"]);
    assert_eq!([warning(&one), warning(&two)], [None, None]);
}
