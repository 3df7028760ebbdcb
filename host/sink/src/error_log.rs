use std::collections::HashMap;
use std::time::Duration;

use quotegate_document::TenantId;
use tokio::time::Instant;
use tracing::warn;

use crate::{Outcome, SinkStatus, TenantDocument};

/// The interval at which the same error is logged again.
const INTERVAL: Duration = Duration::from_secs(30);

/// Logs each kind of error once per interval and tenant, with the number of times it occurred in between.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    logged: HashMap<(TenantId, String), Logged>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    since: u64,
}

impl ErrorLog {
    pub(crate) fn log(&mut self, target: &TenantDocument, outcome: &Outcome, status: &SinkStatus, now: Instant) {
        let Some(kind) = outcome.problem() else { return };
        let then = if matches!(outcome, Outcome::Retry { .. }) { "retrying" } else { "not retrying" };
        status.set_last_error(&kind);
        let key = (target.tenant.clone(), kind);
        match self.logged.get_mut(&key) {
            Some(logged) if now - logged.at < INTERVAL => logged.since += 1,
            logged => {
                let more = logged.map_or(0, |logged| logged.since);
                let (tenant, kind) = (&key.0, &key.1);
                let since = if more > 0 { format!("; {more} more since the last such line") } else { String::new() };
                warn!(
                    event_type = "firestore_write_failed",
                    %tenant,
                    document = %target,
                    more,
                    "could not write {target}: {kind}; {then}{since}",
                );
                self.logged.insert(key, Logged { at: now, since: 0 });
            }
        }
        // Each message may be different, so the map needs a bound.
        if self.logged.len() > 1000 {
            self.logged.retain(|_, logged| now - logged.at < INTERVAL);
        }
    }
}
