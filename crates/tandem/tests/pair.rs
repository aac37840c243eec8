//! Two daemons, one mirrored directory, and a counter that survives the death of the first host.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::{
    Machine, Stage, first_start, is_root, lines, make_keys, outcome, pair_offline, run, said, until,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One node is silent for so long until the other one takes over.
const TAKEOVER_AFTER: Duration = Duration::from_secs(1);

struct Pair<'a> {
    one: Machine<'a>,
    two: Machine<'a>,
}

fn stage(name: &str) -> Stage {
    let module = counter("counter", "volume", "10.99.0.100/24", "");
    let stage = Stage::build(name, &(cluster("") + &module));
    install_counter(&stage, "counter", "volume");
    stage
}

/// Both nodes installed, paired as an operator does it, and running.
fn pair(stage: &Stage) -> Pair<'_> {
    let (one, two) = (stage.boot(1), stage.boot(2));
    let said = run(&mut one.tandem(&["cluster", "init"]));
    let words = said
        .split_once("cluster join ")
        .expect("it says how to join")
        .1;
    let words: Vec<&str> = words.split_whitespace().take(2).collect();
    run(&mut two.tandem(&["cluster", "join", words[0], words[1]]));
    one.start_daemon();
    two.start_daemon();
    Pair { one, two }
}

fn acknowledged(stage: &Stage) -> Vec<u64> {
    let lines = lines(&acknowledgements(stage, "counter"));
    lines.iter().filter_map(|line| line.parse().ok()).collect()
}

/// Waits until the counter counts.
fn counts(stage: &Stage) -> u64 {
    let begun = acknowledged(stage).len();
    until("the counter counts", || {
        let numbers = acknowledged(stage);
        (numbers.len() > begun + 10).then(|| numbers[numbers.len() - 1])
    })
}

/// The numbers in the mirrored file, as this machine's application sees them.
fn counted(stage: &Stage, machine: &Machine<'_>) -> Vec<u64> {
    let file = stage.data().join("volume/count");
    let text = run(machine.command("cat").arg(file));
    text.lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

fn holds_address(machine: &Machine<'_>) -> bool {
    run(machine
        .command("ip")
        .args(["-4", "addr", "show", "dev", "eth0"]))
    .contains("10.99.0.100")
}

/// A daemon's log has nothing that a person must look at.
fn assert_no_error(machine: &Machine<'_>) {
    let errors: Vec<String> = (lines(&machine.log()).into_iter())
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_counter_survives_the_death_of_the_first_host() {
    if !is_root("a_counter_survives_the_death_of_the_first_host") {
        return;
    }
    let stage = stage("dies");
    let pair = pair(&stage);
    first_start(&pair.one, &pair.two);
    counts(&stage);
    assert!(holds_address(&pair.one) && !holds_address(&pair.two));
    assert_no_error(&pair.one);
    assert_no_error(&pair.two);

    let Pair { one, two } = pair;
    let died = Instant::now();
    one.kill();
    let last = *acknowledged(&stage).last().expect("it counted");
    until("the counter goes on", || {
        acknowledged(&stage)
            .last()
            .is_some_and(|number| *number > last)
            .then_some(())
    });
    let outage = died.elapsed();
    two.wait_for(["ALONE", "green", "uptodate"]);
    assert!(holds_address(&two));
    let numbers = counted(&stage, &two);
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "nothing lost, nothing twice");
    assert!(numbers.len() as u64 > last);
    eprintln!("{last} numbers acknowledged before the death, outage {outage:?}");
    assert!(
        outage >= TAKEOVER_AFTER / 2,
        "{outage:?}: the other one cannot have known yet"
    );
    assert_no_error(&two);
}

#[test]
fn a_daemon_that_is_killed_is_not_missed() {
    if !is_root("a_daemon_that_is_killed_is_not_missed") {
        return;
    }
    let stage = stage("daemon");
    let (one, two) = pair_offline(&stage);
    let pair = Pair { one, two };
    first_start(&pair.one, &pair.two);
    let Pair { one, two } = &pair;
    counts(&stage);
    let epoch = |machine: &Machine<'_>| machine.module().and_then(|m| m.record).map(|r| r.epoch);
    let before = epoch(one);
    for _ in 0..5 {
        let count = counts(&stage);
        one.kill_daemon();
        // As the service manager does it.
        one.start_daemon();
        one.wait_for(["PRIM", "green", "uptodate"]);
        two.wait_for(["SECOND", "green", "uptodate"]);
        assert!(counts(&stage) > count);
        assert!(holds_address(one));
    }
    assert_eq!(epoch(one), before, "nobody took over");
    assert_eq!(epoch(two), before, "nobody took over");
    assert_no_error(one);
    assert_no_error(two);
}

#[test]
fn the_roles_are_swapped_and_the_whole_module_stops_and_starts_again() {
    if !is_root("the_roles_are_swapped_and_the_whole_module_stops_and_starts_again") {
        return;
    }
    let stage = stage("swap");
    let pair = pair(&stage);
    first_start(&pair.one, &pair.two);
    let Pair { one, two } = &pair;
    counts(&stage);
    // Asked for on the node that does not serve.
    run(&mut two.tandem(&["swap"]));
    two.wait_for(["PRIM", "green", "uptodate"]);
    one.wait_for(["SECOND", "green", "uptodate"]);
    counts(&stage);
    assert!(holds_address(two) && !holds_address(one));
    let numbers = counted(&stage, two);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());

    run(&mut one.tandem(&["stop", "--all"]));
    one.wait_for(["STOP", "red", "uptodate"]);
    two.wait_for(["STOP", "red", "uptodate"]);
    assert!(!holds_address(one) && !holds_address(two));
    let stopped = acknowledged(&stage);
    run(&mut one.tandem(&["start", "--all"]));
    let serves = until("one of them serves again", || {
        let state = |machine: &Machine<'_>| machine.module().map(|m| m.state);
        match (state(one), state(two)) {
            (Some(a), Some(b)) if a == "PRIM" && b == "SECOND" => Some(one),
            (Some(a), Some(b)) if b == "PRIM" && a == "SECOND" => Some(two),
            _ => None,
        }
    });
    assert!(counts(&stage) > *stopped.last().expect("it counted"));
    let numbers = counted(&stage, serves);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_no_error(one);
    assert_no_error(two);
}

#[test]
fn a_daemon_that_is_stopped_leaves_the_application_running() {
    if !is_root("a_daemon_that_is_stopped_leaves_the_application_running") {
        return;
    }
    let stage = stage("stops");
    let pair = pair(&stage);
    first_start(&pair.one, &pair.two);
    let Pair { one, two } = &pair;
    // The mirror asks nobody but its permit, and the peer would take over: stop it first.
    run(&mut one.tandem(&["stop", "--node", "2"]));
    one.wait_for(["ALONE", "green", "uptodate"]);
    one.stop_daemon();
    assert!(one.module().is_none(), "the daemon is gone");
    counts(&stage);
    one.start_daemon();
    one.wait_for(["ALONE", "green", "uptodate"]);
    run(&mut two.tandem(&["start"]));
    two.wait_for(["SECOND", "green", "uptodate"]);
    let numbers = counted(&stage, one);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_no_error(one);
    assert_no_error(two);
}

#[test]
fn a_command_for_the_other_node_waits_for_the_link_to_it() {
    if !is_root("a_command_for_the_other_node_waits_for_the_link_to_it") {
        return;
    }
    let stage = stage("link");
    let (one, two) = (stage.boot(1), stage.boot(2));
    make_keys(&one, &two);
    one.start_daemon();
    one.wait_for(["STOP", "red", "not uptodate"]);
    let mut command = one.tandem(&["stop", "--node", "2"]);
    let command = command.stdout(std::process::Stdio::piped());
    let waiting = command.spawn().expect("the binary is built");
    two.start_daemon();
    let output = waiting.wait_with_output().expect("a child");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("waiting up to 5 s for the link"));
}

#[test]
fn a_command_that_cannot_be_done_says_why_with_its_exit_code() {
    if !is_root("a_command_that_cannot_be_done_says_why_with_its_exit_code") {
        return;
    }
    let stage = stage("codes");
    let Pair { one, two } = pair(&stage);
    let code = |machine: &Machine<'_>, words: &[&str]| outcome(&mut machine.tandem(words));
    one.wait_for(["STOP", "red", "not uptodate"]);
    let (status, text) = code(&one, &["swap"]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("this node has no role to swap"), "{text}");
    let (status, text) = code(&one, &["second"]);
    assert_eq!(status, 3, "{text}");
    let (status, text) = code(&one, &["start", "--module", "none"]);
    assert_eq!(status, 3, "{text}");
    assert_eq!(code(&one, &["dance"]).0, 2);
    let (status, text) = code(&one, &["cluster", "init"]);
    assert_eq!(status, 3, "{text}");
    assert_eq!(code(&one, &["boot", "maybe"]).0, 2);
    let (status, text) = code(&one, &["boot", "on"]);
    assert_eq!(status, 0, "{text}");
    let (status, text) = code(&one, &["failover", "off"]);
    assert_eq!(status, 0, "{text}");
    until("both nodes know that the service does not move", || {
        let nodes = one.status()?.nodes.into_iter();
        let switches = nodes.filter_map(|node| node.modules.into_iter().next()?.switches);
        let switches: Vec<_> = switches.map(|s| (s.failover, s.boot_start)).collect();
        (switches == [(false, true), (false, true)]).then_some(())
    });
    let (status, text) = code(&one, &["estimate"]);
    assert_eq!(status, 3, "{text}");
    // Alone, a start cannot end: the operator has to say who has the data.
    let (status, text) = code(&one, &["start", "--timeout", "500ms"]);
    assert_eq!(status, 4, "{text}");
    // Over the other node, which then dies.
    two.wait_for(["STOP", "red", "not uptodate"]);
    until("the control link stands", || {
        let (status, text) = code(&one, &["stop", "--node", "2"]);
        assert!(status == 0 || status == 6, "{status}: {text}");
        (status == 0).then_some(())
    });
    two.kill();
    until("node1 knows that node2 does not answer", || {
        let (status, text) = code(&one, &["stop", "--node", "2", "--no-wait"]);
        (status == 6 && text.contains("waiting up to 5 s for the link")).then_some(())
    });
    let no_daemon: PathBuf = one.runtime("tandem.sock");
    assert!(no_daemon.exists());
    let output = one
        .command(env!("CARGO_BIN_EXE_tandem"))
        .args(["status", "--runtime-dir", "/nonexistent"])
        .output()
        .expect("the binary is built");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}
