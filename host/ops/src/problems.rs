//! Everything that is wrong with a host, in sentences. A fault that affects many tenants is one sentence.

use std::collections::BTreeMap;

use quotegate_runtime::liveness::LivenessReport;
use quotegate_runtime::status::{IngestStatus, Snapshot};

use super::state::TenantState;

/// A sentence names at most this many tenants.
const MAX_NAMES: usize = 5;

/// What is wrong, and for each of the `tenants` whether it shares its reason with others.
pub(super) fn problems(snapshot: &Snapshot, liveness: &LivenessReport, tenants: &mut [TenantState]) -> Vec<String> {
    let mut problems = Vec::new();
    if !liveness.state.is_well() {
        problems.extend(liveness.reason.clone());
    }
    problems.extend(snapshot.feed_outage().filter(|outage| !problems.contains(outage)));
    problems.extend(snapshot.sink_problem().map(|error| format!("the sink does not accept documents: {error}")));
    problems.extend(snapshot.part_problems.iter().cloned());
    // What these two do to the tenants has been said.
    let feed = snapshot.feed_problem();
    let sink = snapshot.sink_problem().map(quotegate_runtime::status::failed_write);
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (index, tenant) in tenants.iter().enumerate() {
        let reason = tenant.reason.as_deref();
        let is_said = reason.is_some() && (reason == feed.as_deref() || reason == sink.as_deref());
        // A tenant is starting as long as the feed is not connected.
        if !is_said && !matches!(tenant.status, IngestStatus::Running | IngestStatus::Starting | IngestStatus::Standby)
        {
            groups.entry((tenant.status.as_str(), reason)).or_default().push(index);
        }
    }
    let mut own = vec![false; tenants.len()];
    for ((status, reason), members) in groups {
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        problems.push(format!("{} {status}{reason}", subject(&members, tenants)));
        if let [only] = members[..] {
            own[only] = true;
        }
    }
    for (tenant, own) in tenants.iter_mut().zip(own) {
        tenant.reason_is_shared = tenant.reason.is_some() && !own;
    }
    problems
}

/// `tenant acme is`, `3 tenants (acme, globex, initech) are`, `both tenants are`, or `all 50 tenants are`.
fn subject(members: &[usize], tenants: &[TenantState]) -> String {
    let names: Vec<&str> = members.iter().take(MAX_NAMES).map(|index| tenants[*index].id.as_str()).collect();
    let more = members.len() - names.len();
    match members.len() {
        1 => format!("tenant {} is", names[0]),
        2 if tenants.len() == 2 => "both tenants are".to_owned(),
        count if count == tenants.len() => format!("all {count} tenants are"),
        count if more > 0 => format!("{count} tenants ({} and {more} more) are", names.join(", ")),
        count => format!("{count} tenants ({}) are", names.join(", ")),
    }
}
