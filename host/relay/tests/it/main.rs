//! The relay through a real NATS server with the shipped configuration.

#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

mod authentication;
mod common;
mod delivery;
mod outages;
mod slow;
mod tls;
