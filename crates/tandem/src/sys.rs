//! What needs unsafe code, outside of the show.

/// Lets a function run when the process ends by itself.
pub fn at_exit(work: extern "C" fn()) {
    // SAFETY: a plain function without arguments that never unwinds; registered once. Without
    // room for it, the last lines of the log may be missing.
    unsafe { libc::atexit(work) };
}
