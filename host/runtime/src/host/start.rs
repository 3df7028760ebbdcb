//! How a host starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use quotegate_config::Settings;
use quotegate_feed::FeedStatus;
use quotegate_loader::PluginLoader;
use quotegate_market::Subscription;
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::latency::Latencies;
use quotegate_pipeline::router::Router;
use quotegate_sink::{Batcher, FenceSettings, FirestoreSink, SinkStatus};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::quotes::RunningQuotes;
use super::source::{self, PreparedSource};
use super::supervisor::{TenantServices, TenantSupervisor};
use super::{Host, prepare_tenants, wiring};
use crate::feed_view::FeedView;
use crate::heartbeat;
use crate::log;
use crate::ownership::{Followers, StartedOwnership};
use crate::pause::{ControlPoller, Pauses};
use crate::relay::PreparedRelay;
use crate::status::{HostStatus, ReloadStatus};
use crate::text::counted;
use crate::watchdog::{ThreadGroup, Watchdog};

impl Host {
    /// Starts everything. If it fails, nothing runs.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let began = Instant::now();
        let sink_status = Arc::new(SinkStatus::default());
        let (sink, firestore) = wiring::sink(&settings.sink).await?;
        let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
        let budget = Budget::new(limit);
        let source = source::prepare(settings).await?;
        let instance = settings.run.instance.clone().unwrap_or_else(wiring::instance);
        log::set_instance(&instance);
        // With a relay there are no tenants yet: they come with the shards.
        let at_start = match settings.relay {
            None => wiring::subscription(&settings.tenants),
            Some(_) => Subscription::default(),
        };
        let (subscription, wanted) = watch::channel(Arc::new(at_start));
        let mut relay = PreparedRelay::connect(settings, &instance, wanted.clone()).await?;
        let plugins = Arc::new(PluginLoader::new(settings));
        let prepared = match &relay {
            Some(_) => Vec::new(),
            None => prepare_tenants(&plugins, settings).await?,
        };
        let threads = Arc::new(wiring::threads(settings)?);

        let pauses = Arc::new(Pauses::new(&instance, settings));
        let fence = firestore.clone().zip(wiring::fence(&settings.sink)?);
        let control = control_poller(&pauses, firestore, settings.run.control_interval).await;
        // Not before everything is ready: the last owner's successor should not have to compile.
        let ownership = StartedOwnership::start(settings, &instance);
        pauses.set_standby(ownership.is_some() && relay.is_none());
        if relay.is_some() {
            budget.set_share(None);
        }
        let sink = match &ownership {
            Some(ownership) => ownership.gate(sink),
            None => sink,
        };
        let fence = fence.map(|(reader, fence)| {
            (reader, FenceSettings { ownership: ownership.as_ref().map(StartedOwnership::may_write), ..fence })
        });

        let (writes, received) = mpsc::channel(wiring::sink_capacity(&settings.sink));
        let (deadline, deadline_receiver) = watch::channel(None);
        let latencies = Arc::new(Latencies::default());
        let feed_status = Arc::new(FeedStatus::default());
        let status = Arc::new(HostStatus {
            feed: FeedView { own: feed_status.clone(), relay: relay.as_ref().map(PreparedRelay::view) },
            sink: sink_status.clone(),
            budget: budget.clone(),
            tenants: Mutex::default(),
            heartbeat_lock: tokio::sync::Mutex::default(),
            dry_run: wiring::is_dry_run(settings),
            instance,
            started: unix_now(),
            calendar: source::calendar(settings),
            heartbeat: settings.heartbeat.clone(),
            heartbeats: AtomicU64::new(0),
            last_heartbeat: AtomicI64::new(0),
            latencies: latencies.clone(),
            lease: ownership.as_ref().and_then(StartedOwnership::lease),
            shards: ownership.as_ref().and_then(StartedOwnership::shards),
            part: Mutex::default(),
            hosts: Mutex::default(),
            stopping: AtomicBool::new(false),
            source_ended: AtomicBool::new(false),
            reloads: ReloadStatus::default(),
        });
        let watchdog = Watchdog::new(source.is_some(), relay.is_some() && wiring::works(settings));
        info!(
            event_type = "startup",
            version = env!("CARGO_PKG_VERSION"),
            instance = status.instance,
            tenants = settings.tenants.len(),
            dry_run = status.dry_run,
            writes_per_second = settings.pace.writes_per_second,
            burst = settings.pace.burst,
            "quotegate starts: {}, {}",
            counted(settings.tenants.len(), "tenant"),
            describe(settings, source.as_ref()),
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
        let mut router = if relay.is_some() { Router::with_latest() } else { Router::default() };
        let mut tenants = TenantSupervisor::new(TenantServices {
            status: status.clone(),
            budget: budget.clone(),
            limits,
            writes,
            deadline: deadline_receiver,
            latencies: (!source.as_ref().is_some_and(PreparedSource::is_replay)).then_some(latencies),
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
        let (ownership, tenure) = ownership.map(|ownership| ownership.follow(budget.clone(), followers())).unzip();
        let (quotes, feed_subscription) = match &mut relay {
            None => {
                let start =
                    |source: PreparedSource| source.start(wanted, router, feed_status, watchdog.clone(), tenure);
                (RunningQuotes { source: source.map(start).transpose()?, relay: None }, None)
            }
            Some(relay) => {
                let (sender, receiver) = watch::channel(Arc::new(wiring::subscription(&settings.tenants)));
                let mut running = relay.start(router, &watchdog)?;
                let source = match (source, tenure) {
                    (Some(source), Some(tenure)) => {
                        let (publisher, task) = relay.publisher();
                        let me = (status.instance.clone(), wiring::page_address(settings));
                        running.publish(task, tenure.clone(), feed_status.clone(), me);
                        Some(source.start(receiver, publisher, feed_status, watchdog.clone(), Some(tenure))?)
                    }
                    _ => None,
                };
                (RunningQuotes { source, relay: Some(running) }, Some(sender))
            }
        };
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
            relay_task: status.feed.relay.is_some().then(|| {
                let (status, stop) = (status.clone(), stop_ticking.clone());
                tokio::spawn(async move { status.feed.log_changes_until(stop).await })
            }),
            batcher: tokio::spawn(batcher.run(received, batcher_deadline.clone())),
            tenants: Arc::new(tokio::sync::Mutex::new(tenants)),
            threads,
            plugins,
            reloader: None,
            quotes,
            feed_subscription,
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
}

/// Where quotes come from, for the first log line.
fn describe(settings: &Settings, source: Option<&PreparedSource>) -> String {
    let source = source.map(PreparedSource::describe);
    match (&settings.relay, source) {
        (None, source) => source.unwrap_or_default(),
        (Some(relay), None) => format!("quotes over the relay at {}", relay.url),
        (Some(relay), Some(source)) => format!("{source}, over the relay at {}", relay.url),
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
