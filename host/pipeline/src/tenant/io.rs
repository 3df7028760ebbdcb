//! What connects a running tenant to the rest of the host.

use std::sync::Arc;
use std::time::Instant;

use quotegate_plugin::PluginChain;
use quotegate_sink::DocumentWrite;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{TenantSpec, TenantStatus};
use crate::budget::Budget;
use crate::inbox::Inbox;
use crate::latency::Latencies;
use crate::pause::PauseFlag;

/// The channels and shared state of a running tenant.
#[derive(Debug)]
pub struct TenantIo {
    /// Where the router puts its quotes.
    pub inbox: Arc<Inbox>,
    /// Wakes the task. Notified by the inbox, the budget, the pause flag and the sender of updates.
    pub wake: Arc<Notify>,
    /// The write budget of all tenants.
    pub budget: Arc<Budget>,
    /// Documents on their way to the sink.
    pub writes: mpsc::Sender<DocumentWrite>,
    /// Written by the task, read by heartbeat and operations.
    pub status: Arc<TenantStatus>,
    /// Becomes a deadline when the host shuts down.
    pub deadline: watch::Receiver<Option<Instant>>,
    /// Where the task records how long quotes take; `None` in a replay.
    pub latencies: Option<Arc<Latencies>>,
    /// Keeps the tenant from writing while it is set.
    pub pause: Arc<PauseFlag>,
    /// Changes of the tenant while it runs. Boxed, because a channel begins with room for 32 of them.
    pub updates: mpsc::UnboundedReceiver<Box<TenantUpdate>>,
}

/// A change of a running tenant. All of it applies at once, from the next quote on.
#[derive(Debug)]
pub struct TenantUpdate {
    /// The new spec of the same tenant.
    pub spec: TenantSpec,
    /// Plugins that replace the current ones, already started. `None`: no change. `Some(None)`: no more plugins.
    pub chain: Option<Option<PluginChain>>,
    /// The tenant ends when everything is written, or at this time. Its inbox must be closed too.
    pub leave_by: Option<Instant>,
    /// Notified when the change is in effect.
    pub applied: oneshot::Sender<()>,
}
