//! Puts the rooms together, and takes them apart again in order.

mod reload;
mod roster;
pub mod source;
pub mod wiring;

pub(crate) use reload::newcomers;
pub use reload::{Load, Reloads};
pub(crate) use roster::Newcomer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use quotegate_config::Settings;
use quotegate_feed::FeedStatus;
use quotegate_plugin::PluginThreads;
use quotegate_sink::{Batcher, BatcherEnd, FirestoreSink, Heartbeats, SinkStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::heartbeat;
use crate::pause::{Look, Pauses};
use crate::pulses::{Beating, Pulses};
use crate::status::{HostStatus, Snapshot};
use quotegate_loader::PluginLoader;
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::latency::Latencies;
use quotegate_pipeline::router::Router;
use quotegate_pipeline::tenant::Unflushed;
use reload::Reloader;
use roster::{House, Roster};
use source::RunningSource;

/// A running host. Every task in it has its handle here.
pub struct Host {
    status: Arc<HostStatus>,
    source: RunningSource,
    /// Shared with the reloader while there is one.
    roster: Arc<tokio::sync::Mutex<Roster>>,
    threads: Arc<PluginThreads>,
    plugins: Arc<PluginLoader>,
    reloader: Option<(JoinHandle<()>, CancellationToken)>,
    /// Tells the tenants until when they may flush.
    deadline: watch::Sender<Option<std::time::Instant>>,
    batcher: JoinHandle<BatcherEnd>,
    batcher_deadline: CancellationToken,
    heartbeats: Heartbeats,
    heartbeat_task: JoinHandle<()>,
    budget_task: JoinHandle<()>,
    control_task: Option<JoinHandle<()>>,
    pulses: Arc<Pulses>,
    /// Ends the tasks that only tick.
    stop_ticking: CancellationToken,
    grace: Duration,
    stop_after: Option<Duration>,
    began: Instant,
}

/// What a run came to.
#[derive(Debug)]
pub struct Summary {
    /// From start to end.
    pub elapsed: Duration,
    /// Every room's last numbers.
    pub snapshot: Snapshot,
    /// What the limits and the grace period did not allow to be written.
    pub unflushed: Unflushed,
}

impl Host {
    /// Starts every room. Nothing runs if it fails.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let began = Instant::now();
        let sink_status = Arc::new(SinkStatus::default());
        let (sink, firestore) = wiring::sink(&settings.sink).await?;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let budget = Budget::new(limit);
        let source = source::prepare(settings).await?;
        let plugins = Arc::new(PluginLoader::new(settings));
        let newcomers = reload::newcomers(&plugins, settings).await?;
        let threads = Arc::new(wiring::threads(settings)?);

        let instance = settings.run.instance.clone().unwrap_or_else(wiring::instance);
        let pauses = Arc::new(Pauses::new(&instance, settings));
        let control = pause_watch(&pauses, firestore, settings.run.control_interval).await;

        let (writes, received) = mpsc::channel(wiring::sink_room(&settings.sink));
        let (deadline, deadline_seen) = watch::channel(None);
        let latencies = Arc::new(Latencies::default());
        let feed_status = Arc::new(FeedStatus::default());
        let status = Arc::new(HostStatus {
            feed: feed_status.clone(),
            sink: sink_status.clone(),
            budget: budget.clone(),
            tenants: Mutex::default(),
            beating: tokio::sync::Mutex::default(),
            dry_run: wiring::is_dry_run(settings),
            instance,
            started: unix_now(),
            heartbeats: AtomicU64::new(0),
            last_heartbeat: AtomicI64::new(0),
            latencies: latencies.clone(),
            stopping: AtomicBool::new(false),
            source_ended: AtomicBool::new(false),
        });
        let pulses = Pulses::new();
        info!(
            event_type = "startup",
            version = env!("CARGO_PKG_VERSION"),
            instance = status.instance,
            tenants = newcomers.len(),
            dry_run = status.dry_run,
            writes_per_second = settings.pace.writes_per_second,
            burst = settings.pace.burst,
            "quotegate starts: {} tenants, {}",
            newcomers.len(),
            source.describe(),
        );

        // From here on nothing fails.
        let stop_ticking = CancellationToken::new();
        tokio::spawn(pulses.clone().beat(Beating::House, stop_ticking.clone()));
        threads.spawn(pulses.clone().beat(Beating::Tenants, stop_ticking.clone())).detach();
        let heartbeats = wiring::heartbeats(sink.clone(), &settings.sink);
        let batcher_deadline = CancellationToken::new();
        let (limits, limits_seen) = watch::channel(limit);
        let batcher = Batcher::new(sink, wiring::batcher(settings, limit), sink_status).limited_by(limits_seen);
        let mut router = Router::default();
        let (wanted, subscription) = watch::channel(Arc::new(wiring::subscription(settings)));
        let mut roster = Roster::new(House {
            status: status.clone(),
            budget: budget.clone(),
            limits,
            writes,
            deadline: deadline_seen,
            latencies: (!source.is_replay()).then_some(latencies),
            pauses: pauses.clone(),
            threads: threads.clone(),
            heartbeats: heartbeats.clone(),
            routes: router.changes(),
            wanted,
            grace: settings.run.shutdown_grace,
        });
        for newcomer in newcomers {
            let (tenant, wanted, inbox) = roster.admit(newcomer);
            router.add(tenant, wanted, inbox);
        }
        let host = Self {
            heartbeat_task: tokio::spawn(heartbeat::run(
                status.clone(),
                heartbeats.clone(),
                settings.heartbeat.interval,
                stop_ticking.clone(),
            )),
            budget_task: tokio::spawn({
                let stop = stop_ticking.clone();
                async move { budget.run(stop).await }
            }),
            control_task: control.map(|(look, every)| {
                let (pauses, stop) = (pauses.clone(), stop_ticking.clone());
                tokio::spawn(async move { pauses.watch(look, every, stop).await })
            }),
            batcher: tokio::spawn(batcher.run(received, batcher_deadline.clone())),
            roster: Arc::new(tokio::sync::Mutex::new(roster)),
            threads,
            plugins,
            reloader: None,
            source: source.start(subscription, router, feed_status, pulses.clone())?,
            pulses,
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

    /// Where the host's numbers can be read while it runs, and after.
    pub fn status(&self) -> Arc<HostStatus> {
        self.status.clone()
    }

    /// Where it can be seen whether the host's loops turn.
    pub fn pulses(&self) -> Arc<Pulses> {
        self.pulses.clone()
    }

    /// From now on tenants, limits and plugins change when their settings or files do. Once at most.
    pub fn reload_from(&mut self, reloads: Reloads) {
        let stop = CancellationToken::new();
        let sink = reloads.current.settings.sink.clone();
        let reloader = Reloader { reloads, plugins: self.plugins.clone(), roster: self.roster.clone(), sink };
        self.reloader = Some((tokio::spawn(reloader.run(stop.clone())), stop));
    }

    /// Runs until `stop`, until the time that the settings give is over, until the source ends, or until it fails.
    /// Then: no more quotes; what is dirty is flushed as far as buckets and grace allow; a last heartbeat says
    /// `stopped`; the last log line counts what was not flushed. An error if the source failed.
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
            // A replay is over: nothing presses, so its last quotes are written at their own pace.
            self.status.source_ended.store(true, Ordering::Relaxed);
            info!(event_type = "shutdown", "the source has ended; writing what is dirty");
            self.wait_for_tenants(&stop).await;
        }

        self.status.stopping.store(true, Ordering::Relaxed);
        // Before anything else: from here on nobody comes in any more.
        if let Some((task, stop)) = self.reloader.take() {
            stop.cancel();
            let _ = task.await;
        }
        let ends = Instant::now() + self.grace;
        // What the last heartbeat may take, out of the grace.
        let flush_until = ends - (self.grace / 4).min(Duration::from_millis(1500));
        self.deadline.send_replace(Some(flush_until.into_std()));
        self.source.stop();
        let tasks = self.dissolve().await;
        let unflushed = collect(tasks, flush_until).await;
        if source_end.is_none() {
            source_end = timeout_at(flush_until, self.source.ended()).await.ok();
        }
        self.end_sink(flush_until).await;
        self.source.end_simulator().await;
        self.stop_ticking.cancel();
        let _ = self.heartbeat_task.await;
        let _ = self.budget_task.await;
        if let Some(task) = self.control_task.take() {
            let _ = task.await;
        }
        if timeout_at(ends, heartbeat::beat(&self.status, &self.heartbeats, true)).await.is_err() {
            warn!(event_type = "heartbeat", "the last heartbeat was not answered in time");
        }

        // It waits for calls of plugins that are under way, at most for as long as their limits allow.
        drop(self.roster);
        let _ = tokio::task::spawn_blocking(move || drop(self.threads)).await;

        let summary = Summary { elapsed: self.began.elapsed(), snapshot: self.status.snapshot(), unflushed };
        log_end(&summary, failed);
        match source_end {
            Some(Err(error)) => Err(error).context("the feed failed"),
            _ => Ok(summary),
        }
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

    /// Takes the tenants' tasks out of the roster and lets go of everything else in it: the sink ends when no tenant
    /// and nobody else can send it anything.
    async fn dissolve(&mut self) -> JoinSet<Unflushed> {
        let mut roster = self.roster.lock().await;
        let (closed, _) = mpsc::channel(1);
        roster.house.writes = closed;
        std::mem::take(&mut roster.tasks)
    }

    async fn end_sink(&mut self, flush_until: Instant) {
        // The tenants' senders are gone, so the batcher ends once everything is answered.
        if timeout_at(flush_until, &mut self.batcher).await.is_err() {
            self.batcher_deadline.cancel();
            if let Ok(end) = (&mut self.batcher).await {
                warn!(unanswered = end.unanswered, "{} documents had no answer from the sink in time", end.unanswered);
            }
        }
    }
}

async fn collect(mut tenants: JoinSet<Unflushed>, flush_until: Instant) -> Unflushed {
    // They keep the deadline themselves; a little more for their last step.
    let limit = flush_until + Duration::from_millis(100);
    let mut total = Unflushed::default();
    loop {
        match timeout_at(limit, tenants.join_next()).await {
            Ok(Some(Ok(unflushed))) => {
                total.dirty += unflushed.dirty;
                total.in_flight += unflushed.in_flight;
            }
            Ok(Some(Err(panic))) => error!("a tenant's task has panicked: {panic}"),
            Ok(None) => return total,
            Err(_) => {
                error!("{} tenants did not end in time", tenants.len());
                tenants.abort_all();
                return total;
            }
        }
    }
}

/// How the document that pauses writing is watched, after a first look at it: a host that starts while writing is
/// paused must not write. A Firestore that does not answer takes no writes either, so it is not waited for for long.
async fn pause_watch(
    pauses: &Pauses,
    firestore: Option<Arc<FirestoreSink>>,
    every: Option<Duration>,
) -> Option<(Look, Duration)> {
    let (every, mut look) = (every?, Look::new(firestore?));
    let _ = timeout(Duration::from_secs(3), pauses.look(&mut look)).await;
    Some((look, every))
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
        "quotegate ends: {quotes} quotes in, {written} documents written, {left} symbols not flushed"
    );
}
