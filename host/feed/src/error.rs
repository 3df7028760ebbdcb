/// Why the feed gave up. Whatever a retry can mend is retried and counted instead; what is here needs a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// 402, or HTTP 401 or 403 at the upgrade.
    #[error(
        "Alpaca refused the credentials: check the key id and the secret key, and that they are of the same account"
    )]
    AuthenticationFailed,
    /// 408.
    #[error("this account is not enabled for version 2 of the market data: enable it in Alpaca's dashboard")]
    NotEnabled,
    /// 409.
    #[error("the account's plan does not include this feed: choose the iex feed, or subscribe to a plan that has it")]
    InsufficientSubscription,
    /// 410.
    #[error("this feed has no quotes: choose a feed of stocks, crypto or options")]
    NoQuotes,
    /// 411.
    #[error("the access token does not cover market data: ask for one with that scope, or use trading keys")]
    InsufficientScope,
    /// 412.
    #[error("option feeds speak MessagePack only: set the feed's encoding to msgpack")]
    MessagePackOnly,
    /// 413.
    #[error("option feeds do not take `*` for quotes: name the symbols")]
    WildcardRefused,
    /// The address cannot be asked at all.
    #[error("the feed's address {url} cannot be used ({problem}): write it as wss://host/path")]
    Address {
        /// The address as it was set.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that cannot stand in an HTTP header.
    #[error("the credentials contain characters that no HTTP header can carry: check for line breaks around the keys")]
    CredentialCharacters,
}

/// Why two settings or names of the feed make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedSettingsError {
    /// A chunk of nothing, or more than 500.
    #[error("a subscribe chunk of {0} symbols is not possible: choose 1 to {max}", max = crate::settings::MAX_CHUNK)]
    Chunk(usize),
    /// A time of zero that would loop without a pause.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// Delays that make no backoff.
    #[error("the delays of {name} are impossible: {problem}")]
    Backoff {
        /// Which of them.
        name: &'static str,
        /// What is wrong.
        problem: quotegate_pace::BackoffError,
    },
    /// A file that should hold authorities' certificates.
    #[error("feed.ca_file: {file}: {problem}: give a PEM file with the certificates to trust")]
    Certificates {
        /// The file.
        file: String,
        /// What is the matter with it.
        problem: String,
    },
    /// No TLS can be spoken.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}
