//! What tells this process, and this run of the machine, from any other.

use std::sync::OnceLock;

use crate::sys;

/// The number of this process: drawn when it is first asked for, never zero.
#[must_use]
pub fn incarnation() -> u64 {
    static INCARNATION: OnceLock<u64> = OnceLock::new();
    *INCARNATION.get_or_init(|| sys::random_number().max(1))
}

/// The identifier of this run of the machine; empty where the kernel does not say.
#[must_use]
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        text.unwrap_or_default().trim().to_owned()
    })
}
