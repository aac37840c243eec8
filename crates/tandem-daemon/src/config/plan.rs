//! What another configuration changes, and what has to be stopped for it.

use super::canonical::{SECRET, fields};
use super::{Configuration, Module, Volume};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Fields that a daemon takes up while the module runs, below `module.NAME.`; of services and
/// checkers the field below their name. Everything else is stopped by the file that started it.
const WHILE_IT_RUNS: [&str; 4] = [
    "start-alone-after",
    "preferred-node",
    "restart-budget",
    "restart-window",
];
/// The same of a service.
const OF_A_SERVICE: [&str; 5] = [
    "start-limit",
    "stop-limit",
    "ready.tcp",
    "ready.command",
    "check",
];

/// One field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// As an operator finds it in the file.
    pub field: String,
    /// Its value now, if it is there.
    pub before: Option<String>,
    /// Its value then, if it is there.
    pub after: Option<String>,
    /// Which modules have to be stopped for it, by name.
    pub stops: Vec<String>,
}

/// Every field that differs, in the order of the new file; what is gone comes last.
#[must_use]
pub fn changes(before: &Configuration, after: &Configuration) -> Vec<Change> {
    let (old, new) = (fields(before), fields(after));
    let known: BTreeMap<&str, &str> = old.iter().map(|(f, v)| (f.as_str(), v.as_str())).collect();
    let then: BTreeMap<&str, &str> = new.iter().map(|(f, v)| (f.as_str(), v.as_str())).collect();
    let gone = old.iter().filter(|(f, _)| !then.contains_key(f.as_str()));
    let all = new.iter().chain(gone).map(|(field, _)| field.as_str());
    all.filter(|field| known.get(field) != then.get(field))
        .map(|field| Change {
            field: field.to_owned(),
            before: known.get(field).map(|value| shown(field, value)),
            after: then.get(field).map(|value| shown(field, value)),
            stops: stops(field, before),
        })
        .collect()
}

/// What becomes of one directory of a module that both files have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// The module.
    pub module: String,
    /// Where it is.
    pub path: PathBuf,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It was none of Tandem's, and is mirrored from then on.
    Mirrored,
    /// It is a plain directory from then on.
    LeftAlone,
    /// Another volume of the module has it: nothing is known of its copies any more.
    Compared,
}

/// What becomes of the directories of modules that both files have.
#[must_use]
pub fn directories(before: &Configuration, after: &Configuration) -> Vec<Directory> {
    let mut found = Vec::new();
    for new in &after.modules {
        let Some(old) = before.modules.iter().find(|m| m.name == new.name) else {
            continue;
        };
        let at = |module: &Module, path: &Path| -> Option<String> {
            let volume = module.volumes.iter().find(|v| v.path == path);
            volume.map(|volume| volume.name.clone())
        };
        let mut add = |volume: &Volume, fate| {
            found.push(Directory {
                module: new.name.clone(),
                path: volume.path.clone(),
                fate,
            });
        };
        for volume in &new.volumes {
            match at(old, &volume.path) {
                None => add(volume, Fate::Mirrored),
                Some(name) if name != volume.name => add(volume, Fate::Compared),
                Some(_) => {}
            }
        }
        // Another module may have it now.
        let stays = |volume: &&Volume| after.modules.iter().any(|m| at(m, &volume.path).is_some());
        let gone = old.volumes.iter().filter(|volume| !stays(volume));
        gone.for_each(|volume| add(volume, Fate::LeftAlone));
    }
    found
}

/// Where the file of before is kept.
#[must_use]
pub fn kept(path: &Path) -> PathBuf {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".before");
    PathBuf::from(kept)
}

/// The modules of `before` that `after` has no more.
#[must_use]
pub fn removed(before: &Configuration, after: &Configuration) -> Vec<String> {
    let stays = |module: &&Module| after.modules.iter().all(|m| m.name != module.name);
    let gone = before.modules.iter().filter(stays);
    gone.map(|module| module.name.clone()).collect()
}

/// Commands may have passwords in them.
fn shown(field: &str, value: &str) -> String {
    match SECRET.iter().any(|end| field.ends_with(end)) {
        true => "(a command)".to_owned(),
        false => value.to_owned(),
    }
}

/// Which modules that may run now have to be stopped before `field` changes.
fn stops(field: &str, before: &Configuration) -> Vec<String> {
    let all = || before.modules.iter().map(|module| module.name.clone());
    let Some(rest) = field.strip_prefix("module.") else {
        let mirrored = field == "cluster.takeover-after"
            || (field.starts_with("node") && field.ends_with(".address"));
        return if mirrored {
            all().collect()
        } else {
            Vec::new()
        };
    };
    let Some((module, rest)) = rest.split_once('.') else {
        return Vec::new();
    };
    let of_service = |rest: &str| {
        let named = rest
            .strip_prefix("service.")
            .and_then(|r| r.split_once('.'));
        named.is_some_and(|(_, field)| OF_A_SERVICE.contains(&field))
    };
    let runs_on = WHILE_IT_RUNS.contains(&rest) || rest.starts_with("checker.") || of_service(rest);
    match runs_on {
        true => Vec::new(),
        false => all().filter(|name| name == module).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const ONE: &str = r#"
[cluster]
name = "c"
[node1]
name = "a"
address = "10.0.0.1"
[node2]
name = "b"
address = "10.0.0.2"
[[module]]
name = "m"
[[module.volume]]
name = "v"
path = "/v"
[[module.service]]
name = "s"
unit = "s.service"
start-limit = "10s"
[[module]]
name = "n"
[[module.volume]]
name = "v"
path = "/w"
"#;

    fn configuration(text: &str) -> Configuration {
        Configuration::parse(Path::new("t"), text).expect("it is good")
    }

    /// The fields that change, and the modules that are stopped for them.
    fn of(from: &str, to: &str) -> Vec<(String, Vec<String>)> {
        assert!(ONE.contains(from), "{from}");
        let after = configuration(&ONE.replacen(from, to, 1));
        let changes = changes(&configuration(ONE), &after);
        changes.into_iter().map(|c| (c.field, c.stops)).collect()
    }

    #[test]
    fn only_what_was_started_by_the_file_of_before_is_stopped() {
        let m = || vec!["m".to_owned()];
        let both = || vec!["m".to_owned(), "n".to_owned()];
        let nothing = Vec::new;
        for (from, to, expected) in [
            ("name = \"c\"", "name = \"d\"", ("cluster.name", nothing())),
            ("name = \"b\"", "name = \"z\"", ("node2.name", nothing())),
            ("10.0.0.2", "10.0.0.3", ("node2.address", both())),
            (
                "name = \"c\"",
                "name = \"c\"\ntakeover-after = \"9s\"",
                ("cluster.takeover-after", both()),
            ),
            ("\"/v\"", "\"/x\"", ("module.m.volume.v.path", m())),
            ("s.service", "t.service", ("module.m.service.s.unit", m())),
            (
                "\"10s\"",
                "\"20s\"",
                ("module.m.service.s.start-limit", nothing()),
            ),
            (
                "name = \"m\"",
                "name = \"m\"\nrestart-budget = 9",
                ("module.m.restart-budget", nothing()),
            ),
            (
                "name = \"m\"",
                "name = \"m\"\ndata-port = 9444",
                ("module.m.data-port", m()),
            ),
        ] {
            let found = of(from, to);
            let expected = (expected.0.to_owned(), expected.1);
            assert!(found.contains(&expected), "{from} -> {to}: {found:?}");
            let others = found.iter().filter(|(f, _)| *f != expected.0);
            // The heartbeat's address is the node's, unless it is named.
            let others: Vec<_> = others.filter(|(f, _)| !f.contains("heartbeat")).collect();
            assert!(others.is_empty(), "{from} -> {to}: {others:?}");
        }
        assert_eq!(of("\n", "\n\n").len(), 0, "an empty line is nothing");
    }

    #[test]
    fn a_new_module_stops_nothing_and_one_that_is_gone_is_named() {
        let (small, large) = ONE
            .split_once("[[module]]\nname = \"n\"")
            .expect("it is there");
        assert!(large.contains("/w"));
        let (small, large) = (configuration(small), configuration(ONE));
        assert!(changes(&small, &large).iter().all(|c| c.stops.is_empty()));
        assert_eq!(removed(&large, &small), ["n"]);
        assert_eq!(removed(&small, &large), Vec::<String>::new());
        assert_eq!(directories(&small, &large), []);
    }

    #[test]
    fn what_becomes_of_each_directory_is_told() {
        let of = |from: &str, to: &str| -> Vec<(PathBuf, Fate)> {
            let after = configuration(&ONE.replacen(from, to, 1));
            let found = directories(&configuration(ONE), &after);
            assert!(found.iter().all(|directory| directory.module == "m"));
            found.into_iter().map(|d| (d.path, d.fate)).collect()
        };
        let at = |path: &str, fate| (PathBuf::from(path), fate);
        let more = "\"/v\"\n[[module.volume]]\nname = \"x\"\npath = \"/x\"";
        assert_eq!(of("\"/v\"", more), [at("/x", Fate::Mirrored)]);
        let moved = [at("/y", Fate::Mirrored), at("/v", Fate::LeftAlone)];
        assert_eq!(of("\"/v\"", "\"/y\""), moved);
        assert_eq!(of("\"v\"", "\"u\""), [at("/v", Fate::Compared)]);
        assert_eq!(of("10s", "20s"), []);
    }
}
