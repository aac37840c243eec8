//! Which role the process has.
