//! From what was typed to what is meant. Every problem is collected, so that one look at the
//! output of `tandem config check` is enough.

use super::duration::{parse_duration, words};
use super::problem::{Problem, nearest};
use super::raw::{self, Raw, Text};
use super::{
    Action, Address, CONTROL_PORT, Checker, Configuration, DATA_PORT, DATA_PORT_FURTHER,
    Durability, HEARTBEAT_PORT, HTTP_PORT, Module, Node, Probe, Ready, Service, ServiceKind,
    Volume, WaitForPeer, limits,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tandem_core::NodeId;
use tandem_wire::exclude::Exclude;
use tandem_wire::peer::ModuleTag;
use toml::Spanned;

const TAKEOVER_AFTER: Duration = Duration::from_secs(5);
const SERVICE_LIMIT: Duration = Duration::from_secs(300);
const RESTART_BUDGET: u8 = 3;
/// Less would forget a failure before the next one can come.
const RESTART_WINDOW_MIN: Duration = Duration::from_secs(60);
const CHECKER_PERIOD: Duration = Duration::from_secs(1);
const CHECKER_RISE: u32 = 2;
const CHECKER_FALL: u32 = 3;
/// Beyond this a checker would never come up, or never go down.
const CHECKER_COUNT_MAX: u32 = 1000;
/// The longest name that the kernel gives an interface.
const INTERFACE_BYTES_MAX: usize = 15;

/// Parses and validates.
pub(super) fn parse(text: &str) -> Result<Configuration, Vec<Problem>> {
    if text.len() > limits::FILE_BYTES_MAX {
        let message = format!("the file has more than {} bytes", limits::FILE_BYTES_MAX);
        return Err(vec![Problem::new(text, 0..0, message, None)]);
    }
    let raw: Raw = toml::from_str(text).map_err(|error| vec![syntax_problem(text, &error)])?;
    let mut review = Review {
        text,
        problems: Vec::new(),
    };
    let configuration = review.configuration(&raw);
    match review.problems.is_empty() {
        true => Ok(configuration),
        false => Err(review.problems),
    }
}

fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (message, hint) = if message.starts_with("unknown field") && !quoted.is_empty() {
        let known = quoted[1..].join("`, `");
        let hint = match nearest(quoted[0], quoted[1..].iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("what is known here: `{known}`"),
        };
        (format!("the key `{}` is unknown", quoted[0]), Some(hint))
    } else if message.starts_with("missing field") && !quoted.is_empty() {
        (format!("the key `{}` is missing", quoted[0]), None)
    } else if message.contains("untagged enum Interface") {
        (
            "this is no interface".to_owned(),
            Some("one name for both nodes, or { node1 = \"eth0\", node2 = \"ens3\" }".to_owned()),
        )
    } else {
        (message.to_owned(), None)
    };
    Problem::new(text, error.span().unwrap_or(0..0), message, hint)
}

struct Review<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Review<'_> {
    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems
            .push(Problem::new(self.text, span, message, hint));
    }

    fn configuration(&mut self, raw: &Raw) -> Configuration {
        let cluster = self.name(&raw.cluster.name, "cluster");
        let takeover_after = self.takeover_after(raw.cluster.takeover_after.as_ref());
        let nodes = [self.node(&raw.node1), self.node(&raw.node2)];
        let gateway = self.gateway(raw.cluster.gateway.as_ref(), &nodes);
        self.nodes_differ(raw, &nodes);

        let modules = raw.module.get_ref();
        if modules.is_empty() {
            let hint = "add a [[module]] with a name and at least one [[module.volume]]";
            self.problem(raw.module.span(), "there is no module", hint);
        }
        if let Some(beyond) = modules.get(limits::MODULES_MAX) {
            let message = format!("more than {} modules", limits::MODULES_MAX);
            let hint = "one module may have several volumes, services and addresses";
            self.problem(beyond.get_ref().name.span(), message, hint);
        }
        self.unique(
            modules.iter().map(|module| &module.get_ref().name),
            "module",
        );
        let raw_modules = modules;
        let modules: Vec<Module> = (raw_modules.iter().enumerate())
            .map(|(place, module)| self.module(place, module, &nodes))
            .collect();
        self.apart(raw_modules, &modules);
        Configuration {
            cluster,
            takeover_after,
            gateway,
            nodes,
            modules,
        }
    }

    fn takeover_after(&mut self, typed: Option<&Text>) -> Duration {
        let Some(typed) = typed else {
            return TAKEOVER_AFTER;
        };
        let least = limits::TAKEOVER_AFTER_MIN;
        let most = limits::TAKEOVER_AFTER_MAX;
        self.duration(typed, least, most)
    }

    fn node(&mut self, raw: &raw::Node) -> Node {
        let name = raw.name.get_ref().trim().to_owned();
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            let hint = "any text of 1 to 64 characters, usually the host's name";
            self.problem(raw.name.span(), "this is no name for a node", hint);
        }
        let address = self.node_address(&raw.address);
        let heartbeat = match &raw.heartbeat {
            None => vec![address],
            Some(list) => {
                let addresses = list.get_ref();
                if addresses.is_empty() || addresses.len() > limits::NETWORKS_MAX {
                    let message = format!("1 to {} heartbeat networks", limits::NETWORKS_MAX);
                    self.problem(list.span(), message, "leave the key out to use `address`");
                }
                self.unique(addresses.iter(), "heartbeat address");
                (addresses.iter())
                    .map(|address| self.node_address(address))
                    .collect()
            }
        };
        Node {
            name,
            address,
            heartbeat,
        }
    }

    fn node_address(&mut self, typed: &Text) -> IpAddr {
        let parsed: Option<IpAddr> = typed.get_ref().trim().parse().ok();
        match parsed {
            Some(address) if !address.is_unspecified() && !address.is_multicast() => address,
            Some(address) => {
                let hint = "the address of one interface of this node";
                let message = format!("{address} is not the address of one machine");
                self.problem(typed.span(), message, hint);
                address
            }
            None => {
                let hint = "an IPv4 or IPv6 address without port and prefix, as in \"10.0.0.1\"";
                self.problem(typed.span(), "this is no address", hint);
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            }
        }
    }

    fn gateway(&mut self, typed: Option<&Text>, nodes: &[Node; 2]) -> Option<IpAddr> {
        let typed = typed?;
        let gateway = self.node_address(typed);
        let own = |node: &Node| node.address == gateway || node.heartbeat.contains(&gateway);
        if nodes.iter().any(own) {
            let hint = "a machine beside the nodes, such as the router of their network";
            self.problem(typed.span(), "this is a node's own address", hint);
        }
        Some(gateway)
    }

    fn nodes_differ(&mut self, raw: &Raw, nodes: &[Node; 2]) {
        let [one, two] = nodes;
        if one.name == two.name {
            let message = "both nodes have the same name";
            self.problem(raw.node2.name.span(), message, "");
        }
        if one.address == two.address {
            let message = "both nodes have the same address";
            self.problem(raw.node2.address.span(), message, "");
        }
        if one.heartbeat.len() != two.heartbeat.len() {
            let span = match (&raw.node2.heartbeat, &raw.node1.heartbeat) {
                (Some(list), _) | (None, Some(list)) => list.span(),
                (None, None) => raw.node2.address.span(),
            };
            let hint = "one address per heartbeat network, in the same order on both nodes";
            let message = format!(
                "node1 has {} heartbeat addresses, node2 has {}",
                one.heartbeat.len(),
                two.heartbeat.len()
            );
            self.problem(span, message, hint);
        }
        let pairs = one.heartbeat.iter().zip(&two.heartbeat).enumerate();
        let places = raw.node2.heartbeat.as_ref();
        for (place, (a, b)) in pairs {
            let span = places
                .and_then(|list| list.get_ref().get(place))
                .map_or(raw.node2.address.span(), Spanned::span);
            if a.is_ipv4() != b.is_ipv4() {
                let message = "the two ends of this network are of different families";
                self.problem(span, message, "both IPv4 or both IPv6");
            } else if a == b && one.address != two.address {
                let message = "both ends of this network have the same address";
                self.problem(span, message, "");
            }
        }
    }

    /// Modules share nothing: each may be served by another node.
    fn apart(&mut self, raw: &[Spanned<raw::Module>], modules: &[Module]) {
        for (place, module) in modules.iter().enumerate() {
            let typed = raw[place].get_ref();
            for other in &modules[..place] {
                self.two_apart(typed, module, other);
            }
        }
    }

    fn two_apart(&mut self, typed: &raw::Module, module: &Module, other: &Module) {
        let name = &other.name;
        if module.name != *name && ModuleTag::new(&module.name) == ModuleTag::new(name) {
            let message = format!("the nodes cannot tell this name from `{name}` in messages");
            self.problem(typed.name.span(), message, "any other name will do");
        }
        if module.data_port == other.data_port {
            let span = typed
                .data_port
                .as_ref()
                .map_or(typed.name.span(), Spanned::span);
            let message = format!("port {} is that of module `{name}`", other.data_port);
            self.problem(span, message, "a `data-port` of its own for each module");
        }
        for (volume, raw) in module.volumes.iter().zip(&typed.volume) {
            let nested =
                |v: &&Volume| v.path.starts_with(&volume.path) || volume.path.starts_with(&v.path);
            if let Some(v) = other.volumes.iter().find(nested) {
                let message = format!(
                    "this is the path of volume `{}` of `{name}`, or inside, \
                     or around it",
                    v.name
                );
                self.problem(
                    raw.path.span(),
                    message,
                    "each directory belongs to one module",
                );
            }
        }
        for (address, raw) in module.addresses.iter().zip(&typed.address) {
            if other.addresses.iter().any(|a| a.address == address.address) {
                let message = format!("this is an address of module `{name}`");
                self.problem(
                    raw.address.span(),
                    message,
                    "each module has addresses of its own",
                );
            }
        }
        for (service, raw) in module.services.iter().zip(&typed.service) {
            let same = |s: &Service| matches!((&s.kind, &service.kind), (ServiceKind::Unit(a), ServiceKind::Unit(b)) if a == b);
            if other.services.iter().any(same) {
                let message = format!("this is a unit of module `{name}`");
                self.problem(raw.span(), message, "each unit belongs to one module");
            }
        }
    }

    fn start_alone_after(&mut self, typed: Option<&Text>) -> Option<Duration> {
        let typed = typed.filter(|typed| typed.get_ref() != "never")?;
        Some(self.duration(typed, limits::TAKEOVER_AFTER_MIN, limits::LIMIT_MAX))
    }

    fn preferred_node(&mut self, typed: Option<&Text>) -> Option<NodeId> {
        let typed = typed?;
        match typed.get_ref().as_str() {
            "none" => None,
            "node1" => Some(NodeId::One),
            "node2" => Some(NodeId::Two),
            _ => {
                self.problem(typed.span(), "this is no node", "node1, node2 or none");
                None
            }
        }
    }

    fn durability(&mut self, typed: Option<&Text>) -> Durability {
        match typed.map(|typed| (typed, typed.get_ref().as_str())) {
            None | Some((_, "disk")) => Durability::Disk,
            Some((_, "memory")) => Durability::Memory,
            Some((typed, _)) => {
                let hint = "disk: on both disks; memory: on one disk and in the other's memory";
                self.problem(typed.span(), "this is no durability", hint);
                Durability::Disk
            }
        }
    }

    fn wait_for_peer(&mut self, typed: Option<&Text>) -> WaitForPeer {
        match typed.map(|typed| (typed, typed.get_ref().as_str())) {
            None | Some((_, "fsync")) => WaitForPeer::Fsync,
            Some((_, "write")) => WaitForPeer::Write,
            Some((typed, _)) => {
                let hint = "fsync: what waits for a disk; write: every write";
                self.problem(typed.span(), "this is nothing to wait for", hint);
                WaitForPeer::Fsync
            }
        }
    }

    fn exclude(&mut self, typed: Option<&Spanned<Vec<String>>>) -> Exclude {
        let Some(typed) = typed else {
            return Exclude::default();
        };
        Exclude::parse(typed.get_ref()).unwrap_or_else(|error| {
            self.problem(typed.span(), error.to_string(), error.hint());
            Exclude::default()
        })
    }

    fn data_port(&mut self, place: usize, typed: Option<&Spanned<u16>>) -> u16 {
        let Some(typed) = typed else {
            return match place {
                0 => DATA_PORT,
                further => DATA_PORT_FURTHER + further.min(limits::MODULES_MAX) as u16,
            };
        };
        let port = *typed.get_ref();
        if port < 1024 || [HTTP_PORT, CONTROL_PORT, HEARTBEAT_PORT].contains(&port) {
            let hint = "1024 to 65535, and none of Tandem's other ports (9010, 9011, 9013)";
            self.problem(typed.span(), "this is no port for a data stream", hint);
        }
        port
    }

    fn module(&mut self, place: usize, module: &Spanned<raw::Module>, nodes: &[Node; 2]) -> Module {
        let whole = module.span();
        let module = module.get_ref();
        let name = self.name(&module.name, "module");
        if module.volume.is_empty() {
            let message = "the module has no volume";
            self.problem(
                module.name.span(),
                message,
                "add a [[module.volume]] with a name and a path",
            );
        }
        let counts = [
            (module.volume.len(), limits::VOLUMES_MAX, "volumes"),
            (module.address.len(), limits::ADDRESSES_MAX, "addresses"),
            (module.service.len(), limits::RESOURCES_MAX, "services"),
            (module.checker.len(), limits::RESOURCES_MAX, "checkers"),
        ];
        for (count, most, what) in counts {
            if count > most {
                let message = format!("{count} {what} in one module, the limit is {most}");
                self.problem(whole.clone(), message, "");
            }
        }
        self.unique(module.volume.iter().map(|v| &v.name), "volume");
        self.unique(module.service.iter().map(|s| &s.get_ref().name), "service");
        self.unique(module.checker.iter().map(|c| &c.get_ref().name), "checker");
        let volumes: Vec<Volume> = (module.volume.iter())
            .map(|volume| Volume {
                name: self.name(&volume.name, "volume"),
                path: self.path(&volume.path),
                wait_for_peer: self.wait_for_peer(volume.wait_for_peer.as_ref()),
                exclude: self.exclude(volume.exclude.as_ref()),
            })
            .collect();
        self.nested(&module.volume, &volumes);
        let addresses: Vec<Address> = (module.address.iter())
            .map(|address| self.address(address, nodes))
            .collect();
        for (place, address) in addresses.iter().enumerate() {
            if addresses[..place]
                .iter()
                .any(|a| a.address == address.address)
            {
                let span = module.address[place].address.span();
                self.problem(span, "this address stands here twice", "");
            }
        }
        Module {
            name,
            data_port: self.data_port(place, module.data_port.as_ref()),
            start_alone_after: self.start_alone_after(module.start_alone_after.as_ref()),
            preferred_node: self.preferred_node(module.preferred_node.as_ref()),
            restart_budget: module
                .restart_budget
                .as_ref()
                .map_or(RESTART_BUDGET, |b| *b.get_ref()),
            restart_window: match &module.restart_window {
                Some(typed) => self.duration(typed, RESTART_WINDOW_MIN, limits::LIMIT_MAX),
                None => limits::LIMIT_MAX,
            },
            durability: self.durability(module.durability.as_ref()),
            volumes,
            addresses,
            services: (module.service.iter()).map(|s| self.service(s)).collect(),
            checkers: (module.checker.iter()).map(|c| self.checker(c)).collect(),
        }
    }

    fn name(&mut self, typed: &Text, what: &str) -> String {
        let name = typed.get_ref();
        let fits = (1..=limits::NAME_BYTES_MAX).contains(&name.len());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let begins = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if !fits || !begins || !name.bytes().all(plain) {
            let hint = format!(
                "1 to {} of a-z, 0-9, - and _, beginning with a letter or digit",
                limits::NAME_BYTES_MAX
            );
            let message = format!("this is no name for a {what}");
            self.problem(typed.span(), message, &hint);
        }
        name.clone()
    }

    fn unique<'t>(&mut self, names: impl Iterator<Item = &'t Text>, what: &str) {
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if seen.contains(&name.get_ref().as_str()) {
                let message = format!("there is another {what} `{}`", name.get_ref());
                self.problem(name.span(), message, "");
            }
            seen.push(name.get_ref());
        }
    }

    fn path(&mut self, typed: &Text) -> PathBuf {
        let path = Path::new(typed.get_ref());
        // Rebuilding it drops doubled and trailing slashes, and `.` inside.
        let clean: PathBuf = path.components().collect();
        let names = |part: Component| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !clean.components().all(names) {
            let hint = "an absolute path without `..`";
            self.problem(typed.span(), "this is no path for a volume", hint);
        } else if clean.components().count() < 2 {
            let message = "the root directory cannot be mirrored";
            self.problem(typed.span(), message, "name the application's directory");
        }
        clean
    }

    fn nested(&mut self, typed: &[raw::Volume], volumes: &[Volume]) {
        // A path that is refused anyway is compared with nothing.
        let usable = |volume: &&Volume| volume.path.is_absolute() && volume.path.parent().is_some();
        for (place, volume) in volumes.iter().enumerate().filter(|(_, v)| usable(v)) {
            for other in volumes[..place].iter().filter(usable) {
                let span = typed[place].path.span();
                let name = &other.name;
                if volume.path == other.path {
                    let message = format!("this is also the path of volume `{name}`");
                    self.problem(span, message, "mirror each directory once");
                } else if volume.path.starts_with(&other.path) {
                    let message = format!("this path lies inside volume `{name}`");
                    self.problem(span, message, "it is mirrored as part of that volume");
                } else if other.path.starts_with(&volume.path) {
                    let message = format!("volume `{name}` lies inside this path");
                    self.problem(span, message, "leave the inner volume out");
                }
            }
        }
    }

    fn address(&mut self, raw: &raw::Address, nodes: &[Node; 2]) -> Address {
        let interfaces = match raw.interface.get_ref() {
            raw::Interface::Same(name) => [name.clone(), name.clone()],
            raw::Interface::Each(each) => [each.node1.clone(), each.node2.clone()],
        };
        for name in &interfaces {
            let fits = (1..=INTERFACE_BYTES_MAX).contains(&name.len());
            if !fits || name.bytes().any(|b| b == b'/' || b.is_ascii_whitespace()) {
                let message = format!("`{name}` is no name of an interface");
                self.problem(raw.interface.span(), message, "as `ip link` shows it");
            }
        }
        let span = raw.address.span();
        let hint = "an address with its prefix, as in \"10.0.0.100/24\" or \"2001:db8::100/64\"";
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let parts = raw.address.get_ref().trim().split_once('/');
        let Some((address, prefix)) = parts else {
            self.problem(span, "the address has no prefix", hint);
            return Address {
                address: nowhere,
                prefix: 0,
                interfaces,
            };
        };
        let address: IpAddr = address.parse().unwrap_or(nowhere);
        let unusable = match address {
            IpAddr::V4(v4) => v4.is_broadcast(),
            // Clients would have to name their own interface.
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
        };
        if unusable || address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            self.problem(span.clone(), "this is no virtual address", hint);
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.parse() {
            Ok(prefix) if (1..=longest).contains(&prefix) => prefix,
            Ok(_) | Err(_) => {
                let message = format!("the prefix is a number from 1 to {longest}");
                self.problem(span.clone(), message, hint);
                longest
            }
        };
        let own = |node: &Node| node.address == address || node.heartbeat.contains(&address);
        if nodes.iter().any(own) {
            let message = "this is a node's own address";
            let hint = "the virtual address is one more, which moves between the nodes";
            self.problem(span, message, hint);
        }
        Address {
            address,
            prefix,
            interfaces,
        }
    }

    fn service(&mut self, service: &Spanned<raw::Service>) -> Service {
        let raw = service.get_ref();
        let name = self.name(&raw.name, "service");
        let kind = match (&raw.unit, &raw.start, &raw.stop) {
            (Some(unit), None, None) => {
                if let Some(check) = &raw.check {
                    let message = "a unit needs no `check`: systemd knows whether it runs";
                    self.problem(check.span(), message, "use a [[module.checker]]");
                }
                ServiceKind::Unit(self.unit(unit))
            }
            (None, Some(start), Some(stop)) => ServiceKind::Commands {
                start: self.command(start),
                stop: self.command(stop),
                check: raw.check.as_ref().map(|check| self.command(check)),
            },
            _ => {
                let message = format!("service `{name}` is neither a unit nor two commands");
                let hint = "either `unit = \"x.service\"`, or `start` and `stop`";
                self.problem(raw.name.span(), message, hint);
                ServiceKind::Unit(String::new())
            }
        };
        let ready = raw.ready.as_ref().and_then(|ready| self.ready(ready));
        let least = Duration::from_millis(100);
        let mut limit = |typed: &Option<Text>| match typed {
            Some(typed) => self.duration(typed, least, limits::LIMIT_MAX),
            None => SERVICE_LIMIT,
        };
        Service {
            start_limit: limit(&raw.start_limit),
            stop_limit: limit(&raw.stop_limit),
            name,
            kind,
            ready,
        }
    }

    fn ready(&mut self, typed: &Spanned<raw::Ready>) -> Option<Ready> {
        match (&typed.get_ref().tcp, &typed.get_ref().command) {
            (Some(tcp), None) => self.endpoint(tcp).map(Ready::Tcp),
            (None, Some(command)) => Some(Ready::Command(self.command(command))),
            (None, None) | (Some(_), Some(_)) => {
                let hint = "{ tcp = \"127.0.0.1:5432\" } or { command = \"…\" }";
                self.problem(typed.span(), "one way to tell that it is ready", hint);
                None
            }
        }
    }

    fn checker(&mut self, checker: &Spanned<raw::Checker>) -> Checker {
        let raw = checker.get_ref();
        let name = self.name(&raw.name, "checker");
        let mut probes: Vec<Probe> = Vec::new();
        if let Some(tcp) = &raw.tcp {
            probes.extend(self.endpoint(tcp).map(Probe::Tcp));
        }
        if let Some(script) = &raw.script {
            let path = PathBuf::from(script.get_ref());
            if !path.is_absolute() {
                let message = "the path of a script is absolute";
                self.problem(script.span(), message, "");
            }
            probes.push(Probe::Script(path));
        }
        if let Some(unit) = &raw.unit {
            probes.push(Probe::Unit(self.unit(unit)));
        }
        if let Some(process) = &raw.process {
            probes.push(Probe::Process(self.command(process)));
        }
        let typed = [&raw.tcp, &raw.script, &raw.unit, &raw.process];
        let typed = typed.into_iter().flatten().count();
        if typed != 1 {
            let message = format!("checker `{name}` looks at {typed} things");
            let hint = "exactly one of `tcp`, `script`, `unit` and `process`";
            self.problem(raw.name.span(), message, hint);
        }
        let least = Duration::from_millis(100);
        let mut limit = |typed: &Option<Text>| match typed {
            Some(typed) => self.duration(typed, least, limits::LIMIT_MAX),
            None => CHECKER_PERIOD,
        };
        Checker {
            period: limit(&raw.period),
            timeout: limit(&raw.timeout),
            rise: self.count(raw.rise.as_ref(), CHECKER_RISE),
            fall: self.count(raw.fall.as_ref(), CHECKER_FALL),
            action: self.action(raw.action.as_ref()),
            probe: probes.pop().unwrap_or(Probe::Process(String::new())),
            name,
        }
    }

    fn count(&mut self, typed: Option<&Spanned<u32>>, default: u32) -> u32 {
        let Some(typed) = typed else {
            return default;
        };
        let count = *typed.get_ref();
        if !(1..=CHECKER_COUNT_MAX).contains(&count) {
            let message = format!("a number from 1 to {CHECKER_COUNT_MAX}");
            self.problem(typed.span(), message, "");
        }
        count
    }

    fn action(&mut self, typed: Option<&Text>) -> Action {
        let Some(typed) = typed else {
            return Action::Restart;
        };
        match typed.get_ref().as_str() {
            "restart" => Action::Restart,
            "stopstart" => Action::StopStart,
            "swap" => Action::Swap,
            "wait" => Action::Wait,
            "stop" => Action::Stop,
            "none" => Action::None,
            _ => {
                let hint = "one of restart, stopstart, swap, wait, stop, none";
                self.problem(typed.span(), "this is no action", hint);
                Action::None
            }
        }
    }

    fn unit(&mut self, typed: &Text) -> String {
        let unit = typed.get_ref().trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        if unit.is_empty() || unit.len() > 255 || !unit.bytes().all(plain) {
            let hint = "as `systemctl list-unit-files` shows it";
            self.problem(typed.span(), "this is no name of a unit", hint);
        }
        match unit.contains('.') {
            true => unit.to_owned(),
            false => format!("{unit}.service"),
        }
    }

    fn command(&mut self, typed: &Text) -> String {
        let command = typed.get_ref().trim();
        if command.is_empty() || command.contains('\0') {
            self.problem(typed.span(), "this is empty", "");
        }
        command.to_owned()
    }

    fn endpoint(&mut self, typed: &Text) -> Option<SocketAddr> {
        let parsed = typed.get_ref().trim().parse();
        if parsed.is_err() {
            let hint = "an address and a port, as in \"127.0.0.1:5432\"";
            self.problem(typed.span(), "this is no address with a port", hint);
        }
        parsed.ok()
    }

    fn duration(&mut self, typed: &Text, least: Duration, most: Duration) -> Duration {
        match parse_duration(typed.get_ref()) {
            Ok(duration) if (least..=most).contains(&duration) => duration,
            Ok(duration) => {
                let message = format!("{} is out of range", words(duration));
                let hint = format!("{} to {}", words(least), words(most));
                self.problem(typed.span(), message, &hint);
                duration.clamp(least, most)
            }
            Err(error) => {
                self.problem(typed.span(), error.to_string(), "");
                least
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConfigError;
    use super::*;

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

    use super::super::Configuration;

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
}
