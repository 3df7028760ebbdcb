//! State and counters, for the heartbeat and operators.

use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

/// Everything that is known about this process's part of the relay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RelaySnapshot {
    /// The connection to the broker.
    pub connection: ConnectionSnapshot,
    /// The reader's side; counts only while this process is the reader.
    pub publisher: PublisherSnapshot,
    /// The worker's side.
    pub subscriber: SubscriberSnapshot,
}

/// The connection to the broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSnapshot {
    /// The address or addresses in the settings, which contain no secret.
    pub url: String,
    /// True if there is a connection.
    pub connected: bool,
    /// Since when that is so.
    pub since: UnixNanos,
    /// Why there is none.
    pub problem: Option<String>,
    /// How often a connection was made.
    pub connections: u64,
}

/// What the reader's side has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PublisherSnapshot {
    /// The epoch under which it publishes; `None` if this process is not the reader.
    pub epoch: Option<u64>,
    /// Quotes from the feed.
    pub received: u64,
    /// Quotes published.
    pub quotes: u64,
    /// Quotes that newer ones of their symbol replaced before the broker took them.
    pub conflated: u64,
    /// Quotes of symbols for which a bucket has no more room, that were left when a tenure ended, or in a message that was
    /// longer than the broker allows.
    pub dropped: u64,
    /// Quotes that wait for the broker.
    pub waiting: u64,
    /// Messages with quotes.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often the broker did not take a message at once.
    pub refused: u64,
    /// Snapshots sent.
    pub snapshots: u64,
    /// Since when the broker has taken nothing although quotes wait.
    pub stalled_since: Option<UnixNanos>,
}

/// What the worker's side has received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriberSnapshot {
    /// Buckets subscribed.
    pub buckets: u16,
    /// Quotes delivered from batches.
    pub quotes: u64,
    /// Quotes delivered from snapshots.
    pub snapshot_quotes: u64,
    /// Messages with quotes.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Quotes of messages that came late, twice, or from an earlier reader, and of snapshots that batches had overtaken.
    pub old: u64,
    /// Quotes whose symbol was named in a batch that was lost; the snapshot that follows contains them.
    pub unnamed: u64,
    /// Quotes of symbols for which the table has no room.
    pub no_room: u64,
    /// Messages that could not be read.
    pub invalid: u64,
    /// How often batches of a bucket were missing, until a snapshot made up for them.
    pub gaps: u64,
    /// How many batches were missing.
    pub missed_batches: u64,
    /// Snapshots received.
    pub snapshots: u64,
    /// Buckets that wait for a snapshot.
    pub waiting: u16,
    /// The epoch of the reader that is followed.
    pub epoch: Option<u64>,
    /// Time from publishing to arrival of the last batch, in nanoseconds, by the clocks of two machines.
    pub lag: Option<i64>,
    /// The longest in the last ten seconds.
    pub max_lag: Option<i64>,
    /// When the last batch arrived.
    pub last_received_time: Option<UnixNanos>,
    /// When the last status of the reader arrived.
    pub reader_seen: Option<UnixNanos>,
    /// Quotes that the reader replaced by newer ones because the broker did not take them, by its own last word.
    pub conflated_by_reader: u64,
}
