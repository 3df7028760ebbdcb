use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use quotegate_document::{Document, TenantId, UnixNanos};
use tokio::sync::mpsc::UnboundedSender;

use crate::{Outcome, Precondition, RetryReason, Version};

/// A document of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantDocument {
    /// The tenant.
    pub tenant: TenantId,
    /// The document, usually with a path relative to the tenant.
    pub document: Document,
}

impl fmt::Display for TenantDocument {
    /// The document's path in the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.key.path_of(&self.tenant).fmt(f)
    }
}

/// A document to write, and where to send the outcome.
#[derive(Debug)]
pub struct DocumentWrite {
    /// The document.
    pub target: TenantDocument,
    /// When what the document says happened. Of two versions of a document, the one with the later time is newer.
    pub event_time: UnixNanos,
    /// What another host has written must be at least this old.
    pub min_interval: Duration,
    /// The sender's number for this write.
    pub ticket: u32,
    /// Receives the answer. Unbounded, because the writes in flight are bounded.
    pub answer_to: UnboundedSender<Answer>,
}

/// The answer to a [`DocumentWrite`].
#[derive(Debug)]
pub struct Answer {
    /// The write's number.
    pub ticket: u32,
    /// The document, for a retry.
    pub document: Document,
    /// The outcome.
    pub outcome: Outcome,
    /// What the fence met on the way to it.
    pub conflicts: Conflicts,
}

/// How often a write found that its document had changed since this process last read or wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// All of them, also those with a late request of this process.
    pub all: u32,
    /// Those with a writer that left the order of the document as it was: an application, a person, a restored backup.
    pub foreign: u32,
}

impl DocumentWrite {
    /// Sends the answer. If the sender is gone, no one needs it.
    pub fn answer(self, outcome: Outcome) {
        self.answer_after(outcome, Conflicts::default());
    }

    /// The same after conflicts.
    pub(crate) fn answer_after(self, outcome: Outcome, conflicts: Conflicts) {
        let answer = Answer { ticket: self.ticket, document: self.target.document, outcome, conflicts };
        let _ = self.answer_to.send(answer);
    }
}

/// One write of a batch.
#[derive(Debug, Clone, Copy)]
pub struct ConditionalWrite<'a> {
    /// The document.
    pub target: &'a TenantDocument,
    /// The write happens only if this holds.
    pub precondition: Precondition,
}

/// What became of a [`ConditionalWrite`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteResult {
    /// Written. The stored document now has this version, if the sink knows it.
    Written(Option<Version>),
    /// Not written, because the precondition does not hold.
    Conflict,
    /// Any other outcome.
    Failed(Outcome),
}

impl WriteResult {
    /// The outcome of a write that is not tried again by the sink.
    pub(crate) fn into_outcome(self) -> Outcome {
        match self {
            Self::Written(_) => Outcome::Written,
            Self::Conflict => Outcome::retry(RetryReason::Conflict),
            Self::Failed(outcome) => outcome,
        }
    }
}

/// The results of one batch, in the order of its writes.
pub type WriteFuture<'a> = BoxFuture<'a, Vec<WriteResult>>;

/// Writes batches of documents.
pub trait Sink: Send + Sync {
    /// Writes documents, which all have different paths. Returns one result for each, in order.
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a>;
}
