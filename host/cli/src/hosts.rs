//! The hosts that share a feed, one line each.

use std::collections::BTreeMap;
use std::fmt::Write;

use quotegate_lease::{HostRole, ReportedHost, WorkerSnapshot};
use quotegate_ops::HostState;
use quotegate_runtime::text::counted;

/// A report that is older than this is probably of a host that is gone, in seconds.
const OLD: f64 = 60.0;

/// The reader or owner, then the others by name: what the host that was asked knows of them.
pub(super) fn lines(state: &HostState) -> String {
    let mut text = String::new();
    let owner_is = if state.relay.is_some() { "reader" } else { "owner" };
    for host in state.hosts.iter().filter(|host| host.report.role == HostRole::Owner && host.age_seconds <= OLD) {
        let epoch = host.report.epoch;
        let _ =
            writeln!(text, "{owner_is:<8} {}; epoch {epoch}{}", named(host), problem(host.report.problem.as_deref()));
    }
    let workers = workers(state);
    for (name, known) in &workers {
        let report = state.hosts.iter().find(|host| host.report.instance == *name);
        let _ = writeln!(text, "worker   {}", worker(known, report));
    }
    let is_left = |host: &&ReportedHost| {
        host.report.role == HostRole::Standby && !workers.contains_key(host.report.instance.as_str())
    };
    for host in state.hosts.iter().filter(is_left) {
        let _ = writeln!(text, "standby  {}{}", named(host), problem(host.report.problem.as_deref()));
    }
    text
}

/// Every worker with its shards, which are known at once; reports are some seconds old.
fn workers(state: &HostState) -> BTreeMap<&str, &WorkerSnapshot> {
    let workers = state.shards.iter().flat_map(|shards| &shards.workers);
    workers.map(|worker| (worker.instance.as_str(), worker)).collect()
}

fn worker(known: &WorkerSnapshot, report: Option<&ReportedHost>) -> String {
    let mut text = format!("{}: {}", known.instance, counted(known.shards.len(), "shard"));
    if !known.gives_up.is_empty() {
        let _ = write!(text, " and {} to give up", known.gives_up.len());
    }
    match report.and_then(|host| Some((host, host.report.worker.as_ref()?))) {
        Some((host, worker)) => {
            let lag = worker.lag.map_or("unknown".to_owned(), |lag| format!("{:.1} ms", lag as f64 / 1e6));
            let (tenants, gaps) = (counted(worker.tenants, "tenant"), counted(worker.gaps, "gap"));
            let _ = write!(text, ", {tenants}; lag {lag}, {gaps}, {} dropped{}", worker.dropped, reported(host));
            text.push_str(&problem(worker.problem.as_deref()));
        }
        None => text.push_str("; no report yet"),
    }
    text
}

fn named(host: &ReportedHost) -> String {
    let address = host.report.address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
    format!("{}{address} · quotegate {}{}", host.report.instance, host.report.version, reported(host))
}

fn reported(host: &ReportedHost) -> String {
    format!("; reported {:.0} s ago", host.age_seconds)
}

fn problem(problem: Option<&str>) -> String {
    problem.map_or_else(String::new, |problem| format!("; {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_give_up_its_shards_is_told_apart() {
        let mut known = WorkerSnapshot {
            instance: "host-a".to_owned(),
            session: "1f".to_owned(),
            address: None,
            shards: (0..32).collect(),
            gives_up: [5, 7].into(),
            is_self: false,
        };
        assert_eq!(worker(&known, None), "host-a: 32 shards and 2 to give up; no report yet");
        known.gives_up.clear();
        assert_eq!(worker(&known, None), "host-a: 32 shards; no report yet");
    }
}
