//! The system calls of the demonstration that need `unsafe`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: neither data nor journal reach the disk any more.
const GOING_DOWN_WITHOUT_LOG_FLUSH: u32 = 2;

/// Whether the show shall end: set by Ctrl-C, SIGTERM and a closed terminal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether the show is over and only removes what it built.
static CLEARING: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interruption(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether somebody asked for the end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed) && !CLEARING.load(Ordering::Relaxed)
}

/// From now on nothing is interrupted any more: the stage is being cleared.
pub fn ignore_interruptions() {
    CLEARING.store(true, Ordering::Relaxed);
}

/// Lets SIGINT, SIGTERM and SIGHUP end the show in good order instead of at once.
pub fn catch_interruptions() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(note_interruption),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores into an atomic, which is async-signal-safe, and the
        // function outlives the process.
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

/// Takes the power from the ext4 file system that holds `directory`: dirty pages and the unwritten
/// journal are dropped, and every later access answers EIO.
pub fn shut_down_without_flush(directory: &Path) -> io::Result<()> {
    let directory = File::open(directory)?;
    let how = GOING_DOWN_WITHOUT_LOG_FLUSH;
    // SAFETY: the descriptor is open, and the argument points to the u32 that this request reads.
    let answer = unsafe {
        libc::ioctl(
            directory.as_raw_fd(),
            EXT4_IOC_SHUTDOWN as _,
            &raw const how,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The number of columns of the terminal on standard output.
pub fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: `size` is the structure that this request fills.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}
