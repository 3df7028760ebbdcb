use std::collections::HashMap;
use std::time::Duration;

use quotegate_document::TenantId;
use tokio::time::Instant;
use tracing::warn;

use crate::{DocumentWrite, Outcome, SinkStatus};

/// How often the same trouble is told again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Tells of each kind of trouble once, clearly, and then sums up: a storm of failures is a few lines.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    told: HashMap<(TenantId, String), Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl ErrorLog {
    pub(crate) fn hear(&mut self, writes: &[DocumentWrite], outcomes: &[Outcome], status: &SinkStatus, now: Instant) {
        for (write, outcome) in writes.iter().zip(outcomes) {
            let (kind, detail) = match outcome {
                Outcome::Written => continue,
                Outcome::Retry { reason, .. } => (reason.to_string(), "trying again".to_owned()),
                Outcome::Refused { code, message } => {
                    (format!("{code}: {message}"), format!("not trying again; {}", code.remedy()))
                }
            };
            status.set_last_error(&kind);
            let key = (write.target.tenant.clone(), kind);
            match self.told.get_mut(&key) {
                Some(told) if now - told.at < AGAIN_AFTER => told.since += 1,
                told => {
                    let more = told.map_or(0, |told| told.since);
                    let (tenant, kind) = (&key.0, &key.1);
                    warn!(
                        event_type = "firestore_write_failed",
                        %tenant,
                        document = %write.target,
                        more,
                        "{} could not be written: {kind}; {detail} ({more} more since the last such line)",
                        write.target
                    );
                    self.told.insert(key, Told { at: now, since: 0 });
                }
            }
        }
        // Messages may hold what differs each time; a bound keeps them from piling up.
        if self.told.len() > 1000 {
            self.told.retain(|_, told| now - told.at < AGAIN_AFTER);
        }
    }
}
