//! Apply, then number.
