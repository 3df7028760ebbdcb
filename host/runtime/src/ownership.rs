//! Several hosts: what this one does when it gets and loses the feed's lease, and with a relay, its shards of the tenants.
//!
//! The lease and the shards are decided elsewhere. Without a relay, three things ask the lease: the source, which connects
//! only as the owner; the [`LeaseGate`] before the sink, which is exact to the millisecond; and the heartbeats, which only
//! the owner writes. With a relay, the source asks the lease, and the other two ask the worker's own lease.

mod gate;
mod reporter;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use quotegate_config::Settings;
use quotegate_lease::{
    FirestoreLeaseStore, FirestoreShardStore, Holder, HostReports, Lease, LeaseHandle, LeaseSettings, ShardSettings,
    Shards, ShardsHandle, boot_clock,
};
use quotegate_pipeline::budget::Budget;
use quotegate_sink::{Heartbeats, Sink};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::heartbeat::{self, Occasion};
use crate::host::wiring;
use crate::pause::Pauses;
use crate::status::HostStatus;
use gate::LeaseGate;
use reporter::Reporter;

/// How long a shutdown looks for another host before it flushes without handing over.
const LOOK_FOR_STANDBY: Duration = Duration::from_millis(500);

/// How long a release may take. Without it, the others wait until the lease expires.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// This host's part among several.
pub(crate) struct Ownership {
    part: StartedOwnership,
    reporter: Reporter,
    budget: Arc<Budget>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// What follows the lease once it is held.
pub(crate) struct Followers {
    pub(crate) status: Arc<HostStatus>,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) pauses: Arc<Pauses>,
}

/// The lease that is being taken and the shards that are being asked for, before there is a host to follow them.
pub(crate) struct StartedOwnership {
    /// `None`: this host does not compete for the feed.
    lease: Option<Lease>,
    /// `None` without a relay.
    shards: Option<Shards>,
    reports: HostReports,
    /// The lease is handed over, and what is left is being written.
    flushing: Arc<AtomicBool>,
    feed: String,
    address: Option<String>,
    interval: Duration,
}

impl StartedOwnership {
    /// Starts to take the lease and to ask for shards, if the settings say so. Nothing may be written before
    /// [`Self::follow`].
    pub(crate) fn start(settings: &Settings, instance: &str) -> Option<Self> {
        let has_lease = wiring::has_lease(settings);
        if !has_lease && settings.relay.is_none() {
            if settings.lease.enabled {
                info!(event_type = "lease_off", "no lease, because this is a replay or a dry run");
            }
            return None;
        }
        let firestore = wiring::firestore(&settings.sink);
        let feed = settings.feed.name.as_str().to_owned();
        let address = wiring::page_address(settings);
        let holder = Holder::new(instance.to_owned(), address.clone(), env!("CARGO_PKG_VERSION").to_owned());
        let (ttl, clock) = (settings.lease.ttl, boot_clock());
        let lease = has_lease.then(|| {
            let store = FirestoreLeaseStore::new(&firestore, &feed);
            Lease::start(LeaseSettings { holder: holder.clone(), ttl, clock: clock.clone() }, Arc::new(store))
        });
        let shards = settings.relay.as_ref().map(|relay| {
            let store = FirestoreShardStore::new(&firestore, &feed);
            let shards = ShardSettings { holder, role: wiring::role(settings), shards: relay.shards, ttl, clock };
            Shards::start(shards, Arc::new(store), lease.as_ref().map(Lease::handle))
        });
        Some(Self {
            lease,
            shards,
            reports: HostReports::new(&firestore),
            flushing: Arc::default(),
            feed,
            address,
            interval: settings.heartbeat.interval,
        })
    }

    /// For those who ask who reads the feed.
    pub(crate) fn lease(&self) -> Option<LeaseHandle> {
        self.lease.as_ref().map(Lease::handle)
    }

    /// For those who ask which tenants are this host's.
    pub(crate) fn shards(&self) -> Option<ShardsHandle> {
        self.shards.as_ref().map(Shards::handle)
    }

    /// True while this host may write: as a worker with a lease of its own, or as the owner of the feed, also while it writes
    /// what is left after handing over.
    pub(crate) fn may_write(&self) -> quotegate_sink::Ownership {
        if let Some(shards) = self.shards() {
            return Arc::new(move || shards.may_write());
        }
        let (lease, flushing) = (self.lease(), self.flushing.clone());
        Arc::new(move || lease.as_ref().is_some_and(LeaseHandle::is_held) || flushing.load(Relaxed))
    }

    /// Lets documents through to `sink` only while this host may write.
    pub(crate) fn gate(&self, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        Arc::new(LeaseGate { sink, may_write: self.may_write() })
    }

    /// Follows the lease from now on. The receiver has the epoch in which this host reads the feed, while it does.
    pub(crate) fn follow(self, budget: Arc<Budget>, followers: Followers) -> (Ownership, watch::Receiver<Option<u64>>) {
        let (tenure, receiver) = watch::channel(None);
        let stop = CancellationToken::new();
        let reporter = Reporter {
            reports: self.reports.clone(),
            status: followers.status.clone(),
            lease: self.lease(),
            shards: self.shards(),
            feed: self.feed.clone(),
            address: self.address.clone(),
            interval: self.interval,
        };
        let mut tasks = vec![spawn_until(stop.clone(), reporter.clone().run())];
        tasks.extend(self.lease().map(|lease| match self.shards {
            Some(_) => spawn_until(stop.clone(), read_as_owner(lease, tenure)),
            None => spawn_until(stop.clone(), follow(lease, budget.clone(), followers, tenure)),
        }));
        (Ownership { part: self, reporter, budget, tasks, stop }, receiver)
    }
}

fn spawn_until(stop: CancellationToken, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        stop.run_until_cancelled(task).await;
    })
}

/// Reads the feed with the lease. Writing is the workers' part.
async fn read_as_owner(lease: LeaseHandle, tenure: watch::Sender<Option<u64>>) {
    let mut held = lease.held();
    loop {
        let is_held = *held.borrow_and_update();
        tenure.send_replace(is_held.then(|| lease.snapshot().epoch));
        if held.changed().await.is_err() {
            return;
        }
    }
}

/// Starts and stops this host's work with the lease.
async fn follow(lease: LeaseHandle, budget: Arc<Budget>, followers: Followers, tenure: watch::Sender<Option<u64>>) {
    let Followers { status, heartbeats, pauses } = followers;
    let mut held = lease.held();
    loop {
        if held.wait_for(|held| *held).await.is_err() {
            return;
        }
        // Before the tenants may write: the last owner may have used all tokens a moment ago.
        budget.drain();
        pauses.set_standby(false);
        tenure.send_replace(Some(lease.snapshot().epoch));
        let lost = async { held.wait_for(|held| !*held).await.is_ok() };
        let tell = async {
            // If quotes are expected, the first one brings the first heartbeat: without it, `ts` would go back.
            if heartbeat::missed_quotes(&status.snapshot()).is_none() {
                heartbeat::write_all(&status, &heartbeats, Occasion::Running).await;
            }
            std::future::pending::<()>().await;
        };
        let is_lost = tokio::select! {
            is_lost = lost => is_lost,
            () = tell => false,
        };
        if !is_lost {
            return;
        }
        pauses.set_standby(true);
        tenure.send_replace(None);
    }
}

impl Ownership {
    /// At a shutdown: does nothing more when the lease changes, because this host's end is decided.
    pub(crate) async fn stop_following(&mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }

    /// This host's shards, if there is a relay.
    pub(crate) fn shards(&self) -> Option<ShardsHandle> {
        self.part.shards()
    }

    /// True if another host is ready to do this one's work.
    pub(crate) async fn has_successor(&self) -> bool {
        match self.shards() {
            Some(shards) => shards.snapshot().workers.iter().any(|worker| !worker.is_self),
            None => self.reporter.has_standby(LOOK_FOR_STANDBY).await,
        }
    }

    /// Hands the feed over to another host, while this host may still write what is dirty: with the tokens that are left,
    /// because the rate is the other host's from now on. Call it when the source has ended.
    pub(crate) async fn hand_over(&self) {
        self.budget.stop_refilling();
        self.part.flushing.store(true, Relaxed);
        self.release().await;
    }

    /// Releases the lease, if this host has it.
    pub(crate) async fn release(&self) {
        if let Some(lease) = self.part.lease() {
            lease.release(RELEASE_LIMIT).await;
        }
    }

    /// Gives the shards to the other workers. Call it when the tenants have ended.
    pub(crate) async fn leave(&self) {
        let Some(shards) = self.shards() else { return };
        // A confirmation counts for what was assigned before, so leaving begins first.
        let confirm = async { shards.confirm(BTreeSet::new()) };
        tokio::join!(biased; shards.leave(RELEASE_LIMIT), confirm);
    }

    /// Says that this host has stopped.
    pub(crate) async fn end(self) {
        self.reporter.say_stopped(RELEASE_LIMIT).await;
        if let Some(lease) = self.part.lease {
            lease.end().await;
        }
        if let Some(shards) = self.part.shards {
            shards.end().await;
        }
    }
}
