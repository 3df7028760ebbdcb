//! The words that every room shares, as types that cannot be wrong once they exist.
//!
//! | word | type |
//! |---|---|
//! | symbol | [`Symbol`], and [`SymbolId`] where a number is enough, from a [`SymbolTable`] |
//! | tenant | [`TenantId`] |
//! | quote | [`Quote`], one row; [`QuoteColumns`], many |
//! | feed | [`FeedName`], and how its messages are written: [`Encoding`], [`AuthBy`] |
//! | document | [`Document`]: a [`DocumentKey`] and [`Field`]s of [`Value`]s |
//!
//! Knows nothing of where quotes come from, of time passing, or of where documents go.

mod columns;
mod document;
mod symbol;
mod table;
mod tenant;
mod wire;

pub use columns::{Exchange, Quote, QuoteColumns, conditions};
pub use document::{Document, DocumentKey, Field, FieldPath, IdProblem, Value, WriteMode, check_id};
pub use symbol::{Symbol, SymbolProblem};
pub use table::{SymbolId, SymbolTable};
pub use tenant::{OnError, TenantId};
pub use wire::{AuthBy, Encoding, FeedName};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
/// Firestore keeps microseconds of it.
pub type UnixNanos = i64;
