//! What is refused, what is said of it, and where it points.

use super::parse;
use super::service::SERVICE_LIMIT;
use crate::config::problem::Problem;
use crate::config::{ConfigError, Configuration, DATA_PORT_FURTHER, ServiceKind, limits};
use std::path::Path;
use std::time::Duration;
use tandem_console::notify::Webhook;

const GOOD: &str = r#"
[cluster]
name = "cluster1"
takeover-after = "5s"

[node1]
name = "h1"
address = "10.99.0.1"
heartbeat = ["10.99.0.1", "10.99.1.1"]

[node2]
name = "h2"
address = "10.99.0.2"
heartbeat = ["10.99.0.2", "10.99.1.2"]

[[module]]
name = "videeos"

[[module.volume]]
name = "db"
path = "/var/lib/postgresql/15/main/"

[[module.volume]]
name = "files"
path = "/srv/files"

[[module.address]]
address = "10.99.0.100/24"
interface = { node1 = "eth0", node2 = "ens3" }

[[module.service]]
name = "postgresql"
unit = "postgresql@15-main"
ready = { tcp = "127.0.0.1:5432" }
start-limit = "60s"

[[module.service]]
name = "app"
start = "app start"
stop = "app stop"

[[module.checker]]
name = "sql"
tcp = "127.0.0.1:5432"
period = "500ms"
rise = 1
action = "restart"
"#;

fn problems(text: &str) -> Vec<Problem> {
    match Configuration::parse(Path::new("/etc/t.toml"), text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid { problems, .. }) => problems,
        Err(other) => panic!("{other}"),
    }
}

/// The one problem of the good file with `from` replaced by `to`.
fn one(from: &str, to: &str) -> Problem {
    assert!(GOOD.contains(from), "{from}");
    let mut problems = problems(&GOOD.replacen(from, to, 1));
    assert_eq!(problems.len(), 1, "{to}: {problems:?}");
    problems.remove(0)
}

#[test]
fn a_good_file_means_what_it_says() {
    let meant = parse(GOOD).expect("it is good");
    assert_eq!(meant.takeover_after, Duration::from_secs(5));
    let module = &meant.modules[0];
    assert_eq!(
        module.volumes[0].path,
        Path::new("/var/lib/postgresql/15/main")
    );
    assert_eq!(module.addresses[0].interfaces, ["eth0", "ens3"]);
    let unit = ServiceKind::Unit("postgresql@15-main.service".into());
    assert_eq!(module.services[0].kind, unit);
    assert_eq!(module.services[1].stop_limit, SERVICE_LIMIT);
    assert_eq!(module.checkers[0].fall, 3);
}

#[test]
fn a_module_has_addresses_of_both_families() {
    let text = GOOD.replace(
        "[[module.service]]\nname = \"app\"",
        "[[module.address]]\naddress = \"2001:db8::100/64\"\ninterface = \"eth0\"\n\
         [[module.service]]\nname = \"app\"",
    );
    let meant = parse(&text).expect("it is good");
    let addresses = &meant.modules[0].addresses;
    assert!(addresses[0].address.is_ipv4() && addresses[1].address.is_ipv6());
}

#[test]
fn who_is_told_is_configured_in_one_line_and_never_shown() {
    let text = GOOD.replace(
        "[[module]]",
        "[notify]\ncommand = \"tell --key CANARY\"\nwebhook = \"https://h/CANARY\"\n[[module]]",
    );
    let meant = parse(&text).expect("it is good");
    assert_eq!(meant.notify.webhook.as_ref().map(Webhook::host), Some("h"));
    let command = meant.notify.command.as_ref().expect("it is configured");
    assert_eq!(command.reveal(), "tell --key CANARY");
    assert!(!format!("{meant:?}").contains("CANARY"));
    for wrong in [
        "[notify]\nwebhook = \"ftp://h/CANARY\"",
        "[notify]\nwebhok = \"https://h/CANARY\"",
        "[notify]\nwebhook = [\"https://h/CANARY\"]",
        "notify = \"https://h/CANARY\"",
        "[notify]",
    ] {
        // At the very beginning, where a key of the top level can stand too.
        let problems = problems(&format!("{wrong}\n{GOOD}"));
        assert!(!problems.is_empty(), "{wrong}");
        for problem in problems {
            assert!(!problem.to_string().contains("CANARY"), "{problem}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_its_neighbour() {
    let problem = one("takeover-after", "takeover_after");
    assert_eq!((problem.line, problem.column), (4, 1));
    assert_eq!(problem.message, "the key `takeover_after` is unknown");
    assert_eq!(
        problem.hint.as_deref(),
        Some("did you mean `takeover-after`?")
    );
    let error = Configuration::parse(Path::new("/etc/t.toml"), &GOOD.replace("path", "pth"))
        .expect_err("it is unknown")
        .to_string();
    assert!(
        error.starts_with("/etc/t.toml:21:1: the key `pth` is unknown\n"),
        "{error}"
    );
    assert!(error.contains(" 21 | pth = \"/var/lib"), "{error}");
}

#[test]
fn each_wrong_value_is_pointed_at() {
    let cases = [
        (
            "\"10.99.0.1\"\nheart",
            "\"10.99.0.300\"\nheart",
            "this is no address",
        ),
        ("10.99.0.100/24", "10.99.0.100", "the address has no prefix"),
        (
            "10.99.0.100/24",
            "10.99.0.100/33",
            "the prefix is a number from 1 to 32",
        ),
        (
            "10.99.0.100/24",
            "10.99.0.2/24",
            "this is a node's own address",
        ),
        ("10.99.0.100/24", "fe80::1/64", "this is no virtual address"),
        (
            "10.99.0.100/24",
            "2001:db8::1/129",
            "the prefix is a number from 1 to 128",
        ),
        (
            "\"5s\"",
            "\"5s\"\ngateway = \"10.99.1.2\"",
            "this is a node's own address",
        ),
        (
            "\"/srv/files\"",
            "\"srv/files\"",
            "this is no path for a volume",
        ),
        (
            "\"/srv/files\"",
            "\"/srv/../files\"",
            "this is no path for a volume",
        ),
        (
            "\"/srv/files\"",
            "\"/\"",
            "the root directory cannot be mirrored",
        ),
        (
            "name = \"files\"",
            "name = \"db\"",
            "there is another volume `db`",
        ),
        (
            "name = \"files\"",
            "name = \"a b\"",
            "this is no name for a volume",
        ),
        (
            "name = \"h2\"",
            "name = \"h1\"",
            "both nodes have the same name",
        ),
        ("\"5s\"", "\"5\"", "a duration needs a unit"),
        ("\"5s\"", "\"299ms\"", "299ms is out of range"),
        ("\"5s\"", "\"301s\"", "301s is out of range"),
        (
            ", \"10.99.1.2\"]",
            "]",
            "node1 has 2 heartbeat addresses, node2 has 1",
        ),
        (
            "stop = \"app stop\"\n",
            "",
            "service `app` is neither a unit nor two commands",
        ),
        (
            "action = \"restart\"",
            "action = \"dance\"",
            "this is no action",
        ),
        ("rise = 1", "rise = 0", "a number from 1 to 1000"),
        (
            "name = \"videeos\"",
            "name = \"videeos\"\npreferred-node = \"h1\"",
            "this is no node",
        ),
        (
            "name = \"videeos\"",
            "name = \"videeos\"\nstart-alone-after = \"soon\"",
            "a duration",
        ),
        (
            "name = \"videeos\"",
            "name = \"videeos\"\ndurability = \"paper\"",
            "this is no durability",
        ),
        (
            "name = \"files\"",
            "name = \"files\"\nexclude = [\"tmp/\", \"a/b\"]",
            "`a/b` is no name pattern",
        ),
        (
            "tcp = \"127.0.0.1:5432\"\nperiod",
            "period",
            "checker `sql` looks at 0 things",
        ),
        ("\"ens3\" }", "\"\" }", "`` is no name of an interface"),
        (
            "{ node1 = \"eth0\", node2 = \"ens3\" }",
            "7",
            "this is no interface",
        ),
        ("name = \"cluster1\"\n", "", "the key `name` is missing"),
    ];
    for (from, to, message) in cases {
        let problem = one(from, to);
        assert!(
            problem.message.starts_with(message),
            "{to}: {}",
            problem.message
        );
        assert!(problem.line > 1, "{to}: {problem:?}");
    }
}

#[test]
fn volumes_are_neither_the_same_nor_nested() {
    for (path, message) in [
        (
            "/var/lib/postgresql/15/main",
            "this is also the path of volume `db`",
        ),
        (
            "/var/lib/postgresql//15/main/base",
            "this path lies inside volume `db`",
        ),
        ("/var/lib", "volume `db` lies inside this path"),
    ] {
        let problem = one("\"/srv/files\"", &format!("\"{path}\""));
        assert_eq!(problem.message, message);
    }
    // A longer name is not a nested path.
    let beside = GOOD.replace("\"/srv/files\"", "\"/var/lib/postgresql/15/main2\"");
    assert_eq!(problems(&beside), []);
}

#[test]
fn every_problem_is_told_at_once() {
    let text = GOOD.replace("\"5s\"", "\"5\"").replace("\"/srv", "\"srv");
    assert_eq!(problems(&text).len(), 2);
}

#[test]
fn modules_share_nothing() {
    let module = |name: &str, path: &str, rest: &str| {
        format!(
            "{GOOD}\n[[module]]\nname = \"{name}\"\n{rest}\n[[module.volume]]\nname = \"x\"\n\
             path = \"{path}\"\n"
        )
    };
    let good = parse(&module("b", "/x", "")).expect("it is good");
    assert_eq!(good.modules[1].data_port, DATA_PORT_FURTHER + 1);
    for (name, path, rest, message) in [
        ("videeos", "/x", "", "there is another module `videeos`"),
        (
            "b",
            "/srv",
            "",
            "this is the path of volume `files` of `videeos`",
        ),
        (
            "b",
            "/x",
            "data-port = 9012",
            "port 9012 is that of module `videeos`",
        ),
        (
            "b",
            "/x",
            "data-port = 9013",
            "this is no port for a data stream",
        ),
    ] {
        let problems = problems(&module(name, path, rest));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.starts_with(message), "{problems:?}");
    }
}

#[test]
fn there_is_an_end_to_modules() {
    let mut text = GOOD.to_owned();
    for number in 0..limits::MODULES_MAX {
        text += &format!(
            "\n[[module]]\nname = \"m{number}\"\n[[module.volume]]\nname = \"x\"\n\
             path = \"/x{number}\"\n"
        );
    }
    let problems = problems(&text);
    assert_eq!(problems[0].message, "more than 32 modules");
}
