//! Asks a program of the system, in its own words for other programs.

use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// These programs answer within milliseconds, or something is broken.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a program printed. A status other than 0 is not looked at: what it printed says more.
pub async fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command.kill_on_drop(true);
    match timeout(ANSWER_MAX, command.output()).await {
        Err(_) => Err(format!("{program} did not answer")),
        Ok(Err(error)) => Err(format!("{program} cannot be run: {error}")),
        Ok(Ok(output)) if output.stdout.is_empty() && !output.status.success() => {
            let text = String::from_utf8_lossy(&output.stderr);
            let first = text.lines().next().unwrap_or("it failed");
            Err(format!("{program}: {first}"))
        }
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
    }
}
