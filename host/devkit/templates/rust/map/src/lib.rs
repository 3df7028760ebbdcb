//! Makes one document from each quote, with the midpoint of bid and ask.

use quotegate_plugin_sdk::{Document, Map, QuoteView, Value, export_map};
use serde::Deserialize;

/// The `config` table of the tenant's settings. Unknown keys are errors, so misspelled ones are noticed.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The value of the field `source` in every document.
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

    /// An error should name the bad setting and how to fix it. The host shows it and does not start.
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

export_map!(Plugin);

// `cargo test` runs these natively; `quotegate plugin test` runs the fixtures on the component itself.
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
