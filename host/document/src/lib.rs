//! What is written, and where, as types that cannot be wrong once they exist.
//!
//! | word | type |
//! |---|---|
//! | tenant | [`TenantId`] |
//! | document | [`Document`]: a [`DocumentKey`] and [`Field`]s of [`Value`]s |
//!
//! Knows nothing of markets, of time passing, or of how documents are written.

mod document;
mod tenant;

pub use document::{Document, DocumentKey, Field, FieldPath, IdError, Value, WriteMode, check_id};
pub use tenant::{OnError, TenantId};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
/// Firestore keeps microseconds of it.
pub type UnixNanos = i64;
