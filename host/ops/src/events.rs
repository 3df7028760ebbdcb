//! `/api/events`: server-sent events for those who watch. One task makes them for all; it does nothing while nobody is
//! there, and at most a few times a second something however fast the feed is.
//!
//! | event | data |
//! |---|---|
//! | `state` | as `/api/state`, about once a second; at most [`TENANTS`] tenants |
//! | `quotes` | `{tenant, full, symbols, rows}`: the rows that changed; all of them if `full`. A row is symbol, bid, ask, bid size, ask size, exchange time and arrival in milliseconds |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use quotegate_document::TenantId;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::state;
use quotegate_pipeline::tenant::LiveQuote;
use quotegate_runtime::status::HostStatus;

/// Who may watch at one time.
pub(super) const LISTENERS: usize = 16;
/// Between two updates.
const EVERY: Duration = Duration::from_millis(400);
/// The state comes with every such update.
const STATE_EVERY: u32 = 3;
/// The tenants in one update; a page with more of them is no help.
const TENANTS: usize = 100;
/// Updates that may wait for a slow listener. Then it is dropped, and may come again.
const WAITING: usize = 8;

/// Where listeners come in.
pub(super) struct Events {
    arrivals: mpsc::Sender<Listener>,
    places: Arc<Semaphore>,
}

struct Listener {
    updates: mpsc::Sender<Bytes>,
    tenant: Option<TenantId>,
    /// What it has of the tenant's board; `None` if it knows nothing.
    version: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    /// Starts the task, which ends with `stop`: so all listeners go, and the server can end.
    pub(super) fn start(status: Arc<HostStatus>, stop: CancellationToken) -> Self {
        let (arrivals, arrived) = mpsc::channel(LISTENERS);
        tokio::spawn(run(status, arrived, stop));
        Self { arrivals, places: Arc::new(Semaphore::new(LISTENERS)) }
    }

    /// The stream of one listener that wants the quotes of `tenant`.
    pub(super) fn listen(&self, tenant: Option<TenantId>) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let text = format!("{LISTENERS} others watch already; try again when one of them has left\n");
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        };
        let (updates, received) = mpsc::channel(WAITING);
        let listener = Listener { updates, tenant, version: None, _place: place };
        if self.arrivals.try_send(listener).is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down\n").into_response();
        }
        let updates = stream::unfold(received, async |mut received| {
            let update = received.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(update), received))
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(updates)).into_response()
    }
}

async fn run(status: Arc<HostStatus>, mut arrived: mpsc::Receiver<Listener>, stop: CancellationToken) {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut round = 0_u32;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            listener = arrived.recv() => match listener {
                Some(listener) => listeners.push(listener),
                None => return,
            },
            _ = ticks.tick(), if !listeners.is_empty() => {
                update(&status, &mut listeners, round.is_multiple_of(STATE_EVERY));
                round = round.wrapping_add(1);
            }
        }
    }
    // What everybody sees last is that the host is going.
    let last = event("state", &state::short_json(&status.snapshot(), TENANTS));
    for listener in &listeners {
        let _ = listener.updates.try_send(last.clone());
    }
}

/// Sends one update to everybody; those that do not keep up or are gone leave.
fn update(status: &HostStatus, listeners: &mut Vec<Listener>, with_state: bool) {
    let wants_state = |listener: &Listener| with_state || listener.version.is_none();
    let state =
        listeners.iter().any(wants_state).then(|| event("state", &state::short_json(&status.snapshot(), TENANTS)));
    // Listeners of one tenant mostly know the same, so what they get is made once.
    let mut quotes: BTreeMap<(TenantId, Option<u64>), Option<Changes>> = BTreeMap::new();
    send_each(listeners, |listener| {
        let mut parts = Vec::new();
        if wants_state(listener) {
            parts.extend(state.clone());
        }
        let mut version = listener.version.unwrap_or(0);
        if let Some(tenant) = &listener.tenant {
            let known = (tenant.clone(), listener.version);
            let changes = quotes.entry(known).or_insert_with(|| changes(status, tenant, listener.version));
            if let Some(changes) = changes {
                parts.push(changes.event.clone());
                version = changes.version;
            }
        }
        listener.version = Some(version);
        (!parts.is_empty()).then(|| Bytes::from(parts.concat()))
    });
}

/// Sends everybody what is made for them, without waiting.
fn send_each(listeners: &mut Vec<Listener>, mut make: impl FnMut(&mut Listener) -> Option<Bytes>) {
    listeners.retain_mut(|listener| match make(listener) {
        Some(update) => listener.updates.try_send(update).is_ok(),
        None => !listener.updates.is_closed(),
    });
}

/// An event, and the version of the live quotes that it leads to.
struct Changes {
    event: Bytes,
    version: u64,
}

/// What changed of a tenant's live quotes, if anything; asks the tenant for what comes with the next update.
fn changes(status: &HostStatus, tenant: &TenantId, version: Option<u64>) -> Option<Changes> {
    let tenants = status.tenants();
    let (_, found) = tenants.iter().find(|(id, _)| id == tenant)?;
    found.live_quotes().request();
    let changes = found.live_quotes().changed_since(version.unwrap_or(0));
    if changes.rows.is_empty() && version.is_some() {
        return None;
    }
    let rows: Vec<Value> = changes.rows.iter().map(row).collect();
    let data = json!({
        "tenant": tenant.as_str(),
        "full": version.is_none(),
        "symbols": changes.symbols,
        "rows": rows,
    });
    Some(Changes { event: event("quotes", &data.to_string()), version: changes.version })
}

fn row(row: &LiveQuote) -> Value {
    let quote = &row.quote;
    json!([
        row.symbol.as_str(),
        quote.bid(),
        quote.ask(),
        quote.bid_size,
        quote.ask_size,
        quote.event_time / 1_000_000,
        quote.received_time / 1_000_000,
    ])
}

/// JSON has no line breaks, so it is one line of data.
fn event(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_keep_up_or_has_left_loses_the_place() {
        let places = Arc::new(Semaphore::new(3));
        let listener = || {
            let (updates, received) = mpsc::channel(WAITING);
            let place = places.clone().try_acquire_owned().unwrap();
            (Listener { updates, tenant: None, version: None, _place: place }, received)
        };
        let ((quick, mut reads), (slow, does_not), (left, gone)) = (listener(), listener(), listener());
        let mut listeners = vec![quick, slow, left];
        drop(gone);
        for round in 0..=WAITING {
            send_each(&mut listeners, |_| Some(Bytes::from("x")));
            assert_eq!(reads.try_recv().unwrap(), "x");
            assert_eq!(listeners.len(), if round < WAITING { 2 } else { 1 });
        }
        assert_eq!((places.available_permits(), does_not.len()), (2, WAITING));
        drop(reads);
        send_each(&mut listeners, |_| None);
        assert!(listeners.is_empty());
    }
}
