//! `tandem status`: both nodes, one line each, and below what a person has to know.

use super::arguments::{Places, StatusOptions};
use super::{Exit, amount, complain};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;
use tandem_daemon::client::Client;
use tandem_wire::api::{ClusterStatus, ModuleStatus, NodeStatus, SideStatus};

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Shows the status, once or for ever.
pub async fn run(places: &Places, options: &StatusOptions) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let ansi = std::io::stdout().is_terminal();
    let mut shown = String::new();
    loop {
        let text = match client.status().await {
            Ok(status) if options.json => {
                serde_json::to_string_pretty(&status).expect("plain data") + "\n"
            }
            Ok(status) => describe(&status, ansi),
            Err(error) if options.watch => format!("{}\n", tandem_daemon::report(&error)),
            Err(error) => return complain(&error),
        };
        if text != shown {
            if ansi && options.watch && !options.json {
                // Back to the top, nothing below.
                print!("\x1b[H\x1b[J");
            }
            print!("{text}");
            shown = text;
        }
        if !options.watch {
            return Exit::Done;
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// The status for people.
fn describe(status: &ClusterStatus, ansi: bool) -> String {
    let mut text = String::new();
    let mut names: Vec<&str> = Vec::new();
    for module in status.nodes.iter().flat_map(|node| &node.modules) {
        if !names.contains(&module.name.as_str()) {
            names.push(&module.name);
        }
    }
    for name in names {
        describe_module(&mut text, status, name, ansi);
    }
    if let Some(reason) = &status.link_refused {
        line(&mut text, &format!("the daemons do not talk: {reason}"));
    }
    if let Some(difference) = &status.configuration_differs {
        line(
            &mut text,
            &format!("the configurations differ: {difference}"),
        );
    }
    text
}

/// One module on both nodes.
fn describe_module(text: &mut String, status: &ClusterStatus, name: &str, ansi: bool) {
    line(text, &format!("{name} - {}", status.cluster));
    let both: Vec<(&NodeStatus, &ModuleStatus)> = (status.nodes.iter())
        .filter_map(|node| {
            let module = node.modules.iter().find(|module| module.name == name);
            module.map(|module| (node, module))
        })
        .collect();
    let name_width = both.iter().map(|(node, _)| node.name.len()).max();
    let name_width = name_width.unwrap_or(0);
    let data_width = both.iter().map(|(_, module)| module.data.len()).max();
    let data_width = data_width.unwrap_or(0);
    for (node, module) in &both {
        let state = paint(&format!("{:<7}", module.state), &module.colour, ansi);
        let colour = paint(&format!("{:<7}", module.colour), &module.colour, ansi);
        line(
            text,
            &format!(
                "node{} {:<name_width$}  {state}  {colour}  {:<data_width$}  {}",
                node.node, node.name, module.data, module.reason
            ),
        );
    }
    for (node, module) in both {
        details(text, node, module);
    }
}

fn details(text: &mut String, node: &NodeStatus, module: &ModuleStatus) {
    let name = format!("node{}", node.node);
    if !node.answers {
        let since = node.silent_ms.map_or("never heard".to_owned(), |ms| {
            format!("for {}.{} s", ms / 1000, ms % 1000 / 100)
        });
        line(text, &format!("{name} does not answer: {since}"));
    }
    for address in module.addresses.iter().filter(|address| address.held) {
        let (address, interface) = (&address.address, &address.interface);
        line(text, &format!("{name} holds {address} on {interface}"));
    }
    if node.answers
        && let Some(progress) = resynchronisation(module)
    {
        // Who serves knows how far it is; it is the other copy that is not there yet.
        line(text, &format!("node{} {progress}", 3 - node.node));
    }
    if let Some(verification) = &module.mirror.verification
        && (verification.running || !verification.complete || verification.differences > 0)
    {
        line(text, &format!("{name} verify: {}", verification.text));
    }
    if module.mirror.old_program {
        let words = "the program of before the upgrade, until the next stop or swap";
        line(text, &format!("{name} mirror: {words}"));
    }
    let failing = (module.services.iter().chain(&module.checkers))
        .filter(|resource| matches!(resource.state.as_str(), "failed" | "down"));
    for resource in failing {
        let reason = resource.reason.as_deref().unwrap_or("");
        line(
            text,
            &format!("{name} {} is {}: {reason}", resource.name, resource.state),
        );
    }
    if let Some(switches) = module.switches {
        for (off, what) in [
            (!switches.failover, "failover is off"),
            (!switches.checkers, "error detection is off"),
            (switches.boot_start, "starts at boot"),
        ] {
            if off {
                line(text, &format!("{name} {what}"));
            }
        }
    }
    if let Some(divergence) = &module.divergence {
        let side = |side: &SideStatus| {
            format!(
                "generation {}, epoch {}, {} bytes",
                side.generation, side.epoch, side.data_bytes
            )
        };
        let (mine, theirs) = (side(&divergence.mine), side(&divergence.theirs));
        line(
            text,
            &format!("{name} has {mine}; the other node has {theirs}"),
        );
    }
    if let Some(inconsistent) = &module.mirror.inconsistent {
        line(text, &format!("{name} inconsistent: {inconsistent}"));
    }
    if let Some(fault) = &module.mirror.fault {
        line(text, &format!("{name} fault: {fault}"));
    }
    if let Some(warning) = &module.warning {
        line(text, &format!("{name} warning: {warning}"));
    }
    if let Some(advice) = &module.advice {
        line(text, &format!("{name} advice: {advice}"));
    }
}

/// How far the comparison of the other copy is.
fn resynchronisation(module: &ModuleStatus) -> Option<String> {
    let mirror = &module.mirror;
    let (done, total) = (mirror.resync_done_bytes?, mirror.resync_total_bytes?);
    let percent = module.resync_percent.unwrap_or(0);
    Some(format!(
        "resyncing {percent} %, {} of {}{}",
        amount::bytes(done),
        amount::bytes(total),
        amount::left(mirror.resync_left_seconds)
    ))
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{}", words.trim_end()).expect("writing to a string");
}

fn paint(word: &str, colour: &str, ansi: bool) -> String {
    let code = match colour {
        "green" => 32,
        "magenta" => 35,
        _ => 31,
    };
    match ansi {
        true => format!("\x1b[{code}m{word}\x1b[0m"),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::api::{AddressStatus, MirrorSummary};

    fn node(number: u8, state: &str, colour: &str, reason: &str) -> NodeStatus {
        NodeStatus {
            node: number,
            name: format!("h{number}"),
            answers: number == 1,
            silent_ms: (number == 2).then_some(1500),
            modules: vec![ModuleStatus {
                name: "videeos".into(),
                state: state.into(),
                colour: colour.into(),
                data: "uptodate".into(),
                reason: reason.into(),
                addresses: vec![AddressStatus {
                    address: "10.0.0.9/24".into(),
                    interface: "eth0".into(),
                    held: number == 1,
                }],
                advice: (number == 2).then(|| "switch it on".into()),
                ..ModuleStatus::default()
            }],
            ..NodeStatus::default()
        }
    }

    #[test]
    fn people_see_one_line_per_node_and_what_they_have_to_know() {
        let status = ClusterStatus {
            cluster: "cluster1".into(),
            nodes: vec![
                node(1, "PRIM", "green", "both are level"),
                node(2, "unknown", "red", "it does not answer"),
            ],
            ..ClusterStatus::default()
        };
        let expected = "videeos - cluster1
node1 h1  PRIM     green    uptodate  both are level
node2 h2  unknown  red      uptodate  it does not answer
node1 holds 10.0.0.9/24 on eth0
node2 does not answer: for 1.5 s
node2 advice: switch it on
";
        assert_eq!(describe(&status, false), expected);
        assert!(describe(&status, true).contains("\x1b[32mPRIM"));
    }

    #[test]
    fn people_see_how_far_a_resynchronisation_is() {
        let mut module = ModuleStatus {
            resync_percent: Some(42),
            mirror: MirrorSummary {
                resync_done_bytes: Some(1_260_000_000),
                resync_total_bytes: Some(3_000_000_000),
                resync_left_seconds: Some(40),
                ..MirrorSummary::default()
            },
            ..ModuleStatus::default()
        };
        let whole = "resyncing 42 %, 1.2 GB of 3.0 GB, about 40 s left";
        assert_eq!(resynchronisation(&module).as_deref(), Some(whole));
        module.mirror.resync_left_seconds = None;
        let unknown = "resyncing 42 %, 1.2 GB of 3.0 GB";
        assert_eq!(resynchronisation(&module).as_deref(), Some(unknown));
        module.mirror.resync_done_bytes = None;
        assert_eq!(resynchronisation(&module), None);
    }
}
