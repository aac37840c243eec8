//! Keeps the control plane's own memory where it can always be used: a heartbeat that waits for a
//! page from a slow disk looks like a dead node.

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};

/// Killed after nearly everything else, but before what the kernel protects itself (-1000): a
/// daemon that really eats all memory must still be ended.
const OOM_SCORE_ADJUSTMENT: &str = "-900";

/// The memory of this process could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Not permitted, or over the limit of locked memory.
    #[error("lock the memory of this process (needs CAP_IPC_LOCK or LimitMEMLOCK=infinity)")]
    Lock(#[source] io::Error),
    /// Not permitted.
    #[error("lower the out-of-memory score of this process")]
    OomScore(#[source] io::Error),
}

/// Locks all memory, present and future, as it comes into use.
///
/// # Errors
/// Not permitted. The process can go on; only a person should know.
pub fn lock_memory() -> Result<(), MemoryError> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| MemoryError::Lock(errno.into()))
}

/// Asks the kernel to end nearly every other process first when memory runs out.
///
/// # Errors
/// Not permitted.
pub fn protect_from_oom() -> Result<(), MemoryError> {
    fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT).map_err(MemoryError::OomScore)
}
