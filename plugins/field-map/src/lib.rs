//! The standard field map: settings in, one document a quote out.
//!
//! Settings are compiled once, when the plugin is configured. Knows nothing of the host, or of where documents go.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod config;
mod field;
mod map;
mod source;
mod template;
mod time;

#[cfg(test)]
mod tests;

pub use config::{Config, FieldConfig, Nulls, Settings, Unit};
pub use map::FieldMap;

quotegate_plugin_sdk::export_map!(FieldMap);
