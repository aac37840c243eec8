//! Replies of the FUSE library: how each of them says no, and those that several operations share.

use super::convert::{attributes, errno_of};
use super::{BELIEVED, GENERATION};
use crate::inodes::Inode;
use crate::order::Refusal;
use fuser::{
    Errno, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};
use rustix::fs::Stat;
use std::sync::Arc;

/// Answers with an error.
pub(super) trait Refuse {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty)*) => { $(impl Refuse for $reply {
        fn refuse(self, errno: Errno) { self.error(errno); }
    })* };
}

refuse!(ReplyAttr ReplyCreate ReplyData ReplyDirectory ReplyDirectoryPlus ReplyEmpty ReplyEntry
    ReplyLseek ReplyOpen ReplyStatfs ReplyWrite ReplyXattr);

/// Answers what only reads: nothing of it waits for a permit.
pub(super) fn answer<R: Refuse, T>(reply: R, result: Result<T, Refusal>, ok: impl FnOnce(R, T)) {
    match result {
        Ok(result) => ok(reply, result),
        Err(Refusal::Because(errno)) => reply.refuse(errno_of(errno)),
        // Reading never declares a copy lost.
        Err(Refusal::Never) => reply.refuse(Errno::EIO),
    }
}

pub(super) fn entry(reply: ReplyEntry, (inode, stat): (Arc<Inode>, Stat)) {
    reply.entry(&BELIEVED, &attributes(inode.node, &stat), GENERATION);
}

/// The kernel asks first for the size, then for the value.
pub(super) fn sized(reply: ReplyXattr, size: u32, value: &[u8]) {
    if size == 0 {
        reply.size(value.len() as u32);
    } else if value.len() > size as usize {
        reply.error(Errno::ERANGE);
    } else {
        reply.data(value);
    }
}
