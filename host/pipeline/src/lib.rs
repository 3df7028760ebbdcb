//! What happens to a quote between the feed and the sink.
//!
//! | module | owns |
//! |---|---|
//! | [`router`] | which tenant wants which symbol |
//! | [`inbox`] | quotes that wait for a tenant; the reader's side never waits |
//! | [`budget`] | which tenant may write next |
//! | [`tenant`] | latest quotes, what is due, plugins, documents |
//! | [`pause`] | what holds one tenant back |
//! | [`latency`] | how long quotes take |
//! | [`simulation`] | the same tenants in the time of a recording |
//!
//! Knows nothing of the websocket, of HTTP, of files of settings or of recordings, or of the command line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

pub mod budget;
pub mod clock;
pub mod inbox;
pub mod latency;
pub mod pause;
pub mod router;
pub mod simulation;
pub mod tenant;
