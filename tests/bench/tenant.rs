//! One tenant, as the host runs it, for the benchmarks that measure the host's parts in their own process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quotegate_document::{CollectionPath, Destination, TenantId};
use quotegate_market::AssetClass;
use quotegate_pace::{Backoff, Rate};
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::inbox::Inbox;
use quotegate_pipeline::pause::PauseFlag;
use quotegate_pipeline::router::{Router, Wanted};
use quotegate_pipeline::tenant::{TenantIo, TenantSpec, TenantStatus, TenantTask};
use quotegate_plugin::PluginChain;
use quotegate_sink::DocumentWrite;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The shortest time between two writes of a symbol.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// What differs between the benchmarks.
pub(crate) struct Setup {
    pub(crate) wanted: Wanted,
    pub(crate) budget: Rate,
    pub(crate) chain: Option<PluginChain>,
    pub(crate) writes: mpsc::Sender<DocumentWrite>,
    pub(crate) status: Arc<TenantStatus>,
    pub(crate) counts_latencies: bool,
}

pub(crate) struct Tenant {
    /// Brings quotes to the tenant.
    pub(crate) router: Router,
    /// The tenant itself; it does not run yet.
    pub(crate) task: TenantTask,
    /// Keep it: the tenant ends when it is dropped.
    pub(crate) deadline: watch::Sender<Option<Instant>>,
}

/// Makes a tenant, and runs its budget until `stop`.
pub(crate) fn tenant(setup: Setup, stop: &CancellationToken) -> Tenant {
    let Setup { wanted, budget, chain, writes, status, counts_latencies } = setup;
    let id = TenantId::new("bench").unwrap();
    let wake = Arc::new(Notify::new());
    let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
    let budget = Budget::new(budget);
    tokio::spawn({
        let (budget, stop) = (budget.clone(), stop.clone());
        async move { budget.run(stop).await }
    });
    let spec = TenantSpec {
        id: id.clone(),
        per_symbol_min_interval: INTERVAL,
        rate: None,
        destinations: vec![Destination { collection: CollectionPath::new("live_quotes").unwrap(), shape: None }],
        mirror: None,
        asset_class: AssetClass::UsEquity,
        order_field: None,
        retry: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).unwrap(),
    };
    let (deadline, deadline_seen) = watch::channel(None);
    let (_, updates) = mpsc::unbounded_channel();
    let io = TenantIo {
        inbox: inbox.clone(),
        pause: Arc::new(PauseFlag::new(wake.clone())),
        wake,
        budget,
        writes,
        status,
        deadline: deadline_seen,
        latencies: counts_latencies.then(Arc::default),
        updates,
    };
    let mut router = Router::default();
    router.add(id, wanted, inbox);
    Tenant { router, task: TenantTask::new(spec, chain, io), deadline }
}
