//! Waiting for a condition, with a limit.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// Looks at `condition` until it gives a value, at most for `limit`.
///
/// # Errors
/// The condition failed, or gave nothing within the limit: then `what` is named.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if begin.elapsed() > limit {
            bail!("waited {:.1} s in vain for: {what}", limit.as_secs_f64());
        }
        std::thread::sleep(PERIOD);
    }
}
