//! Where all volumes of the module stand together: writes their position files, and reads what
//! they agree on.
//!
//! A clean standing lets the stream go on after a change of roles without comparing anything, so
//! it is the one claim here that data depends on. It is written only after everything was synced,
//! and [`withdraw`] takes it back, durably, before the first change that follows. A crash between
//! two volumes leaves one position clean and one not: they do not agree, and nothing is claimed.

use tandem_wire::position::Position;

use crate::MirrorConfig;
use crate::backing::{Volume, VolumeError};

/// What the positions of all volumes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The epoch in which it was written.
    pub epoch: u64,
    /// The generation of the data.
    pub generation: u64,
    /// The mirror process whose numbers these are.
    pub stream_incarnation: u64,
    /// The last number applied.
    pub applied: u64,
    /// Everything up to here is on disk.
    pub checkpointed: u64,
    /// See [`Position::clean`].
    pub clean: bool,
}

/// Writes the standing to every volume. What it claims must be on disk already.
///
/// # Errors
/// [`VolumeError`]; some volumes may have the new position then.
pub fn record(
    config: &MirrorConfig,
    volumes: &[Volume],
    standing: &Standing,
) -> Result<(), VolumeError> {
    volumes
        .iter()
        .try_for_each(|volume| volume.write_position(&position(config, volume, standing)))
}

/// What all volumes agree on; `None` where they do not, or belong to another module or node, or
/// have no position, or a damaged one.
#[must_use]
pub fn recorded(config: &MirrorConfig, volumes: &[Volume]) -> Option<Standing> {
    let mut agreed = None;
    for volume in volumes {
        let found = match volume.position() {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(volume = volume.name, %error, "position not believed");
                return None;
            }
        };
        let standing = Standing {
            epoch: found.epoch,
            generation: found.generation,
            stream_incarnation: found.stream_incarnation,
            applied: found.applied,
            checkpointed: found.checkpointed,
            clean: found.clean,
        };
        let ours = position(config, volume, &standing) == found;
        if !ours || agreed.is_some_and(|other| other != standing) {
            return None;
        }
        agreed = Some(standing);
    }
    agreed
}

/// Takes a clean standing back: to be called before anything in the volumes is changed.
///
/// # Errors
/// [`VolumeError`]; nothing may be changed then.
pub fn withdraw(config: &MirrorConfig, volumes: &[Volume]) -> Result<(), VolumeError> {
    for volume in volumes {
        let found = match volume.position() {
            Ok(Some(found)) if found.clean => found,
            // A damaged one claims nothing.
            Ok(_) | Err(VolumeError::PositionDamaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let withdrawn = Position {
            clean: false,
            node: config.node.number(),
            ..found
        };
        volume.write_position(&withdrawn)?;
    }
    Ok(())
}

fn position(config: &MirrorConfig, volume: &Volume, standing: &Standing) -> Position {
    Position {
        cluster: config.cluster.clone(),
        module: config.module.clone(),
        volume: volume.name.clone(),
        node: config.node.number(),
        epoch: standing.epoch,
        generation: standing.generation,
        stream_incarnation: standing.stream_incarnation,
        applied: standing.applied,
        checkpointed: standing.checkpointed,
        clean: standing.clean,
    }
}
