//! Puts the crates of the host together, runs them, and takes them apart again in order.
//!
//! | module | owns |
//! |---|---|
//! | [`host`] | a running host: start, reload, end |
//! | [`plugins`], [`precompile`] | from settings to chains that run; the standard components |
//! | `pause` | the kill switch: who may not write, and who says so |
//! | [`status`], [`liveness`], [`pulses`] | one look at the whole host |
//! | [`heartbeat`] | `tenants/{id}/ops/market_ingest` |
//! | [`log`] | log lines, and the latest errors among them |
//! | [`simulation`], [`recorded`], [`estimate`] | what a recording would come to |
//!
//! Knows nothing of HTTP or of the command line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

pub mod estimate;
pub mod heartbeat;
pub mod host;
pub mod liveness;
pub mod log;
mod pause;
pub mod pulses;
pub mod recorded;
pub mod simulation;
pub mod status;
