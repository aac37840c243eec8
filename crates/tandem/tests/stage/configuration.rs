//! The configuration of a stage, part by part: a test spells out only what it is about.

use super::Stage;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Counts in a mirrored directory, syncs each number, and says it is acknowledged only then.
const COUNTER: &str = r#"#!/bin/sh
file=DIRECTORY/count
number=$(tail -n 1 "$file" 2>/dev/null || echo 0)
while :; do
    number=$((number + 1))
    echo "$number" >>"$file" && sync "$file" && echo "$number" >>ACKNOWLEDGED
    sleep 0.01
done
"#;

/// Both machines of a stage, with `keys` of the cluster beside its name and a short
/// `takeover-after`.
pub fn cluster(keys: &str) -> String {
    format!(
        r#"
[cluster]
name = "cluster1"
takeover-after = "1s"
{keys}

[node1]
name = "one"
address = "10.99.0.1"

[node2]
name = "two"
address = "10.99.0.2"
"#
    )
}

/// A module with one volume, `{data}/DIRECTORY`, and keys of its own.
pub fn module(name: &str, directory: &str, keys: &str) -> String {
    format!(
        r#"
[[module]]
name = "{name}"
{keys}

[[module.volume]]
name = "data"
path = "{{data}}/{directory}"
"#
    )
}

/// A module that counts in its volume ([`install_counter`]) and has a virtual address.
pub fn counter(name: &str, directory: &str, address: &str, keys: &str) -> String {
    let module = module(name, directory, keys);
    format!(
        r#"{module}
[[module.address]]
address = "{address}"
interface = "eth0"

[[module.service]]
name = "counter"
start = "{{shared}}/{name}"
stop = "true"
ready = {{ command = "test -s {{data}}/{directory}/count" }}
stop-limit = "1s"
"#
    )
}

/// Where a module's counter says what was acknowledged.
pub fn acknowledgements(stage: &Stage, module: &str) -> PathBuf {
    stage.shared().join(format!("{module}.acknowledged"))
}

/// Puts the program of a module that counts where its configuration says.
pub fn install_counter(stage: &Stage, module: &str, directory: &str) {
    let directory = stage.data().join(directory);
    let acknowledged = acknowledgements(stage, module);
    let script = COUNTER
        .replace("DIRECTORY", &directory.display().to_string())
        .replace("ACKNOWLEDGED", &acknowledged.display().to_string());
    let counter = stage.shared().join(module);
    fs::write(&counter, script).expect("a temporary directory");
    fs::set_permissions(&counter, fs::Permissions::from_mode(0o755)).expect("a file of ours");
}
