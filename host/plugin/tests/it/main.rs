//! Plugins as the host calls them: well-behaved ones, hostile ones, and the standard ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod acceptance;
mod common;
mod hostile;
mod instance;
mod limits;
mod neighbours;
mod standard;
