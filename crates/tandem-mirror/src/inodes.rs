//! The objects of a volume that the kernel, the comparison or a child of theirs refers to.
//!
//! An object lives here for as long as anything refers to it, so that it has one lock and one
//! object number at a time. The kernel knows it by its *node*, the inode number of the backing file
//! system (1 for the top directory, as FUSE demands): stable, so that hard links, archivers and
//! databases see what they would see without Tandem. The follower knows it by its *object number*,
//! which is never used twice.
//!
//! An inode number could be reused by the backing file system while we still mean the deleted file.
//! Therefore [`Inode::pin`] keeps a descriptor of every object that loses its last name.
//!
//! Descriptors of other objects are opened when needed, by handle, and the oldest are closed when
//! there are too many: a volume may have more files than a process may hold open.

use crate::linux::FileHandle;
use crate::source::SessionId;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tandem_wire::exclude::Below;
use tandem_wire::stream::{Name, ObjectNumber, ROOT_OBJECT};

/// The node of the top directory.
pub const ROOT_NODE: u64 = 1;
/// The most descriptors of a volume that are kept although nobody uses them: enough for a database,
/// and no more than a fourth of what the process may hold open.
const DESCRIPTORS_MAX: u64 = 16 << 10;

/// The first object number after [`ROOT_OBJECT`]; they are unique in the whole process.
static NEXT_OBJECT: AtomicU64 = AtomicU64::new(ROOT_OBJECT + 1);

/// One object.
pub struct Inode {
    /// How the kernel names it.
    pub node: u64,
    /// What it is.
    pub kind: FileType,
    handle: FileHandle,
    order: Mutex<()>,
    number: Arc<Number>,
    /// Names that the follower knows, while a comparison runs.
    names: AtomicU64,
    listed: AtomicU64,
    unlinked: AtomicBool,
    excluded: AtomicBool,
    below: Below,
    place: Mutex<Option<Place>>,
    descriptor: Mutex<Option<Arc<OwnedFd>>>,
    table: Weak<Table>,
}

impl std::fmt::Debug for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} object {}", self.node, self.object())
    }
}

/// On which side of the border of what is mirrored an object is.
pub struct Side {
    /// It is not mirrored itself.
    pub excluded: bool,
    /// What the names in it are, if it is a directory.
    pub below: Below,
}

/// How the follower names an object.
struct Number {
    object: AtomicU64,
    /// The session in which the follower knows it.
    session: AtomicU64,
    /// It is on its way to be forgotten.
    forgotten: AtomicBool,
}

impl Number {
    fn new(object: ObjectNumber) -> Self {
        Self {
            object: AtomicU64::new(object),
            session: AtomicU64::new(0),
            forgotten: AtomicBool::new(false),
        }
    }

    fn next() -> ObjectNumber {
        NEXT_OBJECT.fetch_add(1, Ordering::SeqCst)
    }
}

/// One name of an object.
#[derive(Clone)]
pub struct Place {
    /// The directory.
    pub parent: Arc<Inode>,
    /// The name in it.
    pub name: Name,
}

impl Inode {
    /// Takes the lock under which every effect on this object is applied and numbered (R6). A name
    /// lock, if needed too, is taken before.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the follower names it. May change while a comparison runs: to be read under the lock of
    /// the object or of the names.
    #[must_use]
    pub fn object(&self) -> ObjectNumber {
        self.number.object.load(Ordering::SeqCst)
    }

    /// Sets how many names the follower knows.
    pub fn set_names(&self, names: u64) {
        self.names.store(names, Ordering::SeqCst);
    }

    /// The follower was told one more name.
    pub fn add_name(&self) {
        self.names.fetch_add(1, Ordering::SeqCst);
    }

    /// The follower was told that a name is gone; says how many it still knows.
    pub fn remove_name(&self) -> u64 {
        let before = self.names.load(Ordering::SeqCst);
        self.set_names(before.saturating_sub(1));
        before.saturating_sub(1)
    }

    /// Whether the follower of this session knows the object number.
    #[must_use]
    pub fn is_known(&self, session: SessionId) -> bool {
        self.number.session.load(Ordering::SeqCst) == session.0
    }

    /// Remembers that it does.
    pub fn set_known(&self, session: SessionId) {
        self.number.session.store(session.0, Ordering::SeqCst);
    }

    /// Whether the entries of this directory are known to the follower of this session.
    #[must_use]
    pub fn is_listed(&self, session: SessionId) -> bool {
        self.listed.load(Ordering::SeqCst) == session.0
    }

    /// Remembers that they are.
    pub fn set_listed(&self, session: SessionId) {
        self.listed.store(session.0, Ordering::SeqCst);
    }

    /// Whether the last name is gone.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::SeqCst)
    }

    /// Whether it is not mirrored.
    #[must_use]
    pub fn is_excluded(&self) -> bool {
        self.excluded.load(Ordering::SeqCst)
    }

    /// It has a name that is mirrored, too. The caller holds a name lock.
    pub fn set_mirrored(&self) {
        self.excluded.store(false, Ordering::SeqCst);
    }

    /// What the names in this directory are.
    #[must_use]
    pub const fn below(&self) -> &Below {
        &self.below
    }

    /// Whether this is the top directory.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.node == ROOT_NODE
    }

    /// A name of the object, if one is remembered. Stable while a name lock is held.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.places().clone()
    }

    /// Remembers a name. The caller holds a name lock.
    pub fn set_place(&self, place: Option<Place>) {
        let before = std::mem::replace(&mut *self.places(), place);
        // May drop the last reference to a directory, which looks for its table.
        drop(before);
    }

    /// Remembers a name if none is remembered.
    pub fn offer_place(&self, parent: &Arc<Self>, name: &Name) {
        let mut place = self.places();
        if place.is_none() && !self.is_root() {
            *place = Some(Place {
                parent: parent.clone(),
                name: name.clone(),
            });
        }
    }

    /// Forgets this name if it is the remembered one.
    pub fn forget_place(&self, parent: &Self, name: &Name) {
        let mut place = self.places();
        let same = place
            .as_ref()
            .is_some_and(|p| std::ptr::eq(&*p.parent, parent) && p.name == *name);
        let before = if same { place.take() } else { None };
        drop(place);
        drop(before);
    }

    fn places(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An `O_PATH` descriptor of the object.
    ///
    /// # Errors
    /// `ESTALE` if the object is gone.
    pub fn descriptor(self: &Arc<Self>) -> Result<Arc<OwnedFd>, Errno> {
        let mut held = self.descriptors();
        if let Some(descriptor) = &*held {
            return Ok(descriptor.clone());
        }
        let table = self.table.upgrade().ok_or(Errno::STALE)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let descriptor = self
            .handle
            .open(table.volume.as_fd(), flags)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let descriptor = Arc::new(descriptor);
        *held = Some(descriptor.clone());
        drop(held);
        table.keep(self);
        Ok(descriptor)
    }

    /// Keeps the object from being freed, now that it loses its last name. Called before that.
    ///
    /// # Errors
    /// As [`Self::descriptor`].
    pub fn pin(self: &Arc<Self>) -> Result<(), Errno> {
        // Taken before the flag is set: the descriptor cannot be closed in between, because only
        // descriptors of objects without the flag are, and under the same lock.
        let descriptor = self.descriptor()?;
        self.unlinked.store(true, Ordering::SeqCst);
        *self.descriptors() = Some(descriptor);
        Ok(())
    }

    /// Takes [`Self::pin`] back: the removal failed, or another name exists.
    pub fn unpin(self: &Arc<Self>) {
        self.unlinked.store(false, Ordering::SeqCst);
        if let Some(table) = self.table.upgrade() {
            table.keep(self);
        }
    }

    fn descriptors(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.descriptor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.dropped(self);
        }
    }
}

/// All objects of one volume that are referred to.
pub struct Table {
    volume: OwnedFd,
    descriptors_max: usize,
    nodes: Mutex<HashMap<u64, Entry>>,
    kept: Mutex<VecDeque<Weak<Inode>>>,
    /// Object numbers that a follower knew and that nothing refers to any more.
    forgotten: Mutex<Vec<(SessionId, ObjectNumber)>>,
}

struct Entry {
    number: Arc<Number>,
    inode: Weak<Inode>,
    /// Held while the kernel refers to it.
    held: Option<Arc<Inode>>,
    lookups: u64,
}

impl Table {
    /// A table with the top directory, which stays.
    ///
    /// # Errors
    /// When the directory has no handle.
    pub fn new(volume: OwnedFd, below: Below) -> Result<(Arc<Self>, Arc<Inode>), Errno> {
        let handle = handle_of(volume.as_fd())?;
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors_max = files.map_or(DESCRIPTORS_MAX, |max| DESCRIPTORS_MAX.min(max / 4));
        let table = Arc::new(Self {
            volume,
            descriptors_max: descriptors_max as usize,
            nodes: Mutex::default(),
            kept: Mutex::default(),
            forgotten: Mutex::default(),
        });
        let side = Side {
            excluded: false,
            below,
        };
        let number = Number::new(ROOT_OBJECT);
        let root = table.make(ROOT_NODE, number, FileType::Directory, handle, side);
        table.nodes().insert(
            ROOT_NODE,
            Entry {
                number: root.number.clone(),
                inode: Arc::downgrade(&root),
                held: Some(root.clone()),
                // One that the kernel never gives back.
                lookups: 1,
            },
        );
        Ok((table, root))
    }

    /// Any descriptor on the volume's mount.
    #[must_use]
    pub fn volume(&self) -> BorrowedFd<'_> {
        self.volume.as_fd()
    }

    /// The object that the kernel means.
    #[must_use]
    pub fn held(&self, node: u64) -> Option<Arc<Inode>> {
        self.nodes().get(&node)?.held.clone()
    }

    /// The object with this inode number, if anything refers to it.
    #[must_use]
    pub fn find(&self, node: u64) -> Option<Arc<Inode>> {
        self.nodes().get(&node)?.inode.upgrade()
    }

    /// The object behind a descriptor, new or known. The caller holds a name lock.
    ///
    /// # Errors
    /// When it has no handle.
    pub fn enter(
        self: &Arc<Self>,
        node: u64,
        kind: FileType,
        descriptor: OwnedFd,
        side: Side,
    ) -> Result<Arc<Inode>, Errno> {
        let handle = handle_of(descriptor.as_fd())?;
        let mut nodes = self.nodes();
        if let Some(inode) = nodes.get(&node).and_then(|entry| entry.inode.upgrade()) {
            if inode.handle == handle {
                return Ok(inode);
            }
            // Cannot be while deleted objects are pinned. To mix two files up would be worse than
            // to refuse one.
            tracing::error!(node, "inode number reused while it was referred to");
            return Err(Errno::STALE);
        }
        if let Some(entry) = nodes.get(&node) {
            // The last reference to the number before is just being dropped: the follower must
            // forget it before it hears of the new one.
            self.forget_number(&entry.number);
        }
        let inode = self.make(node, Number::new(Number::next()), kind, handle, side);
        *inode.descriptors() = Some(Arc::new(descriptor));
        nodes.insert(
            node,
            Entry {
                number: inode.number.clone(),
                inode: Arc::downgrade(&inode),
                held: None,
                lookups: 0,
            },
        );
        drop(nodes);
        self.keep(&inode);
        Ok(inode)
    }

    fn make(
        self: &Arc<Self>,
        node: u64,
        number: Number,
        kind: FileType,
        handle: FileHandle,
        side: Side,
    ) -> Arc<Inode> {
        Arc::new(Inode {
            node,
            kind,
            handle,
            order: Mutex::new(()),
            number: Arc::new(number),
            names: AtomicU64::new(0),
            listed: AtomicU64::new(0),
            unlinked: AtomicBool::new(false),
            excluded: AtomicBool::new(side.excluded),
            below: side.below,
            place: Mutex::new(None),
            descriptor: Mutex::new(None),
            table: Arc::downgrade(self),
        })
    }

    /// The kernel was told of the object once more.
    pub fn remember(&self, inode: &Arc<Inode>) {
        if let Some(entry) = self.nodes().get_mut(&inode.node) {
            entry.lookups += 1;
            entry.held = Some(inode.clone());
        }
    }

    /// The kernel gives back as many times of having been told.
    pub fn forget(&self, node: u64, times: u64) {
        if node == ROOT_NODE {
            return;
        }
        let mut nodes = self.nodes();
        let Some(entry) = nodes.get_mut(&node) else {
            return;
        };
        entry.lookups = entry.lookups.saturating_sub(times);
        let released = if entry.lookups == 0 {
            entry.held.take()
        } else {
            None
        };
        drop(nodes);
        // Not under the lock: the last reference looks for its entry.
        drop(released);
    }

    /// Whether the kernel refers to the object.
    #[must_use]
    pub fn is_held(&self, inode: &Inode) -> bool {
        let nodes = self.nodes();
        nodes
            .get(&inode.node)
            .is_some_and(|entry| entry.held.is_some())
    }

    /// Takes the numbers that the follower of this session may forget.
    #[must_use]
    pub fn take_forgotten(&self, session: SessionId) -> Vec<ObjectNumber> {
        let mut forgotten = lock(&self.forgotten);
        let taken = std::mem::take(&mut *forgotten);
        drop(forgotten);
        let of_session = |(known, _): &(SessionId, ObjectNumber)| *known == session;
        taken
            .into_iter()
            .filter(of_session)
            .map(|(_, object)| object)
            .collect()
    }

    /// Gives an object that the follower cannot keep another number, under which it is unknown.
    /// The caller holds the name lock for writing and the object's.
    pub fn renumber(&self, inode: &Inode) {
        let Number {
            object, session, ..
        } = &*inode.number;
        let known = SessionId(session.swap(0, Ordering::SeqCst));
        let before = object.swap(Number::next(), Ordering::SeqCst);
        lock(&self.forgotten).push((known, before));
    }

    /// Those of [`Self::take_forgotten`] that the follower could not be told.
    pub fn give_back_forgotten(&self, session: SessionId, objects: Vec<ObjectNumber>) {
        let known = objects.into_iter().map(|object| (session, object));
        lock(&self.forgotten).extend(known);
    }

    fn dropped(&self, inode: &Inode) {
        let mut nodes = self.nodes();
        // A successor may have been entered already.
        let same = |entry: &Entry| Arc::ptr_eq(&entry.number, &inode.number);
        if nodes.get(&inode.node).is_some_and(same) {
            nodes.remove(&inode.node);
        }
        drop(nodes);
        self.forget_number(&inode.number);
    }

    fn forget_number(&self, number: &Number) {
        let session = SessionId(number.session.load(Ordering::SeqCst));
        if session.exists() && !number.forgotten.swap(true, Ordering::SeqCst) {
            let object = number.object.load(Ordering::SeqCst);
            lock(&self.forgotten).push((session, object));
        }
    }

    /// Remembers that an object has a descriptor, and closes the one that was opened first when
    /// there are too many.
    fn keep(&self, inode: &Arc<Inode>) {
        let mut kept = lock(&self.kept);
        kept.push_back(Arc::downgrade(inode));
        let oldest = if kept.len() > self.descriptors_max {
            kept.pop_front()
        } else {
            None
        };
        drop(kept);
        let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) else {
            return;
        };
        let mut held = oldest.descriptors();
        if !oldest.is_unlinked() {
            *held = None;
        }
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        lock(&self.nodes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handle_of(object: BorrowedFd<'_>) -> Result<FileHandle, Errno> {
    FileHandle::of(object).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
