//! The disk of a node that is switched off, read by Debian's own programs and nothing of ours.

use super::client::Journal;
use super::count::{self, Tally};
use super::error::Result;
use super::operator;
use super::recorder;
use super::report::Copy;
use super::stage;
use super::wait::Program;
use std::path::Path;

/// Mounts the disk, and asks `sqlite3` what is in the database.
pub fn count(number: u8, journal: &Journal) -> Result<Copy> {
    let directory = stage::disk_directory();
    stage::mount_disk(number)?;
    let answer = select(&operator::volume_directory().join(recorder::DATABASE));
    Program::new(format!("unmount the disk of node{number}"), "umount")
        .args([&directory])
        .run()?;
    stage::release_disk(number)?;
    let held = count::parse_numbers(&answer?)?;
    let acknowledged: Vec<u64> = journal
        .acknowledged
        .iter()
        .map(|event| event.number)
        .collect();
    Ok(Copy {
        number,
        tally: Tally::new(&acknowledged, &journal.in_doubt, &held),
    })
}

fn select(database: &Path) -> Result<String> {
    Program::new(
        format!("open {} with sqlite3", database.display()),
        "sqlite3",
    )
    .args(["-batch", "-bail"])
    .args([database])
    .args(["SELECT number FROM event ORDER BY id;"])
    .run()
}
