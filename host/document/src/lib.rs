//! Documents and their paths. The types are validated when they are created.
//!
//! | concept | type |
//! |---|---|
//! | tenant | [`TenantId`] |
//! | collection | [`CollectionPath`], below a tenant; [`Destination`], one for quotes; [`RootMirror`], the one outside |
//! | document | [`Document`]: a [`DocumentKey`] and [`Field`]s with [`Value`]s |
//!
//! Knows nothing of markets, clocks, or how documents are written.

mod collection;
mod destination;
mod document;
mod key;
mod tenant;

pub use collection::{CollectionPath, check_collection_path};
pub use destination::{Destination, DocumentShape};
pub use document::{Document, Field, FieldPath, IdError, Value, WriteMode, check_id};
pub use key::{DocumentKey, DocumentPath, RootMirror};
pub use tenant::{OnError, TenantId};

/// Nanoseconds since 1970-01-01 00:00 UTC: the unit of every wall-clock time in this program.
/// Firestore stores microseconds.
pub type UnixNanos = i64;
