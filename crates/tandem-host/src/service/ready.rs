//! Waiting for a service to show that it can be used.

use std::time::Duration;

use tandem_core::ServiceFailure;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout_at};

use super::driver::{PROBE_LIMIT, failure};
use super::{Ready, ServiceConfig};
use crate::linux::command::CommandProcesses;
use crate::linux::shell;
use crate::probe;

/// How often it is tried whether a started service is ready.
const TRY_PERIOD: Duration = Duration::from_millis(200);

/// Tries once.
///
/// # Errors
/// Why it is not ready, as a sentence.
pub async fn is_ready(ready: &Ready, deadline: Instant) -> Result<(), String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = PROBE_LIMIT.min(left).max(TRY_PERIOD);
    match ready {
        Ready::Tcp(address) => probe::tcp(*address, limit).await,
        Ready::Command(line) => shell::run(line, limit)
            .await
            .map_err(|error| format!("its readiness command failed: {error}")),
    }
}

/// Waits until the next try is due.
///
/// # Errors
/// There is no time for another one.
pub async fn wait_for_next_try(
    service: &ServiceConfig,
    reason: &str,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    if Instant::now() >= deadline {
        let limit = service.start_limit.as_secs_f32();
        let reason = format!("it was not ready within {limit} s: {reason}");
        return Err(failure(service, reason));
    }
    sleep(TRY_PERIOD).await;
    Ok(())
}

/// Tries until it is ready.
///
/// # Errors
/// It was not within the start limit.
pub async fn poll(
    service: &ServiceConfig,
    ready: &Ready,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    while let Err(reason) = is_ready(ready, deadline).await {
        wait_for_next_try(service, &reason, deadline).await?;
    }
    Ok(())
}

/// Waits until a service is ready whose start command may be the service itself. The command lives
/// on, and the runtime waits for its end.
///
/// # Errors
/// The command failed, or the service was not ready within the start limit.
pub async fn beside_start_command(
    service: &ServiceConfig,
    ready: &Ready,
    mut command: Child,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    let mut polling = std::pin::pin!(poll(service, ready, deadline));
    tokio::select! {
        outcome = &mut polling => return outcome,
        ended = command.wait() => start_command_ended(service, ended)?,
    }
    polling.await
}

/// Waits for the end of a start command when nothing else tells that the service is up.
///
/// # Errors
/// The command failed, or did not end within the start limit.
pub async fn by_start_command(
    service: &ServiceConfig,
    mut command: Child,
    processes: &CommandProcesses,
    deadline: Instant,
) -> Result<(), ServiceFailure> {
    let ended = timeout_at(deadline, command.wait()).await;
    // What is left now is the service. When nothing is left, there is nothing to watch.
    processes.forget_if_gone();
    let ended = ended.map_err(|_| {
        let reason = "its start command did not end within the start limit (one that is the \
                      service itself needs `ready` or `check`)";
        failure(service, reason.to_owned())
    })?;
    start_command_ended(service, ended)
}

fn start_command_ended(
    service: &ServiceConfig,
    ended: std::io::Result<std::process::ExitStatus>,
) -> Result<(), ServiceFailure> {
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let reason = format!("its start command ended with {status}");
            Err(failure(service, reason))
        }
        Err(error) => {
            let reason = format!("its start command was lost: {error}");
            Err(failure(service, reason))
        }
    }
}
