//! Write filters and maps for quotegate in plain Rust.
//!
//! ```
//! use quotegate_plugin_sdk::{Filter, QuoteView, Verdict, export_filter};
//!
//! struct Cheap { floor: f64 }
//!
//! impl Filter for Cheap {
//!     type Config = std::collections::BTreeMap<String, f64>;
//!     const REASONS: &'static [&'static str] = &["cheap"];
//!     fn new(_tenant: &str, config: Self::Config) -> Result<Self, String> {
//!         Ok(Self { floor: *config.get("floor").ok_or("Give `floor`, a price in USD.")? })
//!     }
//!     fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict {
//!         if quote.bid_price < self.floor { Verdict::Refuse("cheap") } else { Verdict::Keep }
//!     }
//! }
//! export_filter!(Cheap);
//! ```
//!
//! A plugin crate is a `cdylib` (and an `rlib` for its tests). `quotegate plugin new` creates one;
//! `quotegate plugin build` makes a component of it. Under `cargo test`, [`testing`] takes the place of the host.
//!
//! A panic goes to the host's log with its message and place, and ends the call.
//!
//! The feature `heap`, on by default, sets a global allocator that is fast for short-lived lists.
//!
//! Knows nothing of the host's code: only the WIT is shared.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, missing_docs, unreachable_pub, unused_imports, clippy::all, reason = "generated")]
mod bindings;
pub mod config;
mod document;
mod filter;
#[cfg(any(test, all(target_arch = "wasm32", feature = "heap")))]
mod heap;
pub mod host;
mod map;
#[cfg(any(test, target_arch = "wasm32"))]
mod panics;
mod quotes;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use document::{Document, Value};
pub use filter::{ColumnFilter, Filter, Rows, Verdict};
pub use map::Map;
pub use quotes::{Column, Columns, Conditions, QuoteColumns, QuoteView};

mod export;
#[doc(hidden)]
pub use export::{check_column_filter, check_map};

#[cfg(all(target_arch = "wasm32", feature = "heap"))]
#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// Used by the macros; not public API.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::exports::quotegate::plugin::{filter, lifecycle, mapping};
    pub use crate::bindings::quotegate::plugin::types;
    pub use crate::bindings::{FILTER_PLUGIN, MAP_PLUGIN, PLUGIN};
    pub use crate::wasm::{Both, FilterOnly, MapOnly, Plugin, configure, filter_quotes, map_quotes};
}
