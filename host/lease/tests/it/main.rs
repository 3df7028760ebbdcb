//! The lease: its protocol against an adversary, elections among many, and the document in Google's emulator.

#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

mod elections;
mod emulator;
mod memory;
mod protocol;
mod shards;
