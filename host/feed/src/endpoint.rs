//! The URL and the trading hours of each feed.

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
}
