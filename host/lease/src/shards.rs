//! Which worker owns which shard of the tenants.

mod assignment;
mod coordinator;
mod driver;
mod firestore;
mod follower;
mod status;
mod store;
mod worker;

use serde::{Deserialize, Serialize};

pub use assignment::{Assignment, Part, StoredAssignment};
pub use coordinator::{Change, ChangeWrite, Coordinator, Workers};
pub use driver::{ShardSettings, Shards};
pub use firestore::FirestoreShardStore;
pub use status::{ShardsHandle, ShardsSnapshot, WorkerSnapshot};
pub use store::{Changes, Requested, ShardStore};
pub use worker::Worker;

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

impl InstanceRole {
    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Reader => "reader",
            Self::Worker => "worker",
        }
    }

    pub(crate) fn from_str(text: &str) -> Option<Self> {
        [Self::All, Self::Reader, Self::Worker].into_iter().find(|role| role.as_str() == text)
    }
}
