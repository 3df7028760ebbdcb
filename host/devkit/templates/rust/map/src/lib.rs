//! Makes one document of each quote, with the price half way between bid and ask.

use quotegate_plugin_sdk::{Document, Map, QuoteView, Value, export_map};
use serde::Deserialize;

/// The `config` table of the tenant's settings. Unknown keys are errors, so that a misspelt one is noticed.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// What the field `source` of every document holds.
    source: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: "alpaca".to_owned() }
    }
}

/// The plugin. It sees only quotes that are about to be written.
struct Plugin {
    source: String,
}

impl Map for Plugin {
    type Config = Config;

    /// An error is a sentence that names the setting and the remedy: the host shows it and does not start.
    fn new(_tenant: &str, config: Config) -> Result<Self, String> {
        if config.source.is_empty() {
            return Err("source is empty. Say where the quotes come from, or leave it out.".to_owned());
        }
        Ok(Self { source: config.source })
    }

    /// No document leaves the quote to the tenant's next map; several are all written.
    fn map(&mut self, quote: &QuoteView<'_>, _earlier: &[Document]) -> Vec<Document> {
        let side = |price: f64| (price > 0.0).then_some(price);
        let document = Document::new() // in the tenant's collection, with the symbol for an id
            .field("symbol", quote.symbol)
            .field("bid", side(quote.bid_price))
            .field("ask", side(quote.ask_price))
            .field("mid", quote.mid())
            .field("source", self.source.as_str())
            .field("updated_at", Value::Timestamp(quote.event_time));
        vec![document]
    }
}

export_map!(Plugin);

// Natively, with `cargo test`; the fixtures test the component itself, with `quotegate plugin test`.
#[cfg(test)]
mod tests {
    use quotegate_plugin_sdk::testing::{map, quote};

    use super::*;

    #[test]
    fn a_quote_without_an_ask_has_no_price_half_way() {
        let documents = map::<Plugin>("{}", &quote("SPY").bid(100.0)).unwrap();
        assert_eq!(documents[0].get("bid"), Some(&Value::Double(100.0)));
        assert_eq!((documents[0].get("ask"), documents[0].get("mid")), (Some(&Value::Null), Some(&Value::Null)));
    }
}
