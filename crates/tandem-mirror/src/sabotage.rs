//! Deliberate defects, for the lab and the demo only: chosen by `TANDEM_SABOTAGE`, and not part of
//! a build without the feature.

use std::time::Duration;

/// Syncs are answered before the peer has them, and frames leave late.
#[must_use]
pub fn early_ack() -> bool {
    chosen("early-ack")
}

/// A drain waits for nothing and drops what is queued.
#[must_use]
pub fn skip_drain() -> bool {
    chosen("skip-drain")
}

/// A verification sees no difference at the standby.
#[must_use]
pub fn blind_verify() -> bool {
    chosen("blind-verify")
}

/// How long a verification, which takes no lock then, has hashed a piece when it numbers its
/// question.
#[must_use]
pub fn loose_verify() -> Option<Duration> {
    chosen("loose-verify").then_some(Duration::from_millis(2))
}

/// How long frames are held back while acknowledgements should wait for them. (Before that it would
/// only starve a comparison behind an application that writes.)
#[must_use]
pub fn hold_back() -> Option<Duration> {
    // skip-drain needs something that is still queued when the drain comes.
    (early_ack() || skip_drain()).then_some(Duration::from_millis(200))
}

#[cfg(feature = "sabotage")]
fn chosen(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<String> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("TANDEM_SABOTAGE").unwrap_or_default());
    chosen == name
}

#[cfg(not(feature = "sabotage"))]
const fn chosen(_name: &str) -> bool {
    false
}
