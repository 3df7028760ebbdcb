//! Market data types. They are validated when they are created.
//!
//! | concept | type |
//! |---|---|
//! | symbol | [`Symbol`], and [`SymbolId`] where a number is enough, from a [`SymbolTable`] |
//! | quote | [`Quote`], one row; [`QuoteColumns`], many |
//! | subscription | [`Subscription`]: the symbols to request from a feed |
//! | receiver | [`QuoteReceiver`]: takes the quotes of a feed |
//! | feed | [`FeedName`], what it quotes: [`AssetClass`], and how it is spoken to: [`Encoding`], [`AuthBy`] |
//!
//! Knows nothing of where quotes come from, clocks, tenants, or documents.

mod columns;
mod feed;
mod mid;
mod receiver;
mod subscription;
mod symbol;
mod symbol_table;

pub use columns::{Exchange, Quote, QuoteColumns, conditions};
pub use feed::{AssetClass, AuthBy, Encoding, FeedName};
pub use receiver::QuoteReceiver;
pub use subscription::Subscription;
pub use symbol::{Symbol, SymbolError};
pub use symbol_table::{SymbolId, SymbolTable};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
pub type UnixNanos = i64;
