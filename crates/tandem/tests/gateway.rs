//! A gateway that does not answer: the standby does not take over, and nothing else changes.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::{Stage, first_start, is_root, lines, pair_offline, until};
use std::time::{Duration, Instant};

/// Longer than a takeover takes.
const LONG: Duration = Duration::from_secs(4);

/// Looks again and again that something stays as it is.
fn throughout(duration: Duration, mut look: impl FnMut()) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        look();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_silent_gateway_forbids_to_take_over_and_nothing_else() {
    if !is_root("a_silent_gateway_forbids_to_take_over_and_nothing_else") {
        return;
    }
    let module = counter("counter", "volume", "10.99.0.100/24", "");
    let configuration = cluster("gateway = \"10.99.0.254\"") + &module;
    let stage = Stage::build("gate", &configuration);
    install_counter(&stage, "counter", "volume");
    // The network of machine 1 outlives the machine, and with it what answers to the gateway.
    let gateway = |verb: &str| stage.ip(1, &["addr", verb, "10.99.0.254/24", "dev", "eth0"]);
    gateway("add");
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    let epoch = one.module().and_then(|m| m.record).map(|r| r.epoch);
    let numbers = || lines(&acknowledgements(&stage, "counter")).len();

    gateway("del");
    for node in [&one, &two] {
        until("the silence is noticed", || {
            let said = lines(&node.log());
            let silent = |line: &String| line.contains("the gateway 10.99.0.254 does not answer");
            said.iter().any(silent).then_some(())
        });
    }
    let before = numbers();
    throughout(LONG, || {
        let states = [&one, &two].map(|node| node.module().expect("the daemons run").state);
        assert_eq!(states, ["PRIM", "SECOND"], "what serves is not touched");
    });
    assert!(numbers() > before + 50, "the counter went on");
    assert_eq!(one.module().and_then(|m| m.record).map(|r| r.epoch), epoch);

    // The primary dies, and this node may as well be the one that is cut off.
    one.kill();
    throughout(LONG, || {
        let module = two.module().expect("the daemon runs");
        assert_eq!(module.state, "SECOND", "{}", module.reason);
    });
    let reason = two.module().expect("the daemon runs").reason;
    assert!(reason.contains("so is the gateway"), "{reason}");
    let before = numbers();
    gateway("add");
    two.wait_for(["ALONE", "green", "uptodate"]);
    until("the counter goes on", || (numbers() > before).then_some(()));
}
