use std::collections::HashMap;

use quotegate_document::{Document, DocumentKey};
use quotegate_market::{Quote, UnixNanos};
use quotegate_pace::Resolution;
use quotegate_sink::Outcome;

/// The documents that are on their way to the sink, and those that failed and wait to go again.
///
/// A symbol is in flight until every document of its quote has an outcome. Failed documents are kept: they go again,
/// or a newer quote's documents of the same key take their place.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    in_flight: HashMap<u32, InFlight>,
    failed: HashMap<u32, Failed>,
}

#[derive(Debug)]
struct InFlight {
    quote: Quote,
    /// It has documents of its own among them: else it is counted already, as lost or unmapped.
    counts: bool,
    /// Documents among them that were made of older quotes.
    older: Vec<(DocumentKey, UnixNanos)>,
    unanswered: usize,
    failed: Vec<(Document, UnixNanos)>,
    longest_delay: bool,
}

#[derive(Debug)]
struct Failed {
    quote: Quote,
    counts: bool,
    /// With the exchange times of the quotes that they were made of.
    documents: Vec<(Document, UnixNanos)>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) resolution: Resolution,
    /// Its quote is not counted yet.
    pub(crate) counts: bool,
}

/// Documents with the exchange times of the quotes that they were made of, and whether the newest of these quotes is
/// yet to be counted.
pub(crate) type Again = (Vec<(Document, UnixNanos)>, bool);

impl Attempts {
    /// The failed documents of this very quote, which go again as they are.
    pub(crate) fn again(&mut self, slot: u32, quote: &Quote) -> Option<Again> {
        let failed = self.failed.get(&slot)?;
        if failed.quote != *quote {
            return None;
        }
        let failed = self.failed.remove(&slot)?;
        Some((failed.documents, failed.counts))
    }

    /// The documents of a new quote, with those failed ones of older quotes that it has nothing newer for.
    pub(crate) fn with_older(
        &mut self,
        slot: u32,
        event_time: UnixNanos,
        documents: Vec<Document>,
    ) -> Vec<(Document, UnixNanos)> {
        let older = self.failed.remove(&slot).map_or_else(Vec::new, |failed| failed.documents);
        let is_old = |(older, _): &(Document, UnixNanos)| documents.iter().all(|newer| newer.key != older.key);
        let older: Vec<_> = older.into_iter().filter(is_old).collect();
        documents.into_iter().map(|document| (document, event_time)).chain(older).collect()
    }

    /// Notes that `documents`, all of `quote` or of older ones of its symbol, are on their way. `counts`: the quote is
    /// to be counted when they have ended.
    pub(crate) fn start(&mut self, slot: u32, quote: &Quote, documents: &[(Document, UnixNanos)], counts: bool) {
        let is_older = |(_, event_time): &&(Document, UnixNanos)| *event_time != quote.event_time;
        let older = documents.iter().filter(is_older).map(|(document, time)| (document.key.clone(), *time)).collect();
        let unanswered = documents.len();
        let attempt = InFlight { quote: *quote, counts, older, unanswered, failed: Vec::new(), longest_delay: false };
        self.in_flight.insert(slot, attempt);
    }

    /// When the quote arrived that a symbol has in flight.
    pub(crate) fn received_time(&self, slot: u32) -> Option<UnixNanos> {
        self.in_flight.get(&slot).map(|attempt| attempt.quote.received_time)
    }

    /// Notes the outcome of one document. The end comes with the last one of the slot.
    pub(crate) fn answer(&mut self, slot: u32, document: Document, outcome: &Outcome) -> Option<End> {
        let attempt = self.in_flight.get_mut(&slot)?;
        if let Outcome::Retry { longest_delay, .. } = outcome {
            attempt.longest_delay |= longest_delay;
            let older = attempt.older.iter().find(|(key, _)| *key == document.key);
            let event_time = older.map_or(attempt.quote.event_time, |(_, event_time)| *event_time);
            attempt.failed.push((document, event_time));
        }
        self.end_one(slot)
    }

    /// Notes that a document need not be written: a newer quote writes it. The end is as above.
    pub(crate) fn superseded(&mut self, slot: u32) -> Option<End> {
        self.end_one(slot)
    }

    fn end_one(&mut self, slot: u32) -> Option<End> {
        let attempt = self.in_flight.get_mut(&slot)?;
        attempt.unanswered -= 1;
        if attempt.unanswered > 0 {
            return None;
        }
        let InFlight { quote, counts, failed, longest_delay, .. } = self.in_flight.remove(&slot)?;
        if failed.is_empty() {
            return Some(End { resolution: Resolution::Settled, counts });
        }
        self.failed.insert(slot, Failed { quote, counts, documents: failed });
        Some(End { resolution: Resolution::Retry { longest_delay }, counts })
    }
}
