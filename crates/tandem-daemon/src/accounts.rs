//! Keeps the console's users and tokens equal on both nodes: a change on one of them counts on the
//! other as soon as they talk. The higher version wins as a whole; what was changed on both sides of
//! a break at the same time is changed again by a person.

use crate::commands::Commands;
use std::sync::Arc;
use tandem_console::Console;
use tandem_wire::control::ControlFrame;
use tokio::sync::mpsc;

/// For ever.
pub(crate) async fn run(
    console: Arc<Console>,
    commands: Commands,
    mut theirs: mpsc::Receiver<Vec<u8>>,
) {
    let mut news = commands.hub.watch();
    let mut changes = console.accounts.watch();
    // Whether the peer has, as far as can be known, what this node has.
    let mut told = false;
    loop {
        tokio::select! {
            Ok(()) = changes.changed() => told = false,
            Ok(()) = news.changed() => {}
            Some(accounts) = theirs.recv() => adopt(console.clone(), accounts).await,
        }
        let up = commands.hub.link_is_up();
        if up && !told {
            let frame = ControlFrame::Accounts(console.accounts.share());
            told = commands.frames.try_send(frame).is_ok();
        } else if !up {
            told = false;
        }
    }
}

async fn adopt(console: Arc<Console>, accounts: Vec<u8>) {
    if let Err(error) = console.adopt(accounts).await {
        tracing::error!(
            "take over the other node's accounts: {}",
            crate::report(&error)
        );
    }
}
