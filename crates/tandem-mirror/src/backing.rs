//! The plain directory of a volume, seen through whatever is mounted over it.
