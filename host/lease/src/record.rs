use std::collections::BTreeSet;
use std::time::Duration;

use quotegate_document::UnixNanos;

use crate::InstanceRole;

/// A process that wants the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The host's name, for people. Two hosts may have the same.
    pub instance: String,
    /// Distinguishes this process from all others, also from an earlier one of the same name.
    pub session: String,
    /// Where the host's page is, if others can reach it.
    pub address: Option<String>,
    /// The program's version.
    pub version: String,
}

impl Holder {
    /// A holder with a new session.
    pub fn new(instance: String, address: Option<String>, version: String) -> Self {
        Self { instance, session: format!("{:016x}", fastrand::u64(..)), address, version }
    }
}

/// The contents of the lease's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner's name. `None`: the last owner has released the lease.
    pub owner: Option<String>,
    /// The owner's session.
    pub session: String,
    /// Goes up by one with each owner.
    pub epoch: u64,
    /// Goes up with each renewal, so that every write changes the document.
    pub renewals: u64,
    /// How long others wait without a change before they take over.
    pub ttl: Duration,
    /// The owner's address.
    pub address: Option<String>,
    /// The owner's version of the program.
    pub version: String,
    /// When the owner took over, on its own clock. For people: no host compares it with another time.
    pub since: UnixNanos,
    /// Of a worker's lease only.
    pub worker: Option<WorkerState>,
}

/// What the lease of a worker says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerState {
    /// What the worker's process does.
    pub role: InstanceRole,
    /// How many shards there are, by its settings.
    pub shards: u16,
    /// The newest assignment that it knows.
    pub revision: u64,
    /// The shards that it holds, or may come to hold by the assignments that it knows.
    pub held: BTreeSet<u16>,
    /// It wants no shards any more.
    pub is_leaving: bool,
}

/// The document's update time: different after every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds.
    pub nanos: i32,
}

/// The document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its contents.
    pub record: Record,
    /// Its version.
    pub version: Version,
}

impl WorkerState {
    /// A worker that knows no assignment yet.
    pub(crate) fn new(role: InstanceRole, shards: u16) -> Self {
        Self { role, shards, revision: 0, held: BTreeSet::new(), is_leaving: false }
    }
}
