//! One protected application as a whole, and that modules share nothing.

use super::Review;
use crate::config::raw::{self, Text};
use crate::config::{
    Address, CONTROL_PORT, DATA_PORT, DATA_PORT_FURTHER, Durability, HEARTBEAT_PORT, HTTP_PORT,
    Module, Node, Service, ServiceKind, Volume, limits,
};
use std::time::Duration;
use tandem_core::NodeId;
use tandem_wire::peer::ModuleTag;
use toml::Spanned;

const RESTART_BUDGET: u8 = 3;
/// Less would forget a failure before the next one can come.
const RESTART_WINDOW_MIN: Duration = Duration::from_secs(60);

impl Review<'_> {
    pub(super) fn module(
        &mut self,
        place: usize,
        module: &Spanned<raw::Module>,
        nodes: &[Node; 2],
    ) -> Module {
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

    /// Modules share nothing: each may be served by another node.
    pub(super) fn apart(&mut self, raw: &[Spanned<raw::Module>], modules: &[Module]) {
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
}
