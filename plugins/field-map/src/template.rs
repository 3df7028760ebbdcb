use quotegate_plugin_sdk::QuoteView;

use crate::source::{Source, Text, Time};
use crate::time::iso_date;

/// A text with values of the quote in it.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Plain(String),
    Text(Text),
    /// The day of the event in UTC.
    Date,
}

/// Leaves room for the values within Firestore's 1,500 bytes.
const MAX_LEN: usize = 1_000;

impl Template {
    /// Compiles `{symbol}-{date}`; `tenant` takes the place of `{tenant}`.
    pub(crate) fn new(text: &str, tenant: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(format!("A template has 1 to {MAX_LEN} bytes; `{text:.40}` has {}.", text.len()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            parts.push(Part::Plain(rest[..at].into()));
            let name = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = name else {
                return Err(format!("The template `{text}` has a brace without its other; write {{name}}."));
            };
            parts.push(Self::part(name, tenant)?);
            rest = after;
        }
        parts.push(Part::Plain(rest.into()));
        Ok(Self(parts))
    }

    fn part(name: &str, tenant: &str) -> Result<Part, String> {
        match name {
            "tenant" => Ok(Part::Plain(tenant.into())),
            "date" => Ok(Part::Date),
            name => match Source::new(name) {
                Ok(Source::Text(text)) => Ok(Part::Text(text)),
                _ => Err(format!(
                    "A template cannot hold {{{name}}}; it can hold tenant, symbol, date, tape, bid_exchange, ask_exchange \
                     and conditions."
                )),
            },
        }
    }

    /// The text for this quote; nothing in the place of what the quote lacks.
    pub(crate) fn text(&self, quote: &QuoteView<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Text(source) => text.push_str(&source.of(quote).unwrap_or_default()),
                Part::Date => text.push_str(&iso_date(Time::Event.of(quote))),
            }
        }
        text
    }

    /// The text as an id: what Firestore refuses is percent-encoded, as the host does it with symbols.
    pub(crate) fn id(&self, quote: &QuoteView<'_>) -> String {
        let text = self.text(quote).replace('/', "%2F");
        let reserved = text.len() >= 4 && text.starts_with("__") && text.ends_with("__");
        match text.as_str() {
            "." | ".." => text.replacen('.', "%2E", 1),
            _ if reserved => text.replacen('_', "%5F", 1),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use quotegate_plugin_sdk::testing::quote;

    use super::*;

    fn id(template: &str, symbol: &str) -> String {
        Template::new(template, "acme").unwrap().id(&quote(symbol).exchanges('V', 'Q'))
    }

    #[test]
    fn values_take_their_places() {
        assert_eq!(id("{tenant}-{symbol}-{bid_exchange}{ask_exchange}{tape}-{date}", "SPY"), "acme-SPY-VQ-1970-01-01");
    }

    #[test]
    fn an_id_is_safe_whatever_the_symbol() {
        assert_eq!(id("{symbol}", "BTC/USD"), "BTC%2FUSD");
        assert_eq!(id("{symbol}", ".."), "%2E.");
        assert_eq!(id("__{symbol}__", "SPY"), "%5F_SPY__");
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_refused() {
        for template in ["", "{symbol", "symbol}", "{mid}", "{nothing}"] {
            assert!(Template::new(template, "acme").is_err(), "{template}");
        }
    }
}
