use tracing::{info, warn};

use super::{Verdict, Writer};
use crate::TenantDocument;

/// Names the first document of each kind of conflict. The rest is only counted: a second host would fill the log.
#[derive(Debug, Default)]
pub(crate) struct ConflictLog {
    named: Vec<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NewerWriter,
    NewerAtStart,
    ForeignWriter,
    LateRequest,
}

impl ConflictLog {
    pub(crate) fn log(&mut self, document: &TenantDocument, verdict: Verdict, writer: Option<Writer>) {
        let kind = match (writer, verdict) {
            (Some(Writer::Foreign), _) => Kind::ForeignWriter,
            (Some(Writer::Late), _) => Kind::LateRequest,
            (Some(Writer::Newer), _) => Kind::NewerWriter,
            (None, Verdict::Older) => Kind::NewerAtStart,
            (None, _) => return,
        };
        if self.named.contains(&kind) {
            return;
        }
        self.named.push(kind);
        let tenant = &document.tenant;
        match kind {
            Kind::NewerWriter => warn!(
                event_type = "newer_writer",
                %tenant,
                %document,
                "another host has written {document}, and what is newer stays (the next ones are only counted)"
            ),
            Kind::NewerAtStart => info!(
                event_type = "newer_stored",
                %tenant,
                %document,
                "{document} stays as it is: it was written before this host read it, from a quote that is newer or of the \
                 same time (the next ones are only counted)"
            ),
            Kind::ForeignWriter => warn!(
                event_type = "foreign_writer",
                %tenant,
                %document,
                "someone else also writes {document}, which costs a read each time (the next ones are only counted)"
            ),
            Kind::LateRequest => info!(
                event_type = "late_request",
                %tenant,
                %document,
                "a request that got no answer has written {document} after all (the next ones are only counted)"
            ),
        }
    }
}
