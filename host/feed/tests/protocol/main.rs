//! The feed against a scripted server on loopback: every case in which Alpaca's clients are known to fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod failing;
mod server;
mod sessions;
mod snapshots;
mod subscribing;
