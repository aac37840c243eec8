//! What probes an application, how often, and what follows.

use super::Review;
use crate::config::raw::{self, Text};
use crate::config::{Action, Checker, Probe, limits};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

const CHECKER_PERIOD: Duration = Duration::from_secs(1);
const CHECKER_RISE: u32 = 2;
const CHECKER_FALL: u32 = 3;
/// Beyond this a checker would never come up, or never go down.
const CHECKER_COUNT_MAX: u32 = 1000;

impl Review<'_> {
    pub(super) fn checker(&mut self, checker: &Spanned<raw::Checker>) -> Checker {
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
}
