//! Decides what is written where others write too. Pure: no IO, no clock.
//!
//! Every write carries a precondition: the version of the document that this process last read or wrote. If anyone else
//! has changed the document since, Firestore refuses the write (a *conflict*), the document is read again, and the
//! newer of the two stays. So no request that is applied late, no host that was frozen and no second host can put an
//! older quote over a newer one (invariant 3), and what is newest is written in the end (invariant 2).
//!
//! A request without an answer needs no special care: it and its retry have the same precondition, so only one of them
//! can still be applied. If the late one is, the retry conflicts, finds an older quote, and is written on top of it.

mod conflict_log;
mod document_id;
mod recent;
#[cfg(test)]
mod tests;

pub(crate) use conflict_log::ConflictLog;
pub(crate) use document_id::{DocumentId, DocumentIds, DocumentMap};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quotegate_document::FieldPath;

use self::recent::Recent;
use crate::{Outcome, Precondition, RetryReason, StoredDocument, Version, WriteResult};

/// Asked after a document was read and before it is written: does this host own what it writes? In this order, another
/// host that takes over in between changes the version and so prevents the write.
pub type Ownership = Arc<dyn Fn() -> bool + Send + Sync>;

/// How writes are fenced.
#[derive(Clone, Default)]
pub struct FenceSettings {
    /// The field with the event time in documents that have no `ts` with that time.
    pub order_field: Option<FieldPath>,
    /// `None`: this is the only host, or all hosts may write.
    pub ownership: Option<Ownership>,
}

impl fmt::Debug for FenceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leased = self.ownership.is_some();
        f.debug_struct("FenceSettings").field("order_field", &self.order_field).field("leased", &leased).finish()
    }
}

/// After this many conflicts in a row, a write is left to its sender, who waits before the next attempt.
const MAX_CONFLICTS: u32 = 3;

/// What this process knows of the documents that it writes.
pub(crate) struct Fence {
    documents: Recent<Known>,
    ownership: Option<Ownership>,
}

/// Which of two versions of a document is newer. In microseconds, as Firestore stores times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The later event wins, whoever wrote it.
    EventTime(i64),
    /// A time of this host's clock, which cannot be compared with those of other hosts. If one of them has written,
    /// the lease decides; without a lease, what is stored stays, and the next document is tried.
    OwnClock(i64),
}

/// What this process knows of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    state: State,
    /// The order of the stored document.
    order: Option<i64>,
    /// The stored document may be one that this process wrote, so one of the same time may replace it: exchanges repeat
    /// times within a burst.
    own: bool,
    /// A write got no answer, and none succeeded since.
    unanswered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It must be read.
    Unread,
    /// Someone changed it. It must be read.
    Contested,
    Absent,
    Stored(Version),
}

/// What to do with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Send it.
    Write(Precondition),
    /// Read the document first.
    Read,
    /// The stored document is newer.
    Older,
}

/// What to do with a write after its document was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it.
    Write(Precondition),
    /// The stored document is newer, or of the same time and not ours.
    Older,
    /// This host may not write it.
    NotOwner,
    /// It is the turn of this write after this time.
    TooEarly(Duration),
}

/// Who changed a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Probably a request of this process that was applied after it had been given up.
    Late,
    /// A host that wrote something newer.
    Newer,
    /// Someone who left the order as it was, moved it back, or deleted the document.
    Foreign,
}

/// What to do after a write was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Pass this outcome on.
    Answer(Outcome),
    /// Read the document again.
    Read,
}

impl Fence {
    pub(crate) fn new(ownership: Option<Ownership>) -> Self {
        Self { documents: Recent::default(), ownership }
    }

    /// Asks whether a document may be written. At most one write of a document may be on its way at a time.
    pub(crate) fn admit(&mut self, id: DocumentId, order: Order) -> Admission {
        let Some(known) = self.documents.get(id) else { return Admission::Read };
        match known.precondition() {
            None => Admission::Read,
            Some(_) if known.is_past(order) => Admission::Older,
            Some(precondition) => Admission::Write(precondition),
        }
    }

    /// Takes in what was read, and says who changed the document, if it was read because of a conflict. A quote that this
    /// host has not known of is not replaced before it is `min_interval` old.
    pub(crate) fn read(
        &mut self,
        id: DocumentId,
        order: Order,
        stored: StoredDocument,
        min_interval: Duration,
    ) -> (Verdict, Option<Writer>) {
        let before = self.documents.get(id).copied();
        let contested = before.filter(|before| before.state == State::Contested);
        let writer = contested.map(|before| before.overwritten_by(order, &stored));
        let own = |before: Known| before.unanswered || (before.own && before.order == stored.order);
        let known = Known {
            state: stored.version.map_or(State::Absent, State::Stored),
            order: stored.order,
            own: before.is_some_and(own),
            unanswered: before.is_some_and(|before| before.unanswered),
        };
        // Only after a quote that is new to this host: someone who merely touches a document all the time would otherwise
        // keep quotes from it.
        let is_news = before.is_none_or(|before| stored.order > before.order);
        let wait = stored.age.filter(|_| is_news).and_then(|age| min_interval.checked_sub(age));
        let verdict = match (self.verdict(known, order, writer), wait) {
            (Verdict::Write(_), Some(wait)) if !wait.is_zero() => Verdict::TooEarly(wait),
            (verdict, _) => verdict,
        };
        // A host that may not write has to ask again, and so to read again.
        if verdict != Verdict::NotOwner {
            self.documents.insert(id, known);
        }
        (verdict, writer)
    }

    fn verdict(&self, known: Known, order: Order, writer: Option<Writer>) -> Verdict {
        let yields = matches!(order, Order::OwnClock(_)) && self.ownership.is_none();
        if known.is_past(order) || (yields && writer == Some(Writer::Newer)) {
            return Verdict::Older;
        }
        match (known.precondition(), &self.ownership) {
            (Some(_), Some(owns)) if !owns() => Verdict::NotOwner,
            (Some(precondition), _) => Verdict::Write(precondition),
            // What was just read has a version or is absent.
            (None, _) => Verdict::NotOwner,
        }
    }

    /// Takes in what became of a write, which was sent after `conflicts` earlier ones.
    pub(crate) fn answered(&mut self, id: DocumentId, order: Order, result: WriteResult, conflicts: u32) -> Next {
        match result {
            WriteResult::Written(version) => {
                let (Order::EventTime(time) | Order::OwnClock(time)) = order;
                let state = version.map_or(State::Unread, State::Stored);
                self.documents.insert(id, Known { state, order: Some(time), own: true, unanswered: false });
                Next::Answer(Outcome::Written)
            }
            WriteResult::Conflict => {
                let before = self.known(id);
                self.documents.insert(id, Known { state: State::Contested, ..before });
                if conflicts + 1 >= MAX_CONFLICTS {
                    return Next::Answer(Outcome::retry(RetryReason::Conflict));
                }
                Next::Read
            }
            WriteResult::Failed(outcome) => {
                if outcome.is_unknown() {
                    let before = self.known(id);
                    self.documents.insert(id, Known { unanswered: true, ..before });
                }
                Next::Answer(outcome)
            }
        }
    }

    fn known(&mut self, id: DocumentId) -> Known {
        let nothing = Known { state: State::Unread, order: None, own: false, unanswered: false };
        self.documents.get(id).copied().unwrap_or(nothing)
    }
}

impl Known {
    /// `None` if it must be read.
    fn precondition(self) -> Option<Precondition> {
        match self.state {
            State::Unread | State::Contested => None,
            State::Absent => Some(Precondition::Absent),
            State::Stored(version) => Some(Precondition::Version(version)),
        }
    }

    /// True if the stored document must not be replaced.
    fn is_past(self, order: Order) -> bool {
        match (order, self.order) {
            (Order::EventTime(time), Some(stored)) => stored > time || (stored == time && !self.own),
            (Order::EventTime(_), None) | (Order::OwnClock(_), _) => false,
        }
    }

    /// Who changed what was known into what is stored.
    fn overwritten_by(self, order: Order, stored: &StoredDocument) -> Writer {
        let is_newer = match order {
            Order::EventTime(_) => stored.order > self.order,
            Order::OwnClock(_) => stored.order.is_some() && stored.order != self.order,
        };
        match (self.unanswered, is_newer) {
            (true, _) => Writer::Late,
            (false, true) => Writer::Newer,
            (false, false) => Writer::Foreign,
        }
    }
}
