//! The system calls that have no safe wrapper.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `_IOR('X', 125, __u32)`: `EXT4_IOC_SHUTDOWN`, the same number as `XFS_IOC_GOINGDOWN`.
const IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// Neither dirty pages nor the journal's running transaction reach the disk.
const GOING_FLAGS_NOLOGFLUSH: u32 = 2;

/// Takes the power from the file system at `mount_point`: every dirty page and unwritten journal
/// transaction is dropped, and all later I/O fails. What is left on the device is what a power cut
/// at this instant leaves.
///
/// # Errors
/// The mount point cannot be opened, or its file system knows no such call.
pub fn cut_power_of(mount_point: &Path) -> io::Result<()> {
    let directory = File::open(mount_point)?;
    // SAFETY: the descriptor is open and the argument points to a `u32` that outlives the call,
    // which only reads it.
    let result =
        unsafe { libc::ioctl(directory.as_raw_fd(), IOC_SHUTDOWN, &GOING_FLAGS_NOLOGFLUSH) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The time since the boot of the machine in nanoseconds. All hosts share it.
#[must_use]
pub fn boottime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).expect("the boot clock starts at zero") * 1_000_000_000
        + u64::try_from(now.tv_nsec).expect("nanoseconds are not negative")
}
