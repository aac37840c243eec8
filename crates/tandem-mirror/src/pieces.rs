//! Pieces of files as a comparison or a verification reads them, and sends them again.
//!
//! A piece is sent as it is by then, under the lock of its object, so that it is never an old
//! content at a new number. Blocks that already hash to what the follower has are left out.

use crate::inodes::Inode;
use crate::order::{Outcome, Tree, open_file};
use crate::source::{SessionId, Written};
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use std::ops::Range;
use std::sync::Arc;
use tandem_wire::stream::{BLOCK_BYTES, BlockHash, COMPARE_BYTES, Operation, WritePlace};

/// A hole from here on is told, and not read as zeros.
const HOLE_BYTES_MIN: u64 = COMPARE_BYTES as u64;
/// `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`
const PUNCH: u32 = 0x03;

/// What was found at a place of a file.
#[derive(Clone, Copy)]
pub enum Piece {
    /// So many bytes were read.
    Data(usize),
    /// So many bytes are a hole.
    Hole(usize),
}

impl Piece {
    /// Its length.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Data(bytes) | Self::Hole(bytes) => bytes,
        }
    }
}

/// A piece to be sent again.
pub struct Wanted<'a> {
    /// Who is told.
    pub session: SessionId,
    /// The key of the hashes.
    pub secret: &'a [u8; 32],
    /// Where.
    pub offset: u64,
    /// How long, at most [`COMPARE_BYTES`].
    pub bytes: u32,
    /// The hashes of what the follower has there.
    pub blocks: &'a [BlockHash],
}

/// What was sent.
#[derive(Clone, Copy, Default)]
pub struct Sent {
    /// The last number of it; 0: nothing had to be.
    pub number: u64,
    /// Contents, in bytes.
    pub bytes: u64,
}

/// Reads pieces into one buffer.
pub struct Reader {
    buffer: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: vec![0; COMPARE_BYTES as usize],
        }
    }
}

impl Reader {
    /// Reads a piece; `None` behind the end of the file.
    ///
    /// # Errors
    /// Those of `pread(2)`.
    pub fn read(
        &mut self,
        file: &OwnedFd,
        offset: u64,
        bytes: u32,
    ) -> Result<Option<Piece>, Errno> {
        let size = sys::stat(file.as_fd())?.st_size as u64;
        if offset >= size {
            return Ok(None);
        }
        let bytes = u64::from(bytes.min(COMPARE_BYTES)).min(size - offset) as usize;
        let data = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(Errno::NXIO) => u64::MAX,
            Err(_) => offset,
        };
        if data >= offset + bytes as u64 {
            return Ok(Some(Piece::Hole(bytes)));
        }
        let mut filled = 0;
        while filled < bytes {
            let at = offset + filled as u64;
            match rustix::io::pread(file, &mut self.buffer[filled..bytes], at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok((filled > 0).then_some(Piece::Data(filled)))
    }

    /// The contents of the piece that was read last.
    pub fn contents(&mut self, piece: Piece) -> &[u8] {
        if let Piece::Hole(bytes) = piece {
            self.buffer[..bytes].fill(0);
        }
        &self.buffer[..piece.bytes()]
    }

    /// Sends a piece as it is now. `None`: the session is over.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn send(
        &mut self,
        tree: &Tree,
        inode: &Arc<Inode>,
        wanted: &Wanted<'_>,
    ) -> Outcome<Option<Sent>> {
        let Wanted {
            session, offset, ..
        } = *wanted;
        let file = open_file(inode, OFlags::RDONLY | OFlags::NOATIME)?;
        let _order = inode.lock();
        if inode.is_unlinked() || !inode.is_known(session) {
            return Ok(Some(Sent::default()));
        }
        let Some(piece) = self.read(&file, offset, wanted.bytes)? else {
            return Ok(Some(Sent::default()));
        };
        let mtime = sys::modification_time(&sys::stat(file.as_fd())?);
        let object = inode.object();
        let mut sent = Sent::default();
        match piece {
            Piece::Hole(bytes) => {
                let operation = Operation::Allocate {
                    object,
                    mode: PUNCH,
                    offset,
                    bytes: bytes as u64,
                    mtime,
                };
                let Some(number) = tree.source.append(session, tree.index, &operation) else {
                    return Ok(None);
                };
                sent.number = number;
            }
            Piece::Data(bytes) => {
                let piece = &self.buffer[..bytes];
                for run in runs_that_differ(wanted.secret, piece, wanted.blocks) {
                    let data = piece[run.clone()].to_vec();
                    let place = WritePlace {
                        object,
                        offset: offset + run.start as u64,
                        mtime,
                    };
                    let written = Written {
                        volume: tree.index,
                        place,
                        resync: true,
                    };
                    let Some(number) = tree.source.append_write(session, &written, data) else {
                        return Ok(None);
                    };
                    sent.number = number;
                    sent.bytes += run.len() as u64;
                }
            }
        }
        Ok(Some(sent))
    }
}

/// The bytes of the hole at this offset, if there is one that is worth telling; whole pieces, or up
/// to the end of the file.
///
/// # Errors
/// Those of `lseek(2)`.
pub fn hole_at(file: &OwnedFd, offset: u64, size: u64, max: u64) -> Result<Option<u64>, Errno> {
    let end = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) if data >= size => size,
        Ok(data) => data - data % u64::from(COMPARE_BYTES),
        Err(Errno::NXIO) => size,
        // A file system that cannot say it.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let bytes = end.saturating_sub(offset).min(max);
    Ok((bytes >= HOLE_BYTES_MIN).then_some(bytes))
}

/// The hashes of a piece's blocks.
pub fn block_hashes(secret: &[u8; 32], piece: &[u8]) -> impl Iterator<Item = BlockHash> {
    piece.chunks(BLOCK_BYTES as usize).map(|block| {
        let hash = blake3::keyed_hash(secret, block);
        let half = hash.as_bytes().first_chunk();
        *half.expect("a hash has 32 bytes")
    })
}

/// The stretches of a piece that are not what the other side has.
fn runs_that_differ(secret: &[u8; 32], piece: &[u8], theirs: &[BlockHash]) -> Vec<Range<usize>> {
    let block = BLOCK_BYTES as usize;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, hash) in block_hashes(secret, piece).enumerate() {
        if theirs.get(number) == Some(&hash) {
            continue;
        }
        let start = number * block;
        let end = (start + block).min(piece.len());
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            Some(_) | None => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_differ_are_sent_and_neighbours_together() {
        let secret = [7; 32];
        let block = BLOCK_BYTES as usize;
        let theirs = vec![0; 8 * block];
        let hashes: Vec<BlockHash> = block_hashes(&secret, &theirs).collect();
        let mut ours = theirs.clone();
        ours.push(1);
        assert!(runs_that_differ(&secret, &theirs, &hashes).is_empty());
        ours[2 * block] = 1;
        ours[4 * block - 1] = 1;
        ours[7 * block] = 1;
        let expected = vec![2 * block..4 * block, 7 * block..8 * block + 1];
        assert_eq!(runs_that_differ(&secret, &ours, &hashes), expected);
        // Where they say nothing, everything.
        let all = 0..ours.len();
        assert_eq!(runs_that_differ(&secret, &ours, &[]), [all]);
        // The last block is longer on this side.
        let short: Vec<BlockHash> = block_hashes(&secret, &theirs[..block + 1]).collect();
        let rest = block..theirs.len();
        assert_eq!(runs_that_differ(&secret, &theirs, &short), [rest]);
    }
}
