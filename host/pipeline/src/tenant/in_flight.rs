use std::collections::HashMap;
use std::time::Duration;

use quotegate_document::{Document, DocumentKey};
use quotegate_market::{Quote, UnixNanos};
use quotegate_pace::Resolution;
use quotegate_sink::Outcome;

/// The documents that are being written, and those that failed and wait for the next attempt.
///
/// A symbol is in flight until every document of its quote has an outcome. Failed documents are kept: they are sent
/// again, or a newer quote's documents with the same keys replace them.
#[derive(Debug, Default)]
pub(crate) struct InFlightWrites {
    in_flight: HashMap<u32, InFlight>,
    failed: HashMap<u32, Failed>,
}

/// A document, and the exchange time of the quote that it was made from.
pub(crate) type TimedDocument = (Document, UnixNanos);

#[derive(Debug)]
struct InFlight {
    quote: Quote,
    uncounted: bool,
    /// Documents among them that were made from older quotes.
    older: Vec<(DocumentKey, UnixNanos)>,
    unanswered: usize,
    failed: Vec<TimedDocument>,
    longest_delay: bool,
    /// How long to wait with those that were too early.
    too_early: Option<Duration>,
    /// Others were sent.
    attempted: bool,
}

#[derive(Debug)]
struct Failed {
    quote: Quote,
    uncounted: bool,
    documents: Vec<TimedDocument>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptEnd {
    pub(crate) resolution: Resolution,
    /// The quote is not counted yet. One without documents of its own is counted already, as lost or unmapped.
    pub(crate) uncounted: bool,
}

impl InFlightWrites {
    /// The failed documents of exactly this quote, to send again unchanged, and whether the quote is uncounted.
    pub(crate) fn take_failed(&mut self, slot: u32, quote: &Quote) -> Option<(Vec<TimedDocument>, bool)> {
        let failed = self.failed.get(&slot)?;
        if failed.quote != *quote {
            return None;
        }
        let failed = self.failed.remove(&slot)?;
        Some((failed.documents, failed.uncounted))
    }

    /// The documents of a new quote, and the failed documents of older quotes that it does not replace.
    pub(crate) fn with_older(
        &mut self,
        slot: u32,
        event_time: UnixNanos,
        documents: Vec<Document>,
    ) -> Vec<TimedDocument> {
        let older = self.failed.remove(&slot).map_or_else(Vec::new, |failed| failed.documents);
        let not_replaced = |(older, _): &TimedDocument| documents.iter().all(|newer| newer.key != older.key);
        let older: Vec<_> = older.into_iter().filter(not_replaced).collect();
        documents.into_iter().map(|document| (document, event_time)).chain(older).collect()
    }

    /// Records that `documents`, made from `quote` or from older quotes of its symbol, are being written.
    pub(crate) fn start(&mut self, slot: u32, quote: &Quote, documents: &[TimedDocument], uncounted: bool) {
        let is_older = |(_, event_time): &&TimedDocument| *event_time != quote.event_time;
        let older = documents.iter().filter(is_older).map(|(document, time)| (document.key.clone(), *time)).collect();
        let unanswered = documents.len();
        let attempt = InFlight {
            quote: *quote,
            uncounted,
            older,
            unanswered,
            failed: Vec::new(),
            longest_delay: false,
            too_early: None,
            attempted: false,
        };
        self.in_flight.insert(slot, attempt);
    }

    /// The arrival time of the quote that a symbol has in flight.
    pub(crate) fn received_time(&self, slot: u32) -> Option<UnixNanos> {
        self.in_flight.get(&slot).map(|attempt| attempt.quote.received_time)
    }

    /// Records the outcome of one document. The last one of the slot ends the attempt.
    pub(crate) fn answer(&mut self, slot: u32, document: Document, outcome: &Outcome) -> Option<AttemptEnd> {
        let attempt = self.in_flight.get_mut(&slot)?;
        match outcome {
            Outcome::TooEarly { wait } => attempt.too_early = attempt.too_early.max(Some(*wait)),
            Outcome::Retry { longest_delay, .. } => {
                attempt.longest_delay |= longest_delay;
                attempt.attempted = true;
            }
            Outcome::Written | Outcome::Refused { .. } | Outcome::Older => attempt.attempted = true,
        }
        if let Outcome::Retry { .. } | Outcome::TooEarly { .. } = outcome {
            let older = attempt.older.iter().find(|(key, _)| *key == document.key);
            let event_time = older.map_or(attempt.quote.event_time, |(_, event_time)| *event_time);
            attempt.failed.push((document, event_time));
        }
        self.end_one(slot)
    }

    /// Records that a document is skipped because a newer quote writes it. The last one of the slot ends the attempt.
    pub(crate) fn superseded(&mut self, slot: u32) -> Option<AttemptEnd> {
        self.end_one(slot)
    }

    fn end_one(&mut self, slot: u32) -> Option<AttemptEnd> {
        let attempt = self.in_flight.get_mut(&slot)?;
        attempt.unanswered -= 1;
        if attempt.unanswered > 0 {
            return None;
        }
        let InFlight { quote, uncounted, failed, longest_delay, too_early, attempted, .. } =
            self.in_flight.remove(&slot)?;
        if failed.is_empty() {
            return Some(AttemptEnd { resolution: Resolution::Settled, uncounted });
        }
        self.failed.insert(slot, Failed { quote, uncounted, documents: failed });
        let resolution = match too_early {
            Some(wait) => Resolution::TooEarly { wait, attempted },
            None => Resolution::Retry { longest_delay },
        };
        Some(AttemptEnd { resolution, uncounted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_sink::RetryReason;

    fn document(id: &'static str) -> Document {
        Document { key: DocumentKey::new("live_quotes", id).unwrap(), fields: Vec::new() }
    }

    fn quote(event_time: UnixNanos) -> Quote {
        Quote { event_time, ..Quote::default() }
    }

    #[test]
    fn failed_documents_are_sent_again_unless_a_newer_quote_replaces_them() {
        let mut writes = InFlightWrites::default();
        let failed = Outcome::retry(RetryReason::Unavailable);
        writes.start(0, &quote(1), &[(document("a"), 1), (document("b"), 1), (document("c"), 1)], true);
        assert_eq!(writes.answer(0, document("a"), &failed), None);
        assert_eq!(writes.answer(0, document("b"), &Outcome::Written), None);
        let retry = AttemptEnd { resolution: Resolution::Retry { longest_delay: false }, uncounted: true };
        assert_eq!(writes.answer(0, document("c"), &failed), Some(retry));

        assert_eq!(writes.take_failed(0, &quote(2)), None, "another quote");
        let again = writes.take_failed(0, &quote(1)).unwrap();
        assert_eq!(again, (vec![(document("a"), 1), (document("c"), 1)], true));
        writes.start(0, &quote(1), &again.0, again.1);
        writes.answer(0, document("a"), &failed);
        writes.answer(0, document("c"), &failed);

        let both = writes.with_older(0, 2, vec![document("c"), document("d")]);
        assert_eq!(both, [(document("c"), 2), (document("d"), 2), (document("a"), 1)]);
        writes.start(0, &quote(2), &both, true);
        writes.superseded(0);
        writes.answer(0, document("d"), &Outcome::Written);
        assert_eq!(writes.answer(0, document("a"), &failed), Some(retry));
        // A document of an older quote keeps that quote's time, however often it fails.
        assert_eq!(writes.take_failed(0, &quote(2)), Some((vec![(document("a"), 1)], true)));
    }

    #[test]
    fn the_longest_wait_counts_and_so_does_the_interval_if_anything_was_sent() {
        let documents = ["a", "b"].map(|id| (document(id), 1));
        let too_early = |seconds| Outcome::TooEarly { wait: Duration::from_secs(seconds) };
        let end = |first: &Outcome, second: &Outcome| {
            let mut writes = InFlightWrites::default();
            writes.start(0, &quote(1), &documents, true);
            writes.answer(0, document("a"), first);
            writes.answer(0, document("b"), second).unwrap().resolution
        };
        let wait = Duration::from_secs(2);
        assert_eq!(end(&too_early(2), &too_early(1)), Resolution::TooEarly { wait, attempted: false });
        for sent in [Outcome::Written, Outcome::retry(RetryReason::ResourceExhausted)] {
            assert_eq!(end(&too_early(2), &sent), Resolution::TooEarly { wait, attempted: true });
        }
    }
}
