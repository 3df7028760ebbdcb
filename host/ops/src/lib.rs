//! Health, metrics, state and the page for operators, over HTTP. Everything is read-only.
//!
//! | path | |
//! |---|---|
//! | `/healthz` | 200 while no thread is stuck |
//! | `/readyz` | 200 while the feed is authenticated and the sink accepts documents, or while a standby could take over; fails first at a shutdown |
//! | `/metrics` | Prometheus text |
//! | `/api/state` | everything, as JSON |
//! | `/` | the page: everything for people, kept up to date by `/api/events` |
//!
//! Reads snapshots, and knows nothing of the other crates' internals.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod events;
mod guard;
mod metrics;
mod page;
mod problems;
mod prometheus;
mod readiness;
mod state;

pub use state::{HostState, TenantState, WriteLimit};

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use quotegate_io::listen_problem;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use events::EventStream;
use quotegate_runtime::status::HostStatus;
use quotegate_runtime::watchdog::Watchdog;

/// What the server shows, and the token that it asks for.
pub struct OpsSources {
    /// The host's numbers.
    pub status: Arc<HostStatus>,
    /// Knows whether the host's threads are stuck.
    pub watchdog: Arc<Watchdog>,
    /// The token that requests need, except probes and the page's files.
    pub token: Option<SecretString>,
}

/// A bound port, before the host has started.
pub struct OpsListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The running server.
pub struct RunningOps {
    /// Its address.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl OpsListener {
    /// Listens on `address`. Connections wait until [`Self::serve`] is called.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let (key, remedy) = match error.kind() {
                ErrorKind::AddrNotAvailable => ("ops.address", "choose an address of this machine"),
                _ => ("ops.port", "choose another port, or 0 for none"),
            };
            anyhow!("{key}: could not listen on {address}: {}; {remedy}", listen_problem(&error))
        })?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Starts serving.
    pub fn serve(self, ops: OpsSources) -> RunningOps {
        let Self { listener, address } = self;
        info!(event_type = "ops_started", %address, "serving the page, health, metrics and state at http://{address}/");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let events = EventStream::start(ops.status.clone(), stop.clone());
        let serve = axum::serve(listener, router(Arc::new(ops), events))
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        let task = tokio::spawn(async move {
            // Never fails.
            let _ = serve.await;
        });
        RunningOps { address, stop, task }
    }
}

impl RunningOps {
    /// Shuts the server down. Clients that are still connected are cut off after a moment.
    pub async fn shut_down(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_millis(200), self.task).await;
    }
}

fn router(ops: Arc<OpsSources>, events: EventStream) -> Router {
    let events = Arc::new(events);
    let watch = {
        let ops = ops.clone();
        get(async move |query| watch(&ops, &events, query))
    };
    let guarded = Router::new()
        .route("/api/events", watch)
        .route("/metrics", get(metrics))
        .route("/api/state", get(state))
        .layer(axum::middleware::from_fn_with_state(ops.token.clone(), guard::token));
    Router::new()
        .merge(guarded)
        .merge(page::routes())
        .layer(axum::middleware::from_fn_with_state(guard::RequestPermits::new(), guard::limits))
        // Without the limits: if clients could block a probe, the host would be restarted because of them.
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(axum::middleware::from_fn(guard::headers))
        .with_state(ops)
}

async fn healthz(State(ops): State<Arc<OpsSources>>) -> Response {
    let stuck = ops.watchdog.stuck(quotegate_pipeline::clock::unix_now());
    if stuck.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", stuck.join(", "))).into_response()
}

async fn readyz(State(ops): State<Arc<OpsSources>>) -> Response {
    let snapshot = ops.status.snapshot();
    let reasons = readiness::not_ready(&snapshot);
    if reasons.is_empty() {
        let standby = snapshot.standby().map(|owner| format!("ready: a standby; {owner}"));
        let ready = standby.unwrap_or_else(|| "ready".to_owned());
        let lines = [vec![ready], readiness::tenant_problems(&snapshot, ops.token.is_none())].concat();
        return (StatusCode::OK, format!("{}\n", lines.join("\n"))).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response()
}

async fn metrics(State(ops): State<Arc<OpsSources>>) -> Response {
    let text = metrics::text(&ops.status.snapshot());
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response()
}

/// The query of `/api/events`.
#[derive(serde::Deserialize)]
struct EventsQuery {
    /// The tenant whose quotes to send. By default the first one.
    tenant: Option<String>,
}

fn watch(ops: &OpsSources, events: &EventStream, Query(query): Query<EventsQuery>) -> Response {
    let tenants = ops.status.tenants();
    let mut tenants = tenants.iter().map(|(id, _)| id);
    let Some(tenant) = query.tenant else { return events.watch(tenants.next().cloned()) };
    match tenants.find(|id| id.as_str() == tenant) {
        Some(id) => events.watch(Some(id.clone())),
        None => (StatusCode::NOT_FOUND, "no such tenant; /api/state lists them\n").into_response(),
    }
}

async fn state(State(ops): State<Arc<OpsSources>>) -> Response {
    let text = HostState::from(ops.status.snapshot()).json();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
