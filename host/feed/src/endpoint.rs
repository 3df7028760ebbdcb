//! The URLs and the trading hours of each feed.

use quotegate_market::FeedName;

use crate::settings::Calendar;

/// Where Alpaca serves the feeds.
pub const HOST: &str = "wss://stream.data.alpaca.markets";

/// The URL of `feed` on `host` (see [`HOST`]).
pub fn feed_url(feed: FeedName, host: &str) -> String {
    let version = match feed {
        FeedName::Iex | FeedName::Sip | FeedName::DelayedSip | FeedName::Test => "v2",
        FeedName::CryptoUs | FeedName::CryptoUs1 | FeedName::CryptoEu1 => "v1beta3",
        FeedName::Boats | FeedName::Overnight | FeedName::Indicative | FeedName::Opra => "v1beta1",
    };
    // Settings say `crypto-us`, because a name should not look like a path; Alpaca's path is `crypto/us`.
    format!("{}/{version}/{}", host.trim_end_matches('/'), feed.as_str().replacen("crypto-", "crypto/", 1))
}

/// Where REST is served beside the websocket at `websocket_url`: Alpaca's name for it lacks the `stream.` in front. A
/// simulator serves both on one port.
pub fn rest_url(websocket_url: &str) -> String {
    let (scheme, rest) = match websocket_url.strip_prefix("ws://") {
        Some(rest) => ("http", rest),
        None => ("https", websocket_url.strip_prefix("wss://").unwrap_or(websocket_url)),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.strip_prefix("stream.").filter(|rest| rest.starts_with("data.")).unwrap_or(authority);
    format!("{scheme}://{host}")
}

/// Where REST serves the latest quotes of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LatestQuotesEndpoint {
    pub(crate) path: &'static str,
    /// The value of the parameter `feed`, if there is one.
    pub(crate) feed: Option<&'static str>,
    pub(crate) max_symbols: usize,
}

/// The endpoint for `feed`; `None` if Alpaca has none. `quotes/latest`, not `snapshots`: the answers of the latter are
/// five times as long, and everything else in them is unused.
pub(crate) fn latest_quotes_endpoint(feed: FeedName) -> Option<LatestQuotesEndpoint> {
    // Alpaca documents no maximum for stocks and crypto; the length of the URL is limited elsewhere.
    let (path, has_feeds, max_symbols) = match feed {
        FeedName::Iex | FeedName::Sip | FeedName::DelayedSip | FeedName::Boats | FeedName::Overnight => {
            ("/v2/stocks/quotes/latest", true, 1000)
        }
        FeedName::Indicative | FeedName::Opra => ("/v1beta1/options/quotes/latest", true, 100),
        FeedName::CryptoUs => ("/v1beta3/crypto/us/latest/quotes", false, 1000),
        FeedName::CryptoUs1 => ("/v1beta3/crypto/us-1/latest/quotes", false, 1000),
        FeedName::CryptoEu1 => ("/v1beta3/crypto/eu-1/latest/quotes", false, 1000),
        FeedName::Test => return None,
    };
    Some(LatestQuotesEndpoint { path, feed: has_feeds.then(|| feed.as_str()), max_symbols })
}

/// When `feed` is expected to deliver quotes.
pub fn feed_calendar(feed: FeedName) -> Calendar {
    match feed {
        FeedName::Sip => Calendar::UsEquities { extended_hours: true },
        // IEX is nearly empty before the open; the delayed tape starts fifteen minutes late.
        FeedName::Iex | FeedName::DelayedSip | FeedName::Indicative | FeedName::Opra => {
            Calendar::UsEquities { extended_hours: false }
        }
        FeedName::Test | FeedName::CryptoUs | FeedName::CryptoUs1 | FeedName::CryptoEu1 => Calendar::Always,
        // Overnight trading is thin and not in the calendar: silence proves nothing.
        FeedName::Boats | FeedName::Overnight => Calendar::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_the_documentation() {
        let path = |feed| feed_url(feed, "wss://host/").replace("wss://host", "");
        assert_eq!(path(FeedName::Iex), "/v2/iex");
        assert_eq!(path(FeedName::DelayedSip), "/v2/delayed_sip");
        assert_eq!(path(FeedName::Boats), "/v1beta1/boats");
        assert_eq!(path(FeedName::CryptoEu1), "/v1beta3/crypto/eu-1");
        assert_eq!(path(FeedName::Opra), "/v1beta1/opra");
    }

    #[test]
    fn rest_is_served_beside_the_websocket() {
        assert_eq!(rest_url(&feed_url(FeedName::Iex, HOST)), "https://data.alpaca.markets");
        assert_eq!(rest_url("wss://stream.data.sandbox.alpaca.markets/v2/iex"), "https://data.sandbox.alpaca.markets");
        assert_eq!(rest_url("ws://127.0.0.1:8181/v2/iex"), "http://127.0.0.1:8181");
        assert_eq!(rest_url("wss://stream.example.com"), "https://stream.example.com");
    }

    #[test]
    fn every_feed_but_the_test_feed_has_latest_quotes() {
        for feed in FeedName::ALL {
            assert_eq!(latest_quotes_endpoint(feed).is_none(), feed == FeedName::Test);
        }
        let options = latest_quotes_endpoint(FeedName::Opra).unwrap();
        assert_eq!((options.feed, options.max_symbols), (Some("opra"), 100));
    }
}
