//! One look at something that should answer: shared by readiness and checkers.

use std::error::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Whether a connection is accepted. It is closed at once.
///
/// # Errors
/// Why not, as a sentence.
pub async fn tcp(address: SocketAddr, limit: Duration) -> Result<(), String> {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{address} does not accept a connection: {error}")),
        Err(_) => Err(format!(
            "{address} did not accept a connection within {} s",
            limit.as_secs_f32()
        )),
    }
}

/// An error with all that caused it, as one sentence.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        cause = error.source();
    }
    text
}
