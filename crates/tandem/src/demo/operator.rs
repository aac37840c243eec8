//! What an operator does: writes the configuration, pairs the nodes, gives commands.

use super::error::{Attempt, DemoError, Result};
use super::init;
use super::node::Node;
use super::recorder;
use super::stage::{self, NETWORKS, VIRTUAL_ADDRESS};
use super::wait::{self, Program};
use std::path::PathBuf;
use std::time::Duration;

/// The module of the show.
const MODULE: &str = "recorder";
/// A command of the product waits for its own end; this is for one that does not.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How long node 1 may take to write down what node 2 has told it.
const PAIRED_LIMIT: Duration = Duration::from_secs(10);

/// The mirrored directory: the same path on both nodes, each on its own disk.
pub fn volume_directory() -> PathBuf {
    stage::disk_directory().join("recorder")
}

/// What the daemon and the mirror must not forget, on the node's disk.
fn state_directory() -> PathBuf {
    stage::disk_directory().join("tandem")
}

fn configuration_file() -> PathBuf {
    stage::disk_directory().join("tandem.toml")
}

/// What opens the HTTP interface of a node.
pub fn token(node: &Node) -> Result<String> {
    let file = node.path(&state_directory().join("token"));
    std::fs::read_to_string(&file)
        .map(|token| token.trim().to_owned())
        .attempt(|| format!("read the token of node{}", node.number()))
}

/// The words of a command line of the recorder.
pub fn recorder_command(word: &str) -> String {
    format!(
        "{} demo-recorder {word} --directory {} --pid-file /run/recorder.pid",
        init::EXECUTABLE,
        volume_directory().display(),
    )
}

/// The words of `tandem`, with the places of this node.
pub fn tandem(words: &[&str]) -> Vec<String> {
    let places = [
        ("--config", configuration_file()),
        ("--state-dir", state_directory()),
        ("--runtime-dir", PathBuf::from("/run/tandem")),
    ];
    let mut line = vec![init::EXECUTABLE.to_owned()];
    for (option, place) in places {
        line.push(option.to_owned());
        line.push(place.display().to_string());
    }
    line.extend(words.iter().map(|word| (*word).to_owned()));
    line
}

/// The one configuration file of both nodes.
pub fn configuration(takeover_after: Duration) -> String {
    let nodes: String = [1, 2].map(node_table).concat();
    format!(
        r#"[cluster]
name = "demo"
takeover-after = "{}ms"

{nodes}[[module]]
name = "{MODULE}"

[[module.volume]]
name = "events"
path = "{}"

[[module.address]]
address = "{VIRTUAL_ADDRESS}/24"
interface = "eth0"

[[module.service]]
name = "recorder"
start = "exec {}"
stop = "{}"
check = "{}"
ready = {{ tcp = "127.0.0.1:{}" }}
start-limit = "30s"
stop-limit = "30s"
"#,
        takeover_after.as_millis(),
        volume_directory().display(),
        recorder_command("serve"),
        recorder_command("stop"),
        recorder_command("check"),
        recorder::PORT,
    )
}

fn node_table(number: u8) -> String {
    let heartbeat = (0..NETWORKS)
        .map(|network| format!("\"{}\"", stage::node_address(number, network)))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "[node{number}]\nname = \"node{number}\"\naddress = \"{}\"\nheartbeat = [{heartbeat}]\n\n",
        stage::node_address(number, 0),
    )
}

/// Installs a node: its directories and its configuration.
pub fn install(node: &Node, takeover_after: Duration) -> Result<()> {
    let script = format!(
        "mkdir -p {} {} && cat >{}",
        volume_directory().display(),
        state_directory().display(),
        configuration_file().display(),
    );
    node.command("install the node", &["sh".into(), "-c".into(), script])
        .input(configuration(takeover_after))
        .run()?;
    command(node, &["config", "check"]).map(drop)
}

/// Exchanges the keys of the nodes: node 1 says with which words node 2 joins.
pub fn pair(one: &Node, two: &Node) -> Result<()> {
    let said = command(one, &["cluster", "init"])?;
    let words = join_words(&said).ok_or_else(|| DemoError::NodeFailed {
        number: one.number(),
        reason: format!("`cluster init` does not say how to join: {said}"),
    })?;
    let words: Vec<&str> = ["cluster", "join"].into_iter().chain(words).collect();
    command(two, &words)?;
    // Node 1 hears of it in the background, where its command has left somebody listening.
    let certificate = one.path(&state_directory().join("identity/peer.der"));
    wait::until("node1 to have the key of node2", PAIRED_LIMIT, || {
        let there = certificate.exists();
        there.then_some(()).ok_or("it is not there".to_owned())
    })
}

/// The words after `cluster join` in what `cluster init` says.
fn join_words(said: &str) -> Option<Vec<&str>> {
    said.lines()
        .find_map(|line| line.split_once("cluster join"))
        .map(|(_, words)| words.split_whitespace().collect())
}

/// Gives a node a command, and waits for its end.
///
/// # Errors
/// It is refused, fails, or takes too long; with what it said.
pub fn command(node: &Node, words: &[&str]) -> Result<String> {
    let attempt = format!("node{}: tandem {}", node.number(), words.join(" "));
    let program: Program = node.command(attempt, &tandem(words));
    program.limit(COMMAND_LIMIT).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_joining_are_read_from_what_init_says() {
        let said = "This is node1.\nOn node2 run:\n  tandem cluster join abc --at 10.99.0.1\n";
        assert_eq!(join_words(said), Some(vec!["abc", "--at", "10.99.0.1"]));
        assert_eq!(join_words("nothing"), None);
    }

    #[test]
    fn the_configuration_of_the_show_is_toml_with_both_nodes() {
        let text = configuration(Duration::from_secs(1));
        assert!(text.contains("takeover-after = \"1000ms\""), "{text}");
        assert!(
            text.contains("heartbeat = [\"10.99.0.2\", \"10.99.1.2\"]"),
            "{text}"
        );
    }
}
