//! `tandem explain`: what each node knows, from the state files of both, and the safe next step. It
//! needs no daemon; what it cannot see, it says.
//!
//! The advice is deliberately no cleverer than the core: where a person may do something, it names
//! the command that the core itself will check again.

use super::Exit;
use super::arguments::Places;
use std::fmt::Write as _;
use std::path::Path;
use tandem_core::record::Wanted;
use tandem_core::{Durable, NodeId, Record, Trust};
use tandem_daemon::client::Client;
use tandem_daemon::config::{Address, Configuration, Module, ServiceKind};
use tandem_daemon::daemon::module_state_dir;
use tandem_daemon::identity::Identity;
use tandem_daemon::report;
use tandem_host::state;
use tandem_wire::api::{ClusterStatus, RecordStatus};
use tandem_wire::durable::{Owner, decode};

/// What is known of one node.
#[derive(Clone, PartialEq, Debug)]
enum Knowledge {
    /// Its state file.
    File(Box<Durable>),
    /// The record on its disk, as its daemon says.
    Told(RecordStatus),
    /// It has never served or followed.
    Nothing,
    /// Why it could not be looked at.
    Unknown(String),
}

/// The part of a record that advice is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Facts {
    version: u64,
    holder: u8,
    insync: Vec<u8>,
    generation: String,
    clean: bool,
    confirmed: bool,
    /// The generations before, if they are known.
    ancestors: Vec<String>,
}

/// Explains.
pub async fn run(places: &Places, topic: Option<&str>, other: Option<&Path>) -> Exit {
    let configuration = match Configuration::read(&places.config) {
        Ok(configuration) => configuration,
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            return Exit::Failed;
        }
    };
    if topic.is_some() {
        print!("{}", emergency(&configuration));
        return Exit::Done;
    }
    let identity = match Identity::read(&places.state_dir) {
        Ok(identity) => identity,
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            return Exit::Failed;
        }
    };
    let status = Client::new(&places.runtime_dir).status().await.ok();
    for module in &configuration.modules {
        let own = read(&places.state_dir, identity.node, &module.name);
        let peer = match other {
            Some(directory) => read(directory, identity.node.peer(), &module.name),
            None => told(status.as_ref(), identity.node.peer(), &module.name),
        };
        print!("{}", explain(&module.name, identity.node, &own, &peer));
    }
    Exit::Done
}

fn read(state_dir: &Path, node: NodeId, module: &str) -> Knowledge {
    let owner = Owner {
        node: node.number(),
        module: module.to_owned(),
    };
    match state::peek(&module_state_dir(state_dir, module)) {
        Ok(None) => Knowledge::Nothing,
        Ok(Some(bytes)) => match decode(&owner, &bytes) {
            Ok(durable) => Knowledge::File(Box::new(durable)),
            Err(error) => Knowledge::Unknown(report(&error)),
        },
        Err(error) => Knowledge::Unknown(report(&error)),
    }
}

fn told(status: Option<&ClusterStatus>, node: NodeId, module: &str) -> Knowledge {
    let Some(status) = status else {
        return Knowledge::Unknown("no daemon runs on this node, so nobody can ask it".to_owned());
    };
    let answers = status
        .nodes
        .iter()
        .find(|n| n.node == node.number() && n.answers);
    let module = answers.and_then(|node| node.modules.iter().find(|m| m.name == module));
    match module {
        None => Knowledge::Unknown("its daemon does not answer".to_owned()),
        Some(module) => match &module.record {
            Some(record) => Knowledge::Told(record.clone()),
            None => Knowledge::Nothing,
        },
    }
}

impl Knowledge {
    fn facts(&self) -> Option<Facts> {
        match self {
            Self::File(durable) => durable.record.as_ref().map(Facts::of),
            Self::Told(record) => Some(Facts {
                version: record.version,
                holder: record.holder,
                insync: record.insync.clone(),
                generation: record.generation.clone(),
                clean: record.clean,
                confirmed: record.confirmed,
                ancestors: Vec::new(),
            }),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }

    /// Whether it is known that there is no record.
    fn is_blank(&self) -> bool {
        match self {
            Self::File(durable) => durable.record.is_none(),
            Self::Nothing => true,
            Self::Told(_) | Self::Unknown(_) => false,
        }
    }
}

impl Facts {
    fn of(record: &Record) -> Self {
        let nodes = [NodeId::One, NodeId::Two].into_iter();
        let ancestors = record.lineage.ancestors.iter();
        Self {
            version: record.version.0,
            holder: record.holder.number(),
            insync: nodes
                .filter(|n| record.insync.contains(*n))
                .map(NodeId::number)
                .collect(),
            generation: format!("{:016x}", record.lineage.current.0),
            clean: record.clean,
            confirmed: record.confirmed,
            ancestors: ancestors.map(|a| format!("{:016x}", a.id.0)).collect(),
        }
    }
}

fn explain(module: &str, own: NodeId, mine: &Knowledge, theirs: &Knowledge) -> String {
    let mut text = format!("{module}\n");
    let (own, peer) = (own.number(), own.peer().number());
    for (node, knowledge) in [(own, mine), (peer, theirs)] {
        let words = knows(knowledge);
        writeln!(text, "  node{node} knows: {words}").expect("writing to a string");
    }
    let step = next_step(own, mine, theirs);
    writeln!(text, "  next: {step}").expect("writing to a string");
    text
}

fn knows(knowledge: &Knowledge) -> String {
    let facts = match (knowledge, knowledge.facts()) {
        (Knowledge::Unknown(why), _) => return format!("(not seen: {why})"),
        (_, None) => return "nothing yet: no node was ever chosen to hold the data".to_owned(),
        (_, Some(facts)) => facts,
    };
    let served = match facts.clean {
        true => "served last, and both copies were brought level at the end",
        false => "serves, or served last",
    };
    let insync = match facts.insync.as_slice() {
        [one] => format!("only node{one} holds every acknowledged write"),
        _ => "both copies hold every acknowledged write".to_owned(),
    };
    let mut text = format!(
        "node{} {served}; {insync} (record {}, generation {})",
        facts.holder, facts.version, facts.generation
    );
    if !facts.confirmed {
        text += "; unconfirmed: this was decided while the other node was silent";
    }
    if let Knowledge::File(durable) = knowledge {
        let more = match (durable.wanted, durable.trust) {
            (_, Trust::SetBack) => "; this machine was set back to an older state",
            (_, Trust::Forced) => "; an operator forced this copy",
            (Wanted::Stopped, Trust::Recorded) => "; it is to be stopped",
            (Wanted::Running, Trust::Recorded) => "; it is to run",
        };
        text += more;
    }
    text
}

/// The safe next step. Nothing here is safer than the core, which refuses what is not proven.
fn next_step(own: u8, mine: &Knowledge, theirs: &Knowledge) -> String {
    let peer = 3 - own;
    let lost = format!(
        "if node{peer} is lost for good: `tandem prim --force` here, with node{peer} off; what only \
         it has is lost"
    );
    match (mine.facts(), theirs.facts()) {
        (None, None) if mine.is_blank() && theirs.is_blank() => {
            "first start: `tandem prim` on the node whose data is to be kept; the other node's \
             directory is set aside"
                .to_owned()
        }
        (None, None) if mine.is_blank() => {
            format!("look at node{peer} first: it may hold the only data. Start Tandem there")
        }
        (None, None) => "repair the state directory, or look at the other node: nothing is known \
                         of whose data is good"
            .to_owned(),
        (None, Some(_)) => {
            format!("`tandem start` on node{peer}, then `tandem start` here: this node follows it")
        }
        (Some(mine), None) if theirs.is_blank() => match mine.insync.contains(&own) {
            true => format!("`tandem start` here, then on node{peer}, which is new and follows"),
            false => format!(
                "node{peer} should hold the newer data, and knows nothing: was its state removed? \
                 Look at its directories before anything else; {lost}"
            ),
        },
        (Some(mine), None) => match mine.insync.as_slice() {
            [one] if *one == own => {
                "`tandem start` here: this node is known to be the only one with all data"
                    .to_owned()
            }
            [_] => format!("start node{peer}: it has newer data than this node; {lost}"),
            _ => format!(
                "start node{peer}: it may have gone on alone, and only it can say; both then agree \
                 by themselves who serves. {lost}"
            ),
        },
        (Some(mine), Some(theirs)) => both_known(own, &mine, &theirs),
    }
}

fn both_known(own: u8, mine: &Facts, theirs: &Facts) -> String {
    let peer = 3 - own;
    let first = |node: u8, other: u8| {
        format!(
            "`tandem start` on node{node}, which has all data; then on node{other}, which follows"
        )
    };
    if mine.generation == theirs.generation {
        let newer = if theirs.version > mine.version {
            theirs
        } else {
            mine
        };
        return match newer.insync.as_slice() {
            [one] => first(*one, 3 - one),
            _ => "`tandem start --all`: both copies hold every acknowledged write, and the nodes \
                  agree by themselves who serves"
                .to_owned(),
        };
    }
    if mine.ancestors.contains(&theirs.generation) {
        return first(own, peer);
    }
    if theirs.ancestors.contains(&mine.generation) {
        return first(peer, own);
    }
    if theirs.ancestors.is_empty() && mine.insync != [own] {
        return first(peer, own);
    }
    format!(
        "each node has writes that the other one lacks, or may have. Nothing is overwritten until \
         you choose: look at the data of both, then `tandem second` on the node whose own writes \
         are to be given up (node{own} or node{peer})"
    )
}

/// How to run the application without Tandem.
fn emergency(configuration: &Configuration) -> String {
    let mut text = "How to run the application without Tandem, on one node

1. Decide which node. `tandem explain` says which copy has all data; without it, the node that
   served last. Switch the other node off. What it has that this one lacks will be missing here, and
   two nodes that serve the same application lose data.

2. On the node that is to serve: end the daemon, so that nothing acts by itself any more; then the
   application, as long as it has its disk; then the mirror. A unit that does not stop:
   systemctl kill --signal KILL UNIT

     systemctl disable --now tandem.service tandem-guard.service
"
    .to_owned();
    let mut lines = Lines(&mut text);
    let all_units = || configuration.modules.iter().flat_map(units);
    all_units().for_each(|unit| lines.add(format!("systemctl stop {unit}")));
    lines.add("systemctl stop 'tandem-mirror@*.service'".to_owned());
    text += "
3. Take the mounts away from the data: again, until `findmnt` shows none there. If the target is
   busy, something of the application still runs on it.

";
    let mut lines = Lines(&mut text);
    for volume in configuration
        .modules
        .iter()
        .flat_map(|module| &module.volumes)
    {
        let path = volume.path.display();
        lines.add(format!("umount {path}; findmnt {path}"));
    }
    text += "
4. Take Tandem's conditions away from the units, and start the application:

";
    let mut lines = Lines(&mut text);
    all_units().for_each(|unit| {
        lines.add(format!("rm -f /etc/systemd/system/{unit}.d/tandem.conf"));
    });
    lines.add("systemctl daemon-reload".to_owned());
    for service in configuration
        .modules
        .iter()
        .flat_map(|module| &module.services)
    {
        lines.add(match &service.kind {
            ServiceKind::Unit(unit) => format!("systemctl start {unit}"),
            // Passwords may stand in it: it is not printed.
            ServiceKind::Commands { .. } => format!(
                "(the `start` command of {} in the configuration file)",
                service.name
            ),
        });
    }
    text += "
5. Give this node the address; it is gone after a boot:

";
    let mut lines = Lines(&mut text);
    for address in configuration
        .modules
        .iter()
        .flat_map(|module| &module.addresses)
    {
        lines.add(ip_line(address));
    }
    text += "
The data is a plain directory; nothing in it but `.tandem` is Tandem's.

Back to Tandem: what was written meanwhile is not known to it, so do not just start it again: the
other node would be believed to be newer, or equal. On both nodes `tandem cluster leave`; then pair
them anew, and `tandem prim` on the node whose data counts.
";
    text
}

/// Lines that are typed.
struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    fn add(&mut self, line: String) {
        writeln!(self.0, "     {line}").expect("writing to a string");
    }
}

fn units(module: &Module) -> impl Iterator<Item = &str> {
    module
        .services
        .iter()
        .filter_map(|service| match &service.kind {
            ServiceKind::Unit(unit) => Some(unit.as_str()),
            ServiceKind::Commands { .. } => None,
        })
}

fn ip_line(address: &Address) -> String {
    let [one, two] = &address.interfaces;
    let interface = match one == two {
        true => one.clone(),
        false => format!("{one} (on node1; {two} on node2)"),
    };
    format!(
        "ip address replace {}/{} dev {interface}",
        address.address, address.prefix
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: u64, insync: &[u8], generation: &str, ancestors: &[&str]) -> Facts {
        Facts {
            version,
            holder: insync[0],
            insync: insync.to_vec(),
            generation: generation.into(),
            clean: false,
            confirmed: true,
            ancestors: ancestors.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    fn record(insync: &[u8]) -> Knowledge {
        Knowledge::Told(RecordStatus {
            version: 4,
            holder: insync[0],
            insync: insync.to_vec(),
            generation: "a".into(),
            confirmed: true,
            ..RecordStatus::default()
        })
    }

    fn unknown() -> Knowledge {
        Knowledge::Unknown("its daemon does not answer".into())
    }

    #[test]
    fn a_lone_node_serves_only_if_it_is_known_to_have_everything() {
        let step = next_step(1, &record(&[1]), &unknown());
        assert!(step.starts_with("`tandem start` here"), "{step}");
        for insync in [&[2][..], &[1, 2]] {
            let step = next_step(1, &record(insync), &unknown());
            assert!(step.starts_with("start node2"), "{step}");
            assert!(step.contains("lost for good"), "{step}");
        }
    }

    #[test]
    fn of_two_nodes_the_one_with_all_data_is_started_first() {
        let step = |mine: &Facts, theirs: &Facts| both_known(1, mine, theirs);
        let level = facts(4, &[1, 2], "a", &[]);
        assert!(step(&level, &level).contains("start --all"));
        let alone = facts(5, &[2], "a", &[]);
        assert!(step(&level, &alone).starts_with("`tandem start` on node2"));
        let newer = facts(6, &[1], "b", &["a"]);
        assert!(step(&newer, &level).starts_with("`tandem start` on node1"));
        assert!(step(&level, &newer).starts_with("`tandem start` on node2"));
        let other = facts(6, &[2], "c", &["a"]);
        assert!(step(&newer, &other).contains("until you choose"));
    }

    #[test]
    fn nothing_is_advised_where_nothing_is_known() {
        let step = next_step(1, &Knowledge::Nothing, &Knowledge::Nothing);
        assert!(step.starts_with("first start"), "{step}");
        let step = next_step(1, &Knowledge::Nothing, &unknown());
        assert!(step.starts_with("look at node2 first"), "{step}");
        let step = next_step(1, &Knowledge::Nothing, &record(&[2]));
        assert!(step.starts_with("`tandem start` on node2"), "{step}");
        let text = explain("db", NodeId::One, &record(&[1, 2]), &unknown());
        assert!(
            text.contains("node1 knows: node1 serves, or served last; both copies"),
            "{text}"
        );
        assert!(
            text.contains("node2 knows: (not seen: its daemon does not answer)"),
            "{text}"
        );
    }
}
