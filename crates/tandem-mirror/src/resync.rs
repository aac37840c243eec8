//! Comparing the whole tree inside the live stream.
