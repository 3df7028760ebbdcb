//! The real program, end to end. One binary, because each would link the whole program again.
//!
//! What is in [`full`] needs more than Rust, or takes long: `tests/run` leaves it to `tests/run --all`, by the name of
//! this module.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // in a test, a panic is the message

mod cli;
mod documents;
mod estimate;
mod faults;
mod firestore_indexes;
mod full;
mod harness;
mod ops;
mod outage;
mod pause;
mod plugin_bench;
mod plugin_desk;
mod plugins;
mod precompile;
mod recordings;
mod reload;
mod shutdown;
mod status;
mod tls;
