//! `tandem check`: one line and an exit status, as Nagios, Icinga and Zabbix take them.

use super::Exit;
use super::arguments::Places;
use std::fmt::Write as _;
use tandem_daemon::client::Client;
use tandem_daemon::report;
use tandem_wire::api::{ClusterStatus, ModuleStatus, NodeStatus};

/// How bad it is, in the order in which one covers another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Health {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Warning => Exit::Failed,
            Self::Critical => Exit::Critical,
            Self::Unknown => Exit::Refused,
        }
    }
}

/// Says it.
pub async fn run(places: &Places, module: Option<&str>) -> Exit {
    let (health, line) = match Client::new(&places.runtime_dir).status().await {
        Ok(status) => judge(&status, module),
        Err(error) => (Health::Unknown, report(&error)),
    };
    println!("TANDEM {} - {line}", health.word());
    health.exit()
}

fn judge(status: &ClusterStatus, module: Option<&str>) -> (Health, String) {
    let mut names: Vec<&str> = Vec::new();
    for found in status.nodes.iter().flat_map(|node| &node.modules) {
        let wanted = module.is_none_or(|name| name == found.name);
        if wanted && !names.contains(&found.name.as_str()) {
            names.push(&found.name);
        }
    }
    if names.is_empty() {
        let what = module.map_or("no module".to_owned(), |name| format!("no module {name}"));
        return (Health::Unknown, what);
    }
    let mut worst = Health::Ok;
    let (mut sentences, mut numbers) = (Vec::new(), String::new());
    for name in names {
        let (health, sentence) = judge_module(status, name);
        worst = worst.max(health);
        sentences.push(sentence);
        numbers += &performance(status, name);
    }
    if let Some(difference) = &status.configuration_differs {
        worst = worst.max(Health::Warning);
        sentences.push(format!("the configurations differ: {difference}"));
    }
    // A bar begins the numbers; one in a sentence would end it.
    let line = sentences.join("; ").replace(['|', '\n'], " ");
    (worst, format!("{line} |{numbers}"))
}

fn both<'a>(status: &'a ClusterStatus, name: &str) -> Vec<(&'a NodeStatus, &'a ModuleStatus)> {
    let nodes = status.nodes.iter();
    nodes
        .filter_map(|node| {
            let module = node.modules.iter().find(|module| module.name == name)?;
            Some((node, module))
        })
        .collect()
}

/// The one that answers and serves.
fn serving<'a>(
    both: &[(&'a NodeStatus, &'a ModuleStatus)],
) -> Option<(&'a NodeStatus, &'a ModuleStatus)> {
    let mut nodes = both.iter().copied();
    nodes.find(|(node, module)| node.answers && module.serves())
}

fn judge_module(status: &ClusterStatus, name: &str) -> (Health, String) {
    let both = both(status, name);
    let faces = both.iter().map(|(node, module)| {
        let state = match node.answers {
            true => module.state.as_str(),
            false => "silent",
        };
        format!("node{} {state} {}", node.node, module.data)
    });
    let faces = faces.collect::<Vec<_>>().join(", ");
    let serving = serving(&both);
    let (health, reason) = match serving {
        None if both.iter().any(|(_, module)| module.data == "diverged") => {
            (Health::Critical, "diverged".to_owned())
        }
        None => (Health::Critical, "nobody serves".to_owned()),
        Some((_, module)) if module.colour != "green" => (Health::Critical, module.reason.clone()),
        Some((_, module)) if module.state == "ALONE" => (Health::Warning, module.reason.clone()),
        Some((serving, module)) => {
            let standby = both.iter().find(|(node, _)| node.node != serving.node);
            let ready = standby.is_some_and(|(node, module)| {
                node.answers && module.state == "SECOND" && module.colour == "green"
            });
            match (ready, &module.warning) {
                (false, _) => (Health::Warning, "the standby is not ready".to_owned()),
                (true, Some(warning)) => (Health::Warning, warning.clone()),
                (true, None) => (Health::Ok, String::new()),
            }
        }
    };
    match reason.is_empty() {
        true => (health, format!("{name}: {faces}")),
        false => (health, format!("{name}: {faces} ({reason})")),
    }
}

/// `'label'=value[unit]`, as the plugins' guidelines have it.
fn performance(status: &ClusterStatus, name: &str) -> String {
    let mut text = String::new();
    let Some((_, module)) = serving(&both(status, name)) else {
        return text;
    };
    let mirror = &module.mirror;
    let seconds = mirror.exposure_ms / 1000;
    write!(
        text,
        " '{name}_exposure'={}B '{name}_exposure_age'={seconds}s '{name}_data'={}B \
         '{name}_restarts'={}",
        mirror.exposure_bytes, mirror.data_bytes, module.restarts_used
    )
    .expect("writing to a string");
    if let Some(percent) = module.resync_percent {
        write!(text, " '{name}_resync'={percent}%").expect("writing to a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8, state: &str, colour: &str, data: &str) -> NodeStatus {
        NodeStatus {
            node: number,
            answers: true,
            modules: vec![ModuleStatus {
                name: "db".into(),
                state: state.into(),
                colour: colour.into(),
                data: data.into(),
                ..ModuleStatus::default()
            }],
            ..NodeStatus::default()
        }
    }

    fn status(one: NodeStatus, two: NodeStatus) -> ClusterStatus {
        ClusterStatus {
            nodes: vec![one, two],
            ..ClusterStatus::default()
        }
    }

    fn health(one: NodeStatus, two: NodeStatus) -> Health {
        judge(&status(one, two), None).0
    }

    #[test]
    fn a_pair_is_good_and_everything_else_is_not() {
        let prim = || node(1, "PRIM", "green", "uptodate");
        let second = || node(2, "SECOND", "green", "uptodate");
        let (good, line) = judge(&status(prim(), second()), None);
        assert_eq!(good, Health::Ok);
        let expected = "db: node1 PRIM uptodate, node2 SECOND uptodate | 'db_exposure'=0B \
                        'db_exposure_age'=0s 'db_data'=0B 'db_restarts'=0";
        assert_eq!(line, expected);
        let alone = node(1, "ALONE", "green", "uptodate");
        let stopped = node(2, "STOP", "red", "not uptodate");
        assert_eq!(health(alone, stopped), Health::Warning);
        let resyncing = node(2, "SECOND", "magenta", "resyncing 4 %");
        assert_eq!(health(prim(), resyncing), Health::Warning);
        let waiting = || node(1, "WAIT", "red", "uptodate");
        assert_eq!(health(waiting(), second()), Health::Critical);
        let failing = node(1, "PRIM", "red", "uptodate");
        assert_eq!(health(failing, second()), Health::Critical);
        let mut silent = prim();
        silent.answers = false;
        assert_eq!(health(silent, second()), Health::Critical);
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let empty = ClusterStatus::default();
        assert_eq!(judge(&empty, None).0, Health::Unknown);
        let status = status(
            node(1, "PRIM", "green", "uptodate"),
            node(2, "SECOND", "green", "uptodate"),
        );
        assert_eq!(judge(&status, Some("other")).0, Health::Unknown);
        let exits = [
            Health::Ok,
            Health::Warning,
            Health::Critical,
            Health::Unknown,
        ];
        assert_eq!(exits.map(|health| health.exit() as u8), [0, 1, 2, 3]);
    }

    #[test]
    fn a_bar_in_a_sentence_does_not_end_it() {
        let mut two = node(2, "SECOND", "green", "uptodate");
        two.modules[0].data = "a|b".into();
        let (_, line) = judge(&status(node(1, "PRIM", "green", "uptodate"), two), None);
        assert_eq!(line.matches('|').count(), 1);
    }
}
