//! End-to-end tests of the real program. One binary, because each one links the whole program.
//!
//! Tests in [`full`] need more than Rust or take long. They run only with `tests/run --all`, which selects them by module
//! name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // in a test, a panic is the message

mod check;
mod cli;
mod documents;
mod estimate;
mod faults;
mod fence;
mod firestore_indexes;
mod full;
mod harness;
mod heartbeat;
mod lease;
mod ops;
mod outage;
mod pause;
mod plugin_bench;
mod plugin_tools;
mod plugins;
mod precompile;
mod recordings;
mod relay;
mod reload;
mod shutdown;
mod snapshot;
mod status;
mod switches;
mod tls;
