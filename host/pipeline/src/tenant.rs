//! One tenant: its latest quotes, which of them are due, and the documents made from them.
//!
//! ```text
//! inbox ─▶ filter ─▶ latest ─▶ due ─▶ token ─▶ map ─▶ order ─▶ sink
//!                      ▲                                        │
//!                      └───────────────── outcome ──────────────┘
//! ```
//!
//! | part | owns |
//! |---|---|
//! | `TenantCore` | every decision; no IO, no clock |
//! | [`TenantTask`] | drives the core in real time, with an inbox, a budget and a sink |
//! | `simulation` | drives the same core in the time of a recording |
//! | [`TenantStatus`] | the numbers that others read while the task runs |
//!
//! Knows nothing of the websocket or of other tenants.

mod core;
mod counters;
mod destinations;
mod document;
mod in_flight;
mod io;
mod live_quotes;
mod plugin_stage;
mod spec;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod write_order;

pub(crate) use self::core::TenantCore;
pub use self::core::Unflushed;
pub use counters::{CounterInfo, CounterKind, TenantCounters};
pub use io::{TenantIo, TenantUpdate};
pub use live_quotes::{LiveQuote, LiveQuoteChanges, LiveQuotes};
pub use plugin_stage::FilteredQuote;
pub use spec::TenantSpec;
pub use status::{CollectionCounters, TenantSnapshot, TenantStatus};
pub use task::TenantTask;
pub(crate) use write_order::Outgoing;
