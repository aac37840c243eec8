//! Speaks: the one binary, `tandem`.

fn main() {}
