//! What runs on the node that serves, and how it is told to be ready.

use super::Review;
use crate::config::raw::{self, Text};
use crate::config::{Ready, Service, ServiceKind, limits};
use std::time::Duration;
use toml::Spanned;

pub(super) const SERVICE_LIMIT: Duration = Duration::from_secs(300);

impl Review<'_> {
    pub(super) fn service(&mut self, service: &Spanned<raw::Service>) -> Service {
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
                start: self.secret_command(start),
                stop: self.secret_command(stop),
                check: raw.check.as_ref().map(|check| self.secret_command(check)),
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
            (None, Some(command)) => Some(Ready::Command(self.secret_command(command))),
            (None, None) | (Some(_), Some(_)) => {
                let hint = "{ tcp = \"127.0.0.1:5432\" } or { command = \"…\" }";
                self.problem(typed.span(), "one way to tell that it is ready", hint);
                None
            }
        }
    }
}
