//! Apply, then number (R6): the locks of a volume, and who tells the follower what.
//!
//! The kernel does not order requests for us, so every mutation happens under a lock of ours, and
//! while that lock is held its effect is appended to the one queue:
//!
//! - one *name lock* per volume: name operations hold it for writing; whoever looks names up, or
//!   introduces an object to the follower by its name, holds it for reading;
//! - one lock per object ([`Inode::lock`]): every effect on data and attributes.
//!
//! The name lock is taken before an object's lock, and no two objects' locks are held together.
//!
//! **What the follower knows.** An effect is told only if the follower knows the object by its
//! number. While a comparison runs, an object becomes known when its directory is listed. Until
//! then effects on it are not told: its content is compared later, under its lock, at a number after
//! them. That is why whether an object is known is looked at *under its lock*. A name operation
//! lists the directories that it touches first. Once everything was reached, an object whose number
//! the follower never heard (because the kernel had forgotten it meanwhile) is introduced by name.
//!
//! An excluded object never becomes known, so nothing of it is told. A name that comes or goes
//! changes the time of its directory all the same: that is told as an attribute of the directory.
//!
//! **What is lost by a crash.** Between the system call and the append, the effect exists only
//! locally and was not answered; the process is gone with its incarnation, so the next session
//! compares everything. The system call succeeded but its result cannot be read: the effect cannot
//! be told, so this copy is declared lost ([`Refusal::Never`]) instead of being wrong in silence.

use crate::backing::HIDDEN;
use crate::debt::{Effect, Owed};
use crate::inodes::{Inode, Place, ROOT_NODE, Side, Table};
use crate::source::{SessionId, Source, Written};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tandem_wire::exclude::{Below, Exclude, Kind};
use tandem_wire::local::Fault;
use tandem_wire::stream::{Attributes, Entry, Name, ObjectNumber, Operation, WritePlace};

/// The bytes of entries in one part of a listing, well below the largest payload.
const LISTING_BYTES: usize = 512 << 10;

/// Why an operation has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The application is told this.
    Because(Errno),
    /// This copy is lost: the application is told nothing.
    Never,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Because(errno)
    }
}

/// What an operation comes to.
pub type Outcome<T> = Result<T, Refusal>;

/// A served volume.
pub struct Tree {
    /// Its place in the configuration.
    pub index: u16,
    /// The stream.
    pub source: Arc<Source>,
    /// Its objects.
    pub table: Arc<Table>,
    /// Its top directory.
    pub root: Arc<Inode>,
    /// What of it is not mirrored.
    pub exclude: Exclude,
    device: u64,
    names: RwLock<()>,
    introducing: Mutex<()>,
    walk: Mutex<Walk>,
}

/// What a comparison has to do in this volume.
struct Walk {
    session: SessionId,
    /// Known to the follower by name, to be compared.
    todo: VecDeque<Arc<Inode>>,
    /// Directories and objects with several names keep their numbers until the end: that a
    /// directory was listed, and which names are one object, is remembered in them.
    kept: Vec<Arc<Inode>>,
}

/// What an object is at one moment.
pub struct Description {
    /// Its number.
    pub object: ObjectNumber,
    /// Attributes.
    pub attributes: Attributes,
    /// The size of a file; else 0.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<sys::Xattr>,
}

/// Whether the follower was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// With this number.
    As(u64),
    /// It does not know the object, or need not.
    Nothing,
    /// The session is over.
    Over,
}

/// An entry that the follower was told.
struct Listed {
    inode: Arc<Inode>,
    linked: bool,
    /// It did not know the object before.
    fresh: bool,
}

/// Entries that are told at once.
#[derive(Default)]
struct Part {
    entries: Vec<Entry>,
    children: Vec<(Arc<Inode>, bool)>,
    bytes: usize,
}

/// Tells the follower, while a lock is held. Knows for which session it may speak.
pub struct Teller<'a> {
    tree: &'a Tree,
    /// The session that is told; none: nobody is.
    pub session: SessionId,
    /// What is not mirrored makes no difference to the peer.
    excluded: bool,
}

impl Teller<'_> {
    /// Tells an effect that happened.
    pub fn tell(&self, operation: impl FnOnce() -> Operation) -> Option<u64> {
        let Tree { source, index, .. } = self.tree;
        if self.session.exists() {
            source.append(self.session, *index, &operation())
        } else {
            self.count_alone(0);
            None
        }
    }

    /// Counts what the peer was not told.
    pub fn count_alone(&self, bytes: u64) {
        if !self.excluded {
            self.tree.source.count_alone(bytes);
        }
    }

    /// Tells a write that happened.
    pub fn tell_write(&self, place: WritePlace, data: &[u8]) {
        let Tree { source, index, .. } = self.tree;
        if self.session.exists() {
            let written = Written {
                volume: *index,
                place,
                resync: false,
            };
            source.append_write(self.session, &written, data.to_vec());
        } else {
            self.count_alone(data.len() as u64);
        }
    }
}

impl Tree {
    /// A volume to be served.
    ///
    /// # Errors
    /// When its directory cannot be used.
    pub fn new(
        index: u16,
        directory: BorrowedFd<'_>,
        exclude: Exclude,
        source: Arc<Source>,
    ) -> Result<Self, Errno> {
        let directory = rustix::io::fcntl_dupfd_cloexec(directory, 3)?;
        let device = sys::stat(directory.as_fd())?.st_dev;
        let (table, root) = Table::new(directory, exclude.below_top())?;
        Ok(Self {
            index,
            source,
            table,
            root,
            exclude,
            device,
            names: RwLock::new(()),
            introducing: Mutex::new(()),
            walk: Mutex::new(Walk {
                session: SessionId::NONE,
                todo: VecDeque::new(),
                kept: Vec::new(),
            }),
        })
    }

    /// Holds names still, for looking them up.
    pub fn hold_names(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_names(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an effect on one object and has it numbered.
    ///
    /// # Errors
    /// Those of `apply`.
    pub fn change<T>(
        &self,
        inode: &Arc<Inode>,
        apply: impl FnOnce(&Teller<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        let _effect = self.source.debt.effect();
        let session = self.source.session();
        if session.exists() && !inode.is_known(session) && !inode.is_excluded() {
            let _names = self.hold_names();
            self.make_known(inode, session);
        }
        let _order = inode.lock();
        self.judge(apply(&self.teller(inode, session)))
    }

    /// Marks an effect on contents for the debt, told or not. Inside [`Self::change`] or
    /// [`Self::change_in`], before the effect: a system call that fails may have done a part.
    pub fn mark(&self, inode: &Inode, effect: Effect) {
        if !inode.is_excluded() {
            self.source.debt.mark(self.index, inode.node, effect);
        }
    }

    /// What of an object's contents is owed.
    #[must_use]
    pub fn owed(&self, inode: &Inode) -> Option<Owed> {
        self.source.debt.owed(self.index, inode.node)
    }

    /// Who tells effects on this object. The caller holds its lock.
    #[must_use]
    pub fn teller(&self, inode: &Inode, session: SessionId) -> Teller<'_> {
        let told = session.exists() && inode.is_known(session);
        Teller {
            tree: self,
            session: if told { session } else { SessionId::NONE },
            excluded: inode.is_excluded(),
        }
    }

    /// Carries out an operation on names in these directories and has it numbered.
    ///
    /// # Errors
    /// Those of `apply`.
    pub fn change_in<T>(
        &self,
        directories: &[&Arc<Inode>],
        apply: impl FnOnce(&Teller<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        let _effect = self.source.debt.effect();
        let _names = self.change_names();
        let session = self.source.session();
        let mut told = session.exists();
        for directory in directories {
            told = told && self.judge(self.make_listed(directory, session))?;
        }
        let teller = Teller {
            tree: self,
            session: if told { session } else { SessionId::NONE },
            excluded: directories.iter().all(|directory| directory.is_excluded()),
        };
        self.judge(apply(&teller))
    }

    /// A failure of the disk is not an answer: it means that this copy is lost.
    ///
    /// # Errors
    /// What came in.
    pub fn judge<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        match outcome {
            Err(Refusal::Because(errno)) if is_disk_failure(errno) => Err(self.lose(errno)),
            other => other,
        }
    }

    /// Marks this copy as lost.
    #[must_use]
    pub fn lose(&self, errno: Errno) -> Refusal {
        let text = format!("volume {}: {errno}", self.index);
        self.source.fail(Fault::LocalDisk(text));
        Refusal::Never
    }

    /// What follows an effect that happened must succeed, or the effect cannot be told.
    ///
    /// # Errors
    /// [`Refusal::Never`]
    pub fn must<T>(&self, result: Result<T, Errno>) -> Outcome<T> {
        result.map_err(|errno| self.lose(errno))
    }

    // ---- names

    /// The object at a name. The caller holds a name lock.
    ///
    /// # Errors
    /// `ENOENT`, also for what is hidden; `EXDEV` for another file system's object.
    pub fn child(&self, parent: &Arc<Inode>, name: &Name) -> Result<(Arc<Inode>, Stat), Errno> {
        if self.hides(parent, name) {
            return Err(Errno::NOENT);
        }
        let directory = parent.descriptor()?;
        let stat = rustix::fs::statat(&*directory, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
        let side = self.side(parent, name, sys::file_type(&stat));
        if let Some(inode) = self.table.find(node_of(&stat)) {
            self.meet_again(&inode, &side, (parent, name));
            return Ok((inode, stat));
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(&*directory, name.as_bytes(), flags, Mode::empty())?;
        let stat = sys::stat(descriptor.as_fd())?;
        if stat.st_dev != self.device || node_of(&stat) == ROOT_NODE {
            return Err(Errno::XDEV);
        }
        let inode = self
            .table
            .enter(node_of(&stat), sys::file_type(&stat), descriptor, side)?;
        inode.offer_place(parent, name);
        Ok((inode, stat))
    }

    fn side(&self, parent: &Inode, name: &Name, kind: FileType) -> Side {
        Side {
            excluded: self.covers(parent, name, kind),
            below: match kind {
                FileType::Directory => self.exclude.below(parent.below(), name),
                _ => Below::Mirrored,
            },
        }
    }

    /// Whether something of this kind is not mirrored at this name.
    #[must_use]
    pub fn covers(&self, parent: &Inode, name: &Name, kind: FileType) -> bool {
        let kind = match kind {
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        self.exclude.covers(parent.below(), name, kind)
    }

    /// Names made before the border was drawn may lead across it: such an object is mirrored, by
    /// those of its names that are.
    fn meet_again(&self, inode: &Arc<Inode>, side: &Side, at: (&Arc<Inode>, &Name)) {
        match (inode.is_excluded(), side.excluded) {
            (true, false) => {
                inode.set_mirrored();
                self.mark(inode, Effect::Named);
                inode.set_place(Some(Place {
                    parent: at.0.clone(),
                    name: at.1.clone(),
                }));
                let reason = "an excluded object has a name that is mirrored";
                self.source.compare_again(self.source.session(), reason);
            }
            (false, true) => {}
            _ => inode.offer_place(at.0, at.1),
        }
    }

    /// Something that is not mirrored got or lost a name in a directory: tells its new time. The
    /// caller holds the name lock for writing.
    ///
    /// # Errors
    /// A failing disk.
    pub fn tell_touched(&self, teller: &Teller<'_>, directory: &Arc<Inode>) -> Outcome<()> {
        let _order = directory.lock();
        if teller.session.exists() && directory.is_known(teller.session) {
            let stat = self.must(self.stat(directory))?;
            teller.tell(|| Operation::SetAttributes {
                object: directory.object(),
                attributes: sys::attributes(&stat),
            });
        }
        Ok(())
    }

    /// Whether a name is Tandem's own and nobody else's business.
    #[must_use]
    pub fn hides(&self, parent: &Inode, name: &Name) -> bool {
        parent.is_root() && name.as_bytes() == HIDDEN.as_bytes()
    }

    /// The state of an object.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn stat(&self, inode: &Arc<Inode>) -> Result<Stat, Errno> {
        sys::stat(inode.descriptor()?.as_fd())
    }

    // ---- what the follower knows

    /// Introduces an object by its name if the follower can find it there. Says whether the
    /// follower knows it now. The caller holds a name lock.
    pub fn make_known(&self, inode: &Arc<Inode>, session: SessionId) -> bool {
        if inode.is_known(session) {
            return true;
        }
        let introducing = self
            .introducing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = self.introduce(inode, session);
        drop(introducing);
        known
    }

    fn introduce(&self, inode: &Arc<Inode>, session: SessionId) -> bool {
        if inode.is_known(session) {
            return true;
        }
        if inode.is_root() {
            inode.set_known(session);
            return true;
        }
        if inode.is_excluded() {
            return false;
        }
        let Some(Place { parent, name }) = inode.place() else {
            return false;
        };
        // While comparing: an entry of a listed directory has a number. That this object's number
        // is not it means that the number was dropped after its content was compared.
        let reachable = self.source.is_complete(session) || parent.is_listed(session);
        if !reachable || !self.introduce(&parent, session) {
            return false;
        }
        // An earlier number of the same object must be forgotten before it gets this one.
        self.tell_forgotten();
        let operation = Operation::Introduce {
            object: inode.object(),
            parent: parent.object(),
            name,
        };
        if self
            .source
            .append(session, self.index, &operation)
            .is_none()
        {
            return false;
        }
        // Of objects with several names, none is dropped while comparing.
        inode.set_names(1);
        inode.set_known(session);
        true
    }

    /// Makes the follower know every entry of a directory. Says whether it does; if not, the
    /// session ended, or the directory was removed. The caller holds the name lock for writing.
    pub(crate) fn make_listed(&self, directory: &Arc<Inode>, session: SessionId) -> Outcome<bool> {
        if self.source.is_complete(session) {
            return Ok(self.make_known(directory, session));
        }
        if directory.is_listed(session) {
            return Ok(true);
        }
        if !directory.is_root() {
            let Some(place) = directory.place() else {
                return Ok(false);
            };
            if !self.make_listed(&place.parent, session)? {
                return Ok(false);
            }
        }
        if !self.make_known(directory, session) {
            return Ok(false);
        }
        if *directory.below() == Below::Excluded {
            // What the peer has in it is its own business.
            let described = self.describe(directory, session)?;
            if described {
                directory.set_listed(session);
            }
            return Ok(described);
        }
        self.list(directory, session)
    }

    /// Lists a directory to the follower, as [`Self::make_listed`], for the comparison.
    ///
    /// # Errors
    /// A failing disk.
    pub fn list_directory(&self, directory: &Arc<Inode>, session: SessionId) -> Outcome<bool> {
        let _names = self.change_names();
        let listed = self.make_listed(directory, session);
        self.judge(listed)
    }

    fn list(&self, directory: &Arc<Inode>, session: SessionId) -> Outcome<bool> {
        let Some(listed) = self.tell_listing(directory, session)? else {
            return Ok(false);
        };
        // A name operation may come here before the comparison itself.
        self.begin_walk(session);
        let moved = (self.source.debt).is_named_anew(self.index, directory.node);
        let mut walk = self.walk();
        for entry in listed {
            if moved {
                // What the follower has under these names may be something else.
                self.mark(&entry.inode, Effect::Named);
            }
            if entry.fresh {
                walk.add(entry.inode, entry.linked);
            }
        }
        drop(walk);
        directory.set_listed(session);
        Ok(true)
    }

    /// Lists a directory once more to a follower that knows everything, because what it has there
    /// is something else. Says whether the session goes on.
    ///
    /// # Errors
    /// A failing disk.
    pub fn list_again(&self, directory: &Arc<Inode>, session: SessionId) -> Outcome<bool> {
        let _names = self.change_names();
        if directory.is_unlinked() || !directory.is_known(session) {
            return Ok(true);
        }
        Ok(self.tell_listing(directory, session)?.is_some())
    }

    /// Tells the follower the entries of a directory, which it then knows. `None`: the session is
    /// over. The caller holds the name lock for writing.
    fn tell_listing(
        &self,
        directory: &Arc<Inode>,
        session: SessionId,
    ) -> Outcome<Option<Vec<Listed>>> {
        let descriptor = directory.descriptor()?;
        let mut parts = Vec::new();
        let mut part = Part::default();
        for entry in sys::list(descriptor.as_fd())? {
            let Ok(name) = Name::new(&entry.name) else {
                continue;
            };
            if self.hides(directory, &name) {
                continue;
            }
            let (inode, stat) = self.child(directory, &name)?;
            if self.covers(directory, &name, inode.kind) {
                continue;
            }
            let held = inode.descriptor()?;
            let kind = sys::object_kind(held.as_fd(), &stat)?;
            part.bytes += name.as_bytes().len() + 32;
            if let tandem_wire::stream::ObjectKind::Symlink(target) = &kind {
                part.bytes += target.len();
            }
            part.entries.push(Entry {
                name,
                object: inode.object(),
                kind,
                linked: stat.st_nlink > 1 && inode.kind != FileType::Directory,
            });
            part.children.push((inode, stat.st_nlink > 1));
            if part.bytes > LISTING_BYTES {
                parts.push(std::mem::take(&mut part));
            }
        }
        parts.push(part);
        self.tell_forgotten();
        // First, because what is created in it may inherit from it.
        if !self.describe(directory, session)? {
            return Ok(None);
        }
        let mut listed = Vec::new();
        let count = parts.len();
        for (number, part) in parts.into_iter().enumerate() {
            let operation = Operation::ListDirectory {
                object: directory.object(),
                entries: part.entries,
                first: number == 0,
                last: number + 1 == count,
            };
            if self
                .source
                .append(session, self.index, &operation)
                .is_none()
            {
                return Ok(None);
            }
            // What was told is known, also if the next part is not told any more.
            for (inode, linked) in part.children {
                let fresh = !inode.is_known(session);
                match fresh {
                    true => inode.set_names(1),
                    false => inode.add_name(),
                }
                inode.set_known(session);
                listed.push(Listed {
                    inode,
                    linked,
                    fresh,
                });
            }
        }
        Ok(Some(listed))
    }

    /// Tells the follower attributes, extended attributes and size of an object that it knows. Says
    /// whether the session goes on.
    ///
    /// # Errors
    /// A failing disk.
    pub fn describe(&self, inode: &Arc<Inode>, session: SessionId) -> Outcome<bool> {
        let told = self.tell_description(inode, session, |description| Operation::Describe {
            object: description.object,
            attributes: description.attributes,
            size: description.size,
            xattrs: description.xattrs,
        });
        Ok(told? != Told::Over)
    }

    /// Tells the follower something with what an object is now.
    ///
    /// # Errors
    /// A failing disk.
    pub fn tell_description(
        &self,
        inode: &Arc<Inode>,
        session: SessionId,
        operation: impl FnOnce(Description) -> Operation,
    ) -> Outcome<Told> {
        let descriptor = inode.descriptor()?;
        let _order = inode.lock();
        if inode.is_unlinked() || !inode.is_known(session) {
            // Its last known name was removed: it is listed again where it has others.
            return Ok(Told::Nothing);
        }
        let stat = sys::stat(descriptor.as_fd())?;
        let xattrs = sys::xattrs(descriptor.as_fd())?;
        let size = match inode.kind {
            FileType::RegularFile => stat.st_size as u64,
            _ => 0,
        };
        let operation = operation(Description {
            object: inode.object(),
            attributes: sys::attributes(&stat),
            size,
            xattrs,
        });
        let number = self.source.append(session, self.index, &operation);
        Ok(number.map_or(Told::Over, Told::As))
    }

    /// An object was just created under the name lock and told: the follower knows all of it.
    pub fn created(&self, inode: &Arc<Inode>, session: SessionId) {
        if !session.exists() {
            return;
        }
        inode.set_names(1);
        inode.set_known(session);
        if inode.kind == FileType::Directory {
            inode.set_listed(session);
            self.keep_number(inode, session);
        }
    }

    /// An object got one more name.
    pub fn linked(&self, inode: &Arc<Inode>, session: SessionId) {
        if session.exists() {
            inode.add_name();
            self.keep_number(inode, session);
        }
    }

    /// Keeps the number of an object until the comparison has reached everything; after that nobody
    /// would let go of it before the session ends.
    fn keep_number(&self, inode: &Arc<Inode>, session: SessionId) {
        let mut walk = self.walk();
        if walk.session == session && !self.source.is_complete(session) {
            walk.kept.push(inode.clone());
        }
    }

    /// An object lost a name, and has others. While comparing, the follower may know none of these:
    /// it then has nothing that they could be linked to when their directories are listed. The
    /// object becomes unknown, and is compared under another number.
    pub fn unlinked(&self, inode: &Arc<Inode>, session: SessionId) {
        if !session.exists() || self.source.is_complete(session) || inode.remove_name() > 0 {
            return;
        }
        let _order = inode.lock();
        self.table.renumber(inode);
    }

    // ---- the comparison

    /// Starts the comparison of a session, if nobody did yet.
    pub fn begin_walk(&self, session: SessionId) {
        let before = self.walk().begin(session, &self.root);
        drop(before);
    }

    /// The next object to compare.
    #[must_use]
    pub fn next_to_compare(&self, session: SessionId) -> Option<Arc<Inode>> {
        let mut walk = self.walk();
        if walk.session == session {
            walk.todo.pop_front()
        } else {
            None
        }
    }

    /// Lets go of the objects of a comparison.
    pub fn end_walk(&self, session: SessionId) {
        let mut walk = self.walk();
        if walk.session != session {
            return;
        }
        // Stays the walk of this session, so that nobody starts it again.
        let todo = std::mem::take(&mut walk.todo);
        let kept = std::mem::take(&mut walk.kept);
        drop(walk);
        drop((todo, kept));
    }

    /// Tells the follower which numbers will not come again.
    pub fn tell_forgotten(&self) {
        let session = self.source.session();
        let objects = self.table.take_forgotten(session);
        if session.exists() && !objects.is_empty() {
            for objects in objects.chunks(8 << 10) {
                let objects = objects.to_vec();
                let operation = Operation::Forget { objects };
                let number = self.source.append(session, self.index, &operation);
                if let (None, Operation::Forget { objects }) = (number, operation) {
                    // No number is given during a drain; if it fails, they go on.
                    self.table.give_back_forgotten(session, objects);
                }
            }
        }
    }

    fn walk(&self) -> MutexGuard<'_, Walk> {
        self.walk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    /// Makes this the walk of a session. Hands back what the one before held: to be dropped
    /// without the lock.
    #[must_use]
    fn begin(&mut self, session: SessionId, root: &Arc<Inode>) -> Option<Self> {
        if self.session == session {
            return None;
        }
        let walk = Self {
            session,
            todo: VecDeque::from([root.clone()]),
            kept: Vec::new(),
        };
        Some(std::mem::replace(self, walk))
    }

    fn add(&mut self, inode: Arc<Inode>, linked: bool) {
        let directory = inode.kind == FileType::Directory;
        if directory || linked {
            self.kept.push(inode.clone());
        }
        if directory {
            // After the files of its parent, so that few objects wait at a time.
            self.todo.push_back(inode);
        } else {
            self.todo.push_front(inode);
        }
    }
}

/// How the kernel names the object with this state.
#[must_use]
pub fn node_of(stat: &Stat) -> u64 {
    stat.st_ino
}

/// Whether an error says that the disk, and not the request, is at fault.
#[must_use]
pub fn is_disk_failure(errno: Errno) -> bool {
    [
        Errno::IO,
        Errno::ROFS,
        Errno::NXIO,
        Errno::NODEV,
        Errno::BADMSG,
        Errno::UCLEAN,
        Errno::REMOTEIO,
        Errno::SHUTDOWN,
    ]
    .contains(&errno)
}

/// Opens a regular file of a tree for the comparison or an operation.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_file(inode: &Arc<Inode>, flags: OFlags) -> Result<OwnedFd, Errno> {
    let descriptor = inode.descriptor()?;
    sys::reopen(descriptor.as_fd(), flags)
}
