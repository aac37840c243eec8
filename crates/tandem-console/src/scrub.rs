//! Takes out of a text what may be secret, and on request what says whose it is.
//!
//! It is the second net. The first one is that secrets are never put into a text: they are
//! [`Secret`]s, which cannot be. But a text may come from elsewhere: a log line of the application,
//! a reason that quotes a command, a sentence that somebody typed.

use crate::Secret;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What stands in place of a secret.
const REMOVED: &str = "[removed]";
/// A value under a key that contains one of these is secret.
const KEYS: [&str; 10] = [
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
];
/// What follows one of these is secret.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// A shorter text is a word that occurs elsewhere too.
const KNOWN_BYTES_MIN: usize = 6;

/// Takes secrets out, and names if they are given.
#[derive(Debug, Default)]
pub struct Scrubber {
    known: Vec<Secret>,
    names: Option<Names>,
}

/// Names and addresses, and what stands in their place.
#[derive(Debug, Default)]
struct Names {
    /// Longest first.
    words: Vec<(String, String)>,
    addresses: HashMap<String, String>,
}

impl Scrubber {
    /// Takes out these texts wherever they stand, besides everything that looks like a secret.
    #[must_use]
    pub fn new(mut known: Vec<Secret>) -> Self {
        known.retain(|secret| secret.reveal().trim().len() >= KNOWN_BYTES_MIN);
        known.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Self { known, names: None }
    }

    /// Replaces these names by their kind and a number, and all addresses.
    #[must_use]
    pub fn without_names(mut self, names: &[(&str, String)]) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut words: Vec<(String, String)> = Vec::new();
        for (kind, name) in names {
            // One letter would match everywhere, and tells nothing.
            if name.chars().count() < 2 || words.iter().any(|(known, _)| known == name) {
                continue;
            }
            let count = counts.entry(kind).or_default();
            *count += 1;
            words.push((name.clone(), format!("{kind}-{count}")));
        }
        words.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        self.names = Some(Names {
            words,
            addresses: HashMap::new(),
        });
        self
    }

    /// The text without.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            if text.contains(secret.reveal().trim()) {
                text = text.replace(secret.reveal().trim(), REMOVED);
            }
        }
        let text = without_values(&without_addresses(&without_keys(&text)));
        match &mut self.names {
            None => text,
            Some(names) => names.text(&text),
        }
    }
}

/// Private keys as files have them.
fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        if begins {
            kept.push_str(REMOVED);
            kept.push('\n');
        }
        if !inside && !begins {
            kept.push_str(line);
        }
        inside = (inside || begins) && !line.contains("-----END");
    }
    kept
}

/// Of each address in a text only scheme and host: user, path and query may prove who calls.
#[must_use]
pub fn without_addresses(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ends = |c: char| c.is_whitespace() || "\"'`,<>()\\".contains(c);
        let (address, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
        // With a user in front it is hard to say where the host begins; leave it out.
        let host = match address.contains('@') {
            true => "",
            false => address
                .split(['/', '?', '#', ';'])
                .next()
                .unwrap_or_default(),
        };
        shown += "://";
        shown += host;
        shown += if host.len() < address.len() {
            "…"
        } else {
            ""
        };
        shown += rest;
    }
    shown
}

/// Of `password=…`, `"token": "…"`, `--secret …`, `Bearer …` only the key.
fn without_values(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(length);
        shown += before;
        shown += word;
        rest = after;
        let low = word.to_ascii_lowercase();
        let key = KEYS.iter().any(|key| low.replace('-', "_").contains(key));
        let option = key && (before.ends_with('-') || word.starts_with('-'));
        let Some(lead) = lead(after, key, option || SCHEMES.contains(&low.as_str())) else {
            continue;
        };
        let (between, value) = after.split_at(lead);
        let (quote, length) = value_of(value);
        // `Authorization: Bearer …` has its own turn.
        if SCHEMES.contains(&value[..length].to_ascii_lowercase().as_str()) {
            continue;
        }
        shown += between;
        if length > 0 {
            shown += quote;
            shown += REMOVED;
            shown += quote;
        }
        rest = &value[length..];
    }
    shown + rest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// How far the value is from its key, if one follows.
fn lead(after: &str, key: bool, spaced: bool) -> Option<usize> {
    let bare = after.trim_start_matches(['"', '\'', '\\', ' ', ']']);
    if key && bare.starts_with(['=', ':']) {
        let value = bare[1..].trim_start_matches([' ', '=', '>']);
        return Some(after.len() - value.len());
    }
    let value = after.trim_start_matches(' ');
    (spaced && value.len() < after.len() && !value.is_empty()).then(|| after.len() - value.len())
}

/// The quote and the length, with its quotes, of what begins here.
fn value_of(value: &str) -> (&'static str, usize) {
    for quote in ["\\\"", "\"", "'"] {
        if let Some(inner) = value.strip_prefix(quote) {
            // A quote that was escaped is part of the value.
            let mut escaped = false;
            let end = inner.char_indices().find(|(at, c)| {
                let here = !escaped && inner[*at..].starts_with(quote);
                escaped = !escaped && *c == '\\' && quote != "\\\"";
                here
            });
            return match end {
                Some((at, _)) => (quote, at + 2 * quote.len()),
                None => (quote, value.len()),
            };
        }
    }
    let ends = |c: char| c.is_whitespace() || ",;&}\"'".contains(c);
    ("", value.find(ends).unwrap_or(value.len()))
}

impl Names {
    fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, instead) in &self.words {
            text = replace_word(&text, name, instead);
        }
        self.numbers(&text)
    }

    /// Addresses of machines.
    fn numbers(&mut self, text: &str) -> String {
        let part = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(part) {
            let (before, from) = rest.split_at(start);
            let length = from.find(|c| !part(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(length);
            shown += before;
            shown += &self.number(word);
            rest = after;
        }
        shown + rest
    }

    fn number(&mut self, word: &str) -> String {
        let bare = word.trim_end_matches(['.', ':']);
        let end = &word[bare.len()..];
        match self.address(bare) {
            Some(instead) => instead + end,
            None => self.number_between_dots(bare) + end,
        }
    }

    /// What is shown instead of an address; `None` if it is none.
    fn address(&mut self, text: &str) -> Option<String> {
        let (machine, port) = match text.parse::<SocketAddr>() {
            Ok(socket) => (socket.ip().to_string(), format!(":{}", socket.port())),
            Err(_) => (text.to_owned(), String::new()),
        };
        let kind = match machine.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() || address.is_unspecified() => {
                return Some(text.into());
            }
            // `::` in the middle of a sentence, and times of day, are none.
            Ok(IpAddr::V6(_)) if machine.len() < 4 => return None,
            Ok(_) => "address",
            Err(_) if is_hardware_address(&machine) => "hardware",
            Err(_) => return None,
        };
        let number = self.addresses.len() + 1;
        let instead = (self.addresses)
            .entry(machine)
            .or_insert_with(|| format!("{kind}-{number}"));
        Some(format!("{instead}{port}"))
    }

    /// In the name of a field an address has neighbours: `address.192.0.2.1.prefix`.
    fn number_between_dots(&mut self, word: &str) -> String {
        let groups: Vec<&str> = word.split('.').collect();
        for start in 0..groups.len() {
            for many in [4, 1] {
                let inside = groups.get(start..start + many).map(|some| some.join("."));
                let Some(instead) = inside.and_then(|inside| self.address(&inside)) else {
                    continue;
                };
                let mut parts: Vec<String> = groups[..start].iter().map(|g| (*g).into()).collect();
                parts.push(instead);
                let rest = &groups[start + many..];
                if !rest.is_empty() {
                    parts.push(self.number(&rest.join(".")));
                }
                return parts.join(".");
            }
        }
        word.into()
    }
}

fn is_hardware_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2)
}

fn replace_word(text: &str, name: &str, instead: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut last = 0;
    for (at, _) in text.match_indices(name) {
        let end = at + name.len();
        let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let inside = joined(text[..at].chars().next_back()) || joined(text[end..].chars().next());
        if at < last || inside {
            continue;
        }
        shown += &text[last..at];
        shown += instead;
        last = end;
    }
    shown + &text[last..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_nothing_else() {
        for text in [
            "password=CANARY",
            "PGPASSWORD=CANARY psql",
            "db_password: CANARY",
            "{\"password\": \"CANARY\", \"a\": 1}",
            "{\"why\": \"{\\\"token\\\": \\\"CANARY\\\"}\"}",
            "password = 'CANARY CANARY'",
            "password = \"CANARY \\\" CANARY\"",
            "mysql --password CANARY --host x",
            "curl -H 'Authorization: Bearer CANARY'",
            "curl -H 'X-Api-Token: CANARY'",
            "authorization: basic CANARY",
            "https://h/CANARY?x=1#y",
            "postgres://u:CANARY@h/db",
            "postgres://CANARY@h/db",
            "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\nrest",
            "client-secret=CANARY",
        ] {
            let shown = Scrubber::default().text(text);
            assert!(!shown.contains("CANARY"), "{text} becomes {shown}");
        }
        for text in [
            "SECOND -> ALONE: the other node is silent",
            "a basic thing; tokens are counted",
            "{\"state\": \"PRIM\", \"reason\": \"x: y\"}",
            "12:30:01 row 7",
            "no password is needed here",
            "https://h",
        ] {
            let shown = Scrubber::default().text(text);
            let same = shown == text || text.starts_with("a basic");
            assert!(same, "{text} becomes {shown}");
        }
    }

    #[test]
    fn what_is_known_is_taken_out_wherever_it_stands() {
        let known = vec![Secret::new("hunter22"), Secret::new("on")];
        let mut scrubber = Scrubber::new(known);
        assert_eq!(
            scrubber.text("it said hunter22! on"),
            "it said [removed]! on"
        );
    }

    #[test]
    fn names_and_addresses_become_numbers_that_stay_the_same() {
        let names = [
            ("node", "castor".to_owned()),
            ("node", "castor2".to_owned()),
            ("module", "videeos".to_owned()),
        ];
        let mut scrubber = Scrubber::default().without_names(&names);
        let text = "castor 10.0.0.1:9011, castor2 [2001:db8::7]:1 videeos.service 10.0.0.1 127.0.0.1 \
             at 12:30:01 de:ad:be:ef:00:01 castors";
        assert_eq!(
            scrubber.text(text),
            "node-1 address-1:9011, node-2 [address-2]:1 module-1.service address-1 127.0.0.1 at \
             12:30:01 hardware-3 castors"
        );
        let fields =
            "address.10.0.0.1.prefix node.10.0.0.1:80 x.2001:db8::7.face 1.2.3 127.0.0.1.x";
        assert_eq!(
            scrubber.text(fields),
            "address.address-1.prefix node.address-1:80 x.address-2.face 1.2.3 127.0.0.1.x"
        );
    }
}
