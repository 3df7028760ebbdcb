use std::collections::BTreeMap;
use std::fmt::Write;

use quotegate_devkit::time_text;
use quotegate_market::{Quote, Symbol};
use quotegate_pipeline::simulation::{Observer, SimulationReport, WouldWrite};
use quotegate_pipeline::tenant::FilteredQuote;
use quotegate_plugin::Verdict;
use quotegate_runtime::text::{counted, plural};
use quotegate_sink::document_json;

use super::{Paint, Play};
use crate::estimate::grouped;

/// Counts verdicts and documents for the summary.
pub(super) struct Tally {
    show: usize,
    shown: Vec<String>,
    quotes: u64,
    verdicts: BTreeMap<String, Counted>,
    symbols: BTreeMap<Symbol, [u64; 2]>,
    collections: BTreeMap<String, u64>,
    written: u64,
}

struct Counted {
    quotes: u64,
    first: String,
}

/// As in a fixture.
pub(super) fn verdict_text(verdict: &Verdict<'_>) -> String {
    match verdict {
        Verdict::Kept => "kept".to_owned(),
        Verdict::Refused(reason) => format!("refused: {reason}"),
        Verdict::Lost => "lost: the plugin failed or was not called".to_owned(),
    }
}

/// A quote on one line.
pub(super) fn quote_text(symbol: &Symbol, quote: &Quote) -> String {
    let Quote { bid_price, ask_price, bid_size, ask_size, .. } = quote;
    format!("{symbol} {bid_price} × {ask_price} ({bid_size} × {ask_size}) at {}", time_text(quote.event_time))
}

impl Tally {
    pub(super) fn new(show: usize) -> Self {
        Self {
            show,
            shown: Vec::new(),
            quotes: 0,
            verdicts: BTreeMap::new(),
            symbols: BTreeMap::new(),
            collections: BTreeMap::new(),
            written: 0,
        }
    }

    pub(super) fn table(&self, title: &str, play: &Play, report: &SimulationReport, paint: Paint) -> String {
        let mut text = format!("{}\n", paint.bold(title));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} {} of {} in {:.1} s\n",
            grouped(self.quotes),
            plural(self.quotes, "quote"),
            counted(self.symbols.len(), "symbol"),
            report.seconds
        );
        let width = self.verdicts.keys().map(|verdict| verdict.chars().count()).max().unwrap_or_default();
        for (verdict, tallied) in &self.verdicts {
            let share = 100.0 * tallied.quotes as f64 / self.quotes.max(1) as f64;
            let first = if verdict == "kept" { String::new() } else { format!("   first: {}", tallied.first) };
            let _ = writeln!(text, "  {verdict:<width$} {:>12} {share:>6.1} %{first}", grouped(tallied.quotes));
        }
        let _ = writeln!(
            text,
            "\n{} {} would be written, each symbol at most every {} ms",
            grouped(self.written),
            plural(self.written, "document"),
            play.interval.as_millis()
        );
        for (collection, documents) in &self.collections {
            let _ = writeln!(text, "  {collection}  {}", grouped(*documents));
        }
        for document in &self.shown {
            let _ = writeln!(text, "  {document}");
        }
        let mut busiest: Vec<_> = self.symbols.iter().collect();
        busiest.sort_by(|(left, [a, _]), (right, [b, _])| b.cmp(a).then(left.cmp(right)));
        let _ = writeln!(text, "\n  {:<12} {:>12} {:>12}", "symbol", "quotes", "kept");
        for (symbol, [quotes, kept]) in busiest.iter().take(MAX_SYMBOLS) {
            let _ = writeln!(text, "  {:<12} {:>12} {:>12}", symbol.as_str(), grouped(*quotes), grouped(*kept));
        }
        if busiest.len() > MAX_SYMBOLS {
            let _ = writeln!(text, "  and {} more symbols", busiest.len() - MAX_SYMBOLS);
        }
        text.push_str(&self.cost(report, paint));
        text
    }

    /// What it used, and its errors.
    fn cost(&self, report: &SimulationReport, paint: Paint) -> String {
        let mut text = String::new();
        for plugin in report.plugins() {
            let memory = plugin.memory_peak_bytes as f64 / f64::from(1 << 20);
            let fuel = report.tenants.iter().find_map(|tenant| tenant.fuel);
            let fuel = fuel
                .map_or_else(String::new, |fuel| format!("{} fuel per quote, ", grouped(fuel / self.quotes.max(1))));
            let _ = writeln!(text, "\ncost: {fuel}{memory:.1} MiB of memory");
            for (name, count) in &plugin.counts {
                let _ = writeln!(text, "counter {name}: {}", grouped(*count));
            }
            for (name, gauge) in &plugin.gauges {
                let _ = writeln!(text, "gauge {name}: {gauge}");
            }
            if plugin.documents_refused > 0 {
                let quotes = plugin.documents_refused;
                let line = format!("the host refused the documents of {} {}", grouped(quotes), plural(quotes, "quote"));
                let _ = writeln!(text, "{}", paint.bad(&line));
            }
            for (kind, times) in &plugin.failures {
                let _ = writeln!(
                    text,
                    "{}",
                    paint.bad(&format!("it failed {}: {}", counted(*times, "time"), kind.as_str()))
                );
            }
            if let Some(problem) = &plugin.last_problem {
                let _ = writeln!(text, "{}", paint.bad(&format!("last error: {problem}")));
            }
        }
        text
    }
}

/// The most symbols in the table. The others are only counted.
const MAX_SYMBOLS: usize = 20;

impl Observer for Tally {
    fn wants_verdicts(&self) -> bool {
        true
    }

    fn filtered(&mut self, filtered: &FilteredQuote<'_>) -> anyhow::Result<()> {
        self.quotes += 1;
        let verdict = self
            .verdicts
            .entry(verdict_text(&filtered.verdict))
            .or_insert_with(|| Counted { quotes: 0, first: quote_text(filtered.symbol, filtered.quote) });
        verdict.quotes += 1;
        let [quotes, kept] = self.symbols.entry(filtered.symbol.clone()).or_default();
        *quotes += 1;
        *kept += u64::from(filtered.verdict == Verdict::Kept);
        Ok(())
    }

    fn would_write(&mut self, write: &WouldWrite<'_>) -> anyhow::Result<()> {
        self.written += 1;
        *self.collections.entry(write.document.key.collection_name().into_owned()).or_default() += 1;
        if self.shown.len() < self.show {
            self.shown.push(format!("{} {}", write.path(), document_json(write.document)));
        }
        Ok(())
    }
}
