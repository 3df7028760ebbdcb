//! Whether there is a connection, and why not.

use async_nats::{Event, Server, ServerError};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::clock::wall_clock;
use crate::status::ConnectionSnapshot;

/// Written by the client's callbacks, read by [`crate::Relay::status`].
#[derive(Debug)]
pub(super) struct ConnectionState(Mutex<ConnectionSnapshot>);

impl ConnectionState {
    pub(super) fn new(url: String) -> Self {
        Self(Mutex::new(ConnectionSnapshot { url, since: wall_clock(), ..ConnectionSnapshot::default() }))
    }

    /// `connected`: what the client says, whose events come a little later.
    pub(super) fn snapshot(&self, connected: bool) -> ConnectionSnapshot {
        let mut snapshot = self.0.lock().clone();
        snapshot.connected = connected;
        snapshot.problem = snapshot.problem.filter(|_| !connected);
        snapshot
    }

    pub(super) fn event(&self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected | Event::Closed => self.disconnected(),
            Event::ServerError(error) => self.problem(&server_words(&error)),
            Event::LameDuckMode => info!(event_type = "relay_shutdown", "the broker is about to shut down"),
            // Seen as a gap, and as the reason of a failed attempt.
            Event::SlowConsumer(_) | Event::ClientError(_) | Event::Draining => {}
        }
    }

    /// Called before each attempt, with what became of the ones before.
    pub(super) fn attempts(&self, servers: &[Server]) {
        let failed = servers.iter().filter_map(|server| {
            let error = server.last_error.as_deref()?;
            Some(words(error, &format!("{}:{}", server.addr.host(), server.addr.port())))
        });
        let failed: Vec<String> = failed.collect();
        if !failed.is_empty() {
            self.problem(&failed.join("; "));
        }
    }

    fn connected(&self) {
        let mut state = self.0.lock();
        (state.connected, state.since, state.problem) = (true, wall_clock(), None);
        state.connections += 1;
        info!(event_type = "relay_connect", url = state.url, "connected to the broker");
    }

    fn disconnected(&self) {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.connected, false) {
            state.since = wall_clock();
            warn!(event_type = "relay_disconnect", url = state.url, "lost the connection to the broker; reconnecting");
        }
    }

    /// Logged when it changes, not at every attempt.
    fn problem(&self, problem: &str) {
        let mut state = self.0.lock();
        if state.problem.as_deref() != Some(problem) {
            state.problem = Some(problem.to_owned());
            warn!(event_type = "relay_problem", url = state.url, "the broker: {problem}");
        }
    }
}

/// What a server's error means.
fn server_words(error: &ServerError) -> String {
    match error {
        ServerError::AuthorizationViolation => refused("it"),
        ServerError::SlowConsumer(_) => "it dropped messages, because this host was too slow".to_owned(),
        ServerError::Other(text) => text.clone(),
    }
}

fn refused(server: &str) -> String {
    format!("{server} refused the credentials; check the token, NKEY or credentials file in the relay's settings")
}

/// What a failed attempt means. The client keeps only its text: a kind, and then the cause.
fn words(error: &str, address: &str) -> String {
    let cause = error.split_once(": ").map_or(error, |(_, cause)| cause);
    let lower = error.to_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("authorization violation") || has("authentication") {
        refused(address)
    } else if has("connection refused") {
        format!("connection refused by {address}")
    } else if has("timed out") {
        format!("no answer from {address} in time")
    } else if has("tls") || has("certificate") {
        format!("TLS with {address} failed: {cause}")
    } else {
        format!("{address}: {cause}")
    }
}
