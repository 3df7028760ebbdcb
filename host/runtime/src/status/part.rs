//! What keeps a worker from its part of the work.

use std::collections::BTreeMap;

use quotegate_document::TenantId;
use quotegate_pace::Rate;
use tracing::warn;

use super::HostStatus;

/// What keeps a worker from its part of the work.
#[derive(Debug, Default)]
pub(crate) struct PartProblems {
    /// Why this host's share of the write limit is nothing.
    share: Option<String>,
    /// The tenants that could not be started, and why.
    unstarted: BTreeMap<TenantId, String>,
}

impl PartProblems {
    pub(super) fn sentences(&self) -> Vec<String> {
        let unstarted = self.unstarted.iter().map(|(id, why)| format!("tenant {id} could not start: {why}"));
        self.share.clone().into_iter().chain(unstarted).collect()
    }
}

impl HostStatus {
    /// Says whether this host's share of the limit is nothing.
    pub(crate) fn set_share_problem(&self, is_nothing: bool, limit: Rate) {
        let problem = is_nothing.then(|| {
            let burst = limit.burst();
            format!(
                "pace.burst {burst} is too small for so many workers: this one may not write; raise it, or run fewer"
            )
        });
        let mut part = self.part.lock();
        if let Some(problem) = problem.as_ref().filter(|_| part.share.is_none()) {
            warn!(event_type = "share_problem", "{problem}");
        }
        part.share = problem;
    }

    /// A tenant could not be started.
    pub(crate) fn add_unstarted(&self, tenant: TenantId, why: String) {
        self.part.lock().unstarted.insert(tenant, why);
    }

    /// All tenants are tried again.
    pub(crate) fn clear_unstarted(&self) {
        self.part.lock().unstarted.clear();
    }
}
