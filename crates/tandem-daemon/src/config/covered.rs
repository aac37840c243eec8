//! The file for people who are not root: without its commands, and back.
//!
//! What the file names as commands and scripts runs as root on both nodes, and passwords may stand in
//! it; so may in the address that is told of changes of role. [`cover`] puts words in place of them,
//! and [`uncover`] puts them back wherever these words still stand. [`other_command`] finds any that
//! is another one afterwards, whatever led to it: it is what keeps somebody who may use the console
//! from becoming root.

use super::canonical::{KEPT, SECRET, fields};
use super::raw::{Raw, Text};
use super::{ConfigError, Configuration, Problem};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use tandem_console::Secret;
use tandem_console::scrub::without_addresses;

/// What stands in place of what proves who calls.
const KEPT_ADDRESS: &str = "/(hidden)";

/// One value that is covered.
struct Covered {
    /// As an operator finds it in the file.
    field: String,
    /// Where it stands, its quotes included.
    span: Range<usize>,
    /// What stands there, and what is shown for it.
    value: String,
    word: String,
}

/// The text with each command and the address that is told covered.
///
/// # Errors
/// [`ConfigError::Invalid`]: the text is no configuration, and what of it is a command is not known.
pub fn cover(path: &Path, text: &str) -> Result<String, ConfigError> {
    let covered = covered(path, text)?;
    let words = covered
        .into_iter()
        .map(|one| (one.span, format!("\"{}\"", one.word)));
    Ok(replaced(text, words.collect()))
}

/// `edited` with everything that is still covered as it stands in `current`.
///
/// # Errors
/// [`ConfigError::Invalid`]
pub fn uncover(path: &Path, edited: &str, current: &str) -> Result<String, ConfigError> {
    let known = covered(path, current)?;
    let back = covered(path, edited)?.into_iter().filter_map(|one| {
        let before = known.iter().find(|other| other.field == one.field)?;
        (one.value == before.word).then(|| (one.span, current[before.span.clone()].to_owned()))
    });
    Ok(replaced(edited, back.collect()))
}

/// A command, a script, or who is told, that only one of the two has, or that differs.
#[must_use]
pub fn other_command(before: &Configuration, after: &Configuration) -> Option<String> {
    let (before, after) = (commands(before), commands(after));
    let mut all = before.keys().chain(after.keys());
    all.find(|field| before.get(*field) != after.get(*field))
        .cloned()
}

fn commands(configuration: &Configuration) -> BTreeMap<String, Secret> {
    let run =
        |field: &str| SECRET.iter().any(|end| field.ends_with(end)) || field.ends_with(".script");
    let all = fields(configuration).into_iter();
    let mut commands: BTreeMap<String, Secret> = all
        .filter(|(field, _)| run(field))
        .map(|(field, value)| (field, Secret::new(value)))
        .collect();
    let notify = &configuration.notify;
    let ways = [
        ("notify.command", notify.command.as_ref()),
        (
            "notify.webhook",
            notify.webhook.as_ref().map(|way| way.url()),
        ),
    ];
    for (field, way) in ways {
        commands.extend(way.map(|way| (field.to_owned(), way.clone())));
    }
    commands
}

fn covered(path: &Path, text: &str) -> Result<Vec<Covered>, ConfigError> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        ConfigError::Invalid {
            path: path.to_owned(),
            problems: vec![Problem::new(text, span, error.message(), None)],
        }
    })?;
    let mut all = Vec::new();
    let mut command = |field: String, value: Option<&Text>| {
        all.extend(value.map(|value| Covered {
            field,
            span: value.span(),
            value: value.get_ref().clone(),
            word: KEPT.to_owned(),
        }));
    };
    for module in raw.module.get_ref() {
        let module = module.get_ref();
        for service in &module.service {
            let service = service.get_ref();
            let at = |key: &str| {
                let (module, service) = (module.name.get_ref(), service.name.get_ref());
                format!("module.{module}.service.{service}.{key}")
            };
            command(at("start"), service.start.as_ref());
            command(at("stop"), service.stop.as_ref());
            command(at("check"), service.check.as_ref());
            let ready = service.ready.as_ref();
            let ready = ready.and_then(|ready| ready.get_ref().command.as_ref());
            command(at("ready.command"), ready);
        }
    }
    if let Some(notify) = &raw.notify {
        let notify = notify.get_ref();
        command("notify.command".to_owned(), notify.command.as_ref());
        all.extend(notify.webhook.as_ref().map(|webhook| {
            Covered {
                field: "notify.webhook".to_owned(),
                span: webhook.span(),
                value: webhook.get_ref().clone(),
                word: without_addresses(webhook.get_ref().trim())
                    .trim_end_matches('…')
                    .trim_end_matches('/')
                    .to_owned()
                    + KEPT_ADDRESS,
            }
        }));
    }
    Ok(all)
}

fn replaced(text: &str, mut parts: Vec<(Range<usize>, String)>) -> String {
    parts.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, part) in parts {
        text.replace_range(span, &part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# ours
[cluster]
name = "c"
[node1]
name = "a"
address = "10.0.0.1"
[node2]
name = "b"
address = "10.0.0.2"
[notify]
webhook = 'https://alarms.example:8443/CANARY?key=CANARY'  # who is told
command = "mail CANARY"
[[module]]
name = "m"
[[module.volume]]
name = "v"
path = "/v"
[[module.service]]
name = "s"
start = "run --password 'CANARY'"
stop = """
stop 'CANARY' \
  now"""
check = "true CANARY"
ready = { command = 'ready CANARY' }
[[module.service]]
name = "unit"
unit = "x.service"
ready = { tcp = "127.0.0.1:1" }
[[module.checker]]
name = "k"
script = "/opt/probe"
"#;

    fn parse(text: &str) -> Configuration {
        Configuration::parse(Path::new("t"), text).expect("it is good")
    }

    fn shown() -> String {
        cover(Path::new("t"), FILE).expect("it is good")
    }

    /// What becomes of an edited text, and the first command that is another one.
    fn edited(from: &str, to: &str) -> (String, Option<String>) {
        let shown = shown();
        assert!(shown.contains(from), "{from}");
        let new = shown.replacen(from, to, 1);
        let new = uncover(Path::new("t"), &new, FILE).expect("it can be read");
        let other = other_command(&parse(FILE), &parse(&new));
        (new, other)
    }

    #[test]
    fn no_command_is_shown_and_each_comes_back_as_it_was() {
        let shown = shown();
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(
            shown.contains("webhook = \"https://alarms.example:8443/(hidden)\"  # who is told")
        );
        assert_eq!(shown.matches("\"(a command)\"").count(), 5);
        assert!(shown.contains("# ours") && shown.contains("script = \"/opt/probe\""));
        // What is shown is a configuration, so that what is wrong with an edited one is found in it.
        parse(&shown);
        assert_eq!(uncover(Path::new("t"), &shown, FILE).expect("good"), FILE);
    }

    #[test]
    fn what_is_no_command_can_be_changed_around_them() {
        let (new, other) = edited("address = \"10.0.0.2\"", "address = \"10.0.0.3\"");
        assert_eq!(other, None);
        assert_eq!(new, FILE.replace("10.0.0.2", "10.0.0.3"));
        let (new, other) = edited(
            "[[module.service]]\nname = \"unit\"",
            "[[module.checker]]\nname = \"p\"\nprocess = \"p\"\n[[module.service]]\nname = \"first\"",
        );
        assert_eq!(other, None);
        assert!(new.contains("run --password 'CANARY'"));
    }

    #[test]
    fn a_command_that_is_changed_added_or_gone_is_named() {
        for (from, to, field) in [
            (
                "check = \"(a command)\"",
                "check = \"reboot\"",
                "module.m.service.s.check",
            ),
            ("check = \"(a command)\"\n", "", "module.m.service.s.check"),
            (
                "unit = \"x.service\"",
                "start = \"(a command)\"\nstop = \"(a command)\"",
                "module.m.service.unit.start",
            ),
            ("name = \"s\"", "name = \"t\"", "module.m.service.s.check"),
            (
                "script = \"/opt/probe\"",
                "script = \"/srv/data/mine\"",
                "module.m.checker.k.script",
            ),
            (
                "command = \"(a command)\"",
                "command = \"reboot\"",
                "notify.command",
            ),
            (
                "alarms.example:8443/(hidden)",
                "elsewhere.example/(hidden)",
                "notify.webhook",
            ),
            (
                "alarms.example:8443/(hidden)",
                "alarms.example:8443/other",
                "notify.webhook",
            ),
        ] {
            let (_, other) = edited(from, to);
            assert_eq!(other.as_deref(), Some(field), "{from} -> {to}");
        }
    }

    #[test]
    fn a_text_that_is_no_configuration_is_not_shown_at_all() {
        for text in ["[[module.service]]\nstart = \"CANARY", "", "x = 1"] {
            assert!(cover(Path::new("t"), text).is_err(), "{text}");
        }
    }
}
