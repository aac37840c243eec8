//! Admits: who may see and ask for what on port 9010, what was asked, and the page itself.
//!
//! It knows neither the reactor nor the core: it cannot decide anything, and a mistake in here
//! cannot touch the service. The daemon puts its own routes behind [`Console::guard`] and keeps
//! doing what it did.
//!
//! - [`accounts`]: users and scripts' tokens, on disk
//! - [`sessions`], [`attempts`]: who is signed in; how often somebody may try
//! - [`admission`]: what every request goes through
//! - [`routes`]: sign-in, users, tokens, audit
//! - [`audit`]: every command, with who, from where, why and result
//! - [`history`], [`series`]: what was, for timelines and charts
//! - [`journal`]: the machine's journal
//! - [`notify`]: the command and the webhook that tell people
//! - [`page`]: the built page, from `console/`
//! - [`support`], [`scrub`]: what a person who helps needs to see, without secrets
//! - [`secret`]: a text that cannot be printed or serialised

pub mod accounts;
pub mod admission;
pub mod attempts;
pub mod audit;
pub mod history;
pub mod journal;
pub mod notify;
pub mod page;
pub mod routes;
pub mod scrub;
pub mod secret;
pub mod series;
pub mod sessions;
pub mod support;

pub use admission::{Caller, Console, Origin};
pub use secret::Secret;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for people and files. Never used to decide who may serve.
#[must_use]
pub fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Random bytes in hexadecimal: names nobody can guess.
fn draw() -> std::io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    Ok(Secret::new(hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
