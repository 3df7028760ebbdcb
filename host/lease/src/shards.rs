//! Which worker owns which shard of the tenants.

mod status;

use std::sync::Arc;
use std::time::Duration;

use quotegate_sink::FirestoreSettings;
use serde::{Deserialize, Serialize};

use crate::firestore::Database;
use crate::{Clock, Holder, LeaseHandle};

pub use status::{ShardsHandle, ShardsSnapshot, WorkerSnapshot};

/// The shard of a tenant, below `shards`.
///
/// FNV-1a over the bytes of the tenant's id, mixed by MurmurHash3's finalizer: all instances must agree, also those of
/// different versions, so this never changes.
pub fn shard_of(tenant: &str, shards: u16) -> u16 {
    let fnv = tenant
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let hash = hash ^ (hash >> 33);
    u16::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceRole {
    /// It competes for the feed, and works.
    All,
    /// It competes for the feed.
    Reader,
    /// It works.
    Worker,
}

/// How an instance takes part.
#[derive(Clone)]
pub struct ShardSettings {
    /// The process.
    pub holder: Holder,
    /// What it does.
    pub role: InstanceRole,
    /// How many shards there are.
    pub shards: u16,
    /// How long the coordinator waits for a silent worker.
    pub ttl: Duration,
    /// The clock.
    pub clock: Clock,
}

/// Where the documents of workers and shards are.
pub trait ShardStore: Send + Sync {}

/// The documents of workers and shards in a Firestore database.
pub struct FirestoreShardStore {
    _database: Database,
}

impl FirestoreShardStore {
    /// The document `ops/ingest_shards_{feed}`, and the workers' below `ops/ingest_workers_{feed}`. Nothing is sent yet.
    pub fn new(settings: &FirestoreSettings, _feed: &str) -> Self {
        Self { _database: Database::new(settings) }
    }
}

impl ShardStore for FirestoreShardStore {}

/// A task that takes part in sharing the tenants out: as a worker, as the coordinator, or both.
pub struct Shards {
    handle: ShardsHandle,
}

impl Shards {
    /// Starts the task. With the feed's lease, this process is the coordinator while it holds the lease.
    pub fn start(settings: ShardSettings, _store: Arc<dyn ShardStore>, _coordinator: Option<LeaseHandle>) -> Self {
        Self { handle: ShardsHandle::new(settings.clock) }
    }

    /// For those who ask.
    pub fn handle(&self) -> ShardsHandle {
        self.handle.clone()
    }

    /// Ends the task. A worker that has not left keeps its shards until its lease expires.
    pub async fn end(self) {}
}
