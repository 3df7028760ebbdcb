//! What a smoke test says.

use super::Snapshot;
use crate::text::counted;

impl Snapshot {
    /// True once a smoke test passes: Firestore has confirmed a document, or a dry run would have written a quote.
    pub fn has_written(&self) -> bool {
        self.sum(|counters| counters.written) > 0 || (!self.dry_run && self.heartbeats > 0)
    }

    /// The result of a smoke test that passed.
    pub fn what_was_written(&self) -> String {
        let written = self.sum(|counters| counters.written);
        match (self.dry_run, written) {
            (true, _) => format!("would have written {}", counted(written, "quote document")),
            (false, 0) => format!("wrote {}", counted(self.heartbeats, "heartbeat")),
            (false, _) => {
                let documents = counted(written, "quote document");
                format!("wrote {documents} and {}", counted(self.heartbeats, "heartbeat"))
            }
        }
    }

    /// The result of a smoke test that failed.
    pub fn why_not_written(&self) -> String {
        if let Some(owner) = self.standby() {
            return format!("this host is a standby: {owner}");
        }
        if self.relay.is_some() && !self.is_worker() {
            return "this host only reads (run.role); workers write".to_owned();
        }
        if let Some(problem) = self.relay_problem() {
            return problem;
        }
        if let Some(reason) = self.tenants.iter().find_map(|(_, tenant)| tenant.paused.as_ref()) {
            return format!("writing is paused: {reason}");
        }
        let quotes = self.sum(|counters| counters.quotes);
        let problem = self.tenants.iter().find_map(|(_, tenant)| tenant.problem.clone());
        match (quotes, problem.or_else(|| self.sink.last_error.clone())) {
            (_, Some(problem)) => format!("the sink reports: {problem}"),
            (0, None) => match &self.feed.problem {
                Some(problem) => format!("no quote arrived: {problem}"),
                None => format!("no quote arrived; the connection is {}", self.connection()),
            },
            (_, None) => format!("{} arrived, but no write was confirmed", counted(quotes, "quote")),
        }
    }
}
