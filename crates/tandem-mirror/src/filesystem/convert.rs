//! Between the words of FUSE, of the system and of the stream.

use crate::operations::{Caller, NewTime};
use crate::order::Refusal;
use crate::sys;
use fuser::{Errno, FileAttr, FileType, INodeNo, Request, TimeOrNow};
use rustix::fs::Stat;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem_wire::stream::{Name, Timestamp};

pub(super) fn errno_of(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

pub(super) fn name_of(name: &OsStr) -> Result<Name, Refusal> {
    Name::new(name.as_bytes()).map_err(|_| {
        Refusal::Because(if name.len() > 255 {
            rustix::io::Errno::NAMETOOLONG
        } else {
            rustix::io::Errno::INVAL
        })
    })
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
    }
}

pub(super) fn time(time: Timestamp) -> SystemTime {
    let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds));
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    if time.seconds >= 0 {
        UNIX_EPOCH + seconds + nanoseconds
    } else {
        UNIX_EPOCH - seconds + nanoseconds
    }
}

pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: after.as_secs().cast_signed(),
            nanoseconds: after.subsec_nanos(),
        },
        Err(before) => {
            let before = before.duration();
            let whole = before.as_secs().cast_signed();
            match before.subsec_nanos() {
                0 => Timestamp {
                    seconds: -whole,
                    nanoseconds: 0,
                },
                part => Timestamp {
                    seconds: -whole - 1,
                    nanoseconds: 1_000_000_000 - part,
                },
            }
        }
    }
}

pub(super) fn new_time(time: TimeOrNow) -> NewTime {
    match time {
        TimeOrNow::Now => NewTime::Now,
        TimeOrNow::SpecificTime(time) => NewTime::At(timestamp(time)),
    }
}

pub(super) fn file_type(kind: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Kind;
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharacterDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::RegularFile | Kind::Unknown => FileType::RegularFile,
    }
}

pub(super) fn attributes(node: u64, stat: &Stat) -> FileAttr {
    let changed = Timestamp {
        seconds: stat.st_ctime,
        nanoseconds: stat.st_ctime_nsec as u32,
    };
    FileAttr {
        ino: INodeNo(node),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        atime: time(sys::access_time(stat)),
        mtime: time(sys::modification_time(stat)),
        ctime: time(changed),
        crtime: UNIX_EPOCH,
        kind: file_type(sys::file_type(stat)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        // The kernel's old form of 32 bits, which FUSE uses.
        rdev: kernel_device(stat.st_rdev),
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

pub(super) fn kernel_device(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

pub(super) fn device_number(device: u32) -> u64 {
    let major = (device & 0xf_ff00) >> 8;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    rustix::fs::makedev(major, minor)
}
