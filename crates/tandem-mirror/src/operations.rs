//! What the application asks, carried out on the backing directory and told to the follower.
//!
//! Each operation that changes something runs inside [`Tree::change`] or [`Tree::change_in`]: one
//! system call, then whatever has to be read to describe its effect, then the number. What is told
//! is the effect that happened (the length written, the resulting mode and times), never the
//! request; what failed is not told.
//!
//! Permissions were checked by the kernel (`default_permissions`); here everything runs as root,
//! and only the owner of a new object is the caller's.
//!
//! **What is lost by a crash**: see [`crate::order`]; nothing here is answered before it is
//! numbered.

mod attributes;
mod contents;
mod names;

pub use self::attributes::{Changes, NewTime};
pub use self::contents::{OpenFile, WriteAt, seek};
pub use self::names::{Caller, NewName, NewObject};
