//! The feed's settings.

use std::sync::Arc;
use std::time::Duration;

use quotegate_market::UnixNanos;
use quotegate_market::{AuthBy, Encoding};
use quotegate_pace::Backoff;
use secrecy::{ExposeSecret, SecretString};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{FeedSettingsError, MAX_CHUNK};
use crate::tls::RootCerts;

/// Returns the wall-clock time. Passed in, so that tests can set it.
pub type Clock = Arc<dyn Fn() -> UnixNanos + Send + Sync>;

/// The system clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixNanos::try_from(since.as_nanos()).unwrap_or(UnixNanos::MAX)
    })
}

/// When a feed is expected to deliver quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// During the sessions of the US stock exchanges.
    UsEquities {
        /// Include the pre-market and after-hours sessions.
        extended_hours: bool,
    },
    /// Round the clock.
    Always,
    /// Silence never means a fault.
    Never,
}

impl Calendar {
    /// True if quotes are expected at `now`.
    pub fn is_open(self, now: UnixNanos) -> bool {
        match self {
            Self::UsEquities { extended_hours } => quotegate_market_hours::us_equities_open(now, extended_hours),
            Self::Always => true,
            Self::Never => false,
        }
    }

    /// Since when quotes are expected without a break; `None` if they are not expected at `now`.
    pub fn open_since(self, now: UnixNanos) -> Option<UnixNanos> {
        match self {
            Self::UsEquities { extended_hours } => quotegate_market_hours::us_equities_open_since(now, extended_hours),
            Self::Always => Some(0),
            Self::Never => None,
        }
    }

    /// Why silence is no fault while quotes are not expected.
    pub const fn why_quiet(self) -> &'static str {
        match self {
            Self::UsEquities { .. } | Self::Always => "the exchange is closed",
            Self::Never => "this feed may be silent at any hour",
        }
    }
}

/// A key pair. The secret cannot be printed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The key id.
    pub key_id: String,
    /// The secret key.
    pub secret_key: SecretString,
    /// How the keys are sent.
    pub by: AuthBy,
}

impl Credentials {
    /// The headers that carry the keys; `None` if a key has characters that headers do not allow.
    pub(crate) fn headers(&self) -> Option<HeaderMap> {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Some(HeaderMap::from_iter([
            (HeaderName::from_static("apca-api-key-id"), value(&self.key_id)?),
            (HeaderName::from_static("apca-api-secret-key"), value(self.secret_key.expose_secret())?),
        ]))
    }
}

/// Delays before a reconnect. Each is exponential with full jitter and starts over once a quote has arrived.
#[derive(Debug, Clone)]
pub struct ReconnectBackoff {
    /// After any other cause than the two below.
    pub ordinary: Backoff,
    /// After 406: the other connection must end, or Alpaca must notice that it is dead.
    pub held_elsewhere: Backoff,
    /// After HTTP 429 at the upgrade.
    pub rate_limited: Backoff,
}

impl ReconnectBackoff {
    /// `base` and `max` apply to the ordinary backoff. The other two start at 5 s and 30 s or more, because their causes
    /// last at least that long.
    pub fn new(base: Duration, max: Duration) -> Result<Self, FeedSettingsError> {
        let backoff = |name, base: Duration, max: Duration| {
            Backoff::new(base, max).map_err(|error| FeedSettingsError::Backoff(name, error))
        };
        let (held, limited) = (Duration::from_secs(5), Duration::from_secs(30));
        Ok(Self {
            ordinary: backoff("reconnecting", base, max)?,
            held_elsewhere: backoff("a connection held elsewhere", base.max(held), max.max(4 * held))?,
            rate_limited: backoff("a refused upgrade", base.max(limited), max.max(4 * limited))?,
        })
    }
}

/// Settings of the `alpaca` source.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Where to connect, see [`crate::feed_url`].
    pub url: String,
    /// The authorities that a `wss` server is checked against.
    pub root_certs: RootCerts,
    /// The encoding to request.
    pub encoding: Encoding,
    /// The key pair.
    pub credentials: Credentials,
    /// How long to wait before reconnecting.
    pub backoff: ReconnectBackoff,
    /// How often to ping the server.
    pub ping_interval: Duration,
    /// The socket is dead if nothing arrives for this long after a ping.
    pub pong_timeout: Duration,
    /// Reconnect after this long without quotes while `calendar` expects them; `None`: never. Choose it well above the
    /// longest silence of a healthy subscription: with few symbols that can be minutes.
    pub stale_after: Option<Duration>,
    /// When quotes are expected.
    pub calendar: Calendar,
    /// The timeout of each step: upgrade, welcome, authentication, each acknowledgement.
    pub step_timeout: Duration,
    /// How long to wait for the server's close frame.
    pub close_timeout: Duration,
    /// Maximum symbols per subscribe message.
    pub subscribe_chunk: usize,
    /// Maximum message size in bytes; a larger message ends the connection.
    pub max_message_size: usize,
    /// The capacity of the [`quotegate_market::SymbolTable`].
    pub symbol_capacity: usize,
}

impl FeedSettings {
    /// The defaults for Alpaca's live service.
    pub fn new(url: String, credentials: Credentials) -> Result<Self, FeedSettingsError> {
        Ok(Self {
            url,
            root_certs: RootCerts::public()?,
            encoding: Encoding::MessagePack,
            credentials,
            backoff: ReconnectBackoff::new(Duration::from_secs(1), Duration::from_secs(60))?,
            // As Alpaca's Go client does; the server drops clients that are silent for 20 s.
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

    /// Returns the first invalid value.
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
    fn invalid_values_are_rejected() {
        assert_eq!(settings().check(), Ok(()));
        let chunk = |subscribe_chunk| FeedSettings { subscribe_chunk, ..settings() }.check();
        assert_eq!(chunk(0), Err(FeedSettingsError::Chunk(0)));
        assert_eq!(chunk(501), Err(FeedSettingsError::Chunk(501)));
        let zero = FeedSettings { ping_interval: Duration::ZERO, ..settings() };
        assert_eq!(zero.check(), Err(FeedSettingsError::Zero("the ping interval")));
    }

    #[test]
    fn slow_delays_start_slow_even_if_the_ordinary_ones_are_fast() {
        let backoff = ReconnectBackoff::new(Duration::from_millis(1), Duration::from_millis(2)).unwrap();
        assert_eq!(backoff.held_elsewhere.cap(), Duration::from_secs(5));
        assert_eq!(backoff.rate_limited.cap(), Duration::from_secs(30));
    }
}
