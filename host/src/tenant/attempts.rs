use std::collections::HashMap;

use quotegate_pace::Resolution;
use quotegate_quote::{Document, Quote};
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
    unanswered: usize,
    failed: Vec<Document>,
    longest_delay: bool,
}

#[derive(Debug)]
struct Failed {
    quote: Quote,
    documents: Vec<Document>,
}

impl Attempts {
    /// What to send for `quote`: the failed documents of this very quote, or the ones that `make` makes of it,
    /// with those failed documents of an older quote that `make` has nothing newer for.
    pub(crate) fn documents(
        &mut self,
        slot: u32,
        quote: &Quote,
        make: impl FnOnce() -> Vec<Document>,
    ) -> Vec<Document> {
        match self.failed.remove(&slot) {
            None => make(),
            Some(failed) if failed.quote == *quote => failed.documents,
            Some(failed) => {
                let mut documents = make();
                let older = failed.documents.into_iter();
                let newer: Vec<_> = documents.iter().map(|document| document.key.clone()).collect();
                documents.extend(older.filter(|document| !newer.contains(&document.key)));
                documents
            }
        }
    }

    /// Notes that `documents` documents of `quote` are on their way.
    pub(crate) fn start(&mut self, slot: u32, quote: &Quote, documents: usize) {
        let attempt = InFlight { quote: *quote, unanswered: documents, failed: Vec::new(), longest_delay: false };
        self.in_flight.insert(slot, attempt);
    }

    /// Notes the outcome of one document. The resolution comes with the last one of the slot.
    pub(crate) fn answer(&mut self, slot: u32, document: Document, outcome: &Outcome) -> Option<Resolution> {
        let attempt = self.in_flight.get_mut(&slot)?;
        attempt.unanswered -= 1;
        if let Outcome::Retry { longest_delay, .. } = outcome {
            attempt.longest_delay |= longest_delay;
            attempt.failed.push(document);
        }
        if attempt.unanswered > 0 {
            return None;
        }
        let attempt = self.in_flight.remove(&slot)?;
        if attempt.failed.is_empty() {
            return Some(Resolution::Settled);
        }
        self.failed.insert(slot, Failed { quote: attempt.quote, documents: attempt.failed });
        Some(Resolution::Retry { longest_delay: attempt.longest_delay })
    }
}
