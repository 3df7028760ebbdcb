//! Refuses quotes with a wide spread and one-sided quotes.

use quotegate_plugin_sdk::{Column, Filter, QuoteView, Verdict, export_filter};
use serde::Deserialize;

/// The `config` table of the tenant's settings. Unknown keys are errors, so misspelled ones are noticed.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The widest spread that passes, in basis points of the midpoint.
    max_spread_bps: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_spread_bps: 20.0 }
    }
}

/// The plugin. It sees every quote of its tenant, in order, and can keep state from one quote to the next.
struct Plugin {
    max_spread_bps: f64,
}

impl Filter for Plugin {
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

export_filter!(Plugin);

// `cargo test` runs these natively; `quotegate plugin test` runs the fixtures on the component itself.
#[cfg(test)]
mod tests {
    use quotegate_plugin_sdk::testing::{filter, quote};

    use super::*;

    #[test]
    fn a_wide_spread_is_refused() {
        let quotes = [quote("SPY").bid(100.0).ask(100.01), quote("SPY").bid(100.0).ask(101.0)];
        let verdicts = filter::<Plugin>(r#"{"max_spread_bps": 10}"#, &quotes).unwrap();
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Refuse("wide")]);
    }
}
