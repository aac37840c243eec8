//! `tandem config plan|apply` on a pair that serves, and interrupted; and the same from the console.

mod stage;

use serde_json::{Value, json};
use stage::configuration::{acknowledgements, cluster, counter, install_counter};
use stage::http::{Door, bearer};
use stage::{Machine, Stage, first_start, is_root, lines, make_keys, outcome, run, said, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

    /// What `config apply` says of a file, asked for on a node.
    fn apply(&self, node: &Machine<'_>, file: &Path) -> String {
        run(&mut node.tandem(&["config", "apply", "--yes", &file.display().to_string()]))
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

/// Runs a line in a machine's shell.
fn shell(node: &Machine<'_>, line: &str) -> (i32, String) {
    outcome(node.command("sh").args(["-c", line]))
}

/// How often a machine's daemon has begun.
fn begun(node: &Machine<'_>) -> usize {
    let log = fs::read_to_string(node.log()).expect("it writes one");
    log.matches(" runs as node").count()
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
    let before = pair.both().map(begun);
    assert_eq!(before, [2, 2]);
    let again = run(&mut pair.one.tandem(&["config", "apply", "--yes", &file]));
    assert!(again.contains("No field changes."), "{again}");
    assert_eq!(pair.both().map(begun), before);
    pair.is_ready();

    // A name is what people read, and no more.
    let renamed = pair.new_file("name = \"two\"", "name = \"berlin\"");
    let done = pair.apply(&pair.one, &renamed);
    assert!(done.contains("node2.name: two -> berlin"), "{done}");
    assert!(done.contains("Nothing is stopped"), "{done}");
    pair.is_ready();
    assert_eq!(counters(&pair.one), runs, "the application was not touched");
    let shown = pair.two.status().expect("it answers");
    assert_eq!(shown.nodes[1].name, "berlin");
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

    // The other node alone has the new one, as after a crash between the two: once more, on either.
    for (asked, from, to) in [(&pair.one, "3", "5"), (&pair.two, "5", "7")] {
        let [from, to] = [from, to].map(|number| format!("restart-budget = {number}"));
        let file = pair.new_file(&from, &to);
        let kept = pair.two.config.with_extension("toml.before");
        fs::copy(&pair.one.config, kept).expect("a temporary directory");
        fs::copy(&file, &pair.two.config).expect("a temporary directory");
        pair.two.kill_daemon();
        pair.two.start_daemon();
        let differs = until("they differ", || {
            let status = asked.status()?;
            let both = status.nodes.iter().all(|node| node.answers);
            status.configuration_differs.filter(|_| both)
        });
        assert!(differs.contains("restart-budget"), "{differs}");
        let done = pair.apply(asked, &file);
        assert!(done.contains("restart-budget: "), "{done}");
        pair.is_ready();
        assert!(pair.files().iter().all(|text| text.contains(&to)));
    }

    // And without the other node: nothing.
    pair.two.kill_daemon();
    let before = pair.files();
    let file = pair
        .new_file("restart-budget = 7", "restart-budget = 8")
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

#[test]
fn a_directory_is_mirrored_and_becomes_a_plain_one_again() {
    if !is_root("a_directory_is_mirrored_and_becomes_a_plain_one_again") {
        return;
    }
    let stage = stage("volume");
    let pair = pair(&stage);
    let other = stage.data().join("other").display().to_string();
    let write = |node: &Machine<'_>, name: &str| shell(node, &format!("echo x >{other}/{name}"));
    let there =
        |node: &Machine<'_>, name: &str| shell(node, &format!("test -s {other}{name}")).0 == 0;
    assert_eq!(write(&pair.one, "one").0, 0);
    assert_eq!(write(&pair.two, "two").0, 0);
    let before = stage.shared().join("before.toml");
    fs::copy(&pair.one.config, &before).expect("a temporary directory");
    let volume =
        format!("[[module.volume]]\nname = \"more\"\npath = \"{other}\"\n\n[[module.address]]");
    let more = pair.new_file("[[module.address]]", &volume);

    // What the node that serves has counts; asked for on the other one.
    let done = pair.apply(&pair.two, &more);
    let words = format!("{other} is mirrored from then on, as it is on node1");
    assert!(done.contains(&words), "{done}");
    pair.is_ready();
    pair.goes_on();
    assert!(there(&pair.two, "/one") && !there(&pair.two, "/two"));
    assert!(there(&pair.two, ".before-tandem/two"), "it is set aside");
    assert_eq!(write(&pair.one, "new").0, 0);
    until("it is mirrored", || there(&pair.two, "/new").then_some(()));
    assert_ne!(write(&pair.two, "no").0, 0, "a standby's is read-only");

    let done = pair.apply(&pair.one, &before);
    let words = format!("{other} is a plain directory from then on");
    assert!(done.contains(&words), "{done}");
    pair.is_ready();
    pair.goes_on();
    for (node, name) in [(&pair.one, "mine"), (&pair.two, "theirs")] {
        assert!(there(node, "/one") && there(node, "/new"));
        let (status, said) = shell(
            node,
            &format!("test ! -e {other}/.tandem && ! grep ' {other} ' /proc/self/mountinfo"),
        );
        assert_eq!(status, 0, "{said}");
        assert_eq!(write(node, name).0, 0, "a plain directory");
    }

    // Once more: nothing is known of what was there before.
    pair.apply(&pair.one, &more);
    pair.is_ready();
    pair.goes_on();
    assert!(there(&pair.two, "/mine") && !there(&pair.two, "/theirs"));
    assert!(there(&pair.two, ".before-tandem-2/theirs"));
}

/// Begins what needs the module stopped, on node1, and comes back when it stands still on both.
fn interrupted(pair: &Pair<'_>, file: &Path) -> std::process::Child {
    let file = file.display().to_string();
    let begun = (pair.one.tandem(&["config", "apply", "--yes", &file]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    until("the module stands still", || {
        let nodes = pair.one.status()?.nodes;
        let mut modules = nodes.iter().flat_map(|node| &node.modules);
        modules.all(|module| module.state == "STOP").then_some(())
    });
    begun
}

/// Each node has one of the two files, whole.
fn either_file(pair: &Pair<'_>, before: &str, new: &Path) {
    let new = fs::read_to_string(new).expect("the test wrote it");
    for text in pair.files() {
        assert!(text == before || text == new, "{text}");
    }
}

#[test]
fn a_change_that_is_interrupted_is_brought_to_its_end_by_the_same_command() {
    if !is_root("a_change_that_is_interrupted_is_brought_to_its_end_by_the_same_command") {
        return;
    }
    let stage = stage("halves");
    let pair = pair(&stage);

    // The other node's daemon dies: what was stopped runs again, without it.
    let [before, _] = pair.files();
    let memory = "restart-budget = 3\ndurability = \"memory\"";
    let file = pair.new_file("restart-budget = 3", memory);
    let begun = interrupted(&pair, &file);
    pair.two.kill_daemon();
    let ended = begun.wait_with_output().expect("it ends");
    assert!(!ended.status.success(), "{}", said(&ended));
    assert!(said(&ended).contains("hint: "), "{}", said(&ended));
    either_file(&pair, &before, &file);
    until("it serves", || {
        let module = pair.one.module()?;
        module.serves().then_some(())
    });
    pair.goes_on();
    pair.two.start_daemon();
    until("the other node answers", || {
        let status = pair.one.status()?;
        status.nodes.iter().all(|node| node.answers).then_some(())
    });
    pair.apply(&pair.one, &file);
    run(&mut pair.one.tandem(&["start", "--all"]));
    pair.is_ready();
    either_file(&pair, "", &file);

    // Whoever typed it is gone: the module stands still, and nothing is lost.
    let [before, _] = pair.files();
    let disk = pair.new_file("\"memory\"", "\"disk\"");
    let mut begun = interrupted(&pair, &disk);
    // What was started is nsenter; the command line is its child in the machine.
    run(Command::new("pkill").args(["-KILL", "-P", &begun.id().to_string()]));
    begun.wait().expect("a child");
    either_file(&pair, &before, &disk);
    until("both daemons answer", || {
        let status = pair.one.status()?;
        status.nodes.iter().all(|node| node.answers).then_some(())
    });
    let done = pair.apply(&pair.one, &disk);
    assert!(
        done.contains("Both nodes have the new configuration."),
        "{done}"
    );
    run(&mut pair.one.tandem(&["start", "--all"]));
    pair.is_ready();
    pair.goes_on();
    either_file(&pair, "", &disk);
}

/// A question to node1's console, from the other machine.
struct Console<'a> {
    stage: &'a Stage,
    door: Door,
    bearer: String,
}

impl Console<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let head = format!("{method} /api/v1/{path} HTTP/1.1\r\n{}", self.bearer);
        let body = if method == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let answered = (self.stage).in_network(2, || self.door.ask(&head, &body));
        let (status, answer) = answered;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    /// An edited file, as the page sends it.
    fn edited(&self, from: &str, to: &str) -> Value {
        let (status, file) = self.get("configuration");
        assert_eq!(status, 200, "{file}");
        let text = file["text"].as_str().expect("a text");
        assert!(text.contains(from), "{from} in {text}");
        json!({ "text": text.replacen(from, to, 1), "instead_of": file["version"], "why": "because" })
    }

    /// Applies an edited file, and waits for its end.
    fn apply(&self, edited: &Value) -> Value {
        let (status, begun) = self.ask("POST", "configuration/apply", edited);
        assert_eq!(status, 202, "{begun}");
        until("it is applied", || {
            let (status, seen) = self.get("configuration/apply");
            (status == 200 && seen["state"] != "running").then_some(seen)
        })
    }
}

#[test]
fn the_console_changes_both_nodes_but_no_command() {
    if !is_root("the_console_changes_both_nodes_but_no_command") {
        return;
    }
    let stage = stage("page");
    let pair = pair(&stage);
    let console = Console {
        stage: &stage,
        door: Door::of(&[&pair.one]),
        bearer: bearer(&pair.one),
    };
    let before = pair.files();
    let runs = counters(&pair.one);
    let (_, file) = console.get("configuration");
    let shown = file["text"].as_str().expect("a text");
    assert!(shown.contains("start = \"(a command)\""), "{shown}");
    assert!(!shown.contains("shared/counter"), "{shown}");
    assert_eq!(console.get("configuration/apply").0, 404);

    for (from, to, reason) in [
        (
            "stop = \"(a command)\"",
            "stop = \"reboot\"",
            "service.counter.stop is changed by root",
        ),
        (
            "[[module.service]]",
            "[[module.checker]]\nname = \"k\"\nscript = \"/bin/true\"\n[[module.service]]",
            "checker.k.script is changed by root",
        ),
        (
            "restart-budget = 3",
            "restart-budgets = 3",
            "restart-budgets",
        ),
    ] {
        let edited = console.edited(from, to);
        for path in ["configuration/plan", "configuration/apply"] {
            let (status, said) = console.ask("POST", path, &edited);
            assert_eq!(status, 409, "{said}");
            let said = said["error"].as_str().expect("a reason");
            assert!(said.contains(reason), "{said}");
        }
    }
    // As the command itself: for root on the node.
    let order = json!({ "command": "configure", "file": { "text": before[0], "instead_of": "", "put": true } });
    assert_eq!(console.ask("POST", "command", &order).0, 403);

    let edited = console.edited("restart-budget = 3", "restart-budget = 5");
    let (status, plan) = console.ask("POST", "configuration/plan", &edited);
    assert_eq!(status, 200, "{plan}");
    let field = "module.counter.restart-budget";
    let changes = json!([{ "field": field, "before": "3", "after": "5", "stops": [] }]);
    assert_eq!(plan["changes"], changes);
    assert_eq!(plan["refused"], Value::Null, "{plan}");
    assert!(
        plan["lines"].to_string().contains("Nothing is stopped"),
        "{plan}"
    );
    assert_eq!(pair.files(), before, "a plan changes nothing");

    let elsewhere = console.edited("10.99.0.2", "10.99.0.7");
    let (_, plan) = console.ask("POST", "configuration/plan", &elsewhere);
    let refused = plan["refused"].as_str().expect("a reason");
    assert!(
        refused.contains("node2: this machine is not as the new file says"),
        "{plan}"
    );
    assert_eq!(plan["changes"][0]["stops"], json!(["counter"]));
    let seen = console.apply(&elsewhere);
    assert_eq!(seen["state"], "refused", "{seen}");
    assert_eq!(pair.files(), before);

    let seen = console.apply(&edited);
    assert_eq!(seen["state"], "done", "{seen}");
    // Somebody else has still the file of before in his page.
    let (status, said) = console.ask("POST", "configuration/plan", &edited);
    assert_eq!(
        (
            status,
            said["error"].as_str().map(|s| s.contains("load it again"))
        ),
        (409, Some(true))
    );
    pair.is_ready();
    pair.goes_on();
    assert_eq!(counters(&pair.one), runs, "the application was not touched");
    for (text, before) in pair.files().into_iter().zip(&before) {
        assert_eq!(
            text,
            before.replace("restart-budget = 3", "restart-budget = 5")
        );
    }
    let kept = pair.one.runtime("configure/new.toml");
    assert!(!kept.exists(), "commands do not stay there");

    // What is stopped for it is started again, and the command log has who wanted it.
    let edited = console.edited(
        "restart-budget = 5",
        "restart-budget = 5\ndurability = \"memory\"",
    );
    let seen = console.apply(&edited);
    assert_eq!(seen["state"], "done", "{seen}");
    let log = until("both ends are written down", || {
        let (_, log) = console.get("audit");
        let log = log.as_array().cloned().unwrap_or_default();
        let ours = log
            .into_iter()
            .filter(|entry| entry["what"] == "config apply");
        let ours: Vec<Value> = ours.collect();
        let done = ours
            .iter()
            .filter(|entry| entry["result"] == "done: both nodes have it");
        (done.count() == 2).then_some(ours)
    });
    let says = |start: &str| {
        let with = |entry: &&Value| {
            entry["result"]
                .as_str()
                .is_some_and(|r| r.starts_with(start))
        };
        log.iter().filter(with).count()
    };
    assert_eq!(says("under way"), 3, "{log:#?}");
    assert_eq!(says("refused: "), 4, "{log:#?}");
    assert!(
        log.iter()
            .all(|entry| entry["who"] == "token cluster" && entry["why"] == "because"),
        "{log:#?}"
    );
    pair.is_ready();
    pair.goes_on();
}
