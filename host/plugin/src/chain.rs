use std::borrow::Cow;
use std::time::Instant;

use quotegate_document::{Document, TenantId};
use quotegate_market::{Quote, QuoteColumns, Symbol};

use crate::OnError;
use crate::counters::PluginSnapshot;
use crate::failure::PluginFailure;
use crate::instance::MapRow;
use crate::link::{Link, PluginSpec};

/// A tenant's plugins in order. Filters all have a say; maps are asked until one answers.
///
/// Calls run on the calling thread until they end or are stopped (`time_per_call` for each plugin): use the threads of
/// [`crate::PluginThreads`]. What a guest holds in memory is lost when its instance is retired.
#[derive(Debug)]
pub struct PluginChain {
    tenant: TenantId,
    links: Vec<Link>,
}

/// Why a chain does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The plugin {plugin} of tenant {tenant} does not start: {failure}.")]
pub struct StartError {
    /// Whose chain.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: String,
    /// What went wrong.
    pub failure: PluginFailure,
}

/// A plugin with `on_error = "stop-tenant"` failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopTenant {
    /// Its name.
    pub plugin: String,
    /// What it did, as a sentence.
    pub problem: String,
}

/// What a filter pass ended with; the kept quotes are in the columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterOutcome {
    /// Quotes that a filter refused.
    pub refused: usize,
    /// Quotes lost because a filter failed or could not be called.
    pub dropped: usize,
    /// Set when the tenant must stop.
    pub stop: Option<StopTenant>,
}

/// What the maps made of one quote.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// These documents are to be written.
    Documents(Vec<Document>),
    /// Every map that was asked made no document of it: there is nothing to write.
    Nothing,
    /// A map with `on_error = "pass"` failed and no other had an answer: the host's own shape applies.
    Passed,
    /// A map failed and its quotes are to be dropped.
    Dropped,
}

/// What a map pass ended with.
#[derive(Debug, Clone, PartialEq)]
pub struct MapOutcome {
    /// One entry a quote, in order.
    pub quotes: Vec<Mapped>,
    /// Set when the tenant must stop.
    pub stop: Option<StopTenant>,
}

/// What one filter said of each quote of a batch.
#[derive(Debug)]
pub struct Verdicts<'a> {
    link: &'a Link,
    quotes: &'a QuoteColumns,
    /// `None`: it failed or was not called.
    codes: Option<&'a [u8]>,
}

/// What becomes of one quote at one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It goes on.
    Kept,
    /// The filter refuses it for this reason.
    Refused(Cow<'a, str>),
    /// The filter failed or was not called.
    Lost,
}

impl Verdicts<'_> {
    /// The filter's plugin.
    pub fn plugin(&self) -> &str {
        self.link.spec.plugin.name()
    }

    /// What it was given.
    pub fn quotes(&self) -> &QuoteColumns {
        self.quotes
    }

    /// Of this row. Panics past the end.
    pub fn verdict(&self, row: usize) -> Verdict<'_> {
        match self.codes.map(|codes| codes[row]) {
            None => Verdict::Lost,
            Some(0) => Verdict::Kept,
            Some(code) => {
                Verdict::Refused(self.link.reason(code).map_or_else(|| code.to_string().into(), Cow::Borrowed))
            }
        }
    }
}

/// Quotes in one map call: enough to make the crossing cheap, few enough for `host_bytes_per_call`.
const MAP_BATCH: usize = 64;

impl PluginChain {
    /// Starts every plugin. A chain that is to replace another is started beside it, and takes over only if this works.
    pub fn start(tenant: TenantId, specs: Vec<PluginSpec>) -> Result<Self, StartError> {
        let now = Instant::now();
        let start = |spec: PluginSpec| {
            let plugin = spec.plugin.name().to_owned();
            Link::start(&tenant, spec, now).map_err(|failure| StartError { tenant: tenant.clone(), plugin, failure })
        };
        let links = specs.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self { tenant, links })
    }

    /// Whether any plugin filters.
    pub fn filters(&self) -> bool {
        self.links.iter().any(|link| link.spec.plugin.filters())
    }

    /// Whether any plugin maps.
    pub fn maps(&self) -> bool {
        self.links.iter().any(|link| link.spec.plugin.maps())
    }

    /// Removes the quotes that a filter refuses; the others keep their order. A later filter sees only what the earlier
    /// ones kept. `names` are the tenant's symbols, which the column `symbol` numbers.
    pub fn filter(&mut self, now: Instant, quotes: &mut QuoteColumns, names: &[Symbol]) -> FilterOutcome {
        self.filter_watched(now, quotes, names, |_| {})
    }

    /// The same; `watch` sees what each filter said of each quote before those that it refuses go.
    pub fn filter_watched(
        &mut self,
        now: Instant,
        quotes: &mut QuoteColumns,
        names: &[Symbol],
        mut watch: impl FnMut(&Verdicts<'_>),
    ) -> FilterOutcome {
        let mut outcome = FilterOutcome::default();
        for link in self.links.iter_mut().filter(|link| link.spec.plugin.filters()) {
            if quotes.is_empty() {
                break;
            }
            if let Some(verdicts) = link.filter(&self.tenant, now, quotes, names) {
                watch(&Verdicts { link, quotes, codes: Some(&verdicts) });
                outcome.refused += keep(quotes, &verdicts);
            } else if link.spec.on_error != OnError::Pass {
                watch(&Verdicts { link, quotes, codes: None });
                outcome.dropped += quotes.len();
                outcome.stop = stop(link);
                quotes.clear();
            }
        }
        outcome
    }

    /// Asks the maps what to write for these quotes.
    pub fn map(&mut self, now: Instant, quotes: &[(Symbol, Quote)]) -> MapOutcome {
        let mut outcome = MapOutcome { quotes: Vec::with_capacity(quotes.len()), stop: None };
        for batch in quotes.chunks(MAP_BATCH) {
            self.map_batch(now, batch, &mut outcome);
        }
        outcome
    }

    fn map_batch(&mut self, now: Instant, quotes: &[(Symbol, Quote)], outcome: &mut MapOutcome) {
        let mut mapped = vec![Mapped::Nothing; quotes.len()];
        let mut open: Vec<usize> = (0..quotes.len()).collect();
        for link in self.links.iter_mut().filter(|link| link.spec.plugin.maps()) {
            if open.is_empty() {
                break;
            }
            let lists = link.map(&self.tenant, now, &rows(quotes, &mapped, &open));
            let Some(lists) = lists else {
                if link.spec.on_error == OnError::Pass {
                    open.iter().for_each(|&row| pass(&mut mapped[row]));
                } else {
                    open.drain(..).for_each(|row| mapped[row] = Mapped::Dropped);
                    outcome.stop = outcome.stop.take().or_else(|| stop(link));
                }
                continue;
            };
            let mut still_open = Vec::new();
            for (row, list) in open.drain(..).zip(lists) {
                if list.is_empty() {
                    still_open.push(row);
                    continue;
                }
                if let Some(documents) = link.check(&self.tenant, now, list, &quotes[row].0) {
                    mapped[row] = Mapped::Documents(documents);
                    if link.spec.chain {
                        still_open.push(row);
                    }
                } else if link.spec.on_error == OnError::Pass {
                    pass(&mut mapped[row]);
                    still_open.push(row);
                } else {
                    mapped[row] = Mapped::Dropped;
                    outcome.stop = outcome.stop.take().or_else(|| stop(link));
                }
            }
            open = still_open;
        }
        outcome.quotes.append(&mut mapped);
    }

    /// For a simulation, in which time is not the machine's: no plugin is left out for its share of time, and the pauses of a
    /// quarantine are the same in each run.
    pub fn make_repeatable(&mut self) {
        self.links.iter_mut().for_each(Link::make_repeatable);
    }

    /// What all its instances have executed, as [`crate::PluginInstance::fuel_used`] counts it.
    pub fn fuel_used(&self) -> Option<u64> {
        self.links.iter().map(Link::fuel_used).sum()
    }

    /// One entry a plugin, in order.
    pub fn snapshot(&self) -> Vec<PluginSnapshot> {
        self.links.iter().map(Link::snapshot).collect()
    }
}

fn rows<'a>(quotes: &'a [(Symbol, Quote)], mapped: &'a [Mapped], open: &[usize]) -> Vec<MapRow<'a>> {
    let row = |&row: &usize| {
        let (symbol, quote) = &quotes[row];
        let earlier = if let Mapped::Documents(documents) = &mapped[row] { documents.as_slice() } else { &[] };
        MapRow { symbol, quote, earlier }
    };
    open.iter().map(row).collect()
}

/// What earlier maps in the chain made of a quote is better than the host's own shape.
fn pass(mapped: &mut Mapped) {
    if *mapped == Mapped::Nothing {
        *mapped = Mapped::Passed;
    }
}

fn stop(link: &Link) -> Option<StopTenant> {
    (link.spec.on_error == OnError::StopTenant)
        .then(|| StopTenant { plugin: link.spec.plugin.name().to_owned(), problem: link.last_problem().to_owned() })
}

/// Moves the kept rows together; returns how many were refused.
fn keep(quotes: &mut QuoteColumns, verdicts: &[u8]) -> usize {
    let Some(first) = verdicts.iter().position(|&verdict| verdict != 0) else { return 0 };
    let mut kept = first;
    for (row, _) in verdicts.iter().enumerate().skip(first).filter(|(_, verdict)| **verdict == 0) {
        quotes.copy_row(row, kept);
        kept += 1;
    }
    let refused = quotes.len() - kept;
    quotes.truncate(kept);
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn kept_quotes_keep_their_order(verdicts in prop::collection::vec(0_u8..3, 0..100)) {
            let mut quotes = QuoteColumns::default();
            for row in 0..verdicts.len() {
                quotes.push(u32::try_from(row).unwrap(), &Quote { bid_price: row as f64, ..Quote::default() });
            }
            let refused = keep(&mut quotes, &verdicts);
            let expected: Vec<u32> = (0..).zip(&verdicts).filter(|(_, verdict)| **verdict == 0).map(|(row, _)| row).collect();
            prop_assert_eq!(&quotes.symbol, &expected);
            prop_assert!((0..quotes.len()).all(|row| quotes.quote(row).bid_price == f64::from(expected[row])));
            prop_assert_eq!(refused, verdicts.len() - expected.len());
        }
    }
}
