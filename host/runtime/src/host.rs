//! Starts the parts of the host, and stops them in order.

mod check;
mod reload;
mod setup;
pub mod source;
mod supervisor;
mod watched_files;
pub mod wiring;

pub use check::start_problems;
pub use reload::{LoadSettings, ReloadSource};
pub(crate) use setup::{PreparedTenant, prepare_tenants};
pub use watched_files::WatchedFiles;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use quotegate_config::Settings;
use quotegate_feed::FeedStatus;
use quotegate_loader::PluginLoader;
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::latency::Latencies;
use quotegate_pipeline::router::Router;
use quotegate_pipeline::tenant::Unflushed;
use quotegate_plugin::PluginThreads;
use quotegate_sink::{Batcher, BatcherEnd, FenceSettings, FirestoreSink, Heartbeats, SinkStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::heartbeat::{self, Occasion};
use crate::log;
use crate::ownership::{Followers, Ownership, StartedLease};
use crate::pause::{ControlPoller, Pauses};
use crate::status::{HostStatus, ReloadStatus, Snapshot};
use crate::text::counted;
use crate::watchdog::{ThreadGroup, Watchdog};
use reload::Reloader;
use source::RunningSource;
use supervisor::{TenantServices, TenantSupervisor};

/// There are no new tokens after a handover, so what is not written soon never will be.
const FLUSH_AFTER_HANDOVER: Duration = Duration::from_secs(3);

/// A running host. It owns the handles of all its tasks.
pub struct Host {
    status: Arc<HostStatus>,
    source: RunningSource,
    /// Shared with the reloader, if there is one.
    tenants: Arc<tokio::sync::Mutex<TenantSupervisor>>,
    threads: Arc<PluginThreads>,
    plugins: Arc<PluginLoader>,
    reloader: Option<(JoinHandle<()>, CancellationToken)>,
    /// Tells the tenants how long they may flush.
    deadline: watch::Sender<Option<std::time::Instant>>,
    batcher: JoinHandle<BatcherEnd>,
    batcher_deadline: CancellationToken,
    heartbeats: Heartbeats,
    heartbeat_task: JoinHandle<()>,
    budget_task: JoinHandle<()>,
    control_task: Option<JoinHandle<()>>,
    switch_task: Option<JoinHandle<()>>,
    /// `None`: this host needs no lease.
    ownership: Option<Ownership>,
    watchdog: Arc<Watchdog>,
    /// Stops the periodic tasks.
    stop_ticking: CancellationToken,
    grace: Duration,
    stop_after: Option<Duration>,
    began: Instant,
}

/// The result of a run.
#[derive(Debug)]
pub struct Summary {
    /// From start to end.
    pub elapsed: Duration,
    /// The last numbers of every part.
    pub snapshot: Snapshot,
    /// What was not written within the limits and the grace period.
    pub unflushed: Unflushed,
}

impl Host {
    /// Starts everything. If it fails, nothing runs.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let began = Instant::now();
        let sink_status = Arc::new(SinkStatus::default());
        let (sink, firestore) = wiring::sink(&settings.sink).await?;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let budget = Budget::new(limit);
        let source = source::prepare(settings).await?;
        let plugins = Arc::new(PluginLoader::new(settings));
        let prepared = prepare_tenants(&plugins, settings).await?;
        let threads = Arc::new(wiring::threads(settings)?);

        let instance = settings.run.instance.clone().unwrap_or_else(wiring::instance);
        log::set_instance(&instance);
        let pauses = Arc::new(Pauses::new(&instance, settings));
        let fence = firestore.clone().zip(wiring::fence(&settings.sink)?);
        let control = control_poller(&pauses, firestore, settings.run.control_interval).await;
        // Not before everything is ready: the last owner's successor should not have to compile.
        let lease = StartedLease::start(settings, &instance);
        pauses.set_standby(lease.is_some());
        let sink = match &lease {
            Some(lease) => lease.gate(sink),
            None => sink,
        };
        let fence = fence.map(|(reader, fence)| {
            (reader, FenceSettings { ownership: lease.as_ref().map(StartedLease::may_write), ..fence })
        });

        let (writes, received) = mpsc::channel(wiring::sink_capacity(&settings.sink));
        let (deadline, deadline_receiver) = watch::channel(None);
        let latencies = Arc::new(Latencies::default());
        let feed_status = Arc::new(FeedStatus::default());
        let status = Arc::new(HostStatus {
            feed: feed_status.clone(),
            sink: sink_status.clone(),
            budget: budget.clone(),
            tenants: Mutex::default(),
            heartbeat_lock: tokio::sync::Mutex::default(),
            dry_run: wiring::is_dry_run(settings),
            instance,
            started: unix_now(),
            calendar: source.calendar(),
            heartbeat: settings.heartbeat.clone(),
            heartbeats: AtomicU64::new(0),
            last_heartbeat: AtomicI64::new(0),
            latencies: latencies.clone(),
            lease: lease.as_ref().map(StartedLease::handle),
            hosts: Mutex::default(),
            stopping: AtomicBool::new(false),
            source_ended: AtomicBool::new(false),
            reloads: ReloadStatus::default(),
        });
        let watchdog = Watchdog::new();
        info!(
            event_type = "startup",
            version = env!("CARGO_PKG_VERSION"),
            instance = status.instance,
            tenants = prepared.len(),
            dry_run = status.dry_run,
            writes_per_second = settings.pace.writes_per_second,
            burst = settings.pace.burst,
            "quotegate starts: {}, {}",
            counted(prepared.len(), "tenant"),
            source.describe(),
        );

        if !settings.sink.fence && !status.dry_run {
            warn!(event_type = "fence_off", "{}", wiring::WITHOUT_FENCE);
        }

        // Nothing below can fail.
        let stop_ticking = CancellationToken::new();
        tokio::spawn(watchdog.clone().report(ThreadGroup::Workers, stop_ticking.clone()));
        threads.spawn(watchdog.clone().report(ThreadGroup::Tenants, stop_ticking.clone())).detach();
        let mut heartbeats = wiring::heartbeats(sink.clone(), &settings.sink);
        let batcher_deadline = CancellationToken::new();
        let (limits, limits_receiver) = watch::channel(limit);
        let mut batcher = Batcher::new(sink, wiring::batcher(settings, limit), sink_status).limited_by(limits_receiver);
        if let Some((reader, fence)) = fence {
            heartbeats = heartbeats.fenced(reader.clone(), fence.ownership.clone());
            batcher = batcher.fenced(reader, fence);
        }
        let mut router = Router::default();
        let (subscription, subscription_receiver) = watch::channel(Arc::new(wiring::subscription(settings)));
        let mut tenants = TenantSupervisor::new(TenantServices {
            status: status.clone(),
            budget: budget.clone(),
            limits,
            writes,
            deadline: deadline_receiver,
            latencies: (!source.is_replay()).then_some(latencies),
            pauses: pauses.clone(),
            threads: threads.clone(),
            heartbeats: heartbeats.clone(),
            routes: router.changes(),
            subscription,
            grace: settings.run.shutdown_grace,
        });
        for tenant in prepared {
            let (id, wanted, inbox) = tenants.spawn(tenant);
            router.add(id, wanted, inbox);
        }
        let followers = || Followers { status: status.clone(), heartbeats: heartbeats.clone(), pauses: pauses.clone() };
        let (ownership, may_connect) = lease.map(|lease| lease.follow(budget.clone(), followers())).unzip();
        let host = Self {
            ownership,
            heartbeat_task: tokio::spawn(heartbeat::run(status.clone(), heartbeats.clone(), stop_ticking.clone())),
            switch_task: settings.switches.has_files().then(|| {
                let (pauses, switches, stop) = (pauses.clone(), settings.switches.clone(), stop_ticking.clone());
                tokio::spawn(async move { pauses.poll_switches_until(switches, stop).await })
            }),
            budget_task: tokio::spawn({
                let stop = stop_ticking.clone();
                async move { budget.run(stop).await }
            }),
            control_task: control.map(|(poller, interval)| {
                let (pauses, stop) = (pauses.clone(), stop_ticking.clone());
                tokio::spawn(async move { pauses.poll_control_until(poller, interval, stop).await })
            }),
            batcher: tokio::spawn(batcher.run(received, batcher_deadline.clone())),
            tenants: Arc::new(tokio::sync::Mutex::new(tenants)),
            threads,
            plugins,
            reloader: None,
            source: source.start(subscription_receiver, router, feed_status, watchdog.clone(), may_connect)?,
            watchdog,
            status,
            deadline,
            batcher_deadline,
            heartbeats,
            stop_ticking,
            grace: settings.run.shutdown_grace,
            stop_after: settings.run.stop_after,
            began,
        };
        Ok(host)
    }

    /// The host's numbers, also after it has stopped.
    pub fn status(&self) -> Arc<HostStatus> {
        self.status.clone()
    }

    /// Knows whether the host's threads are stuck.
    pub fn watchdog(&self) -> Arc<Watchdog> {
        self.watchdog.clone()
    }

    /// From now on, tenants, limits and plugins change when their settings or files do. Call it at most once.
    pub fn reload_from(&mut self, source: ReloadSource) {
        let stop = CancellationToken::new();
        let settings = &source.current.settings;
        let (sink, feed) = (settings.sink.clone(), settings.feed.name);
        let (plugins, tenants, status) = (self.plugins.clone(), self.tenants.clone(), self.status.clone());
        let reloader = Reloader { source, plugins, tenants, status, sink, feed };
        self.reloader = Some((tokio::spawn(reloader.run(stop.clone())), stop));
    }

    /// Runs until `stop`, until `run.stop_after_s` is over, or until the source ends or fails. Then it stops reading
    /// quotes, flushes what is dirty as far as token buckets and grace period allow, writes a last heartbeat that says
    /// `stopped`, and logs how many symbols were not flushed. Returns an error if the source failed.
    pub async fn finish(mut self, stop: CancellationToken) -> anyhow::Result<Summary> {
        let mut source_end = None;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(self.stop_after.unwrap_or(Duration::MAX)), if self.stop_after.is_some() => {
                info!(event_type = "shutdown", "run.stop_after_s is over");
            }
            end = self.source.ended() => source_end = Some(end),
        }
        let failed = matches!(source_end, Some(Err(_)));
        if let Some(Ok(())) = source_end {
            // The end of a replay is not urgent, so its last quotes are written without a deadline.
            self.status.source_ended.store(true, Ordering::Relaxed);
            info!(event_type = "shutdown", "the source has ended; writing what is dirty");
            self.wait_for_tenants(&stop).await;
        }

        self.status.stopping.store(true, Ordering::Relaxed);
        // First, so that no tenant is added from here on.
        if let Some((task, stop)) = self.reloader.take() {
            stop.cancel();
            let _ = task.await;
        }
        let ends = Instant::now() + self.grace;
        // The rest of the grace period is for the last heartbeat.
        let flush_until = ends - (self.grace / 4).min(Duration::from_millis(1500));
        self.source.stop();
        let handed_over = self.hand_over(flush_until, &mut source_end).await;
        let flush_until =
            if handed_over { flush_until.min(Instant::now() + FLUSH_AFTER_HANDOVER) } else { flush_until };
        self.deadline.send_replace(Some(flush_until.into_std()));
        let tasks = self.take_tenant_tasks().await;
        let unflushed = collect(tasks, flush_until, &self.plugins).await;
        if source_end.is_none() {
            source_end = timeout_at(flush_until, self.source.ended()).await.ok();
        }
        self.end_sink(flush_until).await;
        self.source.end_services().await;
        self.stop_ticking.cancel();
        let _ = self.heartbeat_task.await;
        let _ = self.budget_task.await;
        for task in [self.control_task.take(), self.switch_task.take()].into_iter().flatten() {
            let _ = task.await;
        }
        let failure = source_end.as_ref().and_then(|end| end.as_ref().err()).map(|error| format!("{error:#}"));
        let last = Occasion::Last(failure.as_deref());
        // After a handover, heartbeats are the other host's work.
        if !handed_over && timeout_at(ends, heartbeat::write_all(&self.status, &self.heartbeats, last)).await.is_err() {
            warn!(event_type = "heartbeat", "the last heartbeat was not confirmed in time");
        }
        if let Some(ownership) = self.ownership.take() {
            ownership.release().await;
            ownership.end().await;
        }

        // None are left unless a tenant has just been stopped.
        self.plugins.stop_calls();
        drop(self.tenants);
        let _ = tokio::task::spawn_blocking(move || drop(self.threads)).await;

        let summary = Summary { elapsed: self.began.elapsed(), snapshot: self.status.snapshot(), unflushed };
        log_end(&summary, failed);
        match source_end {
            Some(Err(error)) => Err(error).context("the feed failed"),
            _ => Ok(summary),
        }
    }

    /// If another host is waiting, gives it the lease as soon as the websocket is closed, so that quotes continue while this
    /// host flushes. Without another host the lease is kept until everything is written. True if the lease is gone.
    async fn hand_over(&mut self, until: Instant, source_end: &mut Option<anyhow::Result<()>>) -> bool {
        let Some(ownership) = &mut self.ownership else { return false };
        ownership.stop_following().await;
        if self.status.is_standby() {
            return true;
        }
        let ended = async {
            if source_end.is_none() {
                *source_end = timeout_at(until, self.source.ended()).await.ok();
            }
        };
        let (has_standby, ()) = tokio::join!(ownership.has_standby(), ended);
        if has_standby {
            ownership.hand_over().await;
        }
        has_standby
    }

    /// Waits until every tenant has written everything, or `stop`.
    async fn wait_for_tenants(&mut self, stop: &CancellationToken) {
        let settled = async {
            while !self.status.tenants().iter().all(|(_, tenant)| tenant.has_ended()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = settled => {}
        }
    }

    /// Takes the tenants' tasks, and drops the supervisor's sender: the batcher ends once all senders are gone.
    async fn take_tenant_tasks(&mut self) -> JoinSet<Unflushed> {
        let mut tenants = self.tenants.lock().await;
        let (closed, _) = mpsc::channel(1);
        tenants.services.writes = closed;
        std::mem::take(&mut tenants.tasks)
    }

    async fn end_sink(&mut self, flush_until: Instant) {
        // The tenants' senders are gone, so the batcher ends once every write has an outcome.
        if timeout_at(flush_until, &mut self.batcher).await.is_err() {
            self.batcher_deadline.cancel();
            if let Ok(end) = (&mut self.batcher).await
                && end.unanswered > 0
            {
                let documents = counted(end.unanswered, "document");
                warn!(unanswered = end.unanswered, "no answer from the sink in time for {documents}");
            }
        }
    }
}

async fn collect(mut tenants: JoinSet<Unflushed>, flush_until: Instant, plugins: &PluginLoader) -> Unflushed {
    let mut total = Unflushed::default();
    if timeout_at(flush_until, add_unflushed(&mut tenants, &mut total)).await.is_err() {
        // Tenants meet the deadline themselves, unless a call of a plugin keeps them. Then this ends it.
        plugins.stop_calls();
        let limit = flush_until + Duration::from_millis(100);
        if timeout_at(limit, add_unflushed(&mut tenants, &mut total)).await.is_err() {
            error!("{} did not end in time", counted(tenants.len(), "tenant"));
            tenants.abort_all();
        }
    }
    total
}

async fn add_unflushed(tenants: &mut JoinSet<Unflushed>, total: &mut Unflushed) {
    while let Some(ended) = tenants.join_next().await {
        match ended {
            Ok(unflushed) => {
                total.dirty += unflushed.dirty;
                total.in_flight += unflushed.in_flight;
            }
            Err(panic) => error!("a tenant's task panicked: {panic}"),
        }
    }
}

/// The poller of the document that pauses writing, after its first poll: a host that starts while writing is paused must
/// not write. The wait is short because a Firestore that does not answer does not accept writes either.
async fn control_poller(
    pauses: &Pauses,
    firestore: Option<Arc<FirestoreSink>>,
    interval: Option<Duration>,
) -> Option<(ControlPoller, Duration)> {
    let (interval, mut poller) = (interval?, ControlPoller::new(firestore?));
    let _ = timeout(Duration::from_secs(3), pauses.poll_control(&mut poller)).await;
    Some((poller, interval))
}

fn log_end(summary: &Summary, failed: bool) {
    let sum = |of| summary.snapshot.sum(of);
    let (quotes, written): (u64, u64) = (sum(|counters| counters.quotes), sum(|counters| counters.written));
    let left = summary.unflushed.dirty + summary.unflushed.in_flight;
    info!(
        event_type = "shutdown",
        quotes,
        written,
        unflushed = left,
        unflushed_dirty = summary.unflushed.dirty,
        unflushed_in_flight = summary.unflushed.in_flight,
        seconds = summary.elapsed.as_secs_f64(),
        failed,
        "quotegate ends: {} in, {} written, {} not flushed",
        counted(quotes, "quote"),
        counted(written, "document"),
        counted(left, "symbol"),
    );
}
