//! A lock that lives as long as its open file, and dies with the process however it ends.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Takes the exclusive lock on the whole of `file`. `false`: another open file has it.
///
/// An open-file-description lock, because a classic one is lost when any descriptor of the file is
/// closed anywhere in the process.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether somebody else has a lock of either kind on `file`, which may be open for reading only.
pub fn is_locked(file: &File) -> io::Result<bool> {
    let mut found = whole(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(found.l_type != libc::F_UNLCK as libc::c_short)
}

const fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_by_others_until_it_ends() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let look = || is_locked(&File::open(file.path()).expect("it is there")).expect("a file");
        assert!(!look());
        let holder = file.reopen().expect("it is there");
        assert!(try_lock(&holder).expect("a file"));
        assert!(look());
        drop(holder);
        assert!(!look());
    }
}
