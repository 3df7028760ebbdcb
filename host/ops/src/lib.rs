//! What operators look at: health, metrics, state and the page, over HTTP. Nothing here changes anything.
//!
//! | path | |
//! |---|---|
//! | `/healthz` | 200 while the process is alive and its loops turn |
//! | `/readyz` | 200 while the feed is authenticated and the sink takes documents; fails first at a shutdown |
//! | `/metrics` | Prometheus text |
//! | `/api/state` | everything, as JSON |
//! | `/` | the page: all of it for people, kept up to date by `/api/events` |
//!
//! Reads one snapshot type; knows no room's internals.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod events;
mod exposition;
mod guard;
mod health;
mod metrics;
mod page;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use events::Events;
use quotegate_runtime::pulses::Pulses;
use quotegate_runtime::status::HostStatus;

/// What the pages need.
pub struct Ops {
    /// Every number of the host.
    pub status: Arc<HostStatus>,
    /// Whether its loops turn.
    pub pulses: Arc<Pulses>,
    /// What a visitor must bring; probes need not.
    pub token: Option<SecretString>,
}

/// A port that is taken, before there is a host to show.
pub struct OpsListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The server at work.
pub struct RunningOps {
    /// Where.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl OpsListener {
    /// Listens on `address`. Whoever comes waits until there is something to [serve](Self::serve).
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("ops.port: nothing can listen on {address}; another program may use the port, so give another one, or 0 for none")
        })?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Serves until it is ended.
    pub fn serve(self, ops: Ops) -> RunningOps {
        let Self { listener, address } = self;
        info!(event_type = "ops_started", %address, "the page, health, metrics and state are served at http://{address}/");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let events = Events::start(ops.status.clone(), stop.clone());
        let serve = axum::serve(listener, router(Arc::new(ops), events))
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        let task = tokio::spawn(async move {
            // It only ends when it is told to.
            let _ = serve.await;
        });
        RunningOps { address, stop, task }
    }
}

impl RunningOps {
    /// Ends it; visitors that are still there are cut off after a moment.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_millis(200), self.task).await;
    }
}

fn router(ops: Arc<Ops>, events: Events) -> Router {
    let events = Arc::new(events);
    let listen = {
        let ops = ops.clone();
        get(async move |query| listen(&ops, &events, query))
    };
    let guarded = Router::new()
        .route("/api/events", listen)
        .route("/metrics", get(metrics))
        .route("/api/state", get(state))
        .layer(axum::middleware::from_fn_with_state(ops.clone(), guard::token));
    Router::new()
        .merge(guarded)
        .merge(page::routes())
        .layer(axum::middleware::from_fn_with_state(guard::Places::new(), guard::limits))
        // Below the limits: visitors must not keep a probe from its answer, or the host would be restarted for them.
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(axum::middleware::from_fn(guard::headers))
        .with_state(ops)
}

async fn healthz(State(ops): State<Arc<Ops>>) -> Response {
    let stuck = ops.pulses.stuck(quotegate_pipeline::clock::unix_now());
    if stuck.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", stuck.join(", "))).into_response()
}

async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let snapshot = ops.status.snapshot();
    let reasons = health::not_ready(&snapshot);
    if reasons.is_empty() {
        let lines = [vec!["ready".to_owned()], health::remarks(&snapshot, ops.token.is_none())].concat();
        return (StatusCode::OK, format!("{}\n", lines.join("\n"))).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response()
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let text = metrics::text(&ops.status.snapshot());
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}

/// What `/api/events` is asked for.
#[derive(serde::Deserialize)]
struct Wanted {
    /// Whose quotes; the first tenant's if it is left out.
    tenant: Option<String>,
}

fn listen(ops: &Ops, events: &Events, Query(wanted): Query<Wanted>) -> Response {
    let tenants = ops.status.tenants();
    let mut tenants = tenants.iter().map(|(id, _)| id);
    let Some(wanted) = wanted.tenant else { return events.listen(tenants.next().cloned()) };
    match tenants.find(|id| id.as_str() == wanted) {
        Some(id) => events.listen(Some(id.clone())),
        None => (StatusCode::NOT_FOUND, "no such tenant; /api/state lists them\n").into_response(),
    }
}

async fn state(State(ops): State<Arc<Ops>>) -> Response {
    let text = state::json(&ops.status.snapshot());
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
