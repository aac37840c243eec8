//! Names: creating, linking, renaming and removing objects in directories that are held open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, linkat, mkdirat, mknodat,
    openat, openat2, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;
use tandem_wire::stream::{Name, ObjectKind};

use super::error::{ApplyError, on, on_name};
use super::objects::Kind;
use super::{Place, Replica, attributes};
use crate::backing::{HIDDEN, Volume};
use crate::sys;

/// Where directories wait for being emptied, inside [`HIDDEN`].
const REMOVED: &str = "removed";

/// What stands at a name: opened without following or touching it.
pub(super) struct Found {
    pub(super) descriptor: OwnedFd,
    pub(super) stat: Stat,
}

impl Found {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.stat)
    }
}

/// Looks at a name in a directory, whatever it is.
pub(super) fn look(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Found>, ApplyError> {
    match open_name(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW,
        Mode::empty(),
    ) {
        Ok(descriptor) => {
            let stat = attributes::stat(descriptor.as_fd())?;
            Ok(Some(Found { descriptor, stat }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(on_name("look up", directory, name)(error)),
    }
}

fn open_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(directory, name, flags | OFlags::CLOEXEC, mode, resolve)
}

impl Replica {
    pub(super) fn introduce(
        &mut self,
        place: Place,
        parent: Place,
        name: &Name,
    ) -> Result<(), ApplyError> {
        Self::check_name(parent, name)?;
        let objects = self.objects_of(place.volume)?;
        let directory = objects.directory(parent.object)?;
        let missing = || on_name("look up", directory.as_fd(), name.as_bytes())(Errno::NOENT);
        let found = look(directory.as_fd(), name.as_bytes())?.ok_or_else(missing)?;
        objects.bind(place.object, found.descriptor.as_fd(), &found.stat)
    }

    /// Makes a new object with the narrowest mode; its attributes are set next.
    pub(super) fn create(
        &mut self,
        place: Place,
        parent: Place,
        name: &Name,
        kind: &ObjectKind,
    ) -> Result<(), ApplyError> {
        Self::check_name(parent, name)?;
        let objects = self.objects_of(place.volume)?;
        if objects.knows(place.object) {
            return Err(ApplyError::Known(place.object));
        }
        let directory = objects.directory(parent.object)?;
        if *kind == ObjectKind::Directory {
            self.clear_excluded(parent, directory.as_fd(), name.as_bytes())?;
        }
        let descriptor = make(directory.as_fd(), name.as_bytes(), kind).map_err(on_name(
            "create",
            directory.as_fd(),
            name.as_bytes(),
        ))?;
        let stat = attributes::stat(descriptor.as_fd())?;
        let objects = self.objects_of(place.volume)?;
        objects.bind(place.object, descriptor.as_fd(), &stat)?;
        objects.keep(place.object, descriptor);
        Ok(())
    }

    pub(super) fn create_unnamed(&mut self, place: Place) -> Result<(), ApplyError> {
        let objects = self.objects_of(place.volume)?;
        if objects.knows(place.object) {
            return Err(ApplyError::Known(place.object));
        }
        let root = objects.volume().directory.as_fd();
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let descriptor = openat(root, ".", flags, Mode::RUSR | Mode::WUSR)
            .map_err(on("create a file without a name in", root))?;
        let stat = attributes::stat(descriptor.as_fd())?;
        objects.bind(place.object, descriptor.as_fd(), &stat)?;
        objects.keep(place.object, descriptor);
        objects.pin(place.object)
    }

    pub(super) fn link(
        &mut self,
        place: Place,
        parent: Place,
        name: &Name,
    ) -> Result<(), ApplyError> {
        Self::check_name(parent, name)?;
        let objects = self.objects_of(place.volume)?;
        let directory = objects.directory(parent.object)?;
        let object = objects.descriptor(place.object)?;
        linkat(
            &object,
            "",
            &directory,
            name.as_bytes(),
            AtFlags::EMPTY_PATH,
        )
        .map_err(on_name("link", directory.as_fd(), name.as_bytes()))?;
        objects.unpin(place.object);
        Ok(())
    }

    pub(super) fn unlink(&mut self, parent: Place, name: &Name) -> Result<(), ApplyError> {
        Self::check_name(parent, name)?;
        let directory = self.objects_of(parent.volume)?.directory(parent.object)?;
        self.pin_if_last(parent, directory.as_fd(), name.as_bytes())?;
        unlinkat(&directory, name.as_bytes(), AtFlags::empty()).map_err(on_name(
            "unlink",
            directory.as_fd(),
            name.as_bytes(),
        ))
    }

    pub(super) fn remove_directory(
        &mut self,
        parent: Place,
        name: &Name,
    ) -> Result<(), ApplyError> {
        Self::check_name(parent, name)?;
        let directory = self.objects_of(parent.volume)?.directory(parent.object)?;
        self.pin_if_last(parent, directory.as_fd(), name.as_bytes())?;
        match unlinkat(&directory, name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) => Ok(()),
            // Before its turn came to be listed, it may hold what the source never had; and at any
            // time what is not mirrored.
            Err(Errno::NOTEMPTY) if self.may_be_filled(parent, directory.as_fd(), name)? => {
                self.remove_tree(parent.volume, directory.as_fd(), name.as_bytes())
            }
            Err(error) => Err(on_name(
                "remove the directory",
                directory.as_fd(),
                name.as_bytes(),
            )(error)),
        }
    }

    pub(super) fn rename(
        &mut self,
        (from, from_name): (Place, &Name),
        (to, to_name): (Place, &Name),
    ) -> Result<(), ApplyError> {
        Self::check_name(from, from_name)?;
        Self::check_name(to, to_name)?;
        let objects = self.objects_of(from.volume)?;
        let source = objects.directory(from.object)?;
        let target = objects.directory(to.object)?;
        let name = to_name.as_bytes();
        self.pin_if_last(to, target.as_fd(), name)?;
        let rename = || {
            let flags = RenameFlags::empty();
            renameat_with(&source, from_name.as_bytes(), &target, name, flags)
        };
        match rename() {
            Err(Errno::NOTEMPTY | Errno::EXIST)
                if self.may_be_filled(to, target.as_fd(), to_name)? =>
            {
                self.remove_tree(to.volume, target.as_fd(), name)?;
                rename()
            }
            // A directory takes the place of a file that is only here.
            Err(Errno::NOTDIR) => {
                self.clear_excluded(to, target.as_fd(), name)?;
                rename()
            }
            other => other,
        }
        .map_err(on_name("rename to", target.as_fd(), name))
    }

    pub(super) fn exchange(
        &mut self,
        (from, from_name): (Place, &Name),
        (to, to_name): (Place, &Name),
    ) -> Result<(), ApplyError> {
        Self::check_name(from, from_name)?;
        Self::check_name(to, to_name)?;
        let objects = self.objects_of(from.volume)?;
        let source = objects.directory(from.object)?;
        let target = objects.directory(to.object)?;
        let name = to_name.as_bytes();
        let flags = RenameFlags::EXCHANGE;
        renameat_with(&source, from_name.as_bytes(), &target, name, flags).map_err(on_name(
            "exchange with",
            target.as_fd(),
            name,
        ))
    }

    /// Whether a directory that is empty at the source may have something in it here.
    fn may_be_filled(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        name: &Name,
    ) -> Result<bool, ApplyError> {
        if self.comparing.is_some() {
            return Ok(true);
        }
        let volume = self.objects_of(parent.volume)?.volume();
        if volume.exclude.is_empty() {
            return Ok(false);
        }
        let path = path_of(volume, directory, name.as_bytes());
        if path
            .map_err(on_name("find", directory, name.as_bytes()))?
            .is_some_and(|path| volume.exclude.empties(&path))
        {
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let inside = open_name(directory, name.as_bytes(), flags, Mode::empty())
            .map_err(on_name("open", directory, name.as_bytes()))?;
        for entry in sys::list(inside.as_fd()).map_err(on("list", inside.as_fd()))? {
            let kind = entry_kind(inside.as_fd(), &entry)?;
            if kind == Kind::Directory || !volume.exclude.matches(&entry.name) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a file that is not mirrored, from a name that a directory gets.
    fn clear_excluded(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), ApplyError> {
        let volume = self.objects_of(parent.volume)?.volume();
        if !volume.exclude.matches(name) {
            return Ok(());
        }
        match look(directory, name)? {
            Some(found) if found.kind() != Kind::Directory => {
                self.remove_entry(parent, directory, name, found.kind())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Holds the object at a name whose removal would be its end, if the source knows it.
    fn pin_if_last(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), ApplyError> {
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // The operation itself says what is wrong, if anything is.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(on_name("look up", directory, name)(error)),
        };
        let objects = self.objects_of(parent.volume)?;
        let last = stat.st_nlink <= 1 || Kind::of(&stat) == Kind::Directory;
        match objects.bound(stat.st_ino) {
            Some(number) if last => objects.pin(number),
            Some(_) | None => Ok(()),
        }
    }

    /// Removes whatever stands at a name, with everything below it.
    pub(super) fn remove_entry(
        &mut self,
        parent: Place,
        directory: BorrowedFd<'_>,
        name: &[u8],
        kind: Kind,
    ) -> Result<(), ApplyError> {
        match kind {
            Kind::Directory => self.remove_tree(parent.volume, directory, name),
            Kind::File | Kind::Symlink | Kind::Special => {
                self.pin_if_last(parent, directory, name)?;
                unlinkat(directory, name, AtFlags::empty())
                    .map_err(on_name("unlink", directory, name))
            }
        }
    }

    /// Removes a directory with everything below it. Each directory is moved out of the tree
    /// before it is emptied, so that the depth of the tree costs neither descriptors nor stack.
    fn remove_tree(
        &mut self,
        volume: u16,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), ApplyError> {
        let removed = self.removed_directory(volume)?;
        let mut moved = 0_u64;
        move_aside(directory, name, removed.as_fd(), &mut moved)?;
        self.empty(volume, removed.as_fd(), moved)
    }

    /// Removes what an interrupted removal left.
    pub(super) fn finish_removals(&mut self, volume: u16) -> Result<(), ApplyError> {
        let removed = self.removed_directory(volume)?;
        let left = sys::list(removed.as_fd()).map_err(on("list", removed.as_fd()))?;
        // Numbered anew, so that the numbers of this removal and of the former do not meet.
        let mut moved = left.len() as u64 + 1_000_000_000;
        for entry in left {
            move_aside(removed.as_fd(), &entry.name, removed.as_fd(), &mut moved)?;
            self.empty(volume, removed.as_fd(), moved)?;
        }
        Ok(())
    }

    fn removed_directory(&mut self, volume: u16) -> Result<OwnedFd, ApplyError> {
        let root = self.objects_of(volume)?.volume().directory.as_fd();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let hidden = open_name(root, HIDDEN.as_bytes(), flags, Mode::empty()).map_err(on_name(
            "open",
            root,
            HIDDEN.as_bytes(),
        ))?;
        match mkdirat(&hidden, REMOVED, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(on("create a directory in", hidden.as_fd())(error)),
        }
        open_name(hidden.as_fd(), REMOVED.as_bytes(), flags, Mode::empty())
            .map_err(on("open a directory in", hidden.as_fd()))
    }

    /// Empties and removes the newest of the directories that were moved aside, and all that it
    /// contains.
    fn empty(
        &mut self,
        volume: u16,
        removed: BorrowedFd<'_>,
        mut moved: u64,
    ) -> Result<(), ApplyError> {
        let place = Place { volume, object: 0 };
        let mut waiting = vec![moved];
        while let Some(number) = waiting.pop() {
            let name = number.to_string();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let directory = open_name(removed, name.as_bytes(), flags, Mode::empty())
                .map_err(on_name("open", removed, name.as_bytes()))?;
            let inside = directory.as_fd();
            let objects = self.objects_of(volume)?;
            if let Some(number) = objects.bound(attributes::stat(inside)?.st_ino) {
                objects.pin(number)?;
            }
            for entry in sys::list(inside).map_err(on("list", inside))? {
                if entry_kind(inside, &entry)? == Kind::Directory {
                    move_aside(inside, &entry.name, removed, &mut moved)?;
                    waiting.push(moved);
                } else {
                    self.remove_entry(place, inside, &entry.name, Kind::File)?;
                }
            }
            unlinkat(removed, &name, AtFlags::REMOVEDIR).map_err(on_name(
                "remove the directory",
                removed,
                name.as_bytes(),
            ))?;
        }
        Ok(())
    }
}

/// The path of a name from the top of its volume; `None` if its directory is elsewhere.
fn path_of(
    volume: &Volume,
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> Result<Option<Vec<u8>>, Errno> {
    let path = |descriptor: BorrowedFd<'_>| {
        rustix::fs::readlink(sys::descriptor_path(descriptor), Vec::new())
    };
    let (top, here) = (path(volume.directory.as_fd())?, path(directory)?);
    let below = here.to_bytes().strip_prefix(top.to_bytes());
    Ok(below.map(|below| match below.strip_prefix(b"/") {
        Some(below) => [below, b"/", name].concat(),
        None => name.to_vec(),
    }))
}

/// The kind of a listed entry, asked for where the file system did not say it.
pub(super) fn entry_kind(
    directory: BorrowedFd<'_>,
    entry: &sys::DirectoryEntry,
) -> Result<Kind, ApplyError> {
    Ok(match entry.kind {
        FileType::Directory => Kind::Directory,
        FileType::Unknown => match look(directory, &entry.name)? {
            Some(found) => found.kind(),
            None => Kind::Special,
        },
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            Kind::Special
        }
    })
}

fn move_aside(
    directory: BorrowedFd<'_>,
    name: &[u8],
    removed: BorrowedFd<'_>,
    moved: &mut u64,
) -> Result<(), ApplyError> {
    *moved += 1;
    let flags = RenameFlags::NOREPLACE;
    renameat_with(directory, name, removed, moved.to_string(), flags).map_err(on_name(
        "move aside",
        directory,
        name,
    ))
}

/// Makes an object and opens it as [`Kind`] is opened.
pub(super) fn make(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: &ObjectKind,
) -> Result<OwnedFd, Errno> {
    let mode = Mode::RUSR | Mode::WUSR;
    let named = OFlags::PATH | OFlags::NOFOLLOW;
    match kind {
        ObjectKind::File => {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            open_name(directory, name, flags | OFlags::NOATIME, mode)
        }
        ObjectKind::Directory => {
            mkdirat(directory, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NOATIME;
            open_name(directory, name, flags, Mode::empty())
        }
        ObjectKind::Symlink(target) => {
            symlinkat(target.as_slice(), directory, name)?;
            open_name(directory, name, named, Mode::empty())
        }
        ObjectKind::Fifo => make_node(directory, name, FileType::Fifo, 0),
        ObjectKind::Socket => make_node(directory, name, FileType::Socket, 0),
        ObjectKind::CharacterDevice(device) => {
            make_node(directory, name, FileType::CharacterDevice, *device)
        }
        ObjectKind::BlockDevice(device) => {
            make_node(directory, name, FileType::BlockDevice, *device)
        }
    }
}

fn make_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: u64,
) -> Result<OwnedFd, Errno> {
    mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, device)?;
    open_name(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW,
        Mode::empty(),
    )
}
