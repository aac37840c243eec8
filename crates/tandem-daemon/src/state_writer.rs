//! Writes the core's state to the disk, in a thread of its own: a slow disk must not look like a
//! dead node.

use crate::reactor::ModuleInputs;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tandem_core::{Durable, EffectId, Event};
use tandem_host::state::StateFile;
use tandem_wire::durable::{Owner, encode};

/// How many writes may wait. The core waits for each before it makes the next one, so more means
/// that something is wrong, and the write counts as failed.
pub(crate) const WRITES_MAX: usize = 16;

/// A state to be written.
pub(crate) struct Write {
    pub id: EffectId,
    pub durable: Box<Durable>,
}

/// Starts the thread. It ends when the sender is dropped.
pub(crate) fn start(
    file: StateFile,
    owner: Owner,
    inputs: ModuleInputs,
) -> std::io::Result<(SyncSender<Write>, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(WRITES_MAX);
    let thread = std::thread::Builder::new()
        .name("state".to_owned())
        .spawn(move || run(&file, &owner, &inputs, &receiver))?;
    Ok((sender, thread))
}

fn run(file: &StateFile, owner: &Owner, inputs: &ModuleInputs, writes: &Receiver<Write>) {
    for write in writes {
        let event = match file.write(&encode(owner, &write.durable)) {
            Ok(()) => Event::Persisted(write.id),
            Err(error) => {
                tracing::error!("{}", crate::report(&error));
                Event::PersistFailed(write.id)
            }
        };
        inputs.send(event);
    }
}
