use std::io::Write;

use anyhow::Result;
use quotegate_market::{Quote, Symbol, conditions};
use quotegate_pipeline::simulation::{Observer, SimulationReport, WouldWrite};
use quotegate_pipeline::tenant::FilteredQuote;
use serde_json::{Value, json};

use super::tally::verdict_text;

/// Prints JSON lines.
pub(super) struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    /// Prints the summary.
    pub(super) fn end(mut self, report: &SimulationReport) -> Result<()> {
        writeln!(self.out, "{}", json!({ "summary": summary(report) }))?;
        Ok(self.out.flush()?)
    }
}

impl<W: Write> Observer for Lines<W> {
    fn wants_verdicts(&self) -> bool {
        true
    }

    fn filtered(&mut self, filtered: &FilteredQuote<'_>) -> Result<()> {
        let quote = quote_json(filtered.symbol, filtered.quote);
        writeln!(self.out, "{}", json!({ "quote": quote, "verdict": verdict_text(&filtered.verdict) }))?;
        Ok(())
    }

    fn would_write(&mut self, write: &WouldWrite<'_>) -> Result<()> {
        writeln!(self.out, "{}", write.json())?;
        Ok(())
    }
}

/// With the keys of fixtures, so that it can be copied into one.
pub(super) fn quote_json(symbol: &Symbol, quote: &Quote) -> Value {
    let letter = |byte: u8| if byte == 0 { Value::Null } else { json!(char::from(byte).to_string()) };
    let mut row = json!({
        "symbol": symbol.as_str(),
        "bid_price": quote.bid_price,
        "bid_size": quote.bid_size,
        "ask_price": quote.ask_price,
        "ask_size": quote.ask_size,
        "bid_exchange": letter(quote.bid_exchange),
        "ask_exchange": letter(quote.ask_exchange),
        "tape": letter(quote.tape),
        "conditions": conditions::letters(quote.conditions).collect::<String>(),
        "event_time": quotegate_devkit::time_text(quote.event_time),
        "received_time": quotegate_devkit::time_text(quote.received_time),
    });
    if let Some(row) = row.as_object_mut() {
        row.retain(|_, value| !value.is_null() && *value != "");
    }
    row
}

pub(super) fn summary(report: &SimulationReport) -> Value {
    let plugins = report.plugins().map(|plugin| {
        json!({
            "name": plugin.name,
            "sha256": plugin.sha256,
            "quotes_seen": plugin.quotes_seen,
            "quotes_kept": plugin.quotes_kept,
            "quotes_refused": plugin.quotes_refused,
            "documents": plugin.documents,
            "documents_refused": plugin.documents_refused,
            "failures": plugin.failures,
            "last_problem": plugin.last_problem,
            "memory_peak_bytes": plugin.memory_peak_bytes,
            "counts": plugin.counts,
            "gauges": plugin.gauges,
        })
    });
    let plugins: Vec<Value> = plugins.collect();
    let fuel: Vec<Option<u64>> = report.tenants.iter().map(|tenant| tenant.fuel).collect();
    json!({ "seconds": report.seconds, "fuel": fuel.first(), "plugin": plugins.first() })
}
