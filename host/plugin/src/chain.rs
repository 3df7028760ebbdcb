use std::borrow::Cow;
use std::time::Instant;

use quotegate_document::{Document, TenantId};
use quotegate_market::{Quote, QuoteColumns, Symbol};

use crate::OnError;
use crate::bindings::MapQuote;
use crate::failure::PluginFailure;
use crate::snapshot::PluginSnapshot;
use crate::stage::{PluginSpec, Stage};
use crate::time_share::TimeBucket;

/// A tenant's plugins in order. A quote must pass every filter; the first map that returns documents decides.
///
/// Calls block the current thread for up to `time_per_call` per plugin: use [`crate::PluginThreads`]. When an instance is
/// replaced, its memory is lost.
#[derive(Debug)]
pub struct PluginChain {
    stages: Vec<Stage>,
}

/// Why a chain did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
// The plugin's own sentence may end in a full stop.
#[error("The plugin {plugin} of tenant {tenant} did not start: {}.", .failure.to_string().trim_end_matches('.'))]
pub struct StartError {
    /// The chain's tenant.
    pub tenant: TenantId,
    /// The plugin's name.
    pub plugin: String,
    /// What went wrong.
    pub failure: PluginFailure,
}

/// A plugin with `on_error = "stop-tenant"` failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopTenant {
    /// The plugin's name.
    pub plugin: String,
    /// What it did, as a sentence.
    pub error: String,
}

/// The result of filtering; the columns hold the quotes that were kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterOutcome {
    /// Quotes that a filter refused.
    pub refused: usize,
    /// Quotes lost because a filter failed or could not be called.
    pub dropped: usize,
    /// Set when the tenant must stop.
    pub stop: Option<StopTenant>,
}

/// What the maps made from one quote.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// Write these documents.
    Documents(Vec<Document>),
    /// No map made a document, so there is nothing to write.
    Nothing,
    /// A map with `on_error = "pass"` failed and no other made a document: the host makes its own.
    Passed,
    /// A map failed; drop the quote.
    Dropped,
}

/// The result of mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct MapOutcome {
    /// One entry per quote, in order.
    pub quotes: Vec<Mapped>,
    /// Set when the tenant must stop.
    pub stop: Option<StopTenant>,
}

/// One filter's verdicts about a batch.
#[derive(Debug)]
pub struct Verdicts<'a> {
    stage: &'a Stage,
    quotes: &'a QuoteColumns,
    /// `None` if it failed or was not called.
    codes: Option<&'a [u8]>,
}

/// One filter's verdict about one quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The quote passes.
    Kept,
    /// The filter refuses it for this reason.
    Refused(Cow<'a, str>),
    /// The filter failed or was not called.
    Lost,
}

impl Verdicts<'_> {
    /// The filter's plugin.
    pub fn plugin(&self) -> &str {
        self.stage.spec.plugin.name()
    }

    /// The quotes that it was called with.
    pub fn quotes(&self) -> &QuoteColumns {
        self.quotes
    }

    /// The verdict about a row.
    ///
    /// # Panics
    /// Past the last row.
    pub fn verdict(&self, row: usize) -> Verdict<'_> {
        match self.codes.map(|codes| codes[row]) {
            None => Verdict::Lost,
            Some(0) => Verdict::Kept,
            Some(code) => {
                Verdict::Refused(self.stage.reason(code).map_or_else(|| code.to_string().into(), Cow::Borrowed))
            }
        }
    }
}

/// Quotes per map call: enough to make the call cheap, few enough for `host_bytes_per_call`.
const MAP_BATCH: usize = 64;

impl PluginChain {
    /// Starts every plugin. A new chain is started before it replaces a running one, in case this fails.
    pub fn start(tenant: TenantId, specs: Vec<PluginSpec>) -> Result<Self, StartError> {
        Self::start_within(tenant, specs, f64::INFINITY)
    }

    /// Like [`Self::start`]. All plugins of the chain together may use this share of a processor, besides their own limits.
    pub fn start_within(tenant: TenantId, specs: Vec<PluginSpec>, share_of_time: f64) -> Result<Self, StartError> {
        let (now, time) = (Instant::now(), TimeBucket::shared(share_of_time));
        let start = move |spec: PluginSpec| {
            let plugin = spec.plugin.name().to_owned();
            Stage::start(tenant.clone(), spec, time.clone(), now).map_err(|failure| StartError {
                tenant: tenant.clone(),
                plugin,
                failure,
            })
        };
        Ok(Self { stages: specs.into_iter().map(start).collect::<Result<_, _>>()? })
    }

    /// Takes over from the chain that this one replaces the plugins that are the same in both, with all that they remember.
    pub fn keep_unchanged(&mut self, old: &mut Self) {
        for stage in &mut self.stages {
            if let Some(same) = old.stages.iter_mut().find(|old| old.spec == stage.spec) {
                std::mem::swap(stage, same);
            }
        }
    }

    /// Whether any plugin filters.
    pub fn filters(&self) -> bool {
        self.stages.iter().any(|stage| stage.spec.plugin.filters())
    }

    /// Whether any plugin maps.
    pub fn maps(&self) -> bool {
        self.stages.iter().any(|stage| stage.spec.plugin.maps())
    }

    /// Removes the quotes that a filter refuses; the others stay in order. Each filter sees only what the filters before it
    /// kept. The column `symbol` holds indexes into `names`, the tenant's symbols.
    pub fn filter(&mut self, now: Instant, quotes: &mut QuoteColumns, names: &[Symbol]) -> FilterOutcome {
        self.filter_watched(now, quotes, names, |_| {})
    }

    /// Like [`Self::filter`], and calls `watch` with each filter's verdicts before the refused quotes are removed.
    pub fn filter_watched(
        &mut self,
        now: Instant,
        quotes: &mut QuoteColumns,
        names: &[Symbol],
        mut watch: impl FnMut(&Verdicts<'_>),
    ) -> FilterOutcome {
        let mut outcome = FilterOutcome::default();
        for stage in self.stages.iter_mut().filter(|stage| stage.spec.plugin.filters()) {
            if quotes.is_empty() {
                break;
            }
            if let Some(verdicts) = stage.filter(now, quotes, names) {
                watch(&Verdicts { stage, quotes, codes: Some(&verdicts) });
                outcome.refused += keep(quotes, &verdicts);
            } else if stage.spec.on_error != OnError::Pass {
                watch(&Verdicts { stage, quotes, codes: None });
                outcome.dropped += quotes.len();
                outcome.stop = stop(stage);
                quotes.clear();
            }
        }
        outcome
    }

    /// Has the maps make documents from these quotes.
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
        for stage in self.stages.iter_mut().filter(|stage| stage.spec.plugin.maps()) {
            if open.is_empty() {
                break;
            }
            let lists = stage.map(now, &rows(quotes, &mapped, &open));
            let Some(lists) = lists else {
                if stage.spec.on_error == OnError::Pass {
                    open.iter().for_each(|&row| pass(&mut mapped[row]));
                } else {
                    open.drain(..).for_each(|row| mapped[row] = Mapped::Dropped);
                    outcome.stop = outcome.stop.take().or_else(|| stop(stage));
                }
                continue;
            };
            let mut still_open = Vec::new();
            for (row, list) in open.drain(..).zip(lists) {
                if list.is_empty() {
                    still_open.push(row);
                    continue;
                }
                if let Some(documents) = stage.check(now, list, &quotes[row].0) {
                    mapped[row] = Mapped::Documents(documents);
                    if stage.spec.chain {
                        still_open.push(row);
                    }
                } else if stage.spec.on_error == OnError::Pass {
                    pass(&mut mapped[row]);
                    still_open.push(row);
                } else {
                    mapped[row] = Mapped::Dropped;
                    outcome.stop = outcome.stop.take().or_else(|| stop(stage));
                }
            }
            open = still_open;
        }
        outcome.quotes.append(&mut mapped);
    }

    /// For simulations, which must give the same result on every machine: turns off the limit on the share of time, and
    /// makes quarantines last equally long in every run.
    pub fn make_repeatable(&mut self) {
        self.stages.iter_mut().for_each(Stage::make_repeatable);
    }

    /// The fuel that all its instances have used, see [`crate::PluginInstance::fuel_used`].
    pub fn fuel_used(&self) -> Option<u64> {
        self.stages.iter().map(Stage::fuel_used).sum()
    }

    /// One entry per plugin, in order.
    pub fn snapshot(&self) -> Vec<PluginSnapshot> {
        self.stages.iter().map(Stage::snapshot).collect()
    }
}

fn rows<'a>(quotes: &'a [(Symbol, Quote)], mapped: &'a [Mapped], open: &[usize]) -> Vec<MapQuote<'a>> {
    let row = |&row: &usize| {
        let (symbol, quote) = &quotes[row];
        let earlier = if let Mapped::Documents(documents) = &mapped[row] { documents.as_slice() } else { &[] };
        MapQuote { symbol, quote, earlier }
    };
    open.iter().map(row).collect()
}

/// Documents of earlier maps in the chain take precedence over the host's own.
fn pass(mapped: &mut Mapped) {
    if *mapped == Mapped::Nothing {
        *mapped = Mapped::Passed;
    }
}

fn stop(stage: &Stage) -> Option<StopTenant> {
    (stage.spec.on_error == OnError::StopTenant)
        .then(|| StopTenant { plugin: stage.spec.plugin.name().to_owned(), error: stage.last_problem().to_owned() })
}

/// Removes the refused rows and returns their number.
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
