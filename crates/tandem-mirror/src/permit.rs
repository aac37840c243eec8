//! Until when mutations are accepted.
