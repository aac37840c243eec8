//! Tries: test hosts, fault injection, end-to-end tests and benchmarks.
//!
//! Two real servers (systemd as first process, an own disk, own network cards) and a client on one
//! machine; everything that happens to them is done from outside, and everything that is checked
//! is checked by code that shares nothing with the product. Never shipped.

pub mod bench;
pub mod browser;
pub mod client;
pub mod compare;
pub mod console;
pub mod e2e;
pub mod host;
pub mod lab;
pub mod linux;
pub mod mariadb;
pub mod noise;
pub mod postgres;
pub mod probe;
pub mod product;
pub mod repository;
pub mod shell;
pub mod switch;
pub mod wait;
pub mod watch;
