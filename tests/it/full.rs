//! Tests that need more than Rust and the Firestore emulator, or that take long for a reason. Why each is here:

/// alpaca-py, from PyPI.
mod alpaca_py;
/// Builds plugins in Rust: the target wasm32-unknown-unknown, and a compiler's time.
mod authoring;
/// The image's files, from an optimized build.
mod container;
/// python3.
mod firestore_check;
/// An emulator with rules of its own.
mod firestore_rules;
/// npm, PyPI, and the tools that make components of JavaScript and Python.
mod guests;
/// Builds a plugin in Rust, as `authoring` does.
mod guide;
/// promtool.
mod monitoring;
/// Chromium.
mod page;
/// Chromium, and more than half a minute of silence until a host is called stale.
mod visible;
