use std::path::PathBuf;
use std::time::Duration;

use quotegate_market::{AuthBy, Encoding, FeedName};

use super::source::check_readable;
use super::{SymbolChoice, TenantSettings};
use crate::declare::settings;
use crate::kind::{Bool, Choice, FilePath, Integer, Text, TimeSpan, ZeroIsOff, rule};
use crate::reader::Reader;

/// When quotes are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// Depends on the feed: one that never closes (crypto, the test feed, a simulator) is always open.
    Auto,
    /// In the sessions of the US stock exchanges.
    UsEquities,
    /// Day and night.
    Always,
}

const FEED_NAMES: &[(&str, FeedName)] = &{
    const FEEDS: [FeedName; FeedName::ALL.len()] = FeedName::ALL;
    let mut words = [("", FeedName::Iex); FEEDS.len()];
    let mut index = 0;
    while index < FEEDS.len() {
        words[index] = (FEEDS[index].as_str(), FEEDS[index]);
        index += 1;
    }
    words
};
const ENCODINGS: &[(&str, Encoding)] = &[("json", Encoding::Json), ("msgpack", Encoding::MessagePack)];
const AUTH_BY: &[(&str, AuthBy)] = &[("message", AuthBy::Message), ("headers", AuthBy::Headers)];
const CALENDARS: &[(&str, Calendar)] =
    &[("auto", Calendar::Auto), ("us-equities", Calendar::UsEquities), ("always", Calendar::Always)];
const URL: Text = Text { expects: "a URL such as \"wss://host/v2/iex\"", rule: rule::WEBSOCKET_URL };
const REST_URL: Text = Text { expects: "a URL such as \"https://data.alpaca.markets\"", rule: rule::HTTP_URL };
const HOUR: f64 = 3600.0;

settings! {
    /// The connection to a live feed and its watchdogs, `[feed]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FeedSettings from Reader {
        /// The Alpaca feed.
        name: FeedName = "name" ["ALPACA_DATA_FEED"], Choice(FEED_NAMES), default FeedName::Iex;
        /// A websocket URL to connect to, instead of the feed's own.
        url: Option<String> = "url", URL, example "\"ws://127.0.0.1:8181/v2/iex\"";
        /// Ask Alpaca's REST for the latest quotes of symbols that were just subscribed: at the start, after a reload, and
        /// after every reconnect, because Alpaca does not repeat what was missed. A quote from there never replaces a
        /// newer one. Without effect for the test feed, which REST does not serve, and for a replay. With all symbols
        /// (`*`), only those that have quoted before are known.
        snapshot: bool = "snapshot", Bool, default true;
        /// Where REST is served. By default https://data.alpaca.markets; if feed.url is set, the host of feed.url, with https
        /// for wss and http for ws, and without the first part of a name that begins with `stream.data.`.
        rest_url: Option<String> = "rest_url", REST_URL, example "\"https://data.sandbox.alpaca.markets\"";
        /// A PEM file with CA certificates to trust for wss and https in addition to the public ones, for example those of a proxy
        /// that inspects TLS.
        ca_file: Option<PathBuf> = "ca_file", FilePath, example "\"/etc/ssl/company.pem\"";
        /// The encoding of messages. The option feeds, indicative and opra, need msgpack.
        encoding: Encoding = "encoding", Choice(ENCODINGS), default Encoding::MessagePack;
        /// How to authenticate: with a message after connecting, or with HTTP headers when connecting.
        auth_by: AuthBy = "auth_by", Choice(AUTH_BY), default AuthBy::Message;
        /// The longest wait before the first reconnect. Each failed attempt doubles the wait, and the actual wait is
        /// random.
        reconnect_backoff_base: Duration = "reconnect_backoff_base_s" ["RECONNECT_BACKOFF_BASE_S"],
            TimeSpan::seconds(0.01, HOUR), default Duration::from_secs(1);
        /// The longest wait before any reconnect.
        reconnect_backoff_max: Duration = "reconnect_backoff_max_s" ["RECONNECT_BACKOFF_MAX_S"],
            TimeSpan::seconds(0.01, 24.0 * HOUR), default Duration::from_secs(60);
        /// The time between pings.
        ping_interval: Duration = "ping_interval_s", TimeSpan::seconds(0.1, HOUR), default Duration::from_secs(10);
        /// Reconnect when a ping is not answered within this time.
        pong_timeout: Duration = "pong_timeout_s", TimeSpan::seconds(0.1, HOUR), default Duration::from_secs(5);
        /// Reconnect after this long without quotes in trading hours.
        stale_after: Option<Duration> = "stale_after_s",
            ZeroIsOff { kind: TimeSpan::seconds(1.0, 24.0 * HOUR), meaning: "to disable this" },
            default Some(Duration::from_secs(60));
        /// The trading hours, in which quotes are expected: those of the US stock exchanges, or day and night. "auto"
        /// uses those of the feed.
        calendar: Calendar = "calendar", Choice(CALENDARS), default Calendar::Auto;
        /// The longest wait for each answer of the server while connecting: welcome, authentication, subscription.
        handshake_timeout: Duration = "handshake_timeout_s", TimeSpan::seconds(0.1, HOUR),
            default Duration::from_secs(10);
        /// The number of symbols per subscribe message.
        subscribe_chunk: u32 = "subscribe_chunk", Integer { min: 1, max: 500 }, default 500;
        /// The number of symbols that your Alpaca plan allows, over all tenants. With more symbols the host does not start.
        max_symbols: Option<u32> = "max_symbols",
            ZeroIsOff { kind: Integer { min: 1, max: 1_000_000 }, meaning: "for no limit" }, default None;
    }
}

impl FeedSettings {
    pub(super) fn check(&self, from: &mut Reader<'_>) {
        let (base, max) = (self.reconnect_backoff_base, self.reconnect_backoff_max);
        if max < base {
            from.conflict(
                ["reconnect_backoff_max_s", "reconnect_backoff_base_s"],
                format!(
                    "The longest wait ({} s) is shorter than the first one ({} s).",
                    max.as_secs_f64(),
                    base.as_secs_f64()
                ),
                "Set feed.reconnect_backoff_max_s to at least feed.reconnect_backoff_base_s.",
            );
        }
        if let Some(file) = &self.ca_file {
            check_readable(file, &["feed", "ca_file"], from);
        }
        if self.name.required_encoding().is_some_and(|required| required != self.encoding) {
            from.conflict(
                ["encoding", "name"],
                format!("The feed {:?} carries options, which Alpaca sends only as MessagePack.", self.name.as_str()),
                "Set feed.encoding = \"msgpack\".",
            );
        }
    }

    /// The symbols of all tenants together must fit the Alpaca plan.
    pub(super) fn check_plan(&self, tenants: &[TenantSettings], from: &mut Reader<'_>) {
        let Some(max) = self.max_symbols else { return };
        let mut union = std::collections::HashSet::new();
        for tenant in tenants {
            match &tenant.symbols {
                SymbolChoice::List(symbols) => union.extend(symbols),
                SymbolChoice::All => {
                    from.error_at(
                        &["feed", "max_symbols"],
                        format!(
                            "The tenant {:?} subscribes to every symbol, which exceeds any limit.",
                            tenant.id.as_str()
                        ),
                        "List the tenant's symbols, or set feed.max_symbols = 0.",
                    );
                    return;
                }
            }
        }
        if union.len() > max as usize {
            from.error_at(
                &["feed", "max_symbols"],
                format!(
                    "The tenants subscribe to {} different symbols in total, {} too many.",
                    union.len(),
                    union.len() - max as usize
                ),
                "Remove symbols, or raise feed.max_symbols if your plan allows more.",
            );
        }
    }
}
