//! Comparing the whole tree inside the live stream, while the application writes.
//!
//! The walk goes from the top down. A directory is listed under the name lock, after which the
//! follower has exactly these entries, by number, and every later effect on them is told. Then each
//! object is described, and the content of files compared in pieces: hashed under the object's lock
//! and numbered there, so that both sides mean the same instant of the stream. The follower answers
//! only where it differs, with the hashes of its blocks, and then the piece is read *again*, under
//! the lock, and those blocks of it are sent as they are by then whose hash is another one: never an
//! old content at a new number.
//!
//! Holes are told and not read: the follower makes a hole of whatever it has there.
//!
//! When everything was compared and no answer is open, the gate is shut, and only then the follower
//! is asked to bring everything to its disk (R2).
//!
//! **Pace.** While the application changes something, or waits for a sync, the comparison works for
//! a fifth of the time, and rests in between; otherwise it works all the time. So it yields at once,
//! needs no setting, and ends also under an application that never rests. What is under way is
//! bounded by pieces and by a quarter of the queue, whatever the application has in it.
//!
//! **Interrupted.** What was found equal is told to the debt, piece by piece, once the follower has
//! applied what repaired it: see [`crate::debt`].

use crate::debt::{Owed, Pieces};
use crate::inodes::Inode;
use crate::order::{Outcome, Refusal, Tree, open_file};
use crate::pace::Pace;
use crate::pieces::{Reader, Wanted, hole_at};
use crate::source::{Advance, Compared, Scope, SessionId, Source};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tandem_wire::stream::{COMPARE_BYTES, Differs, ObjectNumber, Operation};

/// The most of a hole that is told at once: a file system gives back so much space in far less than
/// the time after which a standby counts as slow.
const HOLE_BYTES_MAX: u64 = 4 << 30;
/// Pieces whose answer is open: 16 MiB, enough to keep both disks and the link busy.
const PIECES_MAX: usize = 64;

/// Compares whenever a session wants it. Returns when the source has ended.
pub fn run(source: &Arc<Source>, trees: &[Arc<Tree>]) {
    let mut seen = SessionId::NONE;
    while let Some(session) = source.await_comparison(seen) {
        seen = session;
        let Some((secret, scope)) = source.terms(session) else {
            continue;
        };
        match scope {
            Scope::Everything => tracing::info!("comparing everything with the peer"),
            Scope::Owed => tracing::info!("comparing what changed since the peer left"),
        }
        let mut comparison = Comparison {
            source,
            trees,
            session,
            secret,
            scope,
            skipped: HashSet::new(),
            made: HashSet::new(),
            open: VecDeque::new(),
            asked: VecDeque::new(),
            repaired: VecDeque::new(),
            newest: 0,
            pace: Pace::new(source),
            done_bytes: 0,
            total_bytes: 0,
            read_bytes: 0,
            sent_bytes: 0,
            reader: Reader::default(),
        };
        let ended = comparison.run();
        match ended {
            Ok(()) => tracing::info!(
                compared_bytes = comparison.done_bytes,
                read_bytes = comparison.read_bytes,
                sent_bytes = comparison.sent_bytes,
                "the comparison ended"
            ),
            Err(Stop::Surprised) => {
                source.debt.give_up();
                source.compare_again(session, "the peer lacks what it was to have");
            }
            Err(Stop::Ended) => tracing::info!("comparison ended with its session"),
            Err(Stop::Refused(Refusal::Never)) => {}
            Err(Stop::Refused(Refusal::Because(errno))) => {
                tracing::error!(%errno, "the volumes cannot be compared");
                source.compare_again(session, "the volumes could not be read");
            }
        }
        for tree in trees {
            tree.end_walk(session);
        }
    }
}

/// Why a comparison stops early.
enum Stop {
    Ended,
    /// What the debt says cannot be all.
    Surprised,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Refused(Refusal::Because(errno))
    }
}

/// A piece that was asked for and may not be answered.
struct OpenPiece {
    number: u64,
    volume: u16,
    object: u64,
    inode: Arc<Inode>,
}

/// Contents that the follower has as they are here, but for what was marked meanwhile, once it has
/// applied a number.
struct Proof {
    number: u64,
    volume: u16,
    node: u64,
    up_to: u64,
}

struct Comparison<'a> {
    source: &'a Arc<Source>,
    trees: &'a [Arc<Tree>],
    session: SessionId,
    secret: [u8; 32],
    scope: Scope,
    /// Files of which not everything was read.
    skipped: HashSet<ObjectNumber>,
    /// Files that the follower did not have.
    made: HashSet<ObjectNumber>,
    open: VecDeque<OpenPiece>,
    /// The number is that of the question.
    asked: VecDeque<Proof>,
    /// Answered; the number is the newest that may have repaired it.
    repaired: VecDeque<Proof>,
    /// The last number that the comparison was given.
    newest: u64,
    pace: Pace,
    done_bytes: u64,
    total_bytes: u64,
    read_bytes: u64,
    sent_bytes: u64,
    reader: Reader,
}

impl Comparison<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        for tree in self.trees {
            tree.begin_walk(self.session);
        }
        let sizes = self
            .trees
            .iter()
            .map(|tree| size_of_tree(tree.table.volume()));
        self.total_bytes = sizes.sum();
        self.report();
        let trees = self.trees;
        loop {
            let mut found = false;
            for tree in trees {
                while let Some(inode) = tree.next_to_compare(self.session) {
                    found = true;
                    self.compare(tree, &inode)?;
                }
            }
            if !found {
                break;
            }
        }
        // Every directory is listed: from here on, what is unknown can be introduced by name.
        self.source.reached_everything(self.session);
        let end = self
            .source
            .append(self.session, 0, &Operation::CompareEnd)
            .ok_or(Stop::Ended)?;
        self.settle(end)?;
        self.source.begin_level(self.session);
        Ok(())
    }

    fn compare(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        let compared = self.compare_object(tree, inode);
        match compared {
            // Removed while it waited for its turn.
            Err(Stop::Refused(Refusal::Because(Errno::STALE | Errno::NOENT))) => Ok(()),
            Err(Stop::Refused(refusal)) => Err(tree
                .judge::<()>(Err(refusal))
                .map_or_else(Stop::Refused, |()| Stop::Ended)),
            other => other,
        }
    }

    fn compare_object(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        self.settle(0)?;
        self.pace.rest(self.source);
        let begun = Instant::now();
        let described = self.describe_object(tree, inode);
        self.pace.worked(begun);
        described?;
        if inode.kind == FileType::RegularFile {
            self.compare_content(tree, inode)?;
        }
        Ok(())
    }

    fn describe_object(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        if inode.kind == FileType::Directory {
            // Describes it, too.
            tree.list_directory(inode, self.session)?;
            return Ok(());
        }
        if !tree.describe(inode, self.session)? {
            return Err(Stop::Ended);
        }
        Ok(())
    }

    fn compare_content(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        let file = open_file(inode, OFlags::RDONLY | OFlags::NOATIME)?;
        let mut offset = 0;
        let mut owed = Reading::All;
        loop {
            self.make_room()?;
            self.pace.rest(self.source);
            let begun = Instant::now();
            let order = inode.lock();
            if inode.is_unlinked() || !inode.is_known(self.session) {
                return Ok(());
            }
            let object = inode.object();
            let size = sys::stat(file.as_fd())?.st_size as u64;
            if offset == 0 {
                owed = self.owed(tree, inode);
            }
            let wanted = owed.next_offset(offset, size);
            if wanted > offset {
                self.skipped.insert(object);
                self.done_bytes += wanted - offset;
                offset = wanted;
            }
            if offset >= size {
                self.prove(tree, inode, u64::MAX);
                return Ok(());
            }
            let bytes = match hole_at(&file, offset, size, HOLE_BYTES_MAX)? {
                Some(bytes) => {
                    let operation = Operation::Hole {
                        object,
                        offset,
                        bytes,
                        mtime: sys::modification_time(&sys::stat(file.as_fd())?),
                    };
                    self.append(tree, &operation)?;
                    bytes
                }
                None => {
                    let Some(bytes) = self.ask(tree, inode, &file, offset)? else {
                        return Ok(());
                    };
                    self.read_bytes += bytes;
                    bytes
                }
            };
            drop(order);
            offset += bytes;
            self.done_bytes += bytes;
            self.prove(tree, inode, offset);
            self.pace.worked(begun);
            if self.open.len().is_multiple_of(16) {
                self.report();
            }
        }
    }

    /// Asks about a piece. The caller holds the object's lock. `None`: the file ends before it.
    fn ask(
        &mut self,
        tree: &Tree,
        inode: &Arc<Inode>,
        file: &OwnedFd,
        offset: u64,
    ) -> Result<Option<u64>, Stop> {
        let Some(piece) = self.reader.read(file, offset, COMPARE_BYTES)? else {
            return Ok(None);
        };
        let bytes = piece.bytes();
        let operation = Operation::Compare {
            object: inode.object(),
            offset,
            bytes: bytes as u32,
            hash: *blake3::keyed_hash(&self.secret, self.reader.contents(piece)).as_bytes(),
        };
        let number = self.append(tree, &operation)?;
        self.open.push_back(OpenPiece {
            number,
            volume: tree.index,
            object: inode.object(),
            inode: inode.clone(),
        });
        Ok(Some(bytes as u64))
    }

    /// What was asked so far of a file is equal once it was answered, and repaired.
    fn prove(&mut self, tree: &Tree, inode: &Inode, up_to: u64) {
        self.asked.push_back(Proof {
            number: self.newest,
            volume: tree.index,
            node: inode.node,
            up_to,
        });
    }

    /// The follower has applied everything up to here, and each answer to that was acted on.
    fn applied(&mut self, applied: u64) {
        while self.open.front().is_some_and(|o| o.number <= applied) {
            self.open.pop_front();
        }
        while let Some(mut proof) = self.asked.pop_front_if(|proof| proof.number <= applied) {
            proof.number = self.newest;
            self.repaired.push_back(proof);
        }
        while let Some(proof) = self.repaired.pop_front_if(|proof| proof.number <= applied) {
            let Proof { volume, node, .. } = proof;
            self.source.debt.found_equal(volume, node, proof.up_to);
        }
    }

    /// What is to be read of a file. The caller holds its lock, and the follower knows it: what is
    /// marked from now on is told.
    fn owed(&self, tree: &Tree, inode: &Inode) -> Reading {
        if self.scope == Scope::Everything || self.made.contains(&inode.object()) {
            return Reading::All;
        }
        match tree.owed(inode) {
            Some(Owed::Whole) => Reading::All,
            Some(Owed::Pieces(pieces)) => Reading::Some(pieces),
            None => Reading::Some(Pieces::default()),
        }
    }

    fn append(&mut self, tree: &Tree, operation: &Operation) -> Result<u64, Stop> {
        let number = self.source.append(self.session, tree.index, operation);
        self.newest = number.ok_or(Stop::Ended)?;
        Ok(self.newest)
    }

    /// Waits until few enough pieces are open.
    fn make_room(&mut self) -> Result<(), Stop> {
        let bound = match self.open.front() {
            Some(open) if self.open.len() >= PIECES_MAX => open.number,
            Some(_) | None => 0,
        };
        self.settle(bound)
    }

    /// Acts on the follower's answers until it has applied this number.
    fn settle(&mut self, number: u64) -> Result<(), Stop> {
        loop {
            match self.source.advance(self.session, number) {
                Advance::Ended => return Err(Stop::Ended),
                Advance::Differs(differs) => self.repair(&differs)?,
                Advance::Applied(applied) => {
                    // Answers come before the word that everything before was applied.
                    self.applied(applied);
                    return Ok(());
                }
            }
        }
    }

    /// Sends a piece as it is now.
    fn repair(&mut self, differs: &Differs) -> Result<(), Stop> {
        let (volume, object) = (differs.volume, differs.object);
        if differs.bytes == 0 {
            // It stands empty there. By the debt it should have been there, if it was passed over.
            self.made.insert(object);
            return match self.skipped.contains(&object) {
                true => Err(Stop::Surprised),
                false => Ok(()),
            };
        }
        let asked = self
            .open
            .iter()
            .find(|open| open.volume == volume && open.object == object);
        let Some(inode) = asked.map(|open| open.inode.clone()) else {
            tracing::warn!(object, "the peer answers what was not asked");
            return Ok(());
        };
        let Some(tree) = self.trees.iter().find(|tree| tree.index == volume) else {
            return Ok(());
        };
        match self.send_piece(tree, &inode, differs) {
            Err(Stop::Refused(Refusal::Because(Errno::STALE))) => Ok(()),
            Err(Stop::Refused(refusal)) => {
                let judged: Outcome<()> = tree.judge(Err(refusal));
                judged.map_err(Stop::Refused)
            }
            other => other,
        }
    }

    fn send_piece(
        &mut self,
        tree: &Tree,
        inode: &Arc<Inode>,
        differs: &Differs,
    ) -> Result<(), Stop> {
        let wanted = Wanted {
            session: self.session,
            secret: &self.secret,
            offset: differs.offset,
            bytes: differs.bytes,
            blocks: &differs.blocks,
        };
        let sent = self.reader.send(tree, inode, &wanted)?;
        let sent = sent.ok_or(Stop::Ended)?;
        self.newest = self.newest.max(sent.number);
        self.sent_bytes += sent.bytes;
        Ok(())
    }

    fn report(&self) {
        let total = self.total_bytes.max(self.done_bytes);
        let compared = Compared {
            done_bytes: self.done_bytes,
            total_bytes: total,
            sent_bytes: self.sent_bytes,
        };
        self.source.compared(self.session, compared);
    }
}

/// What of a file is read.
enum Reading {
    All,
    Some(Pieces),
}

impl Reading {
    /// Where to go on from `offset`, at most `size`.
    fn next_offset(&self, offset: u64, size: u64) -> u64 {
        let piece = u64::from(COMPARE_BYTES);
        match self {
            Self::All => offset,
            Self::Some(pieces) => {
                let next = pieces
                    .next(offset / piece)
                    .map(|next| next.saturating_mul(piece));
                // In the middle of a piece only where the file ended there before it grew.
                next.unwrap_or(u64::MAX).clamp(offset, size.max(offset))
            }
        }
    }
}

/// The size of all files, for showing progress. What cannot be looked at counts nothing.
#[must_use]
pub fn size_of_tree(top: BorrowedFd<'_>) -> u64 {
    let top = rustix::fs::openat(
        top,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let Ok(top) = top else {
        return 0;
    };
    let mut total = 0;
    let mut directories = vec![top];
    while let Some(directory) = directories.pop() {
        for entry in sys::list(directory.as_fd()).unwrap_or_default() {
            match entry.kind {
                FileType::Directory => {
                    let flags = OFlags::RDONLY
                        | OFlags::DIRECTORY
                        | OFlags::NOFOLLOW
                        | OFlags::NOATIME
                        | OFlags::CLOEXEC;
                    let mode = rustix::fs::Mode::empty();
                    directories.extend(rustix::fs::openat(&directory, &*entry.name, flags, mode));
                }
                _ => {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    if let Ok(stat) = rustix::fs::statat(&directory, &*entry.name, flags)
                        && sys::file_type(&stat) == FileType::RegularFile
                    {
                        total += stat.st_size as u64;
                    }
                }
            }
        }
    }
    total
}
