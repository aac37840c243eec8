//! `tandem doctor`: this machine, the other node, and what is between them.

use super::Exit;
use super::arguments::{DoctorOptions, Places};
use super::command::carried_out;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::time::Duration;
use tandem_core::NodeId;
use tandem_daemon::client::{Client, ClientError};
use tandem_daemon::config::Configuration;
use tandem_daemon::identity::Identity;
use tandem_daemon::{RELEASE, doctor, report, units};
use tandem_doctor::checks::{License, Network};
use tandem_doctor::look::{look, wall_clock_ms};
use tandem_doctor::{Examination, Facts, Finding, Fix, Subject, Verdict, examine, fix};
use tandem_wire::api::{ClusterStatus, CommandName, CommandRequest};

/// The other node looks for as long as this one: ports that do not answer, names that nobody knows.
const PEER_MAX: Duration = Duration::from_secs(40);

/// What was found, for programs.
#[derive(Serialize)]
struct Diagnosis<'a> {
    result: Verdict,
    findings: &'a [Finding],
}

/// What is known before anything is looked at.
struct Patient {
    configuration: Option<Configuration>,
    subject: Subject,
    /// The configuration is there and not good.
    trouble: Option<String>,
}

/// The other node's facts, and this node's clock when they came.
struct Answer {
    facts: Result<Facts, String>,
    heard_ms: u64,
    status: Option<ClusterStatus>,
    /// A cluster exists, and the other node should have answered.
    expected: bool,
}

/// Examines, repairs what it was asked to repair, and examines again.
pub async fn run(places: &Places, options: &DoctorOptions) -> Exit {
    let patient = patient(places, options.peer);
    let (mut findings, mut answer) = examine_both(places, &patient).await;
    if options.fix && repair(places, &patient, &findings).await {
        (findings, answer) = examine_both(places, &patient).await;
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let worst = worst.unwrap_or(Verdict::Unknown);
    if options.json {
        let diagnosis = Diagnosis {
            result: worst,
            findings: &findings,
        };
        let text = serde_json::to_string_pretty(&diagnosis).expect("plain data");
        println!("{text}");
    } else {
        let ansi = std::io::stdout().is_terminal();
        print!("{}", describe(&findings, options.all, ansi));
    }
    match worst {
        Verdict::Failed => Exit::Failed,
        Verdict::Ok | Verdict::Unknown | Verdict::Warning => match answer.facts {
            Err(_) if answer.expected => Exit::PeerUnreachable,
            Ok(_) | Err(_) => Exit::Done,
        },
    }
}

fn patient(places: &Places, peer: Option<IpAddr>) -> Patient {
    let settings = places.settings();
    let plain = || doctor::before_set_up(peer, &settings);
    if !places.config.exists() {
        return Patient {
            configuration: None,
            subject: plain(),
            trouble: None,
        };
    }
    match Configuration::read(&places.config) {
        Ok(configuration) => {
            let node = node_of(&configuration, places);
            let mut subject = doctor::subject(&configuration, node, &settings);
            subject.peer = peer.or(subject.peer);
            Patient {
                configuration: Some(configuration),
                subject,
                trouble: None,
            }
        }
        Err(error) => Patient {
            configuration: None,
            subject: plain(),
            trouble: Some(report(&error)),
        },
    }
}

/// Which node this is: by its identity, or before that by the addresses that one can bind here.
fn node_of(configuration: &Configuration, places: &Places) -> Option<NodeId> {
    if let Ok(identity) = Identity::read(&places.state_dir) {
        return Some(identity.node);
    }
    let is_here = |node: &NodeId| {
        let address = configuration.node(*node).address;
        std::net::UdpSocket::bind((address, 0)).is_ok()
    };
    [NodeId::One, NodeId::Two].into_iter().find(is_here)
}

async fn examine_both(places: &Places, patient: &Patient) -> (Vec<Finding>, Answer) {
    let (own, answer) = tokio::join!(look(&patient.subject, RELEASE), ask_peer(places, patient));
    let networks = networks(answer.status.as_ref());
    let licenses = licenses(answer.status.as_ref());
    let peer = answer.facts.as_ref().map_err(String::as_str);
    let mut findings = configured(places, patient, answer.status.as_ref());
    findings.extend(examine(&Examination {
        subject: &patient.subject,
        own: &own,
        peer,
        heard_ms: answer.heard_ms,
        networks: &networks,
        licenses: &licenses,
    }));
    (findings, answer)
}

/// The configuration itself: there, good, and the same on both nodes.
fn configured(places: &Places, patient: &Patient, status: Option<&ClusterStatus>) -> Vec<Finding> {
    let mut report = tandem_doctor::finding::Report::new("configuration");
    let node = patient.subject.node;
    let path = places.config.display();
    match (&patient.trouble, &patient.configuration) {
        (Some(trouble), _) => {
            report.failed(
                node,
                trouble,
                "tandem config check says where, and what to do",
            );
        }
        (None, None) => report.unknown(node, format!("{path} is not there: not set up yet")),
        (None, Some(_)) if node.is_none() => report.failed(
            node,
            "this machine has the address of neither node",
            "give the interface its address, or correct node1.address or node2.address",
        ),
        (None, Some(configuration)) => {
            report.ok(node, format!("{path} is good"));
            for found in super::volumes::check(configuration) {
                report.failed(node, found.what, &found.remedy);
            }
        }
    }
    if let Some(status) = status {
        match (&status.configuration_differs, &status.link_refused) {
            (Some(difference), _) => {
                let what = format!("the nodes' configurations differ: {difference}");
                report.failed(None, what, "make the files equal, and restart both daemons");
            }
            (None, Some(reason)) => {
                let remedy = "join the node again: tandem cluster leave, then join";
                report.failed(None, format!("the daemons do not talk: {reason}"), remedy);
            }
            (None, None) => {}
        }
    }
    report.findings
}

/// The ways between the daemons, seen from both ends.
fn networks(status: Option<&ClusterStatus>) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    let nodes = status.map_or(&[][..], |status| &status.nodes);
    for node in nodes.iter().filter(|node| node.answers) {
        // The modules share them; the one that heard something last says how they are.
        for channel in node.modules.iter().flat_map(|module| &module.channels) {
            if !channel.name.starts_with("network") {
                continue;
            }
            let known = |n: &&mut Network| n.node == node.node && n.name == channel.name;
            match networks.iter_mut().find(known) {
                Some(known) => {
                    let ages = [known.heard_ms, channel.heard_ms];
                    known.heard_ms = ages.into_iter().flatten().min();
                }
                None => networks.push(Network {
                    node: node.node,
                    name: channel.name.clone(),
                    heard_ms: channel.heard_ms,
                }),
            }
        }
    }
    networks
}

/// The licences, as the daemons see them. The modules share one.
fn licenses(status: Option<&ClusterStatus>) -> Vec<License> {
    let nodes = status.map_or(&[][..], |status| &status.nodes);
    let known = nodes.iter().filter(|node| node.answers);
    known
        .filter_map(|node| {
            let license = &node.modules.first()?.license;
            Some(License {
                node: node.node,
                valid: license.valid,
                text: license.text.clone(),
            })
        })
        .collect()
}

/// Asks this node's daemon, which asks the other one's.
async fn ask_peer(places: &Places, patient: &Patient) -> Answer {
    let client = Client::new(&places.runtime_dir);
    let known = patient.configuration.as_ref().zip(patient.subject.node);
    let without = |why: &str, status, expected| Answer {
        facts: Err(why.to_owned()),
        heard_ms: 0,
        status,
        expected,
    };
    let Some((configuration, node)) = known else {
        return without("there is no cluster yet", None, false);
    };
    let status = match client.status().await {
        Ok(status) => status,
        Err(ClientError::NoDaemon { .. }) => {
            return without("no daemon runs on this node", None, false);
        }
        Err(error) => return without(&report(&error), None, false),
    };
    let request = CommandRequest {
        node: Some(3 - node),
        module: configuration
            .modules
            .first()
            .map(|module| module.name.clone()),
        ..CommandRequest::new(CommandName::Doctor)
    };
    let facts = facts_of(&client, &request).await;
    Answer {
        facts,
        heard_ms: wall_clock_ms(),
        status: Some(status),
        expected: true,
    }
}

async fn facts_of(client: &Client, request: &CommandRequest) -> Result<Facts, String> {
    let facts = carried_out(client, request, PEER_MAX).await?;
    serde_json::from_str(&facts)
        .map_err(|error| format!("what the other node saw cannot be read: {error}"))
}

/// Repairs what can be repaired on this machine. Gives back whether anything was done.
async fn repair(places: &Places, patient: &Patient, findings: &[Finding]) -> bool {
    let mut fixes: Vec<&Fix> = Vec::new();
    let own = findings.iter().filter(|f| f.node == patient.subject.node);
    for fix in own.filter_map(|finding| finding.fix.as_ref()) {
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    for wanted in &fixes {
        let outcome = match (fix::apply(wanted), &patient.configuration) {
            (Ok(true), _) => Ok(()),
            (Ok(false), Some(configuration)) => {
                let taken = units::take_over(configuration, &places.settings()).await;
                taken.map(|_| ()).map_err(|error| report(&error))
            }
            (Ok(false), None) => Err("there is no configuration".to_owned()),
            (Err(error), _) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => eprintln!("fixed: {}", words(wanted)),
            Err(error) => eprintln!("not fixed: {}: {error}", words(wanted)),
        }
    }
    !fixes.is_empty()
}

fn words(fix: &Fix) -> String {
    match fix {
        Fix::HostsLine { address, name } => format!("{address} {name} in /etc/hosts"),
        Fix::DisableUnits => "the units of the application do not start at boot".to_owned(),
        Fix::Executable { path } => format!("{} may be run", path.display()),
        Fix::SynchroniseClock => "the clock follows a time server".to_owned(),
    }
}

/// The findings for people: what is wrong, or all of it.
fn describe(findings: &[Finding], all: bool, ansi: bool) -> String {
    let mut text = String::new();
    let mut counts = [0; 4];
    for finding in findings {
        counts[finding.verdict as usize] += 1;
        if finding.verdict == Verdict::Ok && !all {
            continue;
        }
        let node = finding
            .node
            .map_or(String::new(), |node| format!("node{node}: "));
        let verdict = paint(finding.verdict, ansi);
        let (check, what) = (finding.check, &finding.what);
        writeln!(text, "{verdict}  {check}: {node}{what}").expect("writing to a string");
        if let Some(remedy) = &finding.remedy {
            writeln!(text, "         = remedy: {remedy}").expect("writing to a string");
        }
        if finding.fix.is_some() {
            writeln!(text, "         = tandem doctor --fix does it, on that node")
                .expect("writing to a string");
        }
    }
    let [ok, unknown, warning, failed] = counts;
    writeln!(
        text,
        "{ok} ok, {warning} warning, {failed} failed, {unknown} unknown"
    )
    .expect("writing to a string");
    text
}

fn paint(verdict: Verdict, ansi: bool) -> String {
    let word = format!("{:<7}", verdict.word());
    let code = match verdict {
        Verdict::Ok => 32,
        Verdict::Unknown => 36,
        Verdict::Warning => 33,
        Verdict::Failed => 31,
    };
    match ansi {
        true => format!("\x1b[{code}m{word}\x1b[0m"),
        false => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_wrong_with_its_remedy_and_how_much_is_not() {
        let mut report = tandem_doctor::finding::Report::new("names");
        report.ok(Some(1), "h1 is 192.0.2.1");
        report.warning(Some(2), "the name h1 is not known here", "add a line");
        report.fixable(Fix::DisableUnits);
        let expected = "warning  names: node2: the name h1 is not known here
         = remedy: add a line
         = tandem doctor --fix does it, on that node
1 ok, 1 warning, 0 failed, 0 unknown
";
        assert_eq!(describe(&report.findings, false, false), expected);
        assert!(describe(&report.findings, true, true).contains("h1 is 192.0.2.1"));
    }
}
