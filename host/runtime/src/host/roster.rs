//! The tenants that run: how they come, change and go while the host does.
//!
//! Nothing here waits: what can fail or take time has been done before, so a change of many tenants is one step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quotegate_document::TenantId;
use quotegate_market::Subscription;
use quotegate_plugin::{PluginChain, PluginThreads};
use quotegate_sink::{DocumentWrite, Heartbeats};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::heartbeat;
use crate::pause::Pauses;
use crate::status::HostStatus;
use quotegate_loader::ChainSpec;
use quotegate_pipeline::budget::{Budget, now};
use quotegate_pipeline::inbox::Inbox;
use quotegate_pipeline::latency::Latencies;
use quotegate_pipeline::pause::PauseFlag;
use quotegate_pipeline::router::{RouteChange, RouteChanges, Wanted};
use quotegate_pipeline::tenant::{TenantIo, TenantSpec, TenantStatus, TenantTask, TenantUpdate, Unflushed};

/// The tenants, and what each new one is connected to.
pub(super) struct Roster {
    pub(super) members: BTreeMap<TenantId, Member>,
    /// Tenants that have left and still write what is dirty; cancelled when they are gone.
    leaving: BTreeMap<TenantId, CancellationToken>,
    pub(super) tasks: JoinSet<Unflushed>,
    pub(super) house: House,
}

/// What all tenants share.
pub(super) struct House {
    pub(super) status: Arc<HostStatus>,
    pub(super) budget: Arc<Budget>,
    /// What the sink heeds of the budget.
    pub(super) limits: watch::Sender<quotegate_pace::Rate>,
    pub(super) writes: mpsc::Sender<DocumentWrite>,
    pub(super) deadline: watch::Receiver<Option<std::time::Instant>>,
    pub(super) latencies: Option<Arc<Latencies>>,
    pub(super) pauses: Arc<Pauses>,
    /// Where the tenants run: plugins may hold these threads.
    pub(super) threads: Arc<PluginThreads>,
    pub(super) heartbeats: Heartbeats,
    pub(super) routes: Arc<RouteChanges>,
    /// What the feed is asked for.
    pub(super) wanted: watch::Sender<Arc<Subscription>>,
    /// How long a tenant that leaves may write what is dirty.
    pub(super) grace: Duration,
}

/// A tenant as it was last told to be, and the ways to it.
pub(super) struct Member {
    pub(super) terms: Terms,
    inbox: Arc<Inbox>,
    updates: mpsc::UnboundedSender<TenantUpdate>,
    wake: Arc<Notify>,
    status: Arc<TenantStatus>,
    gone: CancellationToken,
}

/// What makes one tenant differ from another.
#[derive(Clone, PartialEq)]
pub(crate) struct Terms {
    pub(crate) plan: TenantSpec,
    pub(crate) wanted: Wanted,
    pub(crate) recipe: ChainSpec,
}

/// A tenant that is ready to come in.
pub(crate) struct Newcomer {
    pub(crate) terms: Terms,
    pub(crate) chain: Option<PluginChain>,
    /// It was here a moment ago.
    pub(crate) hold_until: Option<std::time::Instant>,
}

/// Another way to be for a tenant that is in.
pub(super) struct Alteration {
    pub(super) terms: Terms,
    /// Started already; `None`: its plugins stay.
    pub(super) chain: Option<Option<PluginChain>>,
}

impl Roster {
    pub(super) fn new(house: House) -> Self {
        Self { members: BTreeMap::new(), leaving: BTreeMap::new(), tasks: JoinSet::new(), house }
    }

    /// Starts a tenant. Answers what the router must be told.
    pub(super) fn admit(&mut self, newcomer: Newcomer) -> (TenantId, Wanted, Arc<Inbox>) {
        let Newcomer { terms, chain, hold_until } = newcomer;
        let (id, house) = (terms.plan.id.clone(), &self.house);
        let (updates, updates_seen) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
        let pause = Arc::new(PauseFlag::new(wake.clone()));
        house.pauses.add(id.clone(), pause.clone());
        let status = Arc::new(TenantStatus::default());
        let io = TenantIo {
            inbox: inbox.clone(),
            wake: wake.clone(),
            budget: house.budget.clone(),
            writes: house.writes.clone(),
            status: status.clone(),
            deadline: house.deadline.clone(),
            latencies: house.latencies.clone(),
            pause,
            updates: updates_seen,
        };
        let mut tenant = TenantTask::new(terms.plan.clone(), chain, io);
        if let Some(at) = hold_until {
            tenant = tenant.hold_until(at);
        }
        house.status.add_tenant(id.clone(), status.clone());
        let gone = CancellationToken::new();
        let farewell = Farewell {
            id: id.clone(),
            status: status.clone(),
            host: house.status.clone(),
            heartbeats: house.heartbeats.clone(),
            gone: gone.clone(),
        };
        let running = house.threads.spawn(tenant.run());
        self.tasks.spawn(async move { farewell.after(running.await).await });
        let told = (id.clone(), terms.wanted.clone(), inbox.clone());
        self.members.insert(id, Member { terms, inbox, updates, wake, status, gone });
        told
    }

    /// Changes a tenant. Answers what the router must be told, and who will tell when it counts.
    pub(super) fn alter(&mut self, altered: Alteration) -> (Option<RouteChange>, Option<oneshot::Receiver<()>>) {
        let Alteration { terms, chain } = altered;
        let id = terms.plan.id.clone();
        let Some(member) = self.members.get_mut(&id) else { return (None, None) };
        let (applied, answer) = oneshot::channel();
        // A tenant that has ended, as all do at the end of a replay, needs no telling.
        let _ = member.updates.send(TenantUpdate { spec: terms.plan.clone(), chain, leave_by: None, applied });
        member.wake.notify_one();
        let route = (terms.wanted != member.terms.wanted).then(|| RouteChange::Want(id, terms.wanted.clone()));
        member.terms = terms;
        (route, Some(answer))
    }

    /// Lets a tenant go: it writes what is dirty, within the grace, and says goodbye in its heartbeat.
    pub(super) fn dismiss(&mut self, id: &TenantId) -> Option<RouteChange> {
        let member = self.members.remove(id)?;
        // Who paused it keeps it paused to its end.
        self.house.pauses.forget(id);
        member.status.set_leaving();
        let (applied, _) = oneshot::channel();
        let leave_by = Some(now() + self.house.grace);
        let _ = member.updates.send(TenantUpdate { spec: member.terms.plan, chain: None, leave_by, applied });
        // At once, and not only when the router comes to it: there may be no more quotes today.
        member.inbox.close();
        member.wake.notify_one();
        self.leaving.insert(id.clone(), member.gone);
        Some(RouteChange::Remove(id.clone()))
    }

    /// What is cancelled when a tenant that leaves is gone; `None` if it does not leave.
    pub(super) fn leaving(&mut self, id: &TenantId) -> Option<CancellationToken> {
        self.leaving.retain(|_, gone| !gone.is_cancelled());
        // What those came to was told when they went.
        while self.tasks.try_join_next().is_some() {}
        self.leaving.get(id).cloned()
    }
}

/// What is left to do when a tenant's task has ended.
struct Farewell {
    id: TenantId,
    status: Arc<TenantStatus>,
    host: Arc<HostStatus>,
    heartbeats: Heartbeats,
    gone: CancellationToken,
}

impl Farewell {
    /// The last heartbeat may take this long; nobody but a tenant of the same name waits for it.
    const LIMIT: Duration = Duration::from_secs(10);

    /// Gives what is left for the host to count: nothing of a tenant that was removed, whose rest is told here.
    async fn after(self, unflushed: Unflushed) -> Unflushed {
        let Self { id, status, host, heartbeats, gone } = self;
        if !status.is_leaving() {
            return unflushed;
        }
        let began = Instant::now();
        host.remove_tenant(&id);
        let reason = "the tenant was removed from the settings";
        let goodbye = heartbeat::say_goodbye(&host, &heartbeats, &id, &status, reason);
        if timeout(Self::LIMIT, goodbye).await.is_err() {
            warn!(event_type = "heartbeat", tenant = %id, "the last heartbeat was not answered in time");
        }
        let left = unflushed.dirty + unflushed.in_flight;
        info!(
            event_type = "tenant_removed",
            tenant = %id,
            unflushed = left,
            goodbye_seconds = began.elapsed().as_secs_f64(),
            "the tenant {id} has left; {left} of its symbols were not flushed"
        );
        gone.cancel();
        Unflushed::default()
    }
}
