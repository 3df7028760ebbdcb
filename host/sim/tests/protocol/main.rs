//! The simulator's protocol: every rule over a real websocket, in both encodings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authentication;
mod client;
mod faults;
mod quotes;
mod rest;
mod scenario;
mod subscribing;
