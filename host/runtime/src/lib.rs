//! Starts the parts of the host, runs them, and stops them in order.
//!
//! | module | owns |
//! |---|---|
//! | [`host`] | a running host: start, reload, shutdown |
//! | `ownership` | this host's part among several: when it gets and loses the lease, and what it tells the others |
//! | `relay`, `feed_view` | quotes through the relay, and what is known of the feed at its other end |
//! | `pause` | which tenants may not write, and why |
//! | [`status`], [`liveness`], [`watchdog`] | snapshots of the whole host, and whether it is alive |
//! | [`heartbeat`] | `tenants/{id}/ops/market_ingest` |
//! | [`log`], [`text`] | log lines, the latest errors among them, and how they are worded |
//! | [`simulation`], [`recorded`], [`estimate`] | what the settings do with a recording |
//!
//! Knows nothing of HTTP or of the command line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

pub mod estimate;
mod feed_view;
pub mod heartbeat;
pub mod host;
pub mod liveness;
pub mod log;
mod ownership;
mod pause;
pub mod recorded;
mod relay;
pub mod simulation;
pub mod status;
pub mod text;
pub mod watchdog;
