//! From what was typed to what is meant. Every problem is collected, so that one look at the
//! output of `tandem config check` is enough.

mod address;
mod checker;
mod module;
mod node;
mod notify;
mod service;
#[cfg(test)]
mod tests;
mod value;
mod volume;

use super::problem::{Problem, nearest};
use super::raw::{Raw, Text};
use super::{Configuration, Module, Node, limits};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

const TAKEOVER_AFTER: Duration = Duration::from_secs(5);

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
        let notify = self.notify(raw.notify.as_ref());

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
            notify,
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
}
