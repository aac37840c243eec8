//! The bytes of files: writing, sizes, holes, and comparing pieces by hash.

use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use tandem_wire::stream::{COMPARE_BYTES, Differs, Timestamp};

use super::error::{ApplyError, on};
use super::{Outcome, Place, Replica};
use crate::pieces::block_hashes;

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Replica {
    pub(super) fn write_data(
        &mut self,
        place: Place,
        offset: u64,
        data: &[u8],
        mtime: Timestamp,
    ) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            match rustix::io::pwrite(file, rest, at) {
                Ok(0) => return Err(on("write", file)(Errno::IO)),
                Ok(written) => {
                    at += written as u64;
                    rest = &rest[written..];
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(on("write", file)(error)),
            }
        }
        self.defer_time(place, mtime)
    }

    pub(super) fn truncate(
        &mut self,
        place: Place,
        size: u64,
        mtime: Timestamp,
    ) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        rustix::fs::ftruncate(file, size).map_err(on("set the size of", file))?;
        self.defer_time(place, mtime)
    }

    pub(super) fn allocate(
        &mut self,
        place: Place,
        mode: u32,
        range: Range,
        mtime: Timestamp,
    ) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        let mode = FallocateFlags::from_bits_retain(mode);
        rustix::fs::fallocate(file, mode, range.offset, range.bytes)
            .map_err(on("allocate space in", file))?;
        self.defer_time(place, mtime)
    }

    /// Makes a hole of whatever data stands in a range. What is none already is not read, and space
    /// that is only reserved stays so.
    pub(super) fn make_hole(
        &mut self,
        place: Place,
        range: Range,
        mtime: Timestamp,
    ) -> Result<(), ApplyError> {
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        let end = range.offset.saturating_add(range.bytes);
        let mut at = range.offset;
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        while at < end {
            let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(on("look for data in", file)(error)),
            };
            if data >= end {
                break;
            }
            let hole = rustix::fs::seek(file, SeekFrom::Hole(data))
                .map_err(on("look for a hole in", file))?;
            let until = hole.min(end);
            rustix::fs::fallocate(file, punch, data, until - data)
                .map_err(on("make a hole in", file))?;
            at = until;
        }
        self.defer_time(place, mtime)
    }

    /// Hashes a piece with the session's key. A piece that ends beyond the file differs.
    pub(super) fn compare(
        &mut self,
        place: Place,
        offset: u64,
        bytes: u32,
        hash: &[u8; 32],
    ) -> Result<Outcome, ApplyError> {
        let secret = match self.comparing {
            Some(secret) if bytes <= COMPARE_BYTES => secret,
            Some(_) | None => return Err(ApplyError::Piece(bytes, offset)),
        };
        let piece = self.read_piece(place, offset, bytes)?;
        let whole = piece.len() == bytes as usize;
        if whole && blake3::keyed_hash(&secret, piece) == *hash {
            return Ok(Outcome::Applied);
        }
        Ok(Outcome::Differs(vec![Differs {
            volume: place.volume,
            object: place.object,
            offset,
            bytes,
            blocks: block_hashes(&secret, piece).collect(),
        }]))
    }

    /// Reads a piece; shorter where the file ends before it does.
    pub(super) fn read_piece(
        &mut self,
        place: Place,
        offset: u64,
        bytes: u32,
    ) -> Result<&[u8], ApplyError> {
        let descriptor = self.objects_of(place.volume)?.file(place.object)?;
        let file = descriptor.as_fd();
        self.buffer.resize(bytes as usize, 0);
        let mut filled = 0;
        while filled < self.buffer.len() {
            let into = &mut self.buffer[filled..];
            match rustix::io::pread(file, into, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(on("read", file)(error)),
            }
        }
        Ok(&self.buffer[..filled])
    }
}
