//! Settings whose values are already checked.

use std::sync::Arc;
use std::time::Duration;

use quotegate_market::UnixNanos;
use quotegate_market::{AuthBy, Encoding};
use quotegate_pace::Backoff;
use secrecy::SecretString;

use crate::error::FeedSettingsError;
use crate::tls::RootCerts;

/// Most symbols of one subscribe message: larger ones misbehave (alpaca-trade-api-csharp issues 724 and 763).
pub const MAX_CHUNK: usize = 500;

/// Tells the wall-clock time. Passed in, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> UnixNanos + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixNanos::try_from(since.as_nanos()).unwrap_or(UnixNanos::MAX)
    })
}

/// The times at which a silent feed is a broken one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// The sessions of the US stock exchanges.
    UsEquities {
        /// Pre-market and after hours too.
        extended_hours: bool,
    },
    /// Round the clock.
    Always,
    /// Silence never means anything.
    Never,
}

impl Calendar {
    /// True when quotes are to be expected.
    pub fn is_open(self, now: UnixNanos) -> bool {
        match self {
            Self::UsEquities { extended_hours } => quotegate_market_hours::us_equities_open(now, extended_hours),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// A key pair. The secret cannot be printed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The public half.
    pub key_id: String,
    /// The secret half.
    pub secret_key: SecretString,
    /// How the pair travels.
    pub by: AuthBy,
}

/// Pauses before a new connection; each is exponential with full jitter, and starts afresh once a quote has arrived.
#[derive(Debug, Clone)]
pub struct RetryPauses {
    /// After anything but the two below.
    pub ordinary: Backoff,
    /// After 406: the other session must end, or be noticed to be dead, first.
    pub held_elsewhere: Backoff,
    /// After HTTP 429 at the upgrade.
    pub rate_limited: Backoff,
}

impl RetryPauses {
    /// `base` and `max` for the ordinary pauses. The other two start at 5 and 30 s at least, for those causes go away in
    /// no less.
    pub fn new(base: Duration, max: Duration) -> Result<Self, FeedSettingsError> {
        let backoff = |name, base: Duration, max: Duration| {
            Backoff::new(base, max).map_err(|problem| FeedSettingsError::Backoff { name, problem })
        };
        let (held, limited) = (Duration::from_secs(5), Duration::from_secs(30));
        Ok(Self {
            ordinary: backoff("reconnecting", base, max)?,
            held_elsewhere: backoff("a connection held elsewhere", base.max(held), max.max(4 * held))?,
            rate_limited: backoff("a refused upgrade", base.max(limited), max.max(4 * limited))?,
        })
    }
}

/// Everything that the `alpaca` source needs to know.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Where to connect, see [`crate::feed_url`].
    pub url: String,
    /// Whom a `wss` address is believed.
    pub trust: RootCerts,
    /// What to speak there.
    pub encoding: Encoding,
    /// Who we are.
    pub credentials: Credentials,
    /// How long to pause before a new connection.
    pub pauses: RetryPauses,
    /// How often the socket is pinged.
    pub ping_interval: Duration,
    /// How long a ping may go without any sign of life before the socket counts as dead.
    pub pong_timeout: Duration,
    /// How long the whole feed may bring no quote while `calendar` says that it should; `None`: for ever. Choose it
    /// well above the longest silence of a healthy subscription: with few symbols that can be minutes.
    pub stale_after: Option<Duration>,
    /// When silence is a fault.
    pub calendar: Calendar,
    /// The longest wait for each step: upgrade, welcome, authentication, each acknowledgement.
    pub step_timeout: Duration,
    /// The longest that a polite goodbye may take.
    pub close_timeout: Duration,
    /// Symbols in one subscribe message.
    pub subscribe_chunk: usize,
    /// The largest message that is accepted, in bytes; larger ones end the connection.
    pub max_message_size: usize,
    /// Most symbols that are told apart; see [`quotegate_market::SymbolTable`].
    pub symbol_capacity: usize,
}

impl FeedSettings {
    /// The defaults, which suit Alpaca's live service.
    pub fn new(url: String, credentials: Credentials) -> Result<Self, FeedSettingsError> {
        Ok(Self {
            url,
            trust: RootCerts::public()?,
            encoding: Encoding::MessagePack,
            credentials,
            pauses: RetryPauses::new(Duration::from_secs(1), Duration::from_secs(60))?,
            // What Alpaca's Go client does; the server drops who is silent for 20 s.
            ping_interval: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(5),
            stale_after: Some(Duration::from_secs(60)),
            calendar: Calendar::UsEquities { extended_hours: false },
            step_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(1),
            subscribe_chunk: MAX_CHUNK,
            max_message_size: 64 << 20,
            symbol_capacity: quotegate_market::SymbolTable::DEFAULT_CAPACITY,
        })
    }

    /// Finds the first value that would loop, hang or be refused.
    pub fn check(&self) -> Result<(), FeedSettingsError> {
        if self.subscribe_chunk == 0 || self.subscribe_chunk > MAX_CHUNK {
            return Err(FeedSettingsError::Chunk(self.subscribe_chunk));
        }
        let times = [
            ("the ping interval", self.ping_interval),
            ("the pong timeout", self.pong_timeout),
            ("the step timeout", self.step_timeout),
            ("the stale time", self.stale_after.unwrap_or(Duration::MAX)),
        ];
        match times.into_iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(FeedSettingsError::Zero(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> FeedSettings {
        let credentials =
            Credentials { key_id: "key".into(), secret_key: "hush".to_owned().into(), by: AuthBy::Message };
        FeedSettings::new("wss://host/v2/iex".into(), credentials).unwrap()
    }

    #[test]
    fn the_secret_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", settings()).contains("hush"));
    }

    #[test]
    fn values_that_would_loop_or_be_refused_are_found() {
        assert_eq!(settings().check(), Ok(()));
        let chunk = |subscribe_chunk| FeedSettings { subscribe_chunk, ..settings() }.check();
        assert_eq!(chunk(0), Err(FeedSettingsError::Chunk(0)));
        assert_eq!(chunk(501), Err(FeedSettingsError::Chunk(501)));
        let zero = FeedSettings { ping_interval: Duration::ZERO, ..settings() };
        assert_eq!(zero.check(), Err(FeedSettingsError::Zero("the ping interval")));
    }

    #[test]
    fn slow_pauses_start_slow_even_where_the_ordinary_ones_are_fast() {
        let pauses = RetryPauses::new(Duration::from_millis(1), Duration::from_millis(2)).unwrap();
        assert_eq!(pauses.held_elsewhere.cap(), Duration::from_secs(5));
        assert_eq!(pauses.rate_limited.cap(), Duration::from_secs(30));
    }
}
