use std::time::Instant;

use quotegate_document::Document;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{Mapped, PluginChain, StopTenant, Verdict};

use super::TenantSpec;
use super::document::add_order;

/// The plugins between a tenant's quotes and its documents, if it has any.
#[derive(Debug)]
pub(super) struct PluginStage {
    chain: Option<PluginChain>,
    /// Set when a plugin with `on_error = "stop-tenant"` failed. The tenant then makes no documents.
    stopped: Option<StopTenant>,
    /// The plugins' numbers may have changed since they were last read.
    changed: bool,
}

/// Quotes that did not pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    /// A filter refused them.
    pub(super) filtered: usize,
    /// A plugin failed, or the tenant is stopped.
    pub(super) lost: usize,
}

/// The documents of a due quote.
#[derive(Debug)]
pub(super) enum Made {
    /// Empty if a map skipped the quote on purpose and no collection has a shape.
    Documents(Vec<Document>),
    /// A map failed.
    Lost,
}

/// A quote, and a filter's verdict on it.
#[derive(Debug)]
pub struct FilteredQuote<'a> {
    /// The quote's symbol.
    pub symbol: &'a Symbol,
    /// The quote.
    pub quote: &'a Quote,
    /// Kept, or refused with a reason.
    pub verdict: Verdict<'a>,
}

/// Sees every quote that a filter sees. Without a filter, every quote is kept.
pub(crate) type FilterObserver<'a> = dyn FnMut(&FilteredQuote<'_>) + 'a;

impl PluginStage {
    pub(super) fn new(chain: Option<PluginChain>) -> Self {
        let changed = chain.is_some();
        Self { chain, stopped: None, changed }
    }

    /// Replaces the chain. A stopped tenant starts again.
    pub(super) fn replace(&mut self, mut chain: Option<PluginChain>) {
        if let (Some(new), Some(old)) = (&mut chain, &mut self.chain) {
            new.keep_unchanged(old);
        }
        *self = Self { changed: true, ..Self::new(chain) };
    }

    pub(super) fn maps(&self) -> bool {
        self.chain.as_ref().is_some_and(PluginChain::maps)
    }

    /// The plugin that stopped the tenant, and why.
    pub(super) fn stopped(&self) -> Option<&StopTenant> {
        self.stopped.as_ref()
    }

    pub(super) fn chain(&self) -> Option<&PluginChain> {
        self.chain.as_ref()
    }

    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Records that the plugins' numbers have been read.
    pub(super) fn mark_read(&mut self) {
        self.changed = false;
    }

    /// Removes the quotes that filters refuse, and every quote while the tenant is stopped.
    pub(super) fn filter(
        &mut self,
        now: Instant,
        quotes: &mut QuoteColumns,
        names: &[Symbol],
        observer: Option<&mut FilterObserver<'_>>,
    ) -> Rejected {
        if self.stopped.is_some() {
            let lost = quotes.len();
            quotes.clear();
            return Rejected { filtered: 0, lost };
        }
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.filters()) else {
            if let Some(observer) = observer {
                observe(quotes, names, observer, |_| Verdict::Kept);
            }
            return Rejected::default();
        };
        let outcome = match observer {
            None => chain.filter(now, quotes, names),
            Some(observer) => chain.filter_watched(now, quotes, names, |verdicts| {
                observe(verdicts.quotes(), names, observer, |row| verdicts.verdict(row));
            }),
        };
        self.changed = true;
        self.stopped = outcome.stop;
        Rejected { filtered: outcome.refused, lost: outcome.dropped }
    }

    /// Makes the documents of each quote, in order.
    pub(super) fn map(&mut self, now: Instant, quotes: &[(Symbol, Quote)], spec: &TenantSpec) -> Vec<Made> {
        let default = |(symbol, quote): &(Symbol, Quote)| Made::Documents(spec.documents(symbol, quote));
        let mapped = |documents, (symbol, quote): &(Symbol, Quote)| {
            let mut documents = spec.with_mapped(documents, symbol, quote);
            for document in &mut documents {
                add_order(document, quote.event_time, spec.order_field.as_ref());
            }
            Made::Documents(documents)
        };
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.maps()) else {
            return quotes.iter().map(default).collect();
        };
        let outcome = chain.map(now, quotes);
        self.changed = true;
        if outcome.stop.is_some() {
            self.stopped = outcome.stop;
        }
        let made = |(quote, answer)| match answer {
            Mapped::Documents(documents) => mapped(documents, quote),
            Mapped::Nothing => mapped(Vec::new(), quote),
            Mapped::Passed => default(quote),
            Mapped::Dropped => Made::Lost,
        };
        quotes.iter().zip(outcome.quotes).map(made).collect()
    }
}

fn observe<'a>(
    quotes: &QuoteColumns,
    names: &[Symbol],
    observer: &mut FilterObserver<'_>,
    verdict: impl Fn(usize) -> Verdict<'a>,
) {
    for (row, slot) in quotes.symbol.iter().enumerate() {
        let (symbol, quote) = (&names[*slot as usize], &quotes.quote(row));
        observer(&FilteredQuote { symbol, quote, verdict: verdict(row) });
    }
}
