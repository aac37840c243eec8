//! The configuration field by field, in one order and one spelling, whatever the file looks like:
//! what both nodes must have equal, and where they differ.

use super::duration::words;
use super::{
    Action, Configuration, Durability, Module, Node, Probe, Ready, Service, ServiceKind,
    WaitForPeer,
};
use tandem_console::Secret;
use tandem_core::ConfigurationDigest;

/// What ends the name of a field in which a password may stand.
pub(super) const SECRET: [&str; 4] = [".start", ".stop", ".check", ".ready.command"];

/// All fields, with the path that an operator finds in the file.
#[must_use]
pub fn fields(configuration: &Configuration) -> Vec<(String, String)> {
    all(configuration, Commands::Told)
}

/// All fields, for people whom the commands are none of the business: only that there is one is
/// shown of those, and of whom changes of role are told only the host.
#[must_use]
pub fn shown(configuration: &Configuration) -> Vec<(String, String)> {
    let mut fields = all(configuration, Commands::Kept);
    let notify = &configuration.notify;
    if notify.command.is_some() {
        fields.push(("notify.command".to_owned(), KEPT.to_owned()));
    }
    if let Some(webhook) = &notify.webhook {
        fields.push(("notify.webhook".to_owned(), webhook.host().to_owned()));
    }
    fields
}

fn all(configuration: &Configuration, commands: Commands) -> Vec<(String, String)> {
    let mut fields = shared(configuration, commands);
    for module in &configuration.modules {
        fields.module(&format!("module.{}", module.name), module);
    }
    fields.list
}

/// The fields that matter to one module: a difference in another one's is none of its business.
#[must_use]
pub fn fields_of(configuration: &Configuration, module: &Module) -> Vec<(String, String)> {
    let mut fields = shared(configuration, Commands::Told);
    fields.module(&format!("module.{}", module.name), module);
    fields.list
}

/// The fields that the mirror of one module is started with. Both nodes must have the same, or they
/// do not mirror; with another field changed, a mirror that serves need not be stopped.
#[must_use]
pub fn fields_of_mirror(configuration: &Configuration, module: &Module) -> Vec<(String, String)> {
    let mut fields = Fields {
        list: Vec::new(),
        commands: Commands::Told,
    };
    fields.takeover(configuration);
    for (number, node) in (1..).zip(&configuration.nodes) {
        fields.add(format!("node{number}.address"), node.address);
    }
    fields.mirrored(&format!("module.{}", module.name), module);
    fields.list
}

/// The fields of the cluster and of the nodes.
fn shared(configuration: &Configuration, commands: Commands) -> Fields {
    let list = Vec::new();
    let mut fields = Fields { list, commands };
    fields.add("cluster.name", &configuration.cluster);
    fields.takeover(configuration);
    let gateway = configuration.gateway.map(|gateway| gateway.to_string());
    let gateway = gateway.unwrap_or_else(|| "none".to_owned());
    fields.add("cluster.gateway", gateway);
    for (number, node) in (1..).zip(&configuration.nodes) {
        fields.node(&format!("node{number}"), node);
    }
    fields
}

/// The digest of all fields.
#[must_use]
pub fn digest(fields: &[(String, String)]) -> ConfigurationDigest {
    let mut hasher = blake3::Hasher::new_derive_key("tandem 2026 digest of a configuration");
    for (field, value) in fields {
        for text in [field, value] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk::<8>();
    ConfigurationDigest(u64::from_le_bytes(*first.expect("a hash has 32 bytes")))
}

/// The digest of a whole configuration as people and scripts see it: sixteen hexadecimal digits.
#[must_use]
pub fn digest_words(configuration: &Configuration) -> String {
    format!("{:016x}", digest(&fields(configuration)).0)
}

/// The first field that differs, as a sentence; `None` if all are equal.
#[must_use]
pub fn difference(
    mine: &[(String, String)],
    peers: &[(String, String)],
    peer: &str,
) -> Option<String> {
    let value = |fields: &[(String, String)], field: &str| {
        (fields.iter())
            .find(|(name, _)| name == field)
            .map(|(_, value)| value.clone())
    };
    for (field, own) in mine {
        match value(peers, field) {
            Some(other) if other == *own => {}
            // People read this who need not know what is run.
            Some(_) if SECRET.iter().any(|end| field.ends_with(end)) => {
                return Some(format!("{field} is another one on {peer}"));
            }
            Some(other) => {
                return Some(format!("{field} is {own} here and {other} on {peer}"));
            }
            None => return Some(format!("{field} is {own} here and missing on {peer}")),
        }
    }
    for (field, other) in peers {
        if value(mine, field).is_none() {
            return Some(format!("{field} is {other} on {peer} and missing here"));
        }
    }
    (mine != peers).then(|| format!("the order of the entries is another one on {peer}"))
}

/// What stands in place of a command.
pub(super) const KEPT: &str = "(a command)";

/// Whether commands are among the fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commands {
    /// To the other node, which runs the same ones.
    Told,
    /// Not to people.
    Kept,
}

struct Fields {
    list: Vec<(String, String)>,
    commands: Commands,
}

impl Fields {
    fn add(&mut self, field: impl Into<String>, value: impl ToString) {
        self.list.push((field.into(), value.to_string()));
    }

    fn command(&mut self, field: impl Into<String>, command: &Secret) {
        match self.commands {
            Commands::Told => self.add(field, command.reveal()),
            Commands::Kept => self.add(field, KEPT),
        }
    }

    fn takeover(&mut self, configuration: &Configuration) {
        let after = words(configuration.takeover_after);
        self.add("cluster.takeover-after", after);
    }

    fn node(&mut self, at: &str, node: &Node) {
        self.add(format!("{at}.name"), &node.name);
        self.add(format!("{at}.address"), node.address);
        for (place, address) in node.heartbeat.iter().enumerate() {
            self.add(format!("{at}.heartbeat[{place}]"), address);
        }
    }

    /// What is mirrored, and how.
    fn mirrored(&mut self, at: &str, module: &Module) {
        self.add(format!("{at}.data-port"), module.data_port);
        let durability = match module.durability {
            Durability::Disk => "disk",
            Durability::Memory => "memory",
        };
        self.add(format!("{at}.durability"), durability);
        for volume in &module.volumes {
            let field = format!("{at}.volume.{}.path", volume.name);
            self.add(field, volume.path.display());
            let wait = match volume.wait_for_peer {
                WaitForPeer::Fsync => "fsync",
                WaitForPeer::Write => "write",
            };
            self.add(format!("{at}.volume.{}.wait-for-peer", volume.name), wait);
            let exclude: Vec<String> = volume.exclude.entries().collect();
            let field = format!("{at}.volume.{}.exclude", volume.name);
            self.add(field, exclude.join(" "));
        }
    }

    fn module(&mut self, at: &str, module: &Module) {
        self.mirrored(at, module);
        let alone = module.start_alone_after.map(words);
        let alone = alone.unwrap_or_else(|| "never".to_owned());
        self.add(format!("{at}.start-alone-after"), alone);
        let preferred = module.preferred_node.map(|node| node.to_string());
        let preferred = preferred.unwrap_or_else(|| "none".to_owned());
        self.add(format!("{at}.preferred-node"), preferred);
        self.add(format!("{at}.restart-budget"), module.restart_budget);
        self.add(format!("{at}.restart-window"), words(module.restart_window));
        for address in &module.addresses {
            let field = format!("{at}.address.{}", address.address);
            self.add(format!("{field}.prefix"), address.prefix);
            for (number, interface) in (1..).zip(&address.interfaces) {
                self.add(format!("{field}.interface.node{number}"), interface);
            }
        }
        for service in &module.services {
            self.service(&format!("{at}.service.{}", service.name), service);
        }
        for checker in &module.checkers {
            let at = format!("{at}.checker.{}", checker.name);
            match &checker.probe {
                Probe::Tcp(endpoint) => self.add(format!("{at}.tcp"), endpoint),
                Probe::Script(path) => self.add(format!("{at}.script"), path.display()),
                Probe::Unit(unit) => self.add(format!("{at}.unit"), unit),
                Probe::Process(name) => self.add(format!("{at}.process"), name),
            }
            self.add(format!("{at}.period"), words(checker.period));
            self.add(format!("{at}.timeout"), words(checker.timeout));
            self.add(format!("{at}.rise"), checker.rise);
            self.add(format!("{at}.fall"), checker.fall);
            let action = match checker.action {
                Action::Restart => "restart",
                Action::StopStart => "stopstart",
                Action::Swap => "swap",
                Action::Wait => "wait",
                Action::Stop => "stop",
                Action::None => "none",
            };
            self.add(format!("{at}.action"), action);
        }
    }

    fn service(&mut self, at: &str, service: &Service) {
        match &service.kind {
            ServiceKind::Unit(unit) => self.add(format!("{at}.unit"), unit),
            ServiceKind::Commands { start, stop, check } => {
                self.command(format!("{at}.start"), start);
                self.command(format!("{at}.stop"), stop);
                if let Some(check) = check {
                    self.command(format!("{at}.check"), check);
                }
            }
        }
        match &service.ready {
            Some(Ready::Tcp(endpoint)) => self.add(format!("{at}.ready.tcp"), endpoint),
            Some(Ready::Command(command)) => self.command(format!("{at}.ready.command"), command),
            None => {}
        }
        self.add(format!("{at}.start-limit"), words(service.start_limit));
        self.add(format!("{at}.stop-limit"), words(service.stop_limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Vec<(String, String)> {
        fields(&Configuration::parse(Path::new("t"), text).expect("it is good"))
    }

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
[[module.volume]]
name = "w"
path = "/w"
"#;

    #[test]
    fn spelling_and_order_of_keys_do_not_matter() {
        let other = ONE
            .replace(
                "name = \"c\"",
                "# ours\ntakeover-after = \"5000ms\"\nname = 'c'",
            )
            .replace("path = \"/v\"", "path = \"//v/\"");
        assert_eq!(digest(&parse(ONE)), digest(&parse(&other)));
        assert_eq!(difference(&parse(ONE), &parse(&other), "b"), None);
    }

    #[test]
    fn no_command_and_no_address_that_is_called_is_shown() {
        let text = format!(
            "{ONE}[[module.service]]\nname = \"s\"\nstart = \"a CANARY\"\nstop = \"b CANARY\"\n\
             check = \"c CANARY\"\nready = {{ command = \"d CANARY\" }}\n\
             [notify]\ncommand = \"e CANARY\"\nwebhook = \"https://h/CANARY\"\n"
        );
        let meant = Configuration::parse(Path::new("t"), &text).expect("it is good");
        let all = shown(&meant);
        assert!(
            all.iter().all(|(_, value)| !value.contains("CANARY")),
            "{all:?}"
        );
        assert_eq!(all.iter().filter(|(_, value)| value == KEPT).count(), 5);
        assert!(all.contains(&("notify.webhook".into(), "h".into())));
        // The nodes tell each other, and people only that there is a difference.
        let (mine, other) = (fields(&meant), parse(&text.replace("d CANARY", "f CANARY")));
        let told = difference(&mine, &other, "b");
        assert_eq!(
            told.as_deref(),
            Some("module.m.service.s.ready.command is another one on b")
        );
        assert!(!mine.iter().any(|(field, _)| field.starts_with("notify")));
    }

    #[test]
    fn the_first_field_that_differs_is_named() {
        for (from, to, sentence) in [
            (
                "\"/v\"",
                "\"/x\"",
                "module.m.volume.v.path is /v here and /x on b",
            ),
            ("\"c\"", "\"d\"", "cluster.name is c here and d on b"),
            (
                "name = \"w\"",
                "name = \"u\"",
                "module.m.volume.w.path is /w here and missing on b",
            ),
        ] {
            let other = parse(&ONE.replacen(from, to, 1));
            assert_ne!(digest(&parse(ONE)), digest(&other));
            assert_eq!(
                difference(&parse(ONE), &other, "b").as_deref(),
                Some(sentence)
            );
        }
        let mut swapped = parse(ONE);
        let last = swapped.len() - 1;
        swapped.swap(last, last - 1);
        assert!(difference(&parse(ONE), &swapped, "b").is_some());
    }
}
