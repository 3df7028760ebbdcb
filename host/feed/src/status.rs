//! What the feed tells of itself. Written by the reader's task only, read by heartbeat and operations at any time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use quotegate_market::{QuoteColumns, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::decode::Skipped;

/// Why a connection ended or did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCause {
    /// No TCP or TLS connection, or an upgrade that failed for another reason than the two below.
    Connect,
    /// HTTP 429 at the upgrade.
    RateLimited,
    /// 406: another session of this account is alive.
    HeldElsewhere,
    /// The server did not do the handshake as documented, or not in time.
    Handshake,
    /// An error code that ends the session: 401, 404, 407, 500.
    ServerError,
    /// The server closed the connection, or it broke.
    Closed,
    /// A request was not acknowledged in time.
    Unacknowledged,
    /// Pings went unanswered.
    Silent,
    /// No quote for too long while the exchange was open.
    Stale,
}

impl RetryCause {
    const COUNT: usize = 9;

    /// Every cause.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Connect,
        Self::RateLimited,
        Self::HeldElsewhere,
        Self::Handshake,
        Self::ServerError,
        Self::Closed,
        Self::Unacknowledged,
        Self::Silent,
        Self::Stale,
    ];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::RateLimited => "rate_limited",
            Self::HeldElsewhere => "held_elsewhere",
            Self::Handshake => "handshake",
            Self::ServerError => "server_error",
            Self::Closed => "closed",
            Self::Unacknowledged => "unacknowledged",
            Self::Silent => "silent",
            Self::Stale => "stale",
        }
    }
}

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "cause")]
pub enum ConnectionState {
    /// Not started yet.
    Idle,
    /// TCP, TLS and the upgrade.
    Connecting,
    /// Waiting for the welcome or the answer to our key.
    Authenticating,
    /// Authenticated; symbols are subscribed or being so, quotes may flow.
    Streaming,
    /// A recording is played.
    Replaying,
    /// Pausing before the next attempt, for this reason.
    Waiting(RetryCause),
    /// Pausing because another host, or a session not yet noticed to be dead, holds the connection (406).
    HeldElsewhere,
    /// Ended, on request or for good.
    Stopped,
}

/// A histogram in powers of two: bucket `i` counts values `v` with `2^(i-1) <= v < 2^i`, bucket 0 counts zeros, the
/// last bucket everything above.
#[derive(Debug, Default)]
struct LogHistogram([AtomicU64; 32]);

impl LogHistogram {
    fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.0[bucket.min(31)].fetch_add(1, Relaxed);
    }

    /// Counts up to the last one that is not zero.
    fn counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> = self.0.iter().map(|count| count.load(Relaxed)).collect();
        let used = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        counts.truncate(used);
        counts
    }
}

#[derive(Debug)]
struct Rare {
    state: ConnectionState,
    since: UnixNanos,
    errors: BTreeMap<u16, u64>,
    missing: Vec<String>,
}

/// The feed's state and counters. One instance lives as long as the feed, over all its connections.
#[derive(Debug)]
pub struct FeedStatus {
    rare: Mutex<Rare>,
    frames: AtomicU64,
    bytes: AtomicU64,
    quotes: AtomicU64,
    unknown_type: AtomicU64,
    malformed: AtomicU64,
    from_future: AtomicU64,
    refused_symbol: AtomicU64,
    connections: AtomicU64,
    attempts: AtomicU64,
    silent: AtomicBool,
    retries: [AtomicU64; RetryCause::COUNT],
    missing_symbols: AtomicU64,
    last_received: AtomicI64,
    last_event: AtomicI64,
    last_lag: AtomicI64,
    lag_micros: LogHistogram,
    quotes_per_frame: LogHistogram,
}

/// Everything in [`FeedStatus`] at one moment, for people and metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedSnapshot {
    /// Where the connection stands.
    pub connection: ConnectionState,
    /// Since when it stands there.
    pub since: UnixNanos,
    /// Frames received, control messages included.
    pub frames: u64,
    /// Bytes of payload received.
    pub bytes: u64,
    /// Quotes decoded.
    pub quotes: u64,
    /// Messages stepped over.
    pub skipped: Skipped,
    /// Sessions that were authenticated.
    pub connections: u64,
    /// Connections that ended or failed since the last quote.
    pub attempts: u64,
    /// The exchange is open, no quote came for the time after which one must, and none has come since.
    pub silent: bool,
    /// Ended or failed connections by cause; causes that never happened are left out.
    pub retries: BTreeMap<Cow<'static, str>, u64>,
    /// Error messages of the server by code.
    pub errors: BTreeMap<u16, u64>,
    /// How often a symbol that was asked for did not come to be subscribed.
    pub missing_symbols: u64,
    /// The symbols that are wanted but not subscribed in this session; at most [`FeedStatus::MISSING_KEPT`].
    pub missing: Vec<String>,
    /// When the last quote arrived.
    pub last_received_time: Option<UnixNanos>,
    /// When the exchange made it.
    pub last_event_time: Option<UnixNanos>,
    /// Arrival minus exchange time of the last quote, in nanoseconds. Growing lag is how falling behind shows first:
    /// Alpaca's own figure is under 25 ms.
    pub last_lag: Option<i64>,
    /// The lag of the last quote of each frame, in microseconds: entry `i` counts values below `2^i` and not in the
    /// entry before.
    pub lag_micros: Vec<u64>,
    /// Quotes in each frame that had any, in the same buckets. Frames that grow are an early sign of lag.
    pub quotes_per_frame: Vec<u64>,
}

impl Default for FeedStatus {
    fn default() -> Self {
        let rare = Rare { state: ConnectionState::Idle, since: 0, errors: BTreeMap::new(), missing: Vec::new() };
        Self {
            rare: Mutex::new(rare),
            frames: AtomicU64::default(),
            bytes: AtomicU64::default(),
            quotes: AtomicU64::default(),
            unknown_type: AtomicU64::default(),
            malformed: AtomicU64::default(),
            from_future: AtomicU64::default(),
            refused_symbol: AtomicU64::default(),
            connections: AtomicU64::default(),
            attempts: AtomicU64::default(),
            silent: AtomicBool::default(),
            retries: Default::default(),
            missing_symbols: AtomicU64::default(),
            last_received: AtomicI64::new(i64::MIN),
            last_event: AtomicI64::new(i64::MIN),
            last_lag: AtomicI64::default(),
            lag_micros: LogHistogram::default(),
            quotes_per_frame: LogHistogram::default(),
        }
    }
}

impl FeedStatus {
    /// How many missing symbols are kept by name.
    pub const MISSING_KEPT: usize = 1000;

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        self.rare().state
    }

    /// When the last quote arrived, if one has.
    pub fn last_received_time(&self) -> Option<UnixNanos> {
        known(self.last_received.load(Relaxed))
    }

    /// Everything at once. The counters are read one after another, so they may be a frame apart.
    pub fn snapshot(&self) -> FeedSnapshot {
        let last_received_time = self.last_received_time();
        let retried = |cause: RetryCause| (cause.as_str().into(), self.retries[cause as usize].load(Relaxed));
        let rare = self.rare();
        FeedSnapshot {
            connection: rare.state,
            since: rare.since,
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            quotes: self.quotes.load(Relaxed),
            skipped: Skipped {
                unknown_type: self.unknown_type.load(Relaxed),
                malformed: self.malformed.load(Relaxed),
                from_future: self.from_future.load(Relaxed),
                refused_symbol: self.refused_symbol.load(Relaxed),
            },
            connections: self.connections.load(Relaxed),
            attempts: self.attempts.load(Relaxed),
            silent: self.silent.load(Relaxed),
            retries: RetryCause::ALL.into_iter().map(retried).filter(|&(_, count)| count > 0).collect(),
            errors: rare.errors.clone(),
            missing_symbols: self.missing_symbols.load(Relaxed),
            missing: rare.missing.clone(),
            last_received_time,
            last_event_time: known(self.last_event.load(Relaxed)),
            last_lag: last_received_time.map(|_| self.last_lag.load(Relaxed)),
            lag_micros: self.lag_micros.counts(),
            quotes_per_frame: self.quotes_per_frame.counts(),
        }
    }

    pub(crate) fn enter(&self, state: ConnectionState, now: UnixNanos) {
        let mut rare = self.rare();
        if rare.state != state {
            rare.state = state;
            rare.since = now;
        }
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_retry(&self, cause: RetryCause) {
        self.retries[cause as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn set_attempts(&self, attempts: u32) {
        self.attempts.store(u64::from(attempts), Relaxed);
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Relaxed);
    }

    pub(crate) fn count_error(&self, code: u16) {
        *self.rare().errors.entry(code).or_default() += 1;
    }

    pub(crate) fn count_missing(&self, symbols: usize) {
        self.missing_symbols.fetch_add(symbols as u64, Relaxed);
    }

    pub(crate) fn set_missing(&self, mut missing: Vec<String>) {
        missing.truncate(Self::MISSING_KEPT);
        self.rare().missing = missing;
    }

    /// One frame, and the quotes that it brought: those of `quotes` from row `first` on.
    pub(crate) fn count_frame(&self, bytes: usize, quotes: &QuoteColumns, first: usize, skipped: Skipped) {
        self.frames.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if skipped.total() > 0 {
            self.unknown_type.fetch_add(skipped.unknown_type, Relaxed);
            self.malformed.fetch_add(skipped.malformed, Relaxed);
            self.from_future.fetch_add(skipped.from_future, Relaxed);
            self.refused_symbol.fetch_add(skipped.refused_symbol, Relaxed);
        }
        let brought = (quotes.len() - first) as u64;
        if let (Some(&event), Some(&received), 1..) = (quotes.event_time.last(), quotes.received_time.last(), brought) {
            let lag = received.saturating_sub(event);
            self.quotes.fetch_add(brought, Relaxed);
            self.last_event.store(event, Relaxed);
            self.last_lag.store(lag, Relaxed);
            self.last_received.store(received, Relaxed);
            self.lag_micros.record(lag.max(0).unsigned_abs() / 1000);
            self.quotes_per_frame.record(brought);
        }
    }

    // Nothing panics while it holds the lock; a poisoned one would still hold whole values.
    fn rare(&self) -> std::sync::MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(time: UnixNanos) -> Option<UnixNanos> {
    (time != i64::MIN).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::Quote;

    #[test]
    fn a_frame_is_counted_with_its_own_quotes_only() {
        let status = FeedStatus::default();
        assert_eq!(status.snapshot().last_lag, None);
        let mut quotes = QuoteColumns::default();
        for received_time in [5_000, 9_000, 9_000] {
            quotes.push(0, &Quote { event_time: 1_000, received_time, ..Quote::default() });
        }
        status.count_frame(70, &quotes, 1, Skipped { malformed: 2, ..Skipped::default() });
        let snapshot = status.snapshot();
        assert_eq!((snapshot.frames, snapshot.bytes, snapshot.quotes, snapshot.skipped.malformed), (1, 70, 2, 2));
        assert_eq!((snapshot.last_lag, snapshot.last_event_time), (Some(8_000), Some(1_000)));
        // 8 µs lie below 16 = 2⁴, two quotes below 4 = 2².
        assert_eq!(snapshot.lag_micros, [0, 0, 0, 0, 1]);
        assert_eq!(snapshot.quotes_per_frame, [0, 0, 1]);
    }

    #[test]
    fn since_moves_only_with_the_state() {
        let status = FeedStatus::default();
        status.enter(ConnectionState::Connecting, 5);
        status.enter(ConnectionState::Connecting, 9);
        assert_eq!(status.snapshot().since, 5);
        status.enter(ConnectionState::Waiting(RetryCause::Stale), 9);
        assert_eq!(status.snapshot().since, 9);
    }

    #[test]
    fn causes_are_listed_in_the_order_of_their_counters() {
        for (index, cause) in RetryCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }
}
