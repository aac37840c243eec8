//! The only unsafe code of this crate.

/// Lets the command's process leave this process's session, so that a signal for our terminal or
/// group is not one for it.
pub(crate) fn in_a_session_of_its_own(command: &mut tokio::process::Command) {
    // SAFETY: the closure runs between fork and exec; setsid is async-signal-safe, and the closure
    // allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}
