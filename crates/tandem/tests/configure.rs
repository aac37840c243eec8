//! `tandem config plan|apply` on a pair that serves, and interrupted.

mod stage;

use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::{Machine, Stage, first_start, is_root, lines, make_keys, outcome, run, until};
use std::fs;
use std::path::PathBuf;

/// A pair whose nodes have a configuration file each.
struct Pair<'a> {
    stage: &'a Stage,
    one: Machine<'a>,
    two: Machine<'a>,
}

fn stage(name: &str) -> Stage {
    let counter = counter("counter", "volume", "10.99.0.100/24", "restart-budget = 3");
    let stage = Stage::build(name, &(cluster("") + &counter));
    install_counter(&stage, "counter", "volume");
    stage
}

fn pair(stage: &Stage) -> Pair<'_> {
    let (mut one, mut two) = (stage.boot(1), stage.boot(2));
    make_keys(&one, &two);
    for (node, number) in [(&mut one, 1), (&mut two, 2)] {
        node.config = stage
            .config()
            .with_file_name(format!("tandem{number}.toml"));
        fs::copy(stage.config(), &node.config).expect("a temporary directory");
        node.start_daemon();
    }
    first_start(&one, &two);
    Pair { stage, one, two }
}

impl Pair<'_> {
    /// A new file with `from` made `to`.
    fn new_file(&self, from: &str, to: &str) -> PathBuf {
        let text = fs::read_to_string(&self.one.config).expect("it is there");
        assert!(text.contains(from), "{from}");
        let path = self.stage.shared().join("new.toml");
        fs::write(&path, text.replacen(from, to, 1)).expect("a temporary directory");
        path
    }

    fn both(&self) -> [&Machine<'_>; 2] {
        [&self.one, &self.two]
    }

    fn files(&self) -> [String; 2] {
        self.both()
            .map(|node| fs::read_to_string(&node.config).expect("it is there"))
    }

    fn is_ready(&self) {
        self.one.wait_for(["PRIM", "green", "uptodate"]);
        self.two.wait_for(["SECOND", "green", "uptodate"]);
    }

    fn goes_on(&self) {
        let before = lines(&acknowledgements(self.stage, "counter")).len();
        until("the counter goes on", || {
            let now = lines(&acknowledgements(self.stage, "counter")).len();
            (now > before).then_some(())
        });
    }
}

/// The processes of the counter on a machine.
fn counters(node: &Machine<'_>) -> String {
    let found = node
        .command("pgrep")
        .args(["-f", "shared/counter"])
        .output();
    String::from_utf8_lossy(&found.expect("procps is there").stdout).into_owned()
}

#[test]
fn what_needs_no_stop_changes_under_the_running_application() {
    if !is_root("what_needs_no_stop_changes_under_the_running_application") {
        return;
    }
    let stage = stage("runs");
    let pair = pair(&stage);
    let file = pair
        .new_file("restart-budget = 3", "restart-budget = 5")
        .display()
        .to_string();
    let before = pair.files();

    let planned = run(&mut pair.two.tandem(&["config", "plan", &file]));
    assert!(
        planned.contains("module.counter.restart-budget: 3 -> 5"),
        "{planned}"
    );
    assert!(planned.contains("Nothing is stopped"), "{planned}");
    assert_eq!(pair.files(), before, "a plan changes nothing");
    let (code, said) = outcome(&mut pair.two.tandem(&["config", "apply", &file]));
    assert_eq!(code, 3, "nobody agreed: {said}");
    assert_eq!(pair.files(), before, "{said}");

    let runs = counters(&pair.one);
    let daemon = pair.one.daemon_id();
    let done = run(&mut pair.two.tandem(&["config", "apply", "--yes", &file]));
    assert!(
        done.contains("Both nodes have the new configuration."),
        "{done}"
    );
    pair.is_ready();
    pair.goes_on();
    assert_eq!(counters(&pair.one), runs, "the application was not touched");
    assert_eq!(
        pair.one.daemon_id(),
        daemon,
        "the service manager sees the same process"
    );
    for text in pair.files() {
        assert!(text.contains("restart-budget = 5"), "{text}");
    }
    for (node, before) in pair.both().into_iter().zip(before) {
        let kept = node.config.with_extension("toml.before");
        assert_eq!(fs::read_to_string(kept).expect("it is kept"), before);
    }
    // Again: nothing to change, and nothing is.
    let again = run(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    assert!(again.contains("No field changes."), "{again}");
    pair.is_ready();
}

#[test]
fn what_is_mirrored_changes_with_the_module_stopped_for_a_moment() {
    if !is_root("what_is_mirrored_changes_with_the_module_stopped_for_a_moment") {
        return;
    }
    let stage = stage("stops");
    let pair = pair(&stage);
    let memory = "restart-budget = 3\ndurability = \"memory\"";
    let file = pair
        .new_file("restart-budget = 3", memory)
        .display()
        .to_string();
    let done = run(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    assert!(
        done.contains("module.counter.durability: disk -> memory"),
        "{done}"
    );
    assert!(
        done.contains("This stops module counter on both nodes"),
        "{done}"
    );
    pair.is_ready();
    pair.goes_on();
    let warnings = pair
        .both()
        .map(|node| node.module().and_then(|m| m.warning));
    assert_eq!(warnings, [None, None]);
}

#[test]
fn a_file_that_one_node_refuses_changes_neither() {
    if !is_root("a_file_that_one_node_refuses_changes_neither") {
        return;
    }
    let stage = stage("refuse");
    let pair = pair(&stage);
    let before = pair.files();
    for (from, to, reason) in [
        (
            "10.99.0.2",
            "10.99.0.7",
            "node2: this machine is not as the new file says",
        ),
        (
            "restart-budget = 3",
            "restart-budgets = 3",
            "restart-budgets",
        ),
        (
            "name = \"counter\"\nrestart",
            "name = \"other\"\nrestart",
            "no module counter",
        ),
    ] {
        let file = pair.new_file(from, to).display().to_string();
        let (code, said) = outcome(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(reason), "{said}");
        assert_eq!(pair.files(), before, "{said}");
    }
    // Somebody edited the other node's file meanwhile.
    let edited = before[1].replace("restart-budget = 3", "restart-budget = 4");
    fs::write(&pair.two.config, &edited).expect("a temporary directory");
    let file = pair
        .new_file("restart-budget = 3", "restart-budget = 5")
        .display()
        .to_string();
    let (code, said) = outcome(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("node2: the configuration of this node is not"),
        "{said}"
    );
    assert_eq!(pair.files(), [before[0].clone(), edited]);
    pair.is_ready();

    // The other node alone has the new one, as after a crash between the two: once more.
    fs::copy(&file, &pair.two.config).expect("a temporary directory");
    pair.two.kill_daemon();
    pair.two.start_daemon();
    let differs = until("they differ", || {
        pair.one
            .status()
            .and_then(|status| status.configuration_differs)
    });
    assert!(differs.contains("restart-budget"), "{differs}");
    run(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    pair.is_ready();

    // And without the other node: nothing.
    pair.two.kill_daemon();
    let before = pair.files();
    let file = pair
        .new_file("restart-budget = 5", "restart-budget = 6")
        .display()
        .to_string();
    let (code, said) = outcome(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("node2: the other node's daemon did not answer"),
        "{said}"
    );
    assert_eq!(pair.files(), before);
}
