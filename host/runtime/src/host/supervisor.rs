//! The running tenants: adds, changes and removes them while the host runs.
//!
//! Nothing here waits. Whatever can fail or take time was done before, so changing many tenants is one step.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_market::Subscription;
use quotegate_pipeline::budget::{Budget, now};
use quotegate_pipeline::inbox::Inbox;
use quotegate_pipeline::latency::Latencies;
use quotegate_pipeline::pause::PauseFlag;
use quotegate_pipeline::router::{RouteChange, RouteChanges, Wanted};
use quotegate_pipeline::tenant::{TenantIo, TenantStatus, TenantTask, TenantUpdate, Unflushed};
use quotegate_plugin::{PluginChain, PluginThreads, Weight};
use quotegate_sink::{DocumentWrite, Heartbeats};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::setup::{PreparedTenant, TenantSetup};
use crate::heartbeat;
use crate::pause::Pauses;
use crate::status::HostStatus;

/// How long a tenant that moves may write what is dirty. Its new owner gets the latest quotes from the reader, so nothing is
/// lost if this is too short.
const FLUSH_BEFORE_MOVE: Duration = Duration::from_millis(300);

/// The tenants, and what new ones are connected to.
pub(super) struct TenantSupervisor {
    pub(super) running: BTreeMap<TenantId, RunningTenant>,
    /// Removed tenants that still write what is dirty. Each token is cancelled when its tenant is gone.
    leaving: BTreeMap<TenantId, CancellationToken>,
    pub(super) tasks: JoinSet<Unflushed>,
    pub(super) services: TenantServices,
}

/// What all tenants share.
pub(super) struct TenantServices {
    pub(super) status: Arc<HostStatus>,
    pub(super) budget: Arc<Budget>,
    /// Tells the sink about changes of the global limit.
    pub(super) limits: watch::Sender<quotegate_pace::Rate>,
    pub(super) writes: mpsc::Sender<DocumentWrite>,
    pub(super) deadline: watch::Receiver<Option<std::time::Instant>>,
    pub(super) latencies: Option<Arc<Latencies>>,
    pub(super) pauses: Arc<Pauses>,
    /// Tenants run here because plugins may block these threads.
    pub(super) threads: Arc<PluginThreads>,
    pub(super) heartbeats: Heartbeats,
    pub(super) routes: Arc<RouteChanges>,
    /// The symbols that the feed should subscribe to.
    pub(super) subscription: watch::Sender<Arc<Subscription>>,
    /// How long a removed tenant may write what is dirty.
    pub(super) grace: Duration,
}

/// A tenant's current setup, and the handles to its task.
pub(super) struct RunningTenant {
    pub(super) setup: TenantSetup,
    inbox: Arc<Inbox>,
    updates: mpsc::UnboundedSender<Box<TenantUpdate>>,
    wake: Arc<Notify>,
    weight: Weight,
    removal: Arc<OnceLock<Removal>>,
    gone: CancellationToken,
}

/// Why a tenant is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is no longer in the settings. Its last heartbeat says so.
    FromSettings,
    /// Another host is to run it, which waits until it is gone, and writes its heartbeats from then on.
    Moved,
}

/// A prepared change of a running tenant.
pub(super) struct TenantChange {
    pub(super) setup: TenantSetup,
    /// Already started. `None`: the plugins stay.
    pub(super) chain: Option<Option<PluginChain>>,
}

impl TenantSupervisor {
    pub(super) fn new(services: TenantServices) -> Self {
        Self { running: BTreeMap::new(), leaving: BTreeMap::new(), tasks: JoinSet::new(), services }
    }

    /// Starts a tenant. Returns what the router needs to add it.
    pub(super) fn spawn(&mut self, tenant: PreparedTenant) -> (TenantId, Wanted, Arc<Inbox>) {
        let PreparedTenant { setup, chain, hold_until } = tenant;
        let (id, services) = (setup.spec.id.clone(), &self.services);
        let (updates, update_receiver) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
        let pause = Arc::new(PauseFlag::new(wake.clone()));
        services.pauses.add(id.clone(), pause.clone());
        let status = Arc::new(TenantStatus::default());
        let io = TenantIo {
            inbox: inbox.clone(),
            wake: wake.clone(),
            budget: services.budget.clone(),
            writes: services.writes.clone(),
            status: status.clone(),
            deadline: services.deadline.clone(),
            latencies: services.latencies.clone(),
            pause,
            updates: update_receiver,
        };
        let mut task = TenantTask::new(setup.spec.clone(), chain, io);
        if let Some(at) = hold_until {
            task = task.hold_until(at);
        }
        services.status.add_tenant(id.clone(), status.clone());
        let gone = CancellationToken::new();
        let removal = Arc::new(OnceLock::new());
        let cleanup = TenantCleanup {
            id: id.clone(),
            removal: removal.clone(),
            status,
            host: services.status.clone(),
            heartbeats: services.heartbeats.clone(),
            gone: gone.clone(),
        };
        let weight = Weight::new(setup.weight);
        let task = services.threads.spawn_with(weight.clone(), task.run());
        self.tasks.spawn(async move { cleanup.run(task.await).await });
        let route = (id.clone(), setup.wanted.clone(), inbox.clone());
        self.running.insert(id, RunningTenant { setup, inbox, updates, wake, weight, removal, gone });
        route
    }

    /// Changes a tenant. Returns the change for the router, and a receiver that is notified when the change applies.
    pub(super) fn update(&mut self, change: TenantChange) -> (Option<RouteChange>, Option<oneshot::Receiver<()>>) {
        let TenantChange { setup, chain } = change;
        let id = setup.spec.id.clone();
        let Some(tenant) = self.running.get_mut(&id) else { return (None, None) };
        let (applied, receiver) = oneshot::channel();
        // Fails if the tenant has ended, as all do at the end of a replay. Then there is nothing to change.
        let update = TenantUpdate { spec: setup.spec.clone(), chain, leave_by: None, applied };
        let _ = tenant.updates.send(Box::new(update));
        tenant.wake.notify_one();
        let route = (setup.wanted != tenant.setup.wanted).then(|| RouteChange::Want(id, setup.wanted.clone()));
        tenant.weight.set(setup.weight);
        tenant.setup = setup;
        (route, Some(receiver))
    }

    /// Removes a tenant. It writes what is dirty within the grace period, then its last heartbeat. If it moves, it has only
    /// a moment, and no time at all if this host may not write any more.
    pub(super) fn remove(&mut self, id: &TenantId, why: Removal) -> Option<RouteChange> {
        let tenant = self.running.remove(id)?;
        // A paused tenant stays paused until it is gone.
        self.services.pauses.forget(id);
        let _ = tenant.removal.set(why);
        let time = match why {
            Removal::FromSettings => self.services.grace,
            Removal::Moved if self.services.status.may_write() => FLUSH_BEFORE_MOVE,
            Removal::Moved => Duration::ZERO,
        };
        let (applied, _) = oneshot::channel();
        let leave_by = Some(now() + time);
        let update = TenantUpdate { spec: tenant.setup.spec, chain: None, leave_by, applied };
        let _ = tenant.updates.send(Box::new(update));
        // Here, and not only in the router: the router applies changes with the next quote, which may come tomorrow.
        tenant.inbox.close();
        tenant.wake.notify_one();
        self.leaving.insert(id.clone(), tenant.gone);
        Some(RouteChange::Remove(id.clone()))
    }

    /// The token that is cancelled when a removed tenant is gone. `None` if it is not leaving.
    pub(super) fn leaving(&mut self, id: &TenantId) -> Option<CancellationToken> {
        self.leaving.retain(|_, gone| !gone.is_cancelled());
        // Their results were logged when they ended.
        while self.tasks.try_join_next().is_some() {}
        self.leaving.get(id).cloned()
    }
}

/// What remains to do when a tenant's task has ended.
struct TenantCleanup {
    id: TenantId,
    removal: Arc<OnceLock<Removal>>,
    status: Arc<TenantStatus>,
    host: Arc<HostStatus>,
    heartbeats: Heartbeats,
    gone: CancellationToken,
}

impl TenantCleanup {
    /// Only a new tenant with the same name waits for the last heartbeat.
    const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Returns what the host still has to count: nothing for a removed tenant, which is logged here.
    async fn run(self, unflushed: Unflushed) -> Unflushed {
        let Self { id, removal, status, host, heartbeats, gone } = self;
        let Some(why) = removal.get() else { return unflushed };
        let began = Instant::now();
        host.remove_tenant(&id);
        let left = unflushed.dirty + unflushed.in_flight;
        match why {
            Removal::FromSettings => {
                let reason = "the tenant was removed from the settings";
                let last = heartbeat::write_last(&host, &heartbeats, &id, &status, reason);
                if timeout(Self::HEARTBEAT_TIMEOUT, last).await.is_err() {
                    warn!(event_type = "heartbeat", tenant = %id, "the last heartbeat was not confirmed in time");
                }
                info!(
                    event_type = "tenant_removed",
                    tenant = %id,
                    unflushed = left,
                    goodbye_seconds = began.elapsed().as_secs_f64(),
                    "removed the tenant {id}; {left} of its symbols were not flushed"
                );
            }
            Removal::Moved => {
                // A round of heartbeats that still includes the tenant must not come after the new owner's.
                drop(host.heartbeat_lock.lock().await);
                debug!(event_type = "tenant_moved", tenant = %id, unflushed = left, "the tenant {id} has ended here");
            }
        }
        gone.cancel();
        Unflushed::default()
    }
}
