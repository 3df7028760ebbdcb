//! `/api/events`: server-sent events for clients that watch the host. One task makes them for all clients. It is idle
//! without clients, and sends at most a few updates per second however fast the feed is.
//!
//! | event | data |
//! |---|---|
//! | `state` | as `/api/state`, about once per second, with at most [`MAX_TENANTS`] tenants |
//! | `quotes` | `{tenant, full, symbols, rows}`: the rows that changed, or all of them if `full`. A row is symbol, bid, ask, bid size, ask size, exchange time and arrival in milliseconds |

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use quotegate_document::TenantId;
use quotegate_pipeline::tenant::LiveQuote;
use quotegate_runtime::status::HostStatus;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::state::HostState;

/// How many clients may watch at the same time.
const MAX_CLIENTS: usize = 16;
/// The time between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(400);
/// Every so many updates include the state.
const STATE_EVERY: u32 = 3;
/// The page has no use for more.
const MAX_TENANTS: usize = 100;
/// How many updates may wait for a slow client before it is disconnected. It may reconnect.
const MAX_WAITING: usize = 8;

/// Accepts clients, and owns the task that sends them events.
pub(super) struct EventStream {
    new_clients: mpsc::Sender<Client>,
    permits: Arc<Semaphore>,
}

struct Client {
    updates: mpsc::Sender<Vec<Event>>,
    tenant: Option<TenantId>,
    /// The version of the tenant's live quotes that it has. `None` before its first update.
    version: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl EventStream {
    /// Starts the task. `stop` ends it and disconnects all clients, so that the server can shut down.
    pub(super) fn start(status: Arc<HostStatus>, stop: CancellationToken) -> Self {
        let (new_clients, receiver) = mpsc::channel(MAX_CLIENTS);
        tokio::spawn(run(status, receiver, stop));
        Self { new_clients, permits: Arc::new(Semaphore::new(MAX_CLIENTS)) }
    }

    /// The events for one client that watches the quotes of `tenant`.
    pub(super) fn watch(&self, tenant: Option<TenantId>) -> Response {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            let text = format!("{MAX_CLIENTS} clients are already watching; try again when one of them has left\n");
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        };
        let (updates, receiver) = mpsc::channel(MAX_WAITING);
        let client = Client { updates, tenant, version: None, _permit: permit };
        if self.new_clients.try_send(client).is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the host is shutting down\n").into_response();
        }
        let updates = stream::unfold(receiver, async |mut receiver| {
            let update: Vec<Event> = receiver.recv().await?;
            Some((stream::iter(update).map(Ok::<_, Infallible>), receiver))
        });
        Sse::new(updates.flatten()).into_response()
    }
}

async fn run(status: Arc<HostStatus>, mut new_clients: mpsc::Receiver<Client>, stop: CancellationToken) {
    let mut clients: Vec<Client> = Vec::new();
    let mut round = 0_u32;
    let mut ticks = tokio::time::interval(UPDATE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            client = new_clients.recv() => match client {
                Some(client) => clients.push(client),
                None => return,
            },
            _ = ticks.tick(), if !clients.is_empty() => {
                update(&status, &mut clients, round.is_multiple_of(STATE_EVERY));
                round = round.wrapping_add(1);
            }
        }
    }
    // The last event says that the host is shutting down.
    let last = state_event(&status);
    for client in &clients {
        let _ = client.updates.try_send(vec![last.clone()]);
    }
}

/// Sends one update to all clients. Drops those that are slow or gone.
fn update(status: &HostStatus, clients: &mut Vec<Client>, with_state: bool) {
    let needs_state = |client: &Client| with_state || client.version.is_none();
    let state = clients.iter().any(needs_state).then(|| state_event(status));
    // Most clients of one tenant have the same version, so their update is made only once.
    let mut quotes: BTreeMap<(TenantId, Option<u64>), Option<Changes>> = BTreeMap::new();
    send_each(clients, |client| {
        let mut events = Vec::new();
        if needs_state(client) {
            events.extend(state.clone());
        }
        let mut version = client.version.unwrap_or(0);
        if let Some(tenant) = &client.tenant {
            let known = (tenant.clone(), client.version);
            let changes = quotes.entry(known).or_insert_with(|| changes(status, tenant, client.version));
            if let Some(changes) = changes {
                events.push(changes.event.clone());
                version = changes.version;
            }
        }
        client.version = Some(version);
        events
    });
}

/// Sends each client the events made for it, without waiting.
fn send_each(clients: &mut Vec<Client>, mut events_for: impl FnMut(&mut Client) -> Vec<Event>) {
    clients.retain_mut(|client| {
        let events = events_for(client);
        if events.is_empty() { !client.updates.is_closed() } else { client.updates.try_send(events).is_ok() }
    });
}

/// An event, and the version of the live quotes that it leads to.
struct Changes {
    event: Event,
    version: u64,
}

/// What changed in a tenant's live quotes, if anything. Also asks the tenant to publish for the next update.
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
    Some(Changes { event: Event::default().event("quotes").data(data.to_string()), version: changes.version })
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

fn state_event(status: &HostStatus) -> Event {
    Event::default().event("state").data(HostState::from(status.snapshot()).keep_tenants(MAX_TENANTS).json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_clients_and_those_that_left_are_dropped() {
        let permits = Arc::new(Semaphore::new(3));
        let client = || {
            let (updates, received) = mpsc::channel(MAX_WAITING);
            let permit = permits.clone().try_acquire_owned().unwrap();
            (Client { updates, tenant: None, version: None, _permit: permit }, received)
        };
        let ((quick, mut reads), (slow, does_not), (left, gone)) = (client(), client(), client());
        let mut clients = vec![quick, slow, left];
        drop(gone);
        for round in 0..=MAX_WAITING {
            send_each(&mut clients, |_| vec![Event::default().data("x")]);
            assert_eq!(reads.try_recv().unwrap().len(), 1);
            assert_eq!(clients.len(), if round < MAX_WAITING { 2 } else { 1 });
        }
        assert_eq!((permits.available_permits(), does_not.len()), (2, MAX_WAITING));
        drop(reads);
        send_each(&mut clients, |_| Vec::new());
        assert!(clients.is_empty());
    }
}
