use std::collections::{HashMap, VecDeque};

use quotegate_document::{Document, DocumentKey};
use quotegate_market::UnixNanos;

/// A document to write, and the quote that it was made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    /// The tenant's slot of the quote's symbol.
    pub(crate) slot: u32,
    pub(crate) document: Document,
    /// The quote's exchange time. It decides which of two writes of one document is newer.
    pub(crate) event_time: UnixNanos,
}

/// The order of writes to a document that several symbols may write, because a map chose its id.
///
/// The latest table allows one write in flight per symbol, which is not one per document if maps choose the ids. So at
/// most one write per key is in flight, at most one waits for it, and a document older than the last one written under
/// its key is skipped.
#[derive(Debug)]
pub(crate) struct WriteOrder {
    known: HashMap<DocumentKey, Known>,
    /// Oldest first: that one is forgotten first.
    order: VecDeque<DocumentKey>,
    capacity: usize,
}

#[derive(Debug)]
struct Known {
    newest: UnixNanos,
    in_flight: bool,
    waiting: Option<Outgoing>,
}

/// What happens to a document that is offered.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// It is written now.
    Now(Outgoing),
    /// It waits until the write in flight is answered.
    Waits,
    /// This one, or the one that had waited, is not written because a newer one is.
    Superseded(Outgoing),
}

/// Large enough that a document is forgotten only long after its last write was answered. By then nothing older can be
/// pending, unless it waited longer than all the writes since.
impl Default for WriteOrder {
    fn default() -> Self {
        Self::with_capacity(65_536)
    }
}

impl WriteOrder {
    fn with_capacity(capacity: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// Asks whether a document may be written.
    pub(crate) fn offer(&mut self, outgoing: Outgoing) -> Admission {
        let key = &outgoing.document.key;
        let Some(known) = self.known.get_mut(key) else {
            self.forget_one();
            let known = Known { newest: outgoing.event_time, in_flight: true, waiting: None };
            self.known.insert(key.clone(), known);
            self.order.push_back(key.clone());
            return Admission::Now(outgoing);
        };
        if outgoing.event_time < known.newest {
            return Admission::Superseded(outgoing);
        }
        if !known.in_flight {
            known.newest = outgoing.event_time;
            known.in_flight = true;
            return Admission::Now(outgoing);
        }
        match known.waiting.take() {
            Some(earlier) if earlier.event_time > outgoing.event_time => {
                known.waiting = Some(earlier);
                Admission::Superseded(outgoing)
            }
            earlier => {
                known.waiting = Some(outgoing);
                earlier.map_or(Admission::Waits, Admission::Superseded)
            }
        }
    }

    /// Notes that the write of a document was answered. Returns the document that waited for it.
    pub(crate) fn answered(&mut self, key: &DocumentKey) -> Option<Outgoing> {
        let known = self.known.get_mut(key)?;
        known.in_flight = false;
        known.waiting.take()
    }

    fn forget_one(&mut self) {
        if self.known.len() < self.capacity {
            return;
        }
        // Few documents are in flight, so this search is short.
        let busy = |key: &DocumentKey| self.known.get(key).is_some_and(|known| known.in_flight);
        if let Some(at) = self.order.iter().position(|key| !busy(key))
            && let Some(key) = self.order.remove(at)
        {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outgoing(slot: u32, id: u8, event_time: i64) -> Outgoing {
        let key = DocumentKey::new("mids", format!("d{id}")).unwrap();
        Outgoing { slot, document: Document { key, fields: Vec::new() }, event_time }
    }

    #[test]
    fn the_newest_waits_for_the_one_in_flight() {
        let mut order = WriteOrder::with_capacity(10);
        assert_eq!(order.offer(outgoing(0, 0, 5)), Admission::Now(outgoing(0, 0, 5)));
        assert_eq!(order.offer(outgoing(1, 0, 4)), Admission::Superseded(outgoing(1, 0, 4)));
        assert_eq!(order.offer(outgoing(1, 0, 6)), Admission::Waits);
        assert_eq!(order.offer(outgoing(2, 0, 8)), Admission::Superseded(outgoing(1, 0, 6)));
        assert_eq!(order.offer(outgoing(3, 0, 7)), Admission::Superseded(outgoing(3, 0, 7)));
        let key = outgoing(0, 0, 0).document.key;
        assert_eq!(order.answered(&key), Some(outgoing(2, 0, 8)));
        assert_eq!(order.offer(outgoing(2, 0, 8)), Admission::Now(outgoing(2, 0, 8)));
        assert_eq!(order.answered(&key), None);
    }

    proptest! {
        /// Invariant 3 where maps choose documents: one write of a document in flight, never an older one after a newer.
        #[test]
        fn no_document_goes_backwards(
            steps in prop::collection::vec((0_u8..4, 0_i64..50, any::<bool>()), 1..300),
            most in 4_usize..8,
        ) {
            let mut order = WriteOrder::with_capacity(most);
            let mut in_flight: HashMap<u8, i64> = HashMap::new();
            let mut held: HashMap<u8, i64> = HashMap::new();
            for (id, event_time, answer) in steps {
                let admission = if answer {
                    in_flight.remove(&id);
                    order.answered(&outgoing(0, id, 0).document.key).map(|waiting| order.offer(waiting))
                } else {
                    Some(order.offer(outgoing(0, id, event_time)))
                };
                if let Some(Admission::Now(now)) = admission {
                    prop_assert!(in_flight.insert(id, now.event_time).is_none(), "two writes in flight");
                    let before = held.insert(id, now.event_time);
                    prop_assert!(before.is_none_or(|before| before <= now.event_time));
                }
                prop_assert!(order.known.len() <= most && order.order.len() == order.known.len());
            }
        }
    }
}
