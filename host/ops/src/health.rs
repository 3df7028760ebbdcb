//! Whether the host is of use.

use quotegate_feed::ConnectionState;
use quotegate_runtime::heartbeat::Health;
use quotegate_runtime::status::Snapshot;

/// Why the host is of no use just now; empty if it is.
pub(super) fn not_ready(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons = Vec::new();
    if snapshot.stopping {
        reasons.push("the host is shutting down".to_owned());
    }
    let connected = matches!(snapshot.feed.connection, ConnectionState::Streaming | ConnectionState::Replaying);
    if !connected {
        reasons.push(format!("the feed is not connected: {}", snapshot.connection()));
    } else if snapshot.feed.silent {
        reasons.push("the feed is silent: no quote comes while the exchange is open".to_owned());
    }
    if let Some(problem) = snapshot.sink_problem() {
        reasons.push(format!("the sink does not take documents: {problem}"));
    }
    reasons
}

/// What a host that is ready has to say all the same: which tenants are not well. One tenant's plugin must not make the
/// host unready for all others. `by_name`: whoever asks may know who the tenants are.
pub(super) fn remarks(snapshot: &Snapshot, by_name: bool) -> Vec<String> {
    /// A probe keeps the first lines only.
    const MOST: usize = 10;
    let unwell = snapshot.tenants.iter().filter_map(|(id, tenant)| match snapshot.health(tenant) {
        (Health::Running | Health::Starting, _) => None,
        (health, reason) => Some(format!("tenant {id} is {}: {}", health.as_str(), reason.unwrap_or_default())),
    });
    if by_name {
        return unwell.take(MOST).collect();
    }
    match unwell.count() {
        0 => Vec::new(),
        count => vec![format!("tenants that are not well: {count}")],
    }
}
