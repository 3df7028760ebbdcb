//! The answer of REST: `{"quotes": {"SPY": {"bp": …, "t": …}}}`, with the fields of the stream.

use quotegate_market::{Quote, Symbol, UnixNanos};
use serde::Deserialize;

use super::fallback::Members;
use super::timestamp::DateCache;
use super::{MAX_AHEAD, Skipped};

/// The quotes of one answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LatestQuotes {
    pub(crate) quotes: Vec<(Symbol, Quote)>,
    pub(crate) skipped: Skipped,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    quotes: Members<'a>,
}

/// Decodes an answer; `None` if it is not one. Symbols without a quote are not in it.
pub(crate) fn latest_quotes(text: &str, received_time: UnixNanos) -> Option<LatestQuotes> {
    let answer: Answer<'_> = serde_json::from_str(text).ok()?;
    let mut dates = DateCache::default();
    let mut latest = LatestQuotes::default();
    for (name, value) in answer.quotes.iter() {
        let Ok(symbol) = Symbol::new(name) else {
            latest.skipped.refused_symbol += 1;
            continue;
        };
        let fields = Members::of(value).map(|members| members.fields(&(None, None), &mut dates));
        let quote =
            fields.filter(|fields| !fields.is_wrong()).and_then(|fields| Some((fields.event_time?, fields.quote)));
        match quote {
            None => latest.skipped.malformed += 1,
            Some((event_time, _)) if event_time > received_time.saturating_add(MAX_AHEAD) => {
                latest.skipped.from_future += 1;
            }
            Some((event_time, quote)) => latest.quotes.push((symbol, Quote { event_time, received_time, ..quote })),
        }
    }
    Some(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::conditions;

    const NOW: UnixNanos = 1_721_807_820_000_000_000;

    #[test]
    fn stocks_crypto_and_options_are_decoded_as_documented() {
        let answer = r#"{"quotes":{
            "AAPL":{"t":"2024-07-24T07:56:53.639713735Z","ax":"R","ap":136.5,"as":5,"bx":"O","bp":133.85,"bs":4,"c":["R"],"z":"C"},
            "BTC/USD":{"t":"2024-07-24T07:56:53Z","bp":66000.1,"bs":0.8,"ap":66001,"as":1.5},
            "AAPL240726C00195000":{"t":"2024-07-24T07:56:53Z","ax":"A","ap":30,"as":1,"bx":"X","bp":29,"bs":2,"c":"A"}
        },"currency":"USD"}"#;
        let LatestQuotes { quotes, skipped } = latest_quotes(answer, NOW).unwrap();
        assert_eq!(skipped, Skipped::default());
        let of = |name: &str| quotes.iter().find(|(symbol, _)| symbol.as_str() == name).unwrap().1;
        let apple = Quote {
            bid_price: 133.85,
            bid_size: 4.0,
            ask_price: 136.5,
            ask_size: 5.0,
            bid_exchange: b'O',
            ask_exchange: b'R',
            tape: b'C',
            conditions: conditions::pack([&b"R"[..]]),
            event_time: 1_721_807_813_639_713_735,
            received_time: NOW,
        };
        assert_eq!(of("AAPL"), apple);
        assert_eq!((of("BTC/USD").bid_size, of("BTC/USD").tape), (0.8, 0));
        assert_eq!(of("AAPL240726C00195000").conditions, conditions::pack([&b"A"[..]]));
    }

    #[test]
    fn a_bad_quote_costs_only_itself() {
        let answer = r#"{"quotes":{
            "A":null, "B":{"bp":1,"ap":2}, "C":{"bp":"one","t":"2024-07-24T07:56:53Z"}, "D D":{"t":"2024-07-24T07:56:53Z"},
            "E":{"bp":1,"t":"2024-07-24T09:00:00Z"}, "F":{"bp":1,"t":"2024-07-24T07:56:53Z"}
        }}"#;
        let LatestQuotes { quotes, skipped } = latest_quotes(answer, NOW).unwrap();
        assert_eq!(quotes.iter().map(|(symbol, _)| symbol.as_str()).collect::<Vec<_>>(), ["F"]);
        assert_eq!((skipped.malformed, skipped.refused_symbol, skipped.from_future), (3, 1, 1));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for text in ["", "<html>", "[]", "{}", r#"{"message":"forbidden."}"#, r#"{"quotes":[]}"#, r#"{"quotes":{"A""#] {
            assert_eq!(latest_quotes(text, NOW), None, "{text}");
        }
    }
}
