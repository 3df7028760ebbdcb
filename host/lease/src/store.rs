use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::{Document, Record, Version};

/// What a write replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: there is no document.
    Absent,
    /// This version.
    Version(Version),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The document is not the expected one. Nothing was written.
    #[error("the lease has changed in the meantime")]
    Conflict,
    /// No answer, or an error. A write may have been applied, or may be applied later.
    #[error("Firestore did not answer a request for the lease: {0}")]
    Unanswered(String),
    /// The document is not a lease.
    #[error("{document}: {field} must be {expects}; correct the field, or delete the document while no host runs")]
    Malformed {
        /// The document's path.
        document: String,
        /// The field.
        field: &'static str,
        /// What it must be.
        expects: &'static str,
    },
}

/// The document as it was found; `None` if it does not exist.
pub(crate) type Found = Result<Option<Document>, StoreError>;

/// Where the lease's document is.
pub trait LeaseStore: Send + Sync {
    /// Reads the document. Ends within `limit`.
    fn read(&self, limit: Duration) -> BoxFuture<'_, Found>;

    /// Replaces the document if it is the expected one, and returns the new version. Ends within `limit`; the document may
    /// change even later.
    fn write<'a>(
        &'a self,
        record: &'a Record,
        expected: Expected,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Version, StoreError>>;

    /// The document now and after each change. May miss changes between two others. Ends after an error.
    fn changes(&self) -> BoxStream<'static, Found>;
}
