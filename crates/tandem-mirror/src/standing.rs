//! Where all volumes of the module stand together: writes their position files, and reads what
//! they agree on, and whether they are what this node left.
//!
//! A clean standing lets the stream go on after a change of roles without comparing anything, so
//! it is the one claim here that data depends on. It is written only after everything was synced,
//! and taken back, durably, before the first change that follows: whoever begins to change a
//! volume records a standing first.
//!
//! **Two places.** Each position is written inside its volume, and then, with the same bytes, in
//! the state directory. A volume that was set back to an older state, or replaced, shows a position
//! that is behind the one in the state directory, or another one: it is not believed, it is
//! inconsistent, and stays so until it was compared, or an operator forces it. (Both set back
//! together are a machine set back; that is for the peers' records to find out.)
//!
//! **Inconsistent.** A copy that is being compared is a mixture of two points in time. That is in
//! the position before the first change of a comparison, and is taken back when everything is on
//! disk at its end. It stands beside the in-sync record as a second line of defence: nothing here
//! asks what the record says.
//!
//! **What is lost by a crash**, line by line of [`record`]: before the first volume was written,
//! nothing; between volume and state directory, the volume is ahead by one writing, which is how a
//! crash is told from a volume set back: it is believed, but not as clean; between two volumes,
//! they do not agree, and nothing is claimed. None of these is ever taken for a volume set back.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use tandem_wire::position::{Damaged, FILE_BYTES_MAX, Position};
use tandem_wire::stream::ComparisonId;

use crate::MirrorConfig;
use crate::backing::{Volume, VolumeError, read_file, replace_file};
use crate::sys;

/// Held while positions are written: there is one temporary file each, and a count.
static WRITING: Mutex<()> = Mutex::new(());

/// What the positions of all volumes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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
    /// See [`Position::inconsistent`].
    pub inconsistent: bool,
    /// See [`Position::comparison`].
    pub comparison: Option<ComparisonId>,
}

/// Why a copy is nothing that its source ever had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Inconsistent {
    /// Its comparison was cut short.
    #[error("volume {volume} is a mixture of two points in time: its comparison did not end")]
    HalfCompared {
        /// The volume.
        volume: String,
    },
    /// Its position is not the one that was written last.
    #[error(
        "volume {volume} is not as this node left it: it was set back to an older state, or replaced"
    )]
    SetBack {
        /// The volume.
        volume: String,
    },
}

/// What was found in the volumes and in the state directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// What all volumes agree on; `None` where they do not, or belong to another module or node,
    /// or have no position, or one that is not to be believed.
    pub standing: Option<Standing>,
    /// Whether the copy is to be served at all.
    pub inconsistent: Option<Inconsistent>,
    /// Where a comparison was interrupted in good order, in all volumes.
    pub interrupted: Option<Standing>,
}

/// Writes the standing of every volume. What it claims must be on disk already; what it takes back
/// must not have happened yet.
///
/// # Errors
/// [`VolumeError`]; some positions may be the new ones then.
pub fn record(
    config: &MirrorConfig,
    volumes: &[Volume],
    standing: &Standing,
) -> Result<(), VolumeError> {
    record_some(config, volumes.iter(), standing)
}

fn record_some<'a>(
    config: &MirrorConfig,
    volumes: impl Iterator<Item = &'a Volume>,
    standing: &Standing,
) -> Result<(), VolumeError> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    for volume in volumes {
        let beside = Beside::open(config, volume)?;
        let before = [inside(volume)?, beside.read()?];
        let written = before.iter().flatten().map(|p| p.written).max();
        let position = Position {
            written: written.unwrap_or_default() + 1,
            stamp: sys::random_number(),
            ..position(config, volume, standing)
        };
        volume.write_position(&position)?;
        beside.write(&position)?;
    }
    Ok(())
}

/// Takes everything back that is claimed of these copies, which are then compared as a whole. What
/// was found inconsistent stays so. Where nothing was ever recorded nothing is claimed, and nothing
/// is recorded: what stands there is kept before it is compared (see [`crate::before`]).
///
/// # Errors
/// [`VolumeError`]; some positions may be the new ones then.
pub fn take_back(config: &MirrorConfig, volumes: &[Volume]) -> Result<(), VolumeError> {
    let found = found(config, volumes);
    let begun = Standing {
        clean: false,
        comparison: None,
        inconsistent: found.inconsistent.is_some(),
        ..found.standing.unwrap_or_default()
    };
    let known = volumes.iter().filter(|volume| !is_new(config, volume));
    record_some(config, known, &begun)
}

/// Reads what was recorded.
#[must_use]
pub fn found(config: &MirrorConfig, volumes: &[Volume]) -> Found {
    let mut agreed: Option<Standing> = None;
    let mut found = Found::default();
    let mut claims = true;
    for volume in volumes {
        let (standing, inconsistent) = match look(config, volume) {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(volume = volume.name, %error, "position not believed");
                (None, Some(set_back(volume)))
            }
        };
        found.inconsistent = found.inconsistent.or(inconsistent);
        claims &= standing.is_some() && agreed.is_none_or(|other| Some(other) == standing);
        agreed = standing;
    }
    match found.inconsistent {
        None if claims => found.standing = agreed,
        Some(Inconsistent::HalfCompared { .. }) if claims => {
            found.interrupted = agreed.filter(|standing| standing.comparison.is_some());
        }
        None | Some(_) => {}
    }
    found
}

/// Whether this node has never recorded anything of this volume: what stands in it is not
/// Tandem's. An unreadable position is no such sign.
#[must_use]
pub fn is_new(config: &MirrorConfig, volume: &Volume) -> bool {
    let beside = Beside::open(config, volume).and_then(|beside| beside.read());
    matches!((volume.position(), beside), (Ok(None), Ok(None)))
}

/// The position of a volume, if both of its places have the same, and nothing else is excluded now.
///
/// # Errors
/// [`VolumeError`]
pub fn undisputed(config: &MirrorConfig, volume: &Volume) -> Result<Option<Position>, VolumeError> {
    let inside = inside(volume)?;
    let beside = Beside::open(config, volume)?.read()?;
    let mark = volume.exclude.mark();
    Ok(inside.filter(|inside| beside.as_ref() == Some(inside) && inside.excluded == mark))
}

/// What one volume says.
fn look(
    config: &MirrorConfig,
    volume: &Volume,
) -> Result<(Option<Standing>, Option<Inconsistent>), VolumeError> {
    let inside = inside(volume)?;
    let beside = Beside::open(config, volume)?.read()?;
    let Some(inside) = inside else {
        return Ok((None, beside.map(|_| set_back(volume))));
    };
    let undisturbed = beside.as_ref() == Some(&inside) && inside.excluded == volume.exclude.mark();
    let standing = Standing {
        epoch: inside.epoch,
        generation: inside.generation,
        stream_incarnation: inside.stream_incarnation,
        applied: inside.applied,
        checkpointed: inside.checkpointed,
        clean: inside.clean && undisturbed,
        comparison: inside.comparison.filter(|_| undisturbed),
        inconsistent: inside.inconsistent,
    };
    let ours = position(config, volume, &standing);
    let ours = Position {
        clean: inside.clean,
        comparison: inside.comparison,
        written: inside.written,
        stamp: inside.stamp,
        excluded: inside.excluded,
        ..ours
    } == inside;
    if let Some(beside) = beside {
        let crashed_between = beside.written.checked_add(1) == Some(inside.written);
        if !ours || beside != inside && !crashed_between {
            return Ok((None, Some(set_back(volume))));
        }
    }
    let half_compared = inside.inconsistent.then(|| Inconsistent::HalfCompared {
        volume: volume.name.clone(),
    });
    Ok((ours.then_some(standing), half_compared))
}

fn set_back(volume: &Volume) -> Inconsistent {
    Inconsistent::SetBack {
        volume: volume.name.clone(),
    }
}

/// The position inside the volume; `None` also where it is damaged.
fn inside(volume: &Volume) -> Result<Option<Position>, VolumeError> {
    match volume.position() {
        Err(VolumeError::PositionDamaged { source, .. }) => {
            tracing::warn!(volume = volume.name, %source, "position is damaged");
            Ok(None)
        }
        other => other,
    }
}

/// The second place of a volume's position: a file of the state directory.
struct Beside<'a> {
    state_dir: &'a Path,
    directory: OwnedFd,
    name: String,
}

impl<'a> Beside<'a> {
    fn open(config: &'a MirrorConfig, volume: &Volume) -> Result<Self, VolumeError> {
        let state_dir = config.state_dir.as_path();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, state_dir, flags, Mode::empty());
        let directory = directory.map_err(|errno| VolumeError::Io {
            act: "open",
            path: state_dir.to_owned(),
            source: errno.into(),
        })?;
        Ok(Self {
            state_dir,
            directory,
            name: format!("{}.{}.position", config.module, volume.name),
        })
    }

    /// `None` also where it is damaged: a crash of the machine cannot do that, and what is inside
    /// the volume is then believed, but not as clean.
    fn read(&self) -> Result<Option<Position>, VolumeError> {
        let bytes = read_file(self.directory.as_fd(), &self.name, FILE_BYTES_MAX);
        let Some(bytes) = bytes.map_err(|source| self.error("read", source))? else {
            return Ok(None);
        };
        let decoded: Result<Position, Damaged> = Position::decode(&bytes);
        if let Err(error) = &decoded {
            tracing::warn!(file = self.name, %error, "position is damaged");
        }
        Ok(decoded.ok())
    }

    fn write(&self, position: &Position) -> Result<(), VolumeError> {
        replace_file(self.directory.as_fd(), &self.name, &position.encode())
            .map_err(|source| self.error("write", source))
    }

    fn error(&self, act: &'static str, source: std::io::Error) -> VolumeError {
        let path = self.state_dir.join(&self.name);
        VolumeError::Io { act, path, source }
    }
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
        inconsistent: standing.inconsistent,
        comparison: standing.comparison,
        written: 0,
        stamp: 0,
        excluded: volume.exclude.mark(),
    }
}
