//! What happens to a quote between the feed and the sink.
//!
//! | module | owns |
//! |---|---|
//! | [`router`] | which tenants want which symbol |
//! | [`inbox`] | quotes that wait for a tenant; the router never waits |
//! | [`budget`] | which tenant may write next |
//! | [`tenant`] | latest quotes, what is due, plugins, documents |
//! | [`pause`] | whether a tenant is paused |
//! | [`latency`] | how long quotes take |
//! | [`simulation`] | the same tenants, driven by a recording's time |
//!
//! Knows nothing of the websocket, HTTP, settings files, recording files, or the command line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

pub mod budget;
pub mod clock;
pub mod inbox;
pub mod latency;
pub mod pause;
pub mod router;
pub mod simulation;
pub mod tenant;
