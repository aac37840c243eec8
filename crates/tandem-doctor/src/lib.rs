//! Examines: whether two machines can be a pair, and stay one.
//!
//! Three steps that know nothing of each other's insides. [`look`] collects the facts of one
//! machine and judges nothing; [`checks`] are pure functions over the facts of both, one noun in
//! each file, so that each can be made to fail in a test; [`fix`] repairs what is safe to repair on
//! request. How the facts of the other node come here is not known to this crate.

pub mod checks;
pub mod facts;
pub mod finding;
pub mod fix;
pub mod look;
pub mod subject;

pub use checks::{Examination, examine};
pub use facts::{Facts, Looked};
pub use finding::{Finding, Fix, Verdict};
pub use subject::Subject;
