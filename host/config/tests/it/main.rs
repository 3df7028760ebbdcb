//! Settings from files, environment and flags, as a person gives them.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bad_input;
mod documentation;
mod environment;
mod precedence;
mod secrets_and_noise;
mod support;
