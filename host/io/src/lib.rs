//! What several crates need for files and connections: reading up to a limit, and words for what failed.
//!
//! Knows nothing of what is read or sent.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod connection;
mod file;

pub use connection::{connect_problem, listen_problem};
pub use file::{SECRET_LIMIT, TEXT_LIMIT, read, read_text};
