//! Alpaca's REST for latest quotes, on the same port: what its clients ask for, and nothing else. A snapshot has no trades
//! and bars, because there are none here.

use std::time::Duration;

use quotegate_market::{Quote, Symbol};
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::StatusCode;

use crate::handle::Shared;
use crate::wire;
use crate::{Fault, clock};

/// Alpaca's limit for options.
const MAX_OPTIONS: usize = 100;

/// How often the silent fault is looked at.
const TICK: Duration = Duration::from_millis(20);

/// A response with a JSON body.
pub(crate) struct Answer {
    status: StatusCode,
    body: Value,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Query<'a> {
    kind: Kind,
    market: Market,
    /// A symbol in the path, whose answer is not in a map.
    single: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Quotes,
    Snapshots,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Market {
    Stocks,
    Crypto,
    Options,
}

impl Answer {
    fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: json!({ "message": message.into() }) }
    }

    /// The bytes of the response. The connection ends with it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let body = self.body.to_string();
        let retry = if self.status == StatusCode::TOO_MANY_REQUESTS { "Retry-After: 1\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{retry}\r\n",
            self.status,
            body.len()
        );
        (head + &body).into_bytes()
    }
}

/// Answers a request. `keys` are those of its headers.
pub(crate) async fn answer(request: &Request, keys: Option<(String, String)>, shared: &Shared) -> Answer {
    while shared.fault() == Some(Fault::RestSilent) {
        tokio::time::sleep(TICK).await;
    }
    let path: Vec<String> = request.uri().path().split('/').skip(1).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = query(&path);
    if let Some(refusal) = refusal(query.as_ref(), keys, shared) {
        return refusal;
    }
    let Some(query) = query else {
        return Answer::error(StatusCode::NOT_FOUND, "endpoint not found.");
    };
    let names =
        query.single.map_or_else(|| symbols(request.uri().query().unwrap_or_default()), |name| vec![name.to_owned()]);
    match latest(&names, query.market, shared) {
        Ok(quotes) => Answer { status: StatusCode::OK, body: query.body(&quotes) },
        Err(message) => Answer::error(StatusCode::BAD_REQUEST, message),
    }
}

/// Why the request is refused, whatever symbols it asks for.
fn refusal(query: Option<&Query<'_>>, keys: Option<(String, String)>, shared: &Shared) -> Option<Answer> {
    match (shared.fault(), keys) {
        (Some(Fault::Rest429), _) => Some(Answer::error(StatusCode::TOO_MANY_REQUESTS, "too many requests.")),
        (Some(Fault::RestError), _) => Some(Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")),
        // Alpaca shows crypto to everyone.
        (_, None) if query.is_some_and(|query| query.market == Market::Crypto) => None,
        (_, None) => Some(Answer::error(StatusCode::UNAUTHORIZED, "unauthorized.")),
        (_, Some((key, secret))) if shared.accepts(&key, &secret) => None,
        _ => Some(Answer::error(StatusCode::FORBIDDEN, "forbidden.")),
    }
}

fn query<'a>(path: &[&'a str]) -> Option<Query<'a>> {
    use self::{Kind::*, Market::*};
    let (market, kind, single) = match *path {
        ["v2", "stocks", "quotes", "latest"] => (Stocks, Quotes, None),
        ["v2", "stocks", "snapshots"] => (Stocks, Snapshots, None),
        ["v2", "stocks", symbol, "quotes", "latest"] => (Stocks, Quotes, Some(symbol)),
        ["v2", "stocks", symbol, "snapshot"] => (Stocks, Snapshots, Some(symbol)),
        ["v1beta3", "crypto", _, "latest", "quotes"] => (Crypto, Quotes, None),
        ["v1beta3", "crypto", _, "snapshots"] => (Crypto, Snapshots, None),
        ["v1beta1", "options", "quotes", "latest"] => (Options, Quotes, None),
        ["v1beta1", "options", "snapshots"] => (Options, Snapshots, None),
        _ => return None,
    };
    Some(Query { kind, market, single })
}

impl Query<'_> {
    fn body(&self, quotes: &[(Symbol, Quote)]) -> Value {
        let value = |(symbol, quote): &(Symbol, Quote)| {
            let quote = wire::rest_quote(quote, self.market == Market::Options);
            let value = if self.kind == Kind::Quotes { quote } else { json!({ "latestQuote": quote }) };
            (symbol.to_string(), value)
        };
        let map: Map<String, Value> = quotes.iter().map(value).collect();
        match (self.kind, self.single) {
            (Kind::Quotes, Some(symbol)) => json!({"symbol": symbol, "quote": map.get(symbol)}),
            (Kind::Snapshots, Some(symbol)) => {
                let quote = map.get(symbol).map(|snapshot| &snapshot["latestQuote"]);
                json!({"symbol": symbol, "latestQuote": quote})
            }
            (Kind::Quotes, None) => json!({ "quotes": map }),
            // Without a map around it, unlike all others.
            (Kind::Snapshots, None) if self.market == Market::Stocks => Value::Object(map),
            (Kind::Snapshots, None) => json!({"snapshots": map, "next_page_token": null}),
        }
    }
}

/// The latest quotes of those symbols that have one; an error if one of the names is invalid.
fn latest(names: &[String], market: Market, shared: &Shared) -> Result<Vec<(Symbol, Quote)>, String> {
    if names.is_empty() {
        return Err("symbols are required".to_owned());
    }
    if market == Market::Options && names.len() > MAX_OPTIONS {
        return Err(format!("too many symbols, the limit is {MAX_OPTIONS}"));
    }
    let is_pair = market == Market::Crypto;
    let symbol = |name: &String| Symbol::new(name).ok().filter(|symbol| symbol.as_str().contains('/') == is_pair);
    let symbols: Result<Vec<Symbol>, &String> = names.iter().map(|name| symbol(name).ok_or(name)).collect();
    let symbols = symbols.map_err(|name| format!("invalid symbol: {name}"))?;
    let time = shared.simulates().then(clock::unix_nanos);
    let mut market = shared.market();
    Ok(symbols.into_iter().filter_map(|symbol| Some((symbol.clone(), market.latest(&symbol, time)?))).collect())
}

/// The list in the parameter `symbols`.
fn symbols(query: &str) -> Vec<String> {
    let list = query.split('&').find_map(|parameter| parameter.strip_prefix("symbols=")).unwrap_or_default();
    let list = decode(list);
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Percent-decodes. A broken escape stays as it is.
fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_decoded() {
        assert_eq!(symbols("feed=iex&symbols=SPY%2CBRK.B,BTC%2FUSD"), ["SPY", "BRK.B", "BTC/USD"]);
        assert_eq!(symbols("symbols=A/B,,50%"), ["A/B", "50%"]);
        assert!(symbols("symbol=SPY").is_empty());
    }

    #[test]
    fn the_documented_paths_are_served() {
        let of = |path: &'static str| {
            query(&path.split('/').skip(1).collect::<Vec<_>>()).map(|query| (query.kind, query.single))
        };
        assert_eq!(of("/v2/stocks/quotes/latest"), Some((Kind::Quotes, None)));
        assert_eq!(of("/v2/stocks/SPY/snapshot"), Some((Kind::Snapshots, Some("SPY"))));
        assert_eq!(of("/v1beta3/crypto/us-1/latest/quotes"), Some((Kind::Quotes, None)));
        assert_eq!(of("/v1beta1/options/snapshots"), Some((Kind::Snapshots, None)));
        assert_eq!(of("/v2/stocks/bars"), None);
    }
}
