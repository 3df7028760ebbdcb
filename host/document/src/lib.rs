//! Documents and their paths. The types are validated when they are created.
//!
//! | concept | type |
//! |---|---|
//! | tenant | [`TenantId`] |
//! | document | [`Document`]: a [`DocumentKey`] and [`Field`]s with [`Value`]s |
//!
//! Knows nothing of markets, clocks, or how documents are written.

mod document;
mod tenant;

pub use document::{Document, DocumentKey, Field, FieldPath, IdError, Value, WriteMode, check_id};
pub use tenant::{OnError, TenantId};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
/// Firestore stores microseconds.
pub type UnixNanos = i64;
