//! Real-time priority for the one thread whose delay would look like the death of the node.

use std::io;

/// The lowest of the real-time priorities: ahead of every ordinary thread, behind whatever an
/// administrator chose to run in real time.
const PRIORITY: libc::c_int = 1;

/// Lets the calling thread run ahead of all ordinary ones. What it spawns does not inherit that.
///
/// # Errors
/// Not permitted, or not offered by the control group. The thread can go on as it was.
pub fn run_in_real_time() -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: 0 is the calling thread, and the parameters live through the call.
    let outcome = unsafe {
        let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
        libc::sched_setscheduler(0, policy, &raw const parameters)
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_real_time_or_is_told_why_not() {
        let outcome = std::thread::spawn(run_in_real_time)
            .join()
            .expect("the thread ends well");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    }
}
