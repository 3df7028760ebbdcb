//! The feed's state and counters. Written only by the reader's task, read by the heartbeat and by operators at any time.

mod connection;
mod histogram;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use quotegate_market::{QuoteColumns, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::decode::Skipped;
use crate::gap::Gap;
use crate::snapshot::SnapshotCounts;
use crate::unquoted::UnquotedSymbols;
pub use connection::{ConnectionState, RetryCause};
use histogram::LogHistogram;

/// The feed's state and counters. One instance lives as long as the feed, over all its connections.
#[derive(Debug, Default)]
pub struct FeedStatus {
    /// What does not change with each frame. The rest is below, and not up to date in here.
    details: Mutex<FeedSnapshot>,
    frames: AtomicU64,
    bytes: AtomicU64,
    quotes: AtomicU64,
    last_received: AtomicI64,
    last_event: AtomicI64,
    last_lag: AtomicI64,
    lag_micros: LogHistogram,
    quotes_per_frame: LogHistogram,
}

/// A copy of everything in [`FeedStatus`], for people and metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedSnapshot {
    /// The state of the connection.
    pub connection: ConnectionState,
    /// Since when it has been in that state.
    pub since: UnixNanos,
    /// Frames received, control messages included.
    pub frames: u64,
    /// Bytes of payload received.
    pub bytes: u64,
    /// Quotes decoded.
    pub quotes: u64,
    /// Messages skipped.
    pub skipped: Skipped,
    /// Connections that were authenticated.
    pub connections: u64,
    /// Connections that ended or failed since the last quote.
    pub attempts: u64,
    /// Why the last connection ended or failed, if no quote has arrived since.
    pub problem: Option<String>,
    /// The exchange is open, the feed was reconnected for being silent, and no quote has arrived since.
    pub silent: bool,
    /// Ended or failed connections by cause, without causes that never happened.
    pub retries: BTreeMap<Cow<'static, str>, u64>,
    /// Error messages from the server by code.
    pub errors: BTreeMap<u16, u64>,
    /// How often a requested symbol was not subscribed.
    pub missing_symbols: u64,
    /// Symbols that are wanted but not subscribed on this connection; at most [`FeedStatus::MISSING_KEPT`].
    pub missing: Vec<String>,
    /// Wanted symbols that have never quoted.
    #[serde(default)]
    pub unquoted: UnquotedSymbols,
    /// The last time without a connection, once there was one.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// The requests for latest quotes over REST. Their quotes are not among the numbers above.
    #[serde(default)]
    pub snapshot: SnapshotCounts,
    /// When the last quote arrived.
    pub last_received_time: Option<UnixNanos>,
    /// The exchange's time of the last quote.
    pub last_event_time: Option<UnixNanos>,
    /// Arrival time minus exchange time of the last quote, in nanoseconds. Growing lag is the first sign of falling
    /// behind; Alpaca's own figure is under 25 ms.
    pub last_lag: Option<i64>,
    /// The lag of the last quote of each frame, in microseconds: entry `i` counts values below `2^i` that are not in an
    /// earlier entry.
    pub lag_micros: Vec<u64>,
    /// Quotes per frame, for frames with quotes, in the same buckets. Growing frames are an early sign of lag.
    pub quotes_per_frame: Vec<u64>,
}

/// Only the reader's task counts, so this needs no locked instruction, which small frames would notice.
fn add(counter: &AtomicU64, count: u64, ordering: Ordering) {
    counter.store(counter.load(Relaxed) + count, ordering);
}

impl FeedStatus {
    /// Maximum number of missing symbols kept by name.
    pub const MISSING_KEPT: usize = 1000;

    /// The state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.details.lock().connection
    }

    /// When the last quote arrived, if any.
    pub fn last_received_time(&self) -> Option<UnixNanos> {
        self.last(&self.last_received)
    }

    /// Copies everything. The counters are read one after another, so they may be a frame apart.
    pub fn snapshot(&self) -> FeedSnapshot {
        FeedSnapshot {
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            quotes: self.quotes.load(Relaxed),
            last_received_time: self.last_received_time(),
            last_event_time: self.last(&self.last_event),
            last_lag: self.last(&self.last_lag),
            lag_micros: self.lag_micros.counts(),
            quotes_per_frame: self.quotes_per_frame.counts(),
            ..self.details.lock().clone()
        }
    }

    pub(crate) fn enter(&self, state: ConnectionState, now: UnixNanos) {
        let mut details = self.details.lock();
        if details.connection != state {
            details.connection = state;
            details.since = now;
        }
    }

    pub(crate) fn count_connection(&self) {
        self.details.lock().connections += 1;
    }

    /// Counts a connection that ended or failed. `attempts` are those since the last quote.
    pub(crate) fn count_retry(&self, cause: RetryCause, reason: &str, attempts: u32) {
        let mut details = self.details.lock();
        *details.retries.entry(cause.as_str().into()).or_default() += 1;
        details.problem = Some(reason.to_owned());
        details.attempts = u64::from(attempts);
        details.silent |= cause == RetryCause::Stale;
    }

    pub(crate) fn quotes_are_back(&self) {
        let mut details = self.details.lock();
        (details.attempts, details.silent, details.problem) = (0, false, None);
    }

    /// From now on silence is normal.
    pub(crate) fn excuse_silence(&self) {
        self.details.lock().silent = false;
    }

    pub(crate) fn count_snapshot(&self, count: impl FnOnce(&mut SnapshotCounts)) {
        count(&mut self.details.lock().snapshot);
    }

    pub(crate) fn count_error(&self, code: u16) {
        *self.details.lock().errors.entry(code).or_default() += 1;
    }

    pub(crate) fn count_missing(&self, symbols: usize) {
        self.details.lock().missing_symbols += symbols as u64;
    }

    pub(crate) fn set_missing(&self, mut missing: Vec<String>) {
        missing.truncate(Self::MISSING_KEPT);
        self.details.lock().missing = missing;
    }

    pub(crate) fn set_unquoted(&self, unquoted: UnquotedSymbols) {
        self.details.lock().unquoted = unquoted;
    }

    /// Begins a gap, unless one lasts already.
    pub(crate) fn begin_gap(&self, cause: RetryCause, now: UnixNanos) {
        let from = self.last_received_time().unwrap_or(now);
        let gap = &mut self.details.lock().gap;
        if gap.is_none_or(|gap| gap.to.is_some()) {
            *gap = Some(Gap { from, to: None, cause });
        }
    }

    /// Ends the gap, if there is one, and returns it.
    pub(crate) fn end_gap(&self, now: UnixNanos) -> Option<Gap> {
        let mut details = self.details.lock();
        let gap = details.gap.as_mut().filter(|gap| gap.to.is_none())?;
        gap.to = Some(now);
        Some(*gap)
    }

    /// Counts one frame and its quotes, which are the rows of `quotes` from `first` on.
    pub(crate) fn count_frame(&self, bytes: usize, quotes: &QuoteColumns, first: usize, skipped: Skipped) {
        add(&self.frames, 1, Relaxed);
        add(&self.bytes, bytes as u64, Relaxed);
        if skipped.total() > 0 {
            self.details.lock().skipped.add(skipped);
        }
        let brought = (quotes.len() - first) as u64;
        if let (Some(&event), Some(&received), 1..) = (quotes.event_time.last(), quotes.received_time.last(), brought) {
            let lag = received.saturating_sub(event);
            self.last_event.store(event, Relaxed);
            self.last_lag.store(lag, Relaxed);
            self.last_received.store(received, Relaxed);
            self.lag_micros.record(lag.max(0).unsigned_abs() / 1000);
            self.quotes_per_frame.record(brought);
            // Last, because the times above count only once there is a quote.
            add(&self.quotes, brought, Release);
        }
    }

    /// A value of the last quote, if there is one.
    fn last(&self, value: &AtomicI64) -> Option<i64> {
        (self.quotes.load(Acquire) > 0).then(|| value.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::Quote;

    #[test]
    fn a_frame_is_counted_with_only_its_own_quotes() {
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
    fn since_changes_only_with_the_state() {
        let status = FeedStatus::default();
        status.enter(ConnectionState::Connecting, 5);
        status.enter(ConnectionState::Connecting, 9);
        assert_eq!(status.snapshot().since, 5);
        status.enter(ConnectionState::Waiting(RetryCause::Stale), 9);
        assert_eq!(status.snapshot().since, 9);
    }

    #[test]
    fn a_gap_lasts_from_the_last_quote_to_the_first_end() {
        let status = FeedStatus::default();
        assert_eq!(status.end_gap(1), None);
        let mut quotes = QuoteColumns::default();
        quotes.push(0, &Quote { received_time: 70, ..Quote::default() });
        status.count_frame(10, &quotes, 0, Skipped::default());
        status.begin_gap(RetryCause::Closed, 100);
        status.begin_gap(RetryCause::Connect, 110);
        assert_eq!(status.snapshot().gap, Some(Gap { from: 70, to: None, cause: RetryCause::Closed }));
        let ended = Gap { from: 70, to: Some(120), cause: RetryCause::Closed };
        assert_eq!((status.end_gap(120), status.end_gap(130)), (Some(ended), None));
        assert_eq!(status.snapshot().gap, Some(ended));
    }
}
