use std::fmt;

/// One of Alpaca's real-time quote feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedName {
    /// IEX only: free, real time.
    Iex,
    /// The consolidated tapes: paid.
    Sip,
    /// The consolidated tapes, fifteen minutes late.
    DelayedSip,
    /// Blue Ocean ATS: overnight trading.
    Boats,
    /// Alpaca's derived overnight feed.
    Overnight,
    /// One made-up symbol, `FAKEPACA`, around the clock.
    Test,
    /// Crypto on Alpaca US.
    CryptoUs,
    /// Crypto on Kraken US.
    CryptoUs1,
    /// Crypto on Kraken EU.
    CryptoEu1,
    /// Options, indicative prices.
    Indicative,
    /// Options, the consolidated tape.
    Opra,
}

impl FeedName {
    /// Every feed, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Iex,
        Self::Sip,
        Self::DelayedSip,
        Self::Boats,
        Self::Overnight,
        Self::Test,
        Self::CryptoUs,
        Self::CryptoUs1,
        Self::CryptoEu1,
        Self::Indicative,
        Self::Opra,
    ];

    /// The name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iex => "iex",
            Self::Sip => "sip",
            Self::DelayedSip => "delayed_sip",
            Self::Boats => "boats",
            Self::Overnight => "overnight",
            Self::Test => "test",
            Self::CryptoUs => "crypto-us",
            Self::CryptoUs1 => "crypto-us-1",
            Self::CryptoEu1 => "crypto-eu-1",
            Self::Indicative => "indicative",
            Self::Opra => "opra",
        }
    }

    /// What the feed quotes.
    pub const fn asset_class(self) -> AssetClass {
        match self {
            Self::CryptoUs | Self::CryptoUs1 | Self::CryptoEu1 => AssetClass::Crypto,
            Self::Indicative | Self::Opra => AssetClass::UsOption,
            Self::Iex | Self::Sip | Self::DelayedSip | Self::Boats | Self::Overnight | Self::Test => {
                AssetClass::UsEquity
            }
        }
    }

    /// The feed's only encoding; `None` if Alpaca offers both.
    pub fn required_encoding(self) -> Option<Encoding> {
        matches!(self, Self::Indicative | Self::Opra).then_some(Encoding::MessagePack)
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of Alpaca's asset classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetClass {
    /// US stocks.
    UsEquity,
    /// Options on US stocks and indices.
    UsOption,
    /// Crypto.
    Crypto,
}

impl AssetClass {
    /// Alpaca's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsEquity => "us_equity",
            Self::UsOption => "us_option",
            Self::Crypto => "crypto",
        }
    }
}

/// How Alpaca's messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text frames, about 128 bytes per quote.
    Json,
    /// Binary frames, about 74 bytes per quote.
    MessagePack,
}

impl Encoding {
    /// The media type that requests it in the websocket upgrade.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::MessagePack => "msgpack",
        })
    }
}

/// How a client of Alpaca's stream authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthBy {
    /// With an `auth` message after the welcome, as Alpaca's own clients do.
    Message,
    /// With headers of the request that opens the websocket.
    Headers,
}
