//! Which of several hosts owns a feed, and which of several workers a shard of the tenants: leases in Firestore documents.
//!
//! | part | what it does |
//! |---|---|
//! | [`Protocol`] | decides when to read, take, renew and release. Pure: time and answers are arguments |
//! | [`LeaseStore`] | reads the document, writes it by compare-and-set, and listens to it; [`FirestoreLeaseStore`] is the real one |
//! | [`Lease`] | drives the protocol with the clock and a store; [`LeaseHandle::is_held`] is what others ask |
//! | [`Shards`] | who has which shard: a lease for each worker, and an assignment that the owner of the feed writes |
//! | [`HostReport`], [`HostReports`] | what each host says about itself, for the others and their operators |
//!
//! # Why there is never more than one owner
//!
//! Every write of the document names the version that it replaces, so each version has one successor, and each epoch one
//! writer. An owner acts until two thirds of `ttl` after it *sent* its last successful write. A standby takes over when
//! `ttl` has passed since it *saw* the version that it replaces. That version was sent before it was seen, so the owner has
//! stopped, however late a request is applied: if the owner has written in the meantime, the version has changed, and the
//! standby's write fails. Nobody compares the clocks of two machines; they only have to run at about the same speed, and
//! the last third of `ttl` is for the difference.
//!
//! Knows nothing of quotes and plugins, nor of what an owner or a worker does.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod clock;
mod driver;
mod firestore;
mod hosts;
mod protocol;
mod record;
mod shards;
mod status;
mod store;

pub use clock::{BootTime, Clock, boot_clock};
pub use driver::{Lease, LeaseSettings};
pub use firestore::FirestoreLeaseStore;
pub use hosts::{HostReport, HostReports, HostRole, ReportedHost, WorkerReport};
pub use protocol::{Action, Answer, Protocol, Request, Timing};
pub use record::{Document, Holder, Record, Version, WorkerState};
pub use shards::{
    Assignment, Change, ChangeWrite, Changes, Coordinator, FirestoreShardStore, InstanceRole, Part, Requested,
    ShardSettings, ShardStore, Shards, ShardsHandle, ShardsSnapshot, StoredAssignment, Worker, WorkerSnapshot, Workers,
    shard_of,
};
pub use status::{LeaseHandle, LeaseSnapshot, Owner};
pub use store::{Expected, LeaseStore, StoreError};
