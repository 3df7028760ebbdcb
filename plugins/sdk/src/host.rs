//! What the host offers. In native tests [`crate::testing::recorded`] tells what was called.

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// Good to know.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

#[cfg(target_arch = "wasm32")]
use crate::wasm::host_calls as calls;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host_calls as calls;

/// Writes a line to the host's log, which drops lines over the rate that its settings allow.
pub fn log(level: Level, text: &str) {
    calls::log(level, text);
}

/// Adds to a counter of this plugin's own. Names: letters, digits, - and _, at most 64 characters; at most 64 names.
pub fn count(name: &str, delta: u64) {
    calls::count(name, delta);
}

/// Sets a gauge of this plugin's own. Names as for [`count`].
pub fn gauge(name: &str, value: f64) {
    calls::gauge(name, value);
}
