//! Refuses quotes with a wide spread and one-sided quotes, and makes one document from each of the others.

use quotegate_plugin_sdk::{Column, Document, Filter, Map, QuoteView, Value, Verdict, export_plugin};
use serde::Deserialize;

/// The `config` table of the tenant's settings; filter and map get the same one. Unknown keys are errors, so misspelled
/// ones are noticed.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The widest spread that passes, in basis points of the midpoint.
    max_spread_bps: f64,
    /// The value of the field `source` in every document.
    source: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_spread_bps: 20.0, source: "alpaca".to_owned() }
    }
}

/// The filter. It sees every quote of its tenant, in order, and can keep state from one quote to the next.
struct Spread {
    max_spread_bps: f64,
}

impl Filter for Spread {
    type Config = Config;
    /// The reasons appear in metrics and heartbeats, with the number of quotes refused for each.
    const REASONS: &'static [&'static str] = &["one_sided", "wide"];
    /// The columns `judge` reads besides the symbol. The host sends only these; fewer are faster.
    const COLUMNS: &'static [Column] = &[Column::BidPrice, Column::AskPrice];

    /// An error should name the bad setting and how to fix it. The host shows it and does not start.
    fn new(_tenant: &str, config: Config) -> Result<Self, String> {
        let max_spread_bps = config.max_spread_bps;
        if max_spread_bps <= 0.0 {
            return Err(format!("max_spread_bps = {max_spread_bps}: This must be above 0."));
        }
        Ok(Self { max_spread_bps })
    }

    fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict {
        match quote.spread_bps() {
            None => Verdict::Refuse("one_sided"),
            Some(spread) if spread > self.max_spread_bps => Verdict::Refuse("wide"),
            Some(_) => Verdict::Keep,
        }
    }
}

/// The map. It sees only quotes that are about to be written.
struct Documents {
    source: String,
}

impl Map for Documents {
    type Config = Config;

    fn new(_tenant: &str, config: Config) -> Result<Self, String> {
        if config.source.is_empty() {
            return Err("source is empty. Say where the quotes come from, or leave it out.".to_owned());
        }
        Ok(Self { source: config.source })
    }

    /// An empty list leaves the quote to the tenant's next map; several documents are all written.
    fn map(&mut self, quote: &QuoteView<'_>, _earlier: &[Document]) -> Vec<Document> {
        let side = |price: f64| (price > 0.0).then_some(price);
        let document = Document::new() // in the tenant's collection, with the symbol as its id
            .field("symbol", quote.symbol)
            .field("bid", side(quote.bid_price))
            .field("ask", side(quote.ask_price))
            .field("mid", quote.mid())
            .field("source", self.source.as_str())
            .field("updated_at", Value::Timestamp(quote.event_time));
        vec![document]
    }
}

export_plugin!(Spread, Documents);

// `cargo test` runs these natively; `quotegate plugin test` runs the fixtures on the component itself.
#[cfg(test)]
mod tests {
    use quotegate_plugin_sdk::testing::{filter, map, quote};

    use super::*;

    #[test]
    fn a_wide_spread_is_refused() {
        let quotes = [quote("SPY").bid(100.0).ask(100.01), quote("SPY").bid(100.0).ask(101.0)];
        let verdicts = filter::<Spread>(r#"{"max_spread_bps": 10}"#, &quotes).unwrap();
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Refuse("wide")]);
    }

    #[test]
    fn the_price_is_half_way() {
        let documents = map::<Documents>("{}", &quote("SPY").bid(100.0).ask(101.0)).unwrap();
        assert_eq!(documents[0].get("mid"), Some(&Value::Double(100.5)));
    }
}
