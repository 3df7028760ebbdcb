//! Tests that need more than Rust and the Firestore emulator, or that take long. The reason for each:

/// Alpaca's client, from npm.
mod alpaca_js;
/// alpaca-py, from PyPI.
mod alpaca_py;
/// Builds plugins in Rust, which needs the wasm32-unknown-unknown target and takes long.
mod authoring;
/// Needs the image's files, from an optimized build.
mod container;
/// Uses all processors for half a minute.
mod fairness;
/// Frozen hosts and late requests, for many seconds of real time.
mod fence;
/// Chromium, and the Firebase SDK from npm.
mod firebase;
/// python3.
mod firestore_check;
/// Needs its own emulator, with security rules.
mod firestore_rules;
/// npm, PyPI, and the tools that build components from JavaScript and Python.
mod guests;
/// Builds a plugin in Rust, like `authoring`.
mod guide;
/// Several hosts for many seconds: leases expire in real time.
mod lease;
/// promtool.
mod monitoring;
/// Chromium.
mod page;
/// Several hosts and a NATS server for many seconds.
mod relay;
/// The same, with many tenants.
mod shards;
/// Over a minute until a symbol without quotes is noticed.
mod unquoted;
/// Chromium, and over 30 seconds until a heartbeat is stale.
mod visible;
