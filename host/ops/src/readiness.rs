//! Whether the host can do its work.

use quotegate_runtime::status::{IngestStatus, Snapshot};

/// Why the host is not ready. Empty if it is.
pub(super) fn not_ready(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons = Vec::new();
    if snapshot.stopping {
        reasons.push("the host is shutting down".to_owned());
    }
    if snapshot.standby().is_some() {
        reasons.extend(snapshot.standby_problem().map(|problem| format!("this standby cannot take over: {problem}")));
        return reasons;
    }
    if let Some(problem) = snapshot.relay_problem() {
        reasons.push(problem);
    } else if !snapshot.is_connected() {
        reasons.push(format!("the feed is not connected: {}", snapshot.connection()));
    } else if snapshot.feed.silent {
        reasons.push("the feed is silent: no quotes arrive although the exchange is open".to_owned());
    }
    if let Some(problem) = snapshot.sink_problem() {
        reasons.push(format!("the sink does not accept documents: {problem}"));
    }
    reasons
}

/// The tenants that are degraded, paused or stopped, for a host that is ready: one tenant's plugin must not make the host unready for
/// all others. `with_names`: the client may know the tenants' names.
pub(super) fn tenant_problems(snapshot: &Snapshot, with_names: bool) -> Vec<String> {
    /// Probes keep only the first lines.
    const MAX_LINES: usize = 10;
    let problems = snapshot.tenants.iter().filter_map(|(id, tenant)| match snapshot.ingest_status(tenant) {
        (IngestStatus::Running | IngestStatus::Starting | IngestStatus::Standby, _) => None,
        (status, reason) => Some(format!("tenant {id} is {}: {}", status.as_str(), reason.unwrap_or_default())),
    });
    if with_names {
        return problems.take(MAX_LINES).collect();
    }
    match problems.count() {
        0 => Vec::new(),
        count => vec![format!("tenants that need attention: {count}")],
    }
}
