use std::collections::VecDeque;

use quotegate_document::Value;
use tokio::time::Instant;

use super::MAX_BATCH;
use crate::fence::{DocumentId, DocumentIds, DocumentMap, Order};
use crate::version::micros;
use crate::{Conflicts, DocumentWrite, Precondition, TenantDocument};

/// Firestore refuses requests over 10 MiB. The margin is for what [`size_of_document`] does not count.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most documents that wait to be read. So many that documents which need no reading do not wait behind them.
const MAX_UNREAD: usize = 10 * MAX_BATCH;

/// A write that the batcher has taken in and not answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) write: DocumentWrite,
    pub(super) id: DocumentId,
    pub(super) since: Instant,
    pub(super) precondition: Precondition,
    pub(super) conflicts: Conflicts,
}

impl Pending {
    pub(super) fn order(&self) -> Order {
        Order::EventTime(micros(self.write.event_time))
    }
}

/// The writes that the batcher has taken in. Of each document, only one is on its way: to be read, waiting to be sent, or
/// in a request. Later ones stay behind it, in their order (invariant 3).
#[derive(Debug, Default)]
pub(super) struct Queue {
    ids: DocumentIds,
    /// Each document on its way, and the writes behind it.
    busy: DocumentMap<VecDeque<Pending>>,
    behind: usize,
    /// Ready to be sent, in the order in which they came.
    waiting: VecDeque<Pending>,
    /// To be read first.
    unread: VecDeque<Pending>,
}

impl Queue {
    /// Takes a write in. Returns it if no write of its document is on its way.
    pub(super) fn take_in(&mut self, write: DocumentWrite, now: Instant) -> Option<Pending> {
        let id = self.ids.id(&write.target);
        let conflicts = Conflicts::default();
        let pending = Pending { write, id, since: now, precondition: Precondition::None, conflicts };
        match self.busy.get_mut(&id) {
            Some(behind) => {
                behind.push_back(pending);
                self.behind += 1;
                None
            }
            None => {
                self.busy.insert(id, VecDeque::new());
                Some(pending)
            }
        }
    }

    /// Notes that a document's write was answered. Returns the one behind it.
    pub(super) fn release(&mut self, id: DocumentId) -> Option<Pending> {
        let next = self.busy.get_mut(&id)?.pop_front();
        match next {
            Some(_) => self.behind -= 1,
            None => {
                self.busy.remove(&id);
            }
        }
        next
    }

    /// Those that came first are sent first, also if they had to be read.
    pub(super) fn push_waiting(&mut self, pending: Pending) {
        let at = self.waiting.partition_point(|earlier| earlier.since <= pending.since);
        self.waiting.insert(at, pending);
    }

    pub(super) fn push_unread(&mut self, pending: Pending) {
        self.unread.push_back(pending);
    }

    pub(super) fn has_room(&self, batch_size: usize) -> bool {
        self.waiting.len() + self.behind < batch_size && self.unread.len() < MAX_UNREAD
    }

    /// True if nothing waits. Something may still be in a request.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unread.is_empty()
    }

    /// Writes without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.busy.len() + self.behind
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Since when the first document has waited to be sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|pending| pending.since)
    }

    /// At most `most` documents to send in one request.
    pub(super) fn take_batch(&mut self, most: usize) -> Vec<Pending> {
        let mut bytes = 0;
        let mut count = 0;
        for pending in self.waiting.iter().take(most) {
            bytes += size_of_document(&pending.write.target);
            if count > 0 && bytes > MAX_BATCH_BYTES {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }

    /// At most `most` documents to read in one request.
    pub(super) fn take_unread(&mut self, most: usize) -> Vec<Pending> {
        self.unread.drain(..most.min(self.unread.len())).collect()
    }
}

/// Approximately the document's size in a request; [`MAX_BATCH_BYTES`] leaves a margin.
fn size_of_document(target: &TenantDocument) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Doubles(list) => 12 * list.len(),
        Value::Texts(list) => list.iter().map(|text| text.len() + 8).sum(),
        _ => 16,
    };
    let fields = target.document.fields.iter().map(|field| 2 * field.path.as_str().len() + value(&field.value) + 16);
    200 + fields.sum::<usize>()
}
