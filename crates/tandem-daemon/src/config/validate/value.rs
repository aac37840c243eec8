//! Single values that stand in several places: names, commands, units, endpoints, durations.

use super::Review;
use crate::config::duration::{parse_duration, words};
use crate::config::limits;
use crate::config::raw::Text;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_console::Secret;

impl Review<'_> {
    pub(super) fn name(&mut self, typed: &Text, what: &str) -> String {
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

    pub(super) fn unique<'t>(&mut self, names: impl Iterator<Item = &'t Text>, what: &str) {
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if seen.contains(&name.get_ref().as_str()) {
                let message = format!("there is another {what} `{}`", name.get_ref());
                self.problem(name.span(), message, "");
            }
            seen.push(name.get_ref());
        }
    }

    pub(super) fn unit(&mut self, typed: &Text) -> String {
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

    pub(super) fn secret_command(&mut self, typed: &Text) -> Secret {
        Secret::new(self.command(typed))
    }

    pub(super) fn command(&mut self, typed: &Text) -> String {
        let command = typed.get_ref().trim();
        if command.is_empty() || command.contains('\0') {
            self.problem(typed.span(), "this is empty", "");
        }
        command.to_owned()
    }

    pub(super) fn endpoint(&mut self, typed: &Text) -> Option<SocketAddr> {
        let parsed = typed.get_ref().trim().parse();
        if parsed.is_err() {
            let hint = "an address and a port, as in \"127.0.0.1:5432\"";
            self.problem(typed.span(), "this is no address with a port", hint);
        }
        parsed.ok()
    }

    pub(super) fn duration(&mut self, typed: &Text, least: Duration, most: Duration) -> Duration {
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
