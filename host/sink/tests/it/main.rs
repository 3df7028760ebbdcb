//! The sink against Google's emulator, and against a Firestore that fails as told.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

mod common;
mod emulator;
mod fence;
mod log;
mod statuses;
