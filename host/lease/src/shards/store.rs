use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::{Assignment, StoredAssignment, Workers};
use crate::{Expected, LeaseStore, StoreError, Version};

/// A request on its way. It ends within the limit that it was given; what it writes may change even later.
pub type Requested<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Something now and after each change. May miss changes between two others. Ends after an error.
pub type Changes<T> = BoxStream<'static, Result<T, StoreError>>;

/// Where the workers' leases are, and the assignment.
pub trait ShardStore: Send + Sync {
    /// Where the lease of this session is.
    fn worker(&self, session: &str) -> Arc<dyn LeaseStore>;

    /// Reads all workers' leases: those with a [`WorkerState`](crate::WorkerState).
    fn workers(&self, limit: Duration) -> Requested<Workers>;

    /// Listens to all workers' leases.
    fn worker_changes(&self) -> Changes<Workers>;

    /// Reads the assignment; `None` if it does not exist.
    fn assignment(&self, limit: Duration) -> Requested<Option<StoredAssignment>>;

    /// Listens to the assignment.
    fn assignment_changes(&self) -> Changes<Option<StoredAssignment>>;

    /// Replaces the assignment if it is the expected one.
    fn write_assignment(&self, assignment: &Assignment, expected: Expected, limit: Duration) -> Requested<Version>;
}
