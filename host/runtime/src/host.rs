//! Starts the parts of the host, and stops them in order.

mod check;
mod finish;
mod moves;
mod quotes;
mod reload;
mod setup;
pub mod source;
mod start;
mod supervisor;
mod tenant_plan;
mod watched_files;
pub mod wiring;

pub use check::start_problems;
pub use reload::{LoadSettings, ReloadSource};
pub(crate) use setup::{PreparedTenant, prepare_tenants};
pub use watched_files::WatchedFiles;

use std::sync::Arc;
use std::time::Duration;

use quotegate_loader::PluginLoader;
use quotegate_market::Subscription;
use quotegate_pipeline::tenant::Unflushed;
use quotegate_plugin::PluginThreads;
use quotegate_sink::{BatcherEnd, Heartbeats};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ownership::Ownership;
use crate::status::{HostStatus, Snapshot};
use crate::watchdog::Watchdog;
use quotes::RunningQuotes;
use reload::Reloader;
use supervisor::TenantSupervisor;
use tenant_plan::{Part, TenantPlan};

/// A running host. It owns the handles of all its tasks.
pub struct Host {
    status: Arc<HostStatus>,
    quotes: RunningQuotes,
    /// With a relay, what the reader subscribes to, until there is a reloader.
    feed_subscription: Option<watch::Sender<Arc<Subscription>>>,
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
    relay_task: Option<JoinHandle<()>>,
    /// `None`: this is the only host.
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
    /// The host's numbers, also after it has stopped.
    pub fn status(&self) -> Arc<HostStatus> {
        self.status.clone()
    }

    /// Knows whether the host's threads are stuck.
    pub fn watchdog(&self) -> Arc<Watchdog> {
        self.watchdog.clone()
    }

    /// From now on, tenants, limits and plugins change when their settings or files do. With a relay, tenants run only from now
    /// on: those of the shards that this host has. Call it at most once.
    pub fn reload_from(&mut self, source: ReloadSource) {
        let stop = CancellationToken::new();
        let settings = &source.current.settings;
        let part = settings.relay.as_ref().zip(self.feed_subscription.take());
        let plan = TenantPlan {
            plugins: self.plugins.clone(),
            tenants: self.tenants.clone(),
            status: self.status.clone(),
            sink: settings.sink.clone(),
            feed: settings.feed.name,
            part: part.map(|(relay, feed_subscription)| Part {
                held: Arc::default(),
                shards: relay.shards,
                feed_subscription,
            }),
        };
        let reloader = Reloader { source, plan, shards: self.status.shards.clone() };
        self.reloader = Some((tokio::spawn(reloader.run(stop.clone())), stop));
    }
}
