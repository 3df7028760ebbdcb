use std::path::PathBuf;
use std::time::Duration;

use super::source::check_readable;
use super::{SymbolChoice, TenantSettings};
use crate::form::{Choice, PathText, Span, Text, Whole, ZeroIsOff, rule};
use crate::key::key;
use crate::reader::Reader;

/// The connection to a live feed and its watchdogs, `[feed]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSettings {
    /// Alpaca's name of the feed: `iex`, `sip`, `delayed_sip`, `boats`, `overnight`, `test`, `indicative`, `opra`, or
    /// `crypto-` and the location of a crypto feed (`us`, `us-1`, `eu-1`).
    pub name: &'static str,
    /// A whole websocket URL that takes the place of the one that the name stands for; begins with `ws://` or `wss://`.
    pub url: Option<String>,
    /// PEM file with certificates of authorities to trust besides the public ones; it could be read when it was checked.
    pub ca_file: Option<PathBuf>,
    /// How frames are encoded.
    pub encoding: Encoding,
    /// How the host authenticates.
    pub auth_by: AuthBy,
    /// The first reconnect waits at most this long. Above 0.
    pub reconnect_backoff_base: Duration,
    /// No reconnect waits longer. At least the base.
    pub reconnect_backoff_max: Duration,
    /// The time between two pings.
    pub ping_interval: Duration,
    /// A ping that is not answered in this time means that the connection is dead.
    pub pong_timeout: Duration,
    /// So long without a quote while the exchange is open means that the feed is; `None`: never.
    pub stale_after: Option<Duration>,
    /// When a silent feed is no cause for concern.
    pub calendar: Calendar,
    /// Welcome, authentication and each acknowledgement must come within this time.
    pub handshake_timeout: Duration,
    /// Symbols in one subscribe message, 1 to 500.
    pub subscribe_chunk: u32,
    /// How many symbols the account's plan allows; `None`: no limit that the host knows of.
    pub max_symbols: Option<u32>,
}

/// How frames are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text.
    Json,
    /// MessagePack: fewer bytes, and the only one that option feeds have.
    MessagePack,
}

/// How the host authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthBy {
    /// By a message after the welcome, as the official clients do.
    Message,
    /// By headers of the request that opens the websocket.
    Headers,
}

/// When quotes are to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// By the feed: what never closes (crypto, the test feed, a simulator) is always expected to quote.
    Auto,
    /// In the sessions of the US stock exchanges.
    UsEquities,
    /// Day and night.
    Always,
}

/// Word and value are the same.
const FEED_NAMES: &[(&str, &str)] = &[
    ("iex", "iex"),
    ("sip", "sip"),
    ("delayed_sip", "delayed_sip"),
    ("boats", "boats"),
    ("overnight", "overnight"),
    ("test", "test"),
    ("crypto-us", "crypto-us"),
    ("crypto-us-1", "crypto-us-1"),
    ("crypto-eu-1", "crypto-eu-1"),
    ("indicative", "indicative"),
    ("opra", "opra"),
];
const ENCODINGS: &[(&str, Encoding)] = &[("json", Encoding::Json), ("msgpack", Encoding::MessagePack)];
const AUTH_BY: &[(&str, AuthBy)] = &[("message", AuthBy::Message), ("headers", AuthBy::Headers)];
const CALENDARS: &[(&str, Calendar)] =
    &[("auto", Calendar::Auto), ("us-equities", Calendar::UsEquities), ("always", Calendar::Always)];
const URL: Text = Text { expects: "a URL such as \"wss://host/v2/iex\"", rule: rule::websocket_url };
const HOUR: f64 = 3600.0;

impl FeedSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        let name = key("name", "Alpaca's feed.", Choice(FEED_NAMES)).named(&["ALPACA_DATA_FEED"]);
        let url = key("url", "A websocket URL instead of the one that the feed's name stands for.", URL);
        let ca_file = key(
            "ca_file",
            "PEM file of authorities whose certificates a wss server may have, besides the public ones: for a proxy that \
             opens TLS.",
            PathText,
        );
        let encoding = key("encoding", "How frames are encoded.", Choice(ENCODINGS));
        let auth_by = key("auth_by", "Authenticate by a message or by HTTP headers.", Choice(AUTH_BY));
        let base =
            key("reconnect_backoff_base_s", "The first reconnect waits at most this long.", Span::seconds(0.01, HOUR));
        let max = key("reconnect_backoff_max_s", "No reconnect waits longer.", Span::seconds(0.01, 24.0 * HOUR));
        let ping = key("ping_interval_s", "Time between two pings.", Span::seconds(0.1, HOUR));
        let pong = key(
            "pong_timeout_s",
            "A connection whose ping is not answered in this time is dead.",
            Span::seconds(0.1, HOUR),
        );
        let stale = key(
            "stale_after_s",
            "So long without any quote while the exchange is open, and the host reconnects.",
            ZeroIsOff { form: Span::seconds(1.0, 24.0 * HOUR), meaning: "never" },
        );
        let calendar = key("calendar", "When quotes are to be expected; auto goes by the feed.", Choice(CALENDARS));
        let handshake = key(
            "handshake_timeout_s",
            "Welcome, authentication and each acknowledgement come within this time.",
            Span::seconds(0.1, HOUR),
        );
        let chunk = key("subscribe_chunk", "Symbols in one subscribe message.", Whole { min: 1, max: 500 });
        let max_symbols = key(
            "max_symbols",
            "How many symbols the account's plan allows, over all tenants; more are refused at the start.",
            ZeroIsOff { form: Whole { min: 1, max: 1_000_000 }, meaning: "no limit" },
        );
        let settings = Self {
            name: from.read(name, "iex"),
            url: from.read_optional(url, "\"ws://127.0.0.1:8181/v2/iex\""),
            ca_file: from.read_optional(ca_file, "\"/etc/ssl/company.pem\""),
            encoding: from.read(encoding, Encoding::MessagePack),
            auth_by: from.read(auth_by, AuthBy::Message),
            reconnect_backoff_base: from.read(base.named(&["RECONNECT_BACKOFF_BASE_S"]), Duration::from_secs(1)),
            reconnect_backoff_max: from.read(max.named(&["RECONNECT_BACKOFF_MAX_S"]), Duration::from_secs(60)),
            ping_interval: from.read(ping, Duration::from_secs(10)),
            pong_timeout: from.read(pong, Duration::from_secs(5)),
            stale_after: from.read(stale, Some(Duration::from_secs(60))),
            calendar: from.read(calendar, Calendar::Auto),
            handshake_timeout: from.read(handshake, Duration::from_secs(10)),
            subscribe_chunk: from.read(chunk, 500),
            max_symbols: from.read(max_symbols, None),
        };
        settings.check(from);
        settings
    }

    fn check(&self, from: &mut Reader<'_>) {
        let (base, max) = (self.reconnect_backoff_base, self.reconnect_backoff_max);
        if max < base {
            from.disagreement(
                ["reconnect_backoff_max_s", "reconnect_backoff_base_s"],
                format!(
                    "The longest wait ({} s) is shorter than the first ({} s).",
                    max.as_secs_f64(),
                    base.as_secs_f64()
                ),
                "Make feed.reconnect_backoff_max_s at least feed.reconnect_backoff_base_s.",
            );
        }
        if let Some(file) = &self.ca_file {
            check_readable(file, &["feed", "ca_file"], from);
        }
        if matches!(self.name, "opra" | "indicative") && self.encoding == Encoding::Json {
            from.disagreement(
                ["encoding", "name"],
                format!("The feed {:?} carries options, which Alpaca sends as MessagePack only.", self.name),
                "Set feed.encoding = \"msgpack\".",
            );
        }
    }

    /// What all tenants want together must fit the account's plan.
    pub(super) fn check_plan(&self, tenants: &[TenantSettings], from: &mut Reader<'_>) {
        let Some(max) = self.max_symbols else { return };
        let mut union = std::collections::HashSet::new();
        for tenant in tenants {
            match &tenant.symbols {
                SymbolChoice::List(symbols) => union.extend(symbols),
                SymbolChoice::All => {
                    from.problem(
                        &["feed", "max_symbols"],
                        format!(
                            "The tenant {:?} wants every symbol, which is more than any limit.",
                            tenant.id.as_str()
                        ),
                        "Name the tenant's symbols, or set feed.max_symbols = 0.",
                    );
                    return;
                }
            }
        }
        if union.len() > max as usize {
            from.problem(
                &["feed", "max_symbols"],
                format!(
                    "The tenants want {} different symbols together, {} too many.",
                    union.len(),
                    union.len() - max as usize
                ),
                "Take symbols away, or raise feed.max_symbols if the plan allows more.",
            );
        }
    }
}
