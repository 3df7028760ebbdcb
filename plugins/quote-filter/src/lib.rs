//! The standard quote filter: settings in, one verdict byte a quote out.
//!
//! Nearly every rule is one pass over the columns it needs, so that the compiler can make vector code of it.
//! Knows nothing of the host, or of how a batch arrived.

mod config;
mod letters;
mod movement;
mod rules;
mod sessions;

pub use config::{Config, KEYS, Session, Settings, Treatment};
pub use rules::{REASONS, Rules};

quotegate_plugin_sdk::export_column_filter!(Rules);
