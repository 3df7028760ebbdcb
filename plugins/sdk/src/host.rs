//! What the host offers. In native tests, [`crate::testing::recorded`] returns the calls that were made.

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For debugging.
    Debug,
    /// Normal operation.
    Info,
    /// Something that someone should look at.
    Warn,
    /// Something failed.
    Error,
}

#[cfg(target_arch = "wasm32")]
use crate::wasm::host_calls as calls;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host_calls as calls;

/// Writes a line to the host's log. Lines beyond the rate that the settings allow are dropped.
pub fn log(level: Level, text: &str) {
    calls::log(level, text);
}

/// Adds to one of this plugin's own counters. Names: letters, digits, - and _, at most 64 characters; at most 64 names.
pub fn count(name: &str, delta: u64) {
    calls::count(name, delta);
}

/// Sets one of this plugin's own gauges. Names as for [`count`].
pub fn gauge(name: &str, value: f64) {
    calls::gauge(name, value);
}
