//! What a market says, as types that cannot be wrong once they exist.
//!
//! | word | type |
//! |---|---|
//! | symbol | [`Symbol`], and [`SymbolId`] where a number is enough, from a [`SymbolTable`] |
//! | quote | [`Quote`], one row; [`QuoteColumns`], many |
//! | subscription | [`Subscription`]: the symbols that a feed is asked for |
//! | receiver | [`QuoteReceiver`]: what takes the quotes of a feed |
//! | feed | [`FeedName`], and how its messages are written: [`Encoding`], [`AuthBy`] |
//!
//! Knows nothing of where quotes come from, of time passing, of tenants, or of documents.

mod columns;
mod receiver;
mod subscription;
mod symbol;
mod table;
mod wire;

pub use columns::{Exchange, Quote, QuoteColumns, conditions};
pub use receiver::QuoteReceiver;
pub use subscription::Subscription;
pub use symbol::{Symbol, SymbolError};
pub use table::{SymbolId, SymbolTable};
pub use wire::{AuthBy, Encoding, FeedName};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
pub type UnixNanos = i64;
