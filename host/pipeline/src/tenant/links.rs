//! What a tenant's task is told, and what connects it to the house.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quotegate_document::TenantId;
use quotegate_pace::{Backoff, Rate};
use quotegate_plugin::PluginChain;
use quotegate_sink::DocumentWrite;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::TenantStatus;
use crate::budget::Budget;
use crate::inbox::Inbox;
use crate::latency::Latencies;
use crate::pause::Brake;

/// What a tenant's settings say, as far as its task needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantPlan {
    /// Whose quotes these are.
    pub id: TenantId,
    /// The least time between two writes of one symbol.
    pub per_symbol_min_interval: Duration,
    /// The tenant's own write budget, beside the global one.
    pub rate: Option<Rate>,
    /// Where its documents go.
    pub collection: Cow<'static, str>,
    /// How long failed writes wait.
    pub retry: Backoff,
}

/// What the tenant shares with the rest of the house.
#[derive(Debug)]
pub struct Links {
    /// Where the router puts its quotes.
    pub inbox: Arc<Inbox>,
    /// Rung by inbox and budget.
    pub doorbell: Arc<Notify>,
    /// The write budget of all tenants.
    pub budget: Arc<Budget>,
    /// The way to the sink.
    pub writes: mpsc::Sender<DocumentWrite>,
    /// Where others read how it goes.
    pub status: Arc<TenantStatus>,
    /// Becomes a deadline when the host shuts down.
    pub deadline: watch::Receiver<Option<Instant>>,
    /// Where it is counted how long quotes take; `None` in a replay.
    pub latencies: Option<Arc<Latencies>>,
    /// Keeps the tenant from writing while it is paused.
    pub brake: Arc<Brake>,
    /// What is to be different while it runs.
    pub changes: mpsc::UnboundedReceiver<TenantChange>,
}

/// What is to be different for a tenant that runs, all at once, from its next quote on.
#[derive(Debug)]
pub struct TenantChange {
    /// Its plan, of the same tenant. The way in which failed writes wait stays.
    pub plan: TenantPlan,
    /// Plugins that take the place of those at work, started already; `Some(None)`: it has none any more.
    pub chain: Option<Option<PluginChain>>,
    /// It writes what is dirty, at the latest until then, and ends. Its inbox must be closed too.
    pub leave_by: Option<Instant>,
    /// Told once all this counts.
    pub taken: oneshot::Sender<()>,
}

/// Symbols whose newest quote did not reach the sink before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unflushed {
    /// Not sent.
    pub dirty: usize,
    /// Sent, no outcome yet.
    pub in_flight: usize,
}
