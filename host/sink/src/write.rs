use std::fmt;

use futures_util::future::BoxFuture;
use quotegate_document::{Document, TenantId};
use tokio::sync::mpsc::UnboundedSender;

use crate::Outcome;

/// A document and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantDocument {
    /// The tenant whose document it is.
    pub tenant: TenantId,
    /// The document, below that tenant.
    pub document: Document,
}

impl fmt::Display for TenantDocument {
    /// The document's path. It is put together here and nowhere else, so nothing can be written outside
    /// `tenants/{id}/` (invariant 6).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenants/{}/{}", self.tenant, self.document.key)
    }
}

/// A document on its way to the sink, and the way back.
#[derive(Debug)]
pub struct DocumentWrite {
    /// What to write.
    pub target: TenantDocument,
    /// The sender's own number for it.
    pub ticket: u32,
    /// Where the answer goes. Unbounded: what is in flight is bounded already.
    pub answer_to: UnboundedSender<Answer>,
}

/// What became of a [`DocumentWrite`].
#[derive(Debug)]
pub struct Answer {
    /// The number that the write carried.
    pub ticket: u32,
    /// The document, back for another try if need be.
    pub document: Document,
    /// What became of it.
    pub outcome: Outcome,
}

impl DocumentWrite {
    /// Sends the answer. A sender that is gone has given up on it.
    pub fn answer(self, outcome: Outcome) {
        let answer = Answer { ticket: self.ticket, document: self.target.document, outcome };
        let _ = self.answer_to.send(answer);
    }
}

/// The outcomes of one batch, in the order of its documents.
pub type WriteFuture<'a> = BoxFuture<'a, Vec<Outcome>>;

/// Writes batches of documents.
pub trait Sink: Send + Sync {
    /// Writes `documents`, no two of which have the same path, and gives one outcome for each, in order.
    fn write<'a>(&'a self, documents: &'a [TenantDocument]) -> WriteFuture<'a>;
}
