//! Where quotes come from.
//!
//! Owns the connection to Alpaca (handshake, subscription, decoding to columns, reconnecting, watchdogs), the latest
//! quotes over REST, and the replay of a recording. Knows nothing of tenants, plugins, Firestore, or of how a recording is stored.
//!
//! ```text
//! run ─ one connection after another, with backoff ─▶ connection ─ frames ─▶ reader ─▶ decode ─▶ QuoteReceiver
//!  └▶ handshake └▶ connection_loop ─ subscription, watchdog           replay, snapshot ─┘
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`feed_url`], [`rest_url`], [`feed_calendar`] | the URLs and the trading hours of a [`FeedName`] |
//! | [`Feed`] | the `alpaca` source |
//! | [`snapshots`] | what a connection does not bring: the latest quotes over REST, in a task of their own |
//! | [`Replay`] | the `replay` source |
//! | [`Decoder`] | frames to [`quotegate_market::QuoteColumns`], JSON and MessagePack |
//! | [`RootCerts`] | the certificate authorities that a `wss` server is checked against |
//! | [`FeedStatus`] | state and counters, for the heartbeat and operators |

// In a test, a panic is the message.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod connection;
mod connection_loop;
mod control_message;
mod decode;
mod endpoint;
mod error;
mod frame;
mod gap;
mod handshake;
mod reader;
mod replay;
mod request;
mod run;
mod settings;
mod snapshot;
mod status;
mod subscription;
mod tls;
mod unquoted;
mod watchdog;

pub use control_message::ControlMessage;
pub use decode::{Decoder, MAX_AHEAD, Skipped};
pub use endpoint::{HOST, feed_calendar, feed_url, rest_url};
pub use error::{FeedError, FeedSettingsError, MAX_CHUNK};
pub use frame::{FrameTap, Payload, RecordedFrame};
pub use gap::Gap;
pub use quotegate_market::{AuthBy, Encoding, FeedName};
pub use replay::{Replay, ReplaySpeed};
pub use run::Feed;
pub use settings::{Calendar, Clock, Credentials, FeedSettings, ReconnectBackoff, system_clock};
pub use snapshot::{SnapshotCounts, SnapshotSettings, SnapshotTask, Snapshots, snapshots};
pub use status::{ConnectionState, FeedSnapshot, FeedStatus, RetryCause};
pub use tls::RootCerts;
pub use unquoted::{UnquotedSymbol, UnquotedSymbols};
