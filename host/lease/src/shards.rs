//! Which worker owns which shard of the tenants.
//!
//! Each worker holds a lease in a document of its own. One document, the [`Assignment`], says who has which shard; only the
//! owner of the feed's lease, as the coordinator, writes it.
//!
//! | part | what it does |
//! |---|---|
//! | [`Worker`] | a worker's lease, the shards that it has, and those whose tenants may be running. Pure |
//! | [`Coordinator`] | which worker is silent, and who gets which shard. Pure |
//! | [`ShardStore`] | reads, writes and listens to the documents; [`FirestoreShardStore`] is the real one |
//! | [`Shards`] | drives both with the clock and a store; [`ShardsHandle`] is what runs the tenants asks and tells |
//!
//! # Why a shard never has two writers
//!
//! A worker writes only while its lease is held, by its own clock, and only for shards that its newest assignment gives it,
//! or whose tenants it has not ended yet. The coordinator gives a shard to another worker in one of two cases:
//!
//! - **The worker has given it up.** The assignment first says that the shard is withdrawn. The worker ends its tenants and
//!   then writes, in its lease, the revision that it knows and the shards that it still holds. It cannot get the shard
//!   back except by a newer assignment.
//! - **The worker's lease has no owner any more**: the worker has released it, or the coordinator has taken it. That it can
//!   only take after `ttl` without a change, when the worker has stopped by its own clock; and the worker cannot renew the
//!   lease after that. It begins again under another session, with another document and without shards, but not before all
//!   the old tenants have ended.
//!
//! Both stay true for ever, and the assignment is replaced by compare-and-set. So it does not matter how late a coordinator
//! acts, or how many there are.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_tenant_is_the_same_in_all_versions() {
        let shards: Vec<u16> = ["acme", "globex", "tenant-0", "tenant-1", ""].map(|tenant| shard_of(tenant, 64)).into();
        assert_eq!(shards, [6, 49, 39, 16, 38]);
        assert_eq!((shard_of("acme", 1), shard_of("acme", 1000)), (0, 574));
    }

    #[test]
    fn tenants_with_similar_names_spread_over_all_shards() {
        let mut counts = [0_u32; 64];
        (0..6400).for_each(|tenant| counts[usize::from(shard_of(&format!("tenant-{tenant}"), 64))] += 1);
        assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
    }
}
