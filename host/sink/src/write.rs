use std::fmt;

use futures_util::future::BoxFuture;
use quotegate_document::{Document, TenantId};
use tokio::sync::mpsc::UnboundedSender;

use crate::Outcome;

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
}

impl DocumentWrite {
    /// Sends the answer. If the sender is gone, no one needs it.
    pub fn answer(self, outcome: Outcome) {
        let answer = Answer { ticket: self.ticket, document: self.target.document, outcome };
        let _ = self.answer_to.send(answer);
    }
}

/// The outcomes of one batch, in the order of its documents.
pub type WriteFuture<'a> = BoxFuture<'a, Vec<Outcome>>;

/// Writes batches of documents.
pub trait Sink: Send + Sync {
    /// Writes `documents`, which all have different paths. Returns one outcome for each, in order.
    fn write<'a>(&'a self, documents: &'a [TenantDocument]) -> WriteFuture<'a>;
}
