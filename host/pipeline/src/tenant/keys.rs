use std::collections::{HashMap, VecDeque};

use quotegate_document::{Document, DocumentKey, UnixNanos};

/// A document on its way, with the quote that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    /// The tenant's slot of the quote's symbol.
    pub(crate) slot: u32,
    pub(crate) document: Document,
    /// The quote's exchange time, which says which of two writes of one document is the newer.
    pub(crate) event_time: UnixNanos,
}

/// Whose turn it is to write a document that several symbols may write, because a map chose its id.
///
/// The latest table sees to it that no symbol has two writes in flight; where maps name documents, that does not see to
/// it that no document has. So at most one write of a key is in flight, at most one waits for it, and what is older than
/// what the document holds already is left out.
#[derive(Debug)]
pub(crate) struct Keys {
    known: HashMap<DocumentKey, Known>,
    /// In the order in which they became known: the first is forgotten first.
    order: VecDeque<DocumentKey>,
    most: usize,
}

#[derive(Debug)]
struct Known {
    newest: UnixNanos,
    in_flight: bool,
    waiting: Option<Outgoing>,
}

/// What becomes of a document that is offered.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    /// It goes now.
    Now(Outgoing),
    /// It waits until the write in flight is answered.
    Waits,
    /// This one, or the one that had waited, has become pointless: a newer one is on its way.
    Superseded(Outgoing),
}

impl Keys {
    /// So many documents of a tenant are remembered. A document that is forgotten is one whose last write was answered
    /// long ago, so nothing older can be under way unless it waited longer than all the writes since.
    pub(crate) const MOST: usize = 65_536;

    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), most }
    }

    /// Asks for the turn of a document.
    pub(crate) fn offer(&mut self, outgoing: Outgoing) -> Turn {
        let key = &outgoing.document.key;
        let Some(known) = self.known.get_mut(key) else {
            self.forget_one();
            let known = Known { newest: outgoing.event_time, in_flight: true, waiting: None };
            self.known.insert(key.clone(), known);
            self.order.push_back(key.clone());
            return Turn::Now(outgoing);
        };
        if outgoing.event_time < known.newest {
            return Turn::Superseded(outgoing);
        }
        if !known.in_flight {
            known.newest = outgoing.event_time;
            known.in_flight = true;
            return Turn::Now(outgoing);
        }
        match known.waiting.take() {
            Some(earlier) if earlier.event_time > outgoing.event_time => {
                known.waiting = Some(earlier);
                Turn::Superseded(outgoing)
            }
            earlier => {
                known.waiting = Some(outgoing);
                earlier.map_or(Turn::Waits, Turn::Superseded)
            }
        }
    }

    /// Notes that the write of a document was answered; gives the one that waited for it.
    pub(crate) fn answered(&mut self, key: &DocumentKey) -> Option<Outgoing> {
        let known = self.known.get_mut(key)?;
        known.in_flight = false;
        known.waiting.take()
    }

    fn forget_one(&mut self) {
        if self.known.len() < self.most {
            return;
        }
        // What is in flight is few, so the first that is not comes soon.
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
        let mut keys = Keys::new(10);
        assert_eq!(keys.offer(outgoing(0, 0, 5)), Turn::Now(outgoing(0, 0, 5)));
        assert_eq!(keys.offer(outgoing(1, 0, 4)), Turn::Superseded(outgoing(1, 0, 4)));
        assert_eq!(keys.offer(outgoing(1, 0, 6)), Turn::Waits);
        assert_eq!(keys.offer(outgoing(2, 0, 8)), Turn::Superseded(outgoing(1, 0, 6)));
        assert_eq!(keys.offer(outgoing(3, 0, 7)), Turn::Superseded(outgoing(3, 0, 7)));
        let key = outgoing(0, 0, 0).document.key;
        assert_eq!(keys.answered(&key), Some(outgoing(2, 0, 8)));
        assert_eq!(keys.offer(outgoing(2, 0, 8)), Turn::Now(outgoing(2, 0, 8)));
        assert_eq!(keys.answered(&key), None);
    }

    proptest! {
        /// Invariant 3 where maps choose documents: one write of a document in flight, never an older one after a newer.
        #[test]
        fn no_document_goes_backwards(
            steps in prop::collection::vec((0_u8..4, 0_i64..50, any::<bool>()), 1..300),
            most in 4_usize..8,
        ) {
            let mut keys = Keys::new(most);
            let mut in_flight: HashMap<u8, i64> = HashMap::new();
            let mut held: HashMap<u8, i64> = HashMap::new();
            for (id, event_time, answer) in steps {
                let turn = if answer {
                    in_flight.remove(&id);
                    keys.answered(&outgoing(0, id, 0).document.key).map(|waiting| keys.offer(waiting))
                } else {
                    Some(keys.offer(outgoing(0, id, event_time)))
                };
                if let Some(Turn::Now(now)) = turn {
                    prop_assert!(in_flight.insert(id, now.event_time).is_none(), "two writes in flight");
                    let before = held.insert(id, now.event_time);
                    prop_assert!(before.is_none_or(|before| before <= now.event_time));
                }
                prop_assert!(keys.known.len() <= most && keys.order.len() == keys.known.len());
            }
        }
    }
}
