//! Several hosts, one owner: what this host does when it gets and loses the lease, and what it tells the others.
//!
//! The lease itself decides who the owner is. Three things ask it: the source, which connects only as the owner; the
//! [`LeaseGate`] before the sink, which is exact to the millisecond; and the heartbeats, which only the owner writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use quotegate_config::Settings;
use quotegate_lease::{
    FirestoreLeaseStore, Holder, HostReport, HostReports, HostRole, Lease, LeaseHandle, LeaseSettings, boot_clock,
};
use quotegate_pipeline::budget::Budget;
use quotegate_sink::{ConditionalWrite, Heartbeats, Outcome, RetryReason, Sink, WriteFuture, WriteResult};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::heartbeat::{self, Occasion};
use crate::host::wiring;
use crate::pause::Pauses;
use crate::status::HostStatus;

/// How long a shutdown looks for another host before it flushes without handing over.
const LOOK_FOR_STANDBY: Duration = Duration::from_millis(500);

/// How long a release may take. Without it, the others wait until the lease expires.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// This host's part in the lease.
pub(crate) struct Ownership {
    lease: Lease,
    reporter: Reporter,
    budget: Arc<Budget>,
    flushing: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// What follows the lease once it is held.
pub(crate) struct Followers {
    pub(crate) status: Arc<HostStatus>,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) pauses: Arc<Pauses>,
}

/// A lease that is being taken, before there is a host to follow it.
pub(crate) struct StartedLease {
    lease: Lease,
    reports: HostReports,
    flushing: Arc<AtomicBool>,
    feed: String,
    address: Option<String>,
    interval: Duration,
}

impl StartedLease {
    /// Starts to take the lease, if the settings ask for one. Nothing may be written before [`Self::follow`].
    pub(crate) fn start(settings: &Settings, instance: &str) -> Option<Self> {
        if !wiring::has_lease(settings) {
            if settings.lease.enabled {
                info!(event_type = "lease_off", "no lease, because this is a replay or a dry run");
            }
            return None;
        }
        let firestore = wiring::firestore(&settings.sink);
        let feed = settings.feed.name.as_str().to_owned();
        let address = wiring::page_address(settings);
        let store = FirestoreLeaseStore::new(&firestore, &feed);
        let holder = Holder::new(instance.to_owned(), address.clone(), env!("CARGO_PKG_VERSION").to_owned());
        let lease = LeaseSettings { holder, ttl: settings.lease.ttl, clock: boot_clock() };
        Some(Self {
            lease: Lease::start(lease, Arc::new(store)),
            reports: HostReports::new(&firestore),
            flushing: Arc::default(),
            feed,
            address,
            interval: settings.heartbeat.interval,
        })
    }

    /// For those who ask who the owner is.
    pub(crate) fn handle(&self) -> LeaseHandle {
        self.lease.handle()
    }

    /// True while this host owns the feed, and while it writes what is left after handing over.
    pub(crate) fn may_write(&self) -> quotegate_sink::Ownership {
        let (lease, flushing) = (self.handle(), self.flushing.clone());
        Arc::new(move || lease.is_held() || flushing.load(Relaxed))
    }

    /// Lets documents through to `sink` only while this host may write.
    pub(crate) fn gate(&self, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        Arc::new(LeaseGate { sink, may_write: self.may_write() })
    }

    /// Follows the lease from now on. The receiver says when the source may connect.
    pub(crate) fn follow(self, budget: Arc<Budget>, followers: Followers) -> (Ownership, watch::Receiver<bool>) {
        let Self { lease, reports, flushing, feed, address, interval } = self;
        let (may_connect, receiver) = watch::channel(false);
        let stop = CancellationToken::new();
        let reporter =
            Reporter { reports, status: followers.status.clone(), lease: lease.handle(), feed, address, interval };
        let follow = follow(lease.handle(), budget.clone(), followers, may_connect);
        let report = reporter.clone().run();
        let tasks = vec![spawn_until(stop.clone(), follow), spawn_until(stop.clone(), report)];
        (Ownership { lease, reporter, budget, flushing, tasks, stop }, receiver)
    }
}

fn spawn_until(stop: CancellationToken, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        stop.run_until_cancelled(task).await;
    })
}

/// Starts and stops this host's work with the lease.
async fn follow(lease: LeaseHandle, budget: Arc<Budget>, followers: Followers, may_connect: watch::Sender<bool>) {
    let Followers { status, heartbeats, pauses } = followers;
    let mut held = lease.held();
    loop {
        if held.wait_for(|held| *held).await.is_err() {
            return;
        }
        // Before the tenants may write: the last owner may have used all tokens a moment ago.
        budget.drain();
        pauses.set_standby(false);
        may_connect.send_replace(true);
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
        may_connect.send_replace(false);
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

    /// True if another host is ready to take over.
    pub(crate) async fn has_standby(&self) -> bool {
        let standby = |hosts: Vec<quotegate_lease::ReportedHost>| {
            // A host that has missed a report is probably gone.
            let fresh = 2.5 * self.reporter.interval.as_secs_f64();
            hosts.iter().any(|host| {
                host.report.role == HostRole::Standby
                    && host.report.feed == self.reporter.feed
                    && host.report.problem.is_none()
                    && host.age_seconds < fresh
            })
        };
        timeout(LOOK_FOR_STANDBY, self.reporter.reports.list()).await.is_ok_and(|hosts| hosts.is_ok_and(standby))
    }

    /// Hands the feed over to another host, while this host may still write what is dirty: with the tokens that are left,
    /// because the rate is the other host's from now on. Call it when the source has ended.
    pub(crate) async fn hand_over(&self) {
        self.budget.stop_refilling();
        self.flushing.store(true, Relaxed);
        self.release().await;
    }

    /// Releases the lease, if this host has it.
    pub(crate) async fn release(&self) {
        self.lease.handle().release(RELEASE_LIMIT).await;
    }

    /// Says that this host has stopped.
    pub(crate) async fn end(self) {
        let mut report = self.reporter.report();
        report.role = HostRole::Stopped;
        let _ = timeout(RELEASE_LIMIT, self.reporter.reports.write(&report)).await;
        self.lease.end().await;
    }
}

/// Writes what this host is and reads what others are.
#[derive(Clone)]
struct Reporter {
    reports: HostReports,
    status: Arc<HostStatus>,
    lease: LeaseHandle,
    feed: String,
    address: Option<String>,
    interval: Duration,
}

impl Reporter {
    /// Reports once per interval, and when the role changes.
    async fn run(self) {
        let mut held = self.lease.held();
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = held.changed() => if changed.is_err() { return },
            }
            if let Err(error) = self.exchange().await {
                // The lease has the same problem, and tells.
                debug!(event_type = "host_report", "{error}");
            }
        }
    }

    async fn exchange(&self) -> Result<(), quotegate_lease::StoreError> {
        self.reports.write(&self.report()).await?;
        self.status.set_hosts(self.reports.list().await?);
        Ok(())
    }

    fn report(&self) -> HostReport {
        let lease = self.lease.snapshot();
        HostReport {
            instance: self.status.instance.clone(),
            role: if lease.held { HostRole::Owner } else { HostRole::Standby },
            feed: self.feed.clone(),
            epoch: lease.epoch,
            problem: lease.problem,
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.status.started,
        }
    }
}

/// Stands before the sink of a host with a lease.
struct LeaseGate {
    sink: Arc<dyn Sink>,
    may_write: quotegate_sink::Ownership,
}

impl Sink for LeaseGate {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        if (self.may_write)() {
            return self.sink.write(writes);
        }
        let results = vec![WriteResult::Failed(Outcome::retry(RetryReason::NotOwner)); writes.len()];
        Box::pin(std::future::ready(results))
    }
}
