use std::path::PathBuf;

/// Why the feed gave up. These errors need a person; everything else is retried and counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// 402, or HTTP 401 or 403 at the upgrade.
    #[error(
        "Alpaca refused the credentials: check the key id and the secret key, and that they belong to the same account"
    )]
    AuthenticationFailed,
    /// 408.
    #[error("this account is not enabled for market data v2: enable it in Alpaca's dashboard")]
    NotEnabled,
    /// 409.
    #[error("the account's plan does not include this feed: choose the iex feed, or upgrade the plan")]
    InsufficientSubscription,
    /// 410.
    #[error("this feed has no quotes: choose a stock, crypto or option feed")]
    NoQuotes,
    /// 411.
    #[error("the access token does not cover market data: ask for one with that scope, or use trading keys")]
    InsufficientScope,
    /// 412.
    #[error("option feeds support only MessagePack: set feed.encoding to msgpack")]
    MessagePackOnly,
    /// 413.
    #[error("option feeds do not support `*` for quotes: list the symbols")]
    WildcardRefused,
    /// The URL from the settings, and what is wrong with it.
    #[error("invalid feed URL {0} ({1}): write it as wss://host/path")]
    Address(String, String),
    /// The credentials are not a valid HTTP header value.
    #[error("the credentials contain characters that HTTP headers do not allow: check for line breaks around the keys")]
    CredentialCharacters,
}

/// Maximum symbols per subscribe message: larger messages misbehave (alpaca-trade-api-csharp issues 724 and 763).
pub const MAX_CHUNK: usize = 500;

/// Why the feed's settings are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedSettingsError {
    /// Not 1 to 500 symbols per subscribe message.
    #[error("the subscribe chunk must be 1 to {max} symbols, not {0}", max = MAX_CHUNK)]
    Chunk(usize),
    /// A zero duration, which would make the feed spin.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// Invalid backoff delays.
    #[error("invalid delays for {0}: {1}")]
    Backoff(&'static str, quotegate_pace::BackoffError),
    /// The file of CA certificates, and what is wrong with it.
    #[error("feed.ca_file: {0}: {1}: give a PEM file with the certificates to trust")]
    Certificates(PathBuf, String),
    /// The URL of REST, and what is wrong with it.
    #[error("feed.rest_url: {0}: {1}: write it as https://host")]
    RestUrl(String, String),
    /// The credentials are not valid HTTP header values.
    #[error("the credentials contain characters that HTTP headers do not allow: check for line breaks around the keys")]
    CredentialCharacters,
    /// The TLS library rejected its configuration.
    #[error("could not set up TLS: {0}")]
    Tls(String),
}
