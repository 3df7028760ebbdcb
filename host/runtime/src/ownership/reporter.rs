//! What this host tells the others about itself, and what they tell.

use std::sync::Arc;
use std::time::Duration;

use quotegate_lease::{
    HostReport, HostReports, HostRole, LeaseHandle, ReportedHost, ShardsHandle, StoreError, WorkerReport,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::status::HostStatus;

/// Writes what this host is and reads what others are.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) reports: HostReports,
    pub(super) status: Arc<HostStatus>,
    /// `None`: this host does not compete for the feed.
    pub(super) lease: Option<LeaseHandle>,
    /// `None` without a relay.
    pub(super) shards: Option<ShardsHandle>,
    pub(super) feed: String,
    pub(super) address: Option<String>,
    pub(super) interval: Duration,
}

impl Reporter {
    /// Reports once per interval, and when the role changes.
    pub(super) async fn run(self) {
        let mut held = self.lease.as_ref().map(LeaseHandle::held);
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = async {
                match &mut held {
                    Some(held) => held.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                is_there = changed => if !is_there { return },
            }
            if let Err(error) = self.exchange().await {
                // The lease has the same problem, and tells.
                debug!(event_type = "host_report", "{error}");
            }
        }
    }

    async fn exchange(&self) -> Result<(), StoreError> {
        self.reports.write(&self.report()).await?;
        self.status.set_hosts(self.reports.list().await?);
        Ok(())
    }

    /// True if another host is ready to take over.
    pub(super) async fn has_standby(&self, limit: Duration) -> bool {
        // A host that has missed a report is probably gone.
        let fresh = 2.5 * self.interval.as_secs_f64();
        let is_standby = |host: &ReportedHost| {
            host.report.role == HostRole::Standby
                && host.report.feed == self.feed
                && host.report.problem.is_none()
                && host.age_seconds < fresh
        };
        let hosts = timeout(limit, self.reports.list()).await;
        hosts.is_ok_and(|hosts| hosts.is_ok_and(|hosts| hosts.iter().any(is_standby)))
    }

    /// Says that this host has stopped.
    pub(super) async fn say_stopped(&self, limit: Duration) {
        let report = HostReport { role: HostRole::Stopped, ..self.report() };
        let _ = timeout(limit, self.reports.write(&report)).await;
    }

    fn report(&self) -> HostReport {
        let lease = self.lease.as_ref().map(LeaseHandle::snapshot);
        let role = match &lease {
            Some(lease) if lease.held => HostRole::Owner,
            Some(_) => HostRole::Standby,
            None => HostRole::Worker,
        };
        let epoch = lease.as_ref().map_or(0, |lease| lease.epoch);
        HostReport {
            instance: self.status.instance.clone(),
            role,
            feed: self.feed.clone(),
            epoch,
            problem: lease.and_then(|lease| lease.problem),
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.status.started,
            worker: self.worker(),
        }
    }

    fn worker(&self) -> Option<WorkerReport> {
        let shards = self.shards.as_ref()?.snapshot();
        let relay = self.status.relay()?;
        let subscriber = &relay.counters.subscriber;
        relay.works().then(|| WorkerReport {
            shards: shards.holds.len() as u64,
            tenants: self.status.tenants().len() as u64,
            lag: subscriber.max_lag.or(subscriber.lag),
            gaps: subscriber.gaps,
            dropped: subscriber.old + subscriber.unnamed + subscriber.no_room + subscriber.invalid,
            problem: relay.problem.or(shards.problem),
        })
    }
}
