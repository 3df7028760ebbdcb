use tracing::{info, warn};

use super::{Changed, Verdict};
use crate::TenantDocument;

/// Names the first document of each kind of conflict. The rest is only counted: a second host would fill the log.
#[derive(Debug, Default)]
pub(crate) struct ConflictLog {
    newer: bool,
    foreign: bool,
    late: bool,
}

impl ConflictLog {
    pub(crate) fn log(&mut self, document: &TenantDocument, verdict: Verdict, changed: Option<Changed>) {
        match changed {
            Some(Changed::ByForeignWriter) if !self.foreign => {
                self.foreign = true;
                warn!(
                    event_type = "foreign_writer",
                    tenant = %document.tenant,
                    %document,
                    "someone else also writes {document}; each such write costs a read (further ones are only counted)"
                );
            }
            Some(Changed::ByLateRequest) if !self.late => {
                self.late = true;
                info!(
                    event_type = "late_request",
                    tenant = %document.tenant,
                    %document,
                    "a request without an answer had written {document} after all (further ones are only counted)"
                );
            }
            Some(Changed::ByNewerWriter) | None if verdict == Verdict::Older && !self.newer => {
                self.newer = true;
                warn!(
                    event_type = "newer_stored",
                    tenant = %document.tenant,
                    %document,
                    "{document} is not written, because Firestore already has a newer one, or one of the same time, from \
                     another host or an earlier run (further ones are only counted)"
                );
            }
            _ => {}
        }
    }
}
