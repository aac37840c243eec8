//! Looking whether the follower's copy really is what this one is, while the application writes; and
//! repairing what is not.
//!
//! **No false alarm.** Each question (the names of a directory, the attributes of an object, a piece
//! of a file) is an operation of the one ordered stream, made of what is here under the lock under
//! which effects on it are applied and numbered (R6). The follower answers it when its turn comes,
//! from what it has by then: everything before it and nothing after it. So both mean the same
//! instant, and whatever differs was changed by somebody else than the stream.
//!
//! **Repair.** A question changes nothing at the follower. What differs is sent anew as it is by
//! then, by the operations of a comparison: the listing of a directory, the description of an
//! object, blocks of a file. These are numbered under the same locks, so that they never bring an
//! old state at a new number. Names are repaired before anything below them is asked about, because
//! an object is introduced by its name.
//!
//! **What it disturbs.** Nothing: the gate stays shut, the record is not touched, and a follower that
//! is found to differ goes on being one. Acknowledgements wait behind the questions that are open:
//! there are [`OPEN_MAX`] of them, and the pace is that of a comparison. Names are hashed for a whole
//! directory at once, which is where a directory of a million names costs both nodes a second.
//!
//! **What it misses.** A name that the application moves from a directory whose turn has not come
//! into one whose turn is over. What is excluded. Access times: whoever looks changes them.
//!
//! **Interrupted** by a break of the stream, a drain, or the end of the service: then it says so, and
//! begins anew only on command. An answer that was on its way is lost with its connection.

use crate::inodes::Inode;
use crate::order::{Description, Refusal, Told, Tree, open_file};
use crate::pace::Pace;
use crate::pieces::{Piece, Reader, Wanted, hole_at};
use crate::resync::size_of_tree;
use crate::sabotage;
use crate::source::{Answered, Source, Task};
use crate::sys::{self, DirectoryEntry};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tandem_wire::exclude::Below;
use tandem_wire::local::{Verification, VerificationEnd};
use tandem_wire::stream::{
    self, COMPARE_BYTES, Name, ObjectKind, ObjectNumber, Operation, Unequal,
};

/// Questions that are open at a time. A sync of the application waits for the follower to read this
/// many pieces; with fewer, the way to and fro would be idle.
const OPEN_MAX: usize = 4;
/// The most of a hole that is asked about at once: what the follower may have to read there.
pub(crate) const HOLE_BYTES_MAX: u64 = 16 << 20;
/// Differences of one verification that are logged one by one: a copy that is another one altogether
/// must not fill the log.
const LOGGED_MAX: u64 = 100;

/// A name and what stands at it.
pub(crate) struct Listed {
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: ObjectKind,
}

/// The keyed hash of the names in a directory. Sorts them.
pub(crate) fn hash_of_names(secret: &[u8; 32], names: &mut [Listed]) -> [u8; 32] {
    names.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut hasher = blake3::Hasher::new_keyed(secret);
    for Listed { name, kind } in names.iter() {
        let kind = stream::encode(kind);
        for part in [name, kind.as_slice()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    *hasher.finalize().as_bytes()
}

/// What stands at a listed name, without opening what need not be.
pub(crate) fn listed_kind(
    directory: BorrowedFd<'_>,
    entry: &DirectoryEntry,
) -> Result<ObjectKind, Errno> {
    Ok(match entry.kind {
        FileType::RegularFile => ObjectKind::File,
        FileType::Directory => ObjectKind::Directory,
        FileType::Fifo => ObjectKind::Fifo,
        FileType::Socket => ObjectKind::Socket,
        FileType::Symlink
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = rustix::fs::openat(directory, &*entry.name, flags, Mode::empty())?;
            sys::object_kind(found.as_fd(), &sys::stat(found.as_fd())?)?
        }
    })
}

/// Verifies whenever it is asked for. Returns when the source has ended.
pub fn run(source: &Arc<Source>, trees: &[Arc<Tree>]) {
    let mut seen = 0;
    while let Some(task) = source.await_verification(seen) {
        seen = task.number;
        tracing::info!("verifying the peer's copy");
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the kernel has random numbers");
        let mut pass = Pass {
            source,
            trees,
            task,
            secret,
            found: Verification {
                number: task.number,
                ..Verification::default()
            },
            open: VecDeque::new(),
            repairs: VecDeque::new(),
            made: HashSet::new(),
            again: Vec::new(),
            linked: HashMap::new(),
            newest: 0,
            pace: Pace::new(source),
            reader: Reader::default(),
        };
        let ended = pass.run();
        let mut found = pass.found;
        let (differences, repaired) = (found.differences, found.repaired);
        found.end = Some(match ended {
            Ok(()) => {
                let compared_bytes = found.done_bytes;
                match differences {
                    0 => tracing::info!(compared_bytes, "verified: both copies are equal"),
                    _ => tracing::error!(
                        compared_bytes,
                        differences,
                        repaired,
                        "verified: the peer's copy was another one"
                    ),
                }
                VerificationEnd::Complete
            }
            Err(stop) => {
                let why = stop.to_string();
                tracing::warn!(why, differences, repaired, "the verification did not end");
                VerificationEnd::Interrupted(why)
            }
        });
        source.end_verification(found);
    }
}

/// Why a verification stops early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("{0}")]
    Over(&'static str),
    #[error("this copy cannot be read: {0}")]
    Unreadable(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Unreadable(errno)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Because(errno) => Self::Unreadable(errno),
            Refusal::Never => Self::Over("this copy is lost"),
        }
    }
}

/// Something that was asked and may not be answered.
struct Question {
    number: u64,
    tree: Arc<Tree>,
    inode: Arc<Inode>,
    about: About,
}

enum About {
    /// The names in this directory.
    Names,
    /// The name of this object, in that directory.
    Name(Arc<Inode>),
    Attributes,
    Contents {
        offset: u64,
        bytes: u64,
    },
}

/// The next piece of a file.
struct Looked {
    bytes: u64,
    /// `None`: it is a hole.
    hash: Option<[u8; 32]>,
}

struct Pass<'a> {
    source: &'a Arc<Source>,
    trees: &'a [Arc<Tree>],
    task: Task,
    secret: [u8; 32],
    found: Verification,
    open: VecDeque<Question>,
    /// The last number of each repair that the follower may not have applied.
    repairs: VecDeque<u64>,
    /// Files that the follower had to make: that they are not the same is no news.
    made: HashSet<(u16, ObjectNumber)>,
    /// Objects of the directory whose turn it is that have to be asked about once more.
    again: Vec<Arc<Inode>>,
    /// Objects with several names keep their numbers until the end: which names are one object shows
    /// in them.
    linked: HashMap<(u16, u64), Arc<Inode>>,
    /// The last number that was given to a question.
    newest: u64,
    pace: Pace,
    reader: Reader,
}

impl Pass<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let sizes = (self.trees.iter()).map(|tree| size_of_tree(tree.table.volume()));
        self.found.total_bytes = sizes.sum();
        self.source.verified(&self.found);
        let trees = self.trees;
        for tree in trees {
            let mut directories = vec![tree.root.clone()];
            while let Some(directory) = directories.pop() {
                self.directory(tree, &directory, &mut directories)?;
            }
            self.linked.clear();
        }
        self.settle(self.newest)?;
        // What was sent anew meanwhile.
        while let Some(repair) = self.repairs.back().copied() {
            self.settle(repair)?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        tree: &Arc<Tree>,
        directory: &Arc<Inode>,
        directories: &mut Vec<Arc<Inode>>,
    ) -> Result<(), Stop> {
        self.attributes(tree, directory)?;
        if *directory.below() == Below::Excluded {
            // What the peer has in it is its own business.
            return Ok(());
        }
        for name in self.names(tree, directory)? {
            self.entry(tree, directory, &name, directories)?;
        }
        self.settle(self.newest)?;
        for inode in std::mem::take(&mut self.again) {
            self.object(tree, &inode)?;
        }
        Ok(())
    }

    /// Asks about the names in a directory, and waits until they are the same. Says what they are.
    fn names(&mut self, tree: &Arc<Tree>, directory: &Arc<Inode>) -> Result<Vec<Name>, Stop> {
        self.begin()?;
        let begun = Instant::now();
        let names = tree.hold_names();
        if directory.is_unlinked() || !directory.is_known(self.task.session) {
            return Ok(Vec::new());
        }
        let descriptor = directory.descriptor()?;
        let mut found = Vec::new();
        for entry in sys::list(descriptor.as_fd())? {
            let Ok(name) = Name::new(&entry.name) else {
                continue;
            };
            let kind = listed_kind(descriptor.as_fd(), &entry)?;
            if !tree.hides(directory, &name) && !tree.covers(directory, &name, type_of(&kind)) {
                found.push(Listed {
                    name: entry.name,
                    kind,
                });
            }
        }
        let operation = Operation::VerifyNames {
            object: directory.object(),
            secret: self.secret,
            hash: hash_of_names(&self.secret, &mut found),
        };
        self.ask(tree, directory, &operation, About::Names)?;
        drop(names);
        self.pace.worked(begun);
        self.settle(self.newest)?;
        let names = found.iter().map(|listed| Name::new(&listed.name));
        Ok(names.filter_map(Result::ok).collect())
    }

    fn entry(
        &mut self,
        tree: &Arc<Tree>,
        directory: &Arc<Inode>,
        name: &Name,
        directories: &mut Vec<Arc<Inode>>,
    ) -> Result<(), Stop> {
        self.begin()?;
        let begun = Instant::now();
        let session = self.task.session;
        let names = tree.hold_names();
        let (inode, stat) = match tree.child(directory, name) {
            Ok(found) => found,
            // Removed or replaced since; or on a file system of its own.
            Err(Errno::NOENT | Errno::STALE | Errno::NOTDIR | Errno::XDEV) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if tree.covers(directory, name, inode.kind) {
            return Ok(());
        }
        let was_known = inode.is_known(session);
        if !tree.make_known(&inode, session) {
            // The next question says whether the session is over.
            return Ok(());
        }
        if was_known {
            let operation = Operation::VerifyName {
                object: inode.object(),
                parent: directory.object(),
                name: name.clone(),
            };
            self.ask(tree, &inode, &operation, About::Name(directory.clone()))?;
        }
        drop(names);
        self.pace.worked(begun);
        if inode.kind == FileType::Directory {
            // What is in it is asked about by its number.
            self.settle(self.newest)?;
            directories.push(inode);
            return Ok(());
        }
        if stat.st_nlink > 1 {
            let key = (tree.index, inode.node);
            if self.linked.insert(key, inode.clone()).is_some() {
                return Ok(());
            }
        }
        self.object(tree, &inode)?;
        let made = (tree.index, inode.object());
        if !self.made.is_empty() && self.made.contains(&made) {
            self.settle(self.newest)?;
            self.made.remove(&made);
        }
        Ok(())
    }

    /// All that is to be asked about an object besides its names.
    fn object(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        self.attributes(tree, inode)?;
        match inode.kind {
            FileType::RegularFile => self.contents(tree, inode),
            _ => Ok(()),
        }
    }

    fn attributes(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        self.begin()?;
        let begun = Instant::now();
        // A name that comes or goes changes its directory's time, under this lock alone.
        let names = (inode.kind == FileType::Directory).then(|| tree.hold_names());
        let told = tree.tell_description(inode, self.task.session, |described| {
            let Description {
                object,
                attributes,
                size,
                xattrs,
            } = described;
            Operation::VerifyAttributes {
                object,
                attributes,
                size,
                xattrs,
            }
        });
        match told {
            Ok(Told::As(number)) => self.asked(number, tree, inode, About::Attributes),
            Ok(Told::Nothing) | Err(Refusal::Because(Errno::STALE)) => {}
            Ok(Told::Over) => return Err(self.over()),
            Err(refusal) => return Err(refusal.into()),
        }
        drop(names);
        self.pace.worked(begun);
        Ok(())
    }

    fn contents(&mut self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        let file = match open_file(inode, OFlags::RDONLY | OFlags::NOATIME) {
            Err(Errno::STALE | Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let mut offset = 0;
        loop {
            self.begin()?;
            let begun = Instant::now();
            let loose = sabotage::loose_verify();
            let order = loose.is_none().then(|| inode.lock());
            if inode.is_unlinked() || !inode.is_known(self.task.session) {
                return Ok(());
            }
            let Some(Looked { bytes, hash }) = self.look(&file, offset)? else {
                return Ok(());
            };
            if let Some(pause) = loose {
                std::thread::sleep(pause);
            }
            let operation = Operation::VerifyContents {
                object: inode.object(),
                offset,
                bytes: bytes as u32,
                secret: self.secret,
                hash,
            };
            let about = About::Contents { offset, bytes };
            self.ask(tree, inode, &operation, about)?;
            drop(order);
            offset += bytes;
            self.found.done_bytes += bytes;
            self.pace.worked(begun);
        }
    }

    /// `None` behind the end. The caller holds the object's lock.
    fn look(&mut self, file: &OwnedFd, offset: u64) -> Result<Option<Looked>, Stop> {
        let size = sys::stat(file.as_fd())?.st_size as u64;
        if offset >= size {
            return Ok(None);
        }
        if let Some(bytes) = hole_at(file, offset, size, HOLE_BYTES_MAX)? {
            return Ok(Some(Looked { bytes, hash: None }));
        }
        let Some(piece) = self.reader.read(file, offset, COMPARE_BYTES)? else {
            return Ok(None);
        };
        let hash = match piece {
            Piece::Hole(_) => None,
            Piece::Data(_) => {
                let contents = self.reader.contents(piece);
                Some(*blake3::keyed_hash(&self.secret, contents).as_bytes())
            }
        };
        let bytes = piece.bytes() as u64;
        Ok(Some(Looked { bytes, hash }))
    }

    /// Waits until few enough questions are open, acts on what was answered, and rests. Holds no
    /// lock.
    fn begin(&mut self) -> Result<(), Stop> {
        let bound = match self.open.front() {
            Some(question) if self.open.len() >= OPEN_MAX => question.number,
            Some(_) | None => 0,
        };
        self.settle(bound)?;
        self.pace.rest(self.source);
        Ok(())
    }

    fn ask(
        &mut self,
        tree: &Arc<Tree>,
        inode: &Arc<Inode>,
        operation: &Operation,
        about: About,
    ) -> Result<(), Stop> {
        let session = self.task.session;
        let number = tree.source.append(session, tree.index, operation);
        let number = number.ok_or_else(|| self.over())?;
        self.asked(number, tree, inode, about);
        Ok(())
    }

    fn asked(&mut self, number: u64, tree: &Arc<Tree>, inode: &Arc<Inode>, about: About) {
        self.newest = number;
        self.open.push_back(Question {
            number,
            tree: tree.clone(),
            inode: inode.clone(),
            about,
        });
    }

    /// Why no number was given.
    fn over(&self) -> Stop {
        match self.source.answered(&self.task, 0) {
            Answered::Over(why) => Stop::Over(why),
            Answered::Unequal(_) | Answered::Made(..) | Answered::UpTo(_) => {
                Stop::Over("the stream to the peer stopped for a moment")
            }
        }
    }

    /// Acts on the follower's answers until it has applied this number.
    fn settle(&mut self, number: u64) -> Result<(), Stop> {
        loop {
            match self.source.answered(&self.task, number) {
                Answered::Over(why) => return Err(Stop::Over(why)),
                Answered::Unequal(unequal) => self.repair(&unequal)?,
                Answered::Made(volume, object) => {
                    self.made.insert((volume, object));
                }
                Answered::UpTo(applied) => {
                    // Answers come before the word that everything before was applied.
                    while self.open.front().is_some_and(|q| q.number <= applied) {
                        self.open.pop_front();
                    }
                    while self.repairs.pop_front_if(|last| *last <= applied).is_some() {
                        self.found.repaired += 1;
                    }
                    self.source.verified(&self.found);
                    return Ok(());
                }
            }
        }
    }

    fn repair(&mut self, unequal: &Unequal) -> Result<(), Stop> {
        let place = (self.open.iter()).position(|q| q.number == unequal.sequence);
        let Some(place) = place else {
            tracing::warn!(unequal.sequence, "the peer answers what was not asked");
            return Ok(());
        };
        // It may be asked about again while it is repaired.
        let question = self.open.remove(place).expect("just found");
        let Question { tree, inode, .. } = &question;
        let news = match question.about {
            About::Names | About::Name(..) => true,
            About::Attributes | About::Contents { .. } => {
                !self.made.contains(&(tree.index, inode.object()))
            }
        };
        if news {
            self.found.differences += 1;
            self.log(&question, &unequal.what);
        }
        let repaired = match &question.about {
            About::Names => self.repair_names(tree, inode),
            About::Name(directory) => {
                // What was asked about it since was about something else.
                self.again.push(inode.clone());
                self.repair_names(tree, directory)
            }
            About::Attributes => self.repair_attributes(tree, inode),
            About::Contents { offset, bytes } => {
                self.repair_contents(tree, inode, (*offset, *bytes), unequal)
            }
        };
        match repaired {
            // It was removed meanwhile, here and there.
            Err(Stop::Unreadable(Errno::STALE | Errno::NOENT)) => {}
            other => other?,
        }
        if news {
            self.repairs.push_back(self.source.last_number());
        }
        Ok(())
    }

    fn repair_names(&self, tree: &Arc<Tree>, directory: &Arc<Inode>) -> Result<(), Stop> {
        match tree.list_again(directory, self.task.session)? {
            true => Ok(()),
            false => Err(self.over()),
        }
    }

    fn repair_attributes(&self, tree: &Arc<Tree>, inode: &Arc<Inode>) -> Result<(), Stop> {
        let _names = (inode.kind == FileType::Directory).then(|| tree.hold_names());
        match tree.describe(inode, self.task.session)? {
            true => Ok(()),
            false => Err(self.over()),
        }
    }

    fn repair_contents(
        &mut self,
        tree: &Arc<Tree>,
        inode: &Arc<Inode>,
        (offset, bytes): (u64, u64),
        unequal: &Unequal,
    ) -> Result<(), Stop> {
        let piece = u64::from(COMPARE_BYTES);
        let mut at = 0;
        while at < bytes {
            let wanted = Wanted {
                session: self.task.session,
                secret: &self.secret,
                offset: offset + at,
                bytes: piece.min(bytes - at) as u32,
                // Of a hole it says none.
                blocks: &unequal.blocks,
            };
            let sent = self.reader.send(tree, inode, &wanted)?;
            let sent = sent.ok_or_else(|| self.over())?;
            self.found.sent_bytes += sent.bytes;
            at += piece;
        }
        Ok(())
    }

    fn log(&self, question: &Question, what: &str) {
        match self.found.differences {
            ..=LOGGED_MAX => {}
            number if number == LOGGED_MAX + 1 => {
                return tracing::error!("more differences are counted, and not told one by one");
            }
            _ => return,
        }
        let Question { tree, inode, .. } = question;
        let (volume, path) = (tree.index, path_of(tree, inode));
        match question.about {
            About::Contents { offset, bytes } => {
                tracing::error!(volume, path, offset, bytes, what, "the peer's copy differs");
            }
            About::Names | About::Name(..) | About::Attributes => {
                tracing::error!(volume, path, what, "the peer's copy differs");
            }
        }
    }
}

fn type_of(kind: &ObjectKind) -> FileType {
    match kind {
        ObjectKind::Directory => FileType::Directory,
        // All others are on the same side of the border of what is mirrored.
        ObjectKind::File
        | ObjectKind::Symlink(_)
        | ObjectKind::Fifo
        | ObjectKind::Socket
        | ObjectKind::CharacterDevice(_)
        | ObjectKind::BlockDevice(_) => FileType::RegularFile,
    }
}

/// The path of an object from the top of its volume, for people.
fn path_of(tree: &Tree, inode: &Arc<Inode>) -> String {
    let path = |inode: &Arc<Inode>| {
        let descriptor = inode.descriptor().ok()?;
        let path = sys::descriptor_path(descriptor.as_fd());
        rustix::fs::readlink(path, Vec::new()).ok()
    };
    let (Some(top), Some(here)) = (path(&tree.root), path(inode)) else {
        return format!("object {}", inode.object());
    };
    let below = here.to_bytes().strip_prefix(top.to_bytes());
    let below = below.unwrap_or_else(|| here.to_bytes());
    let below = below.strip_prefix(b"/").unwrap_or(below);
    match below {
        b"" => ".".to_owned(),
        path => path.escape_ascii().to_string(),
    }
}
