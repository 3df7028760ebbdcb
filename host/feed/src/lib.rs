//! Where quotes come from.
//!
//! Owns the connection to Alpaca: handshake, subscription, decoding to columns, reconnecting, and the watchdogs; and
//! the replay of a recording. Knows nothing of tenants, plugins, Firestore, or of how a recording is stored.
//!
//! ```text
//! run ─ one connection after another, with pauses ─▶ connection ─ frames ─▶ reader ─▶ decode ─▶ QuoteReceiver
//!  └▶ handshake └▶ session ─ subscription, watchdog                           replay ─┘
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`feed_url`], [`feed_calendar`] | what follows from a [`FeedName`] |
//! | [`Feed`] | the `alpaca` source |
//! | [`Replay`] | the `replay` source |
//! | [`Decoder`] | frames to [`quotegate_market::QuoteColumns`], JSON and MessagePack |
//! | [`RootCerts`] | whom a `wss` address is believed |
//! | [`FeedStatus`] | state and counters, for heartbeat and operations |

// In a test, a panic is the message.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod connection;
mod control;
mod decode;
mod endpoint;
mod error;
mod frame;
mod handshake;
mod reader;
mod replay;
mod request;
mod run;
mod session;
mod settings;
mod status;
mod subscription;
mod tls;
mod watchdog;

pub use control::Control;
pub use decode::{Decoder, MAX_AHEAD, Skipped};
pub use endpoint::{HOST, feed_calendar, feed_url};
pub use error::{FeedError, FeedSettingsError};
pub use frame::{FrameTap, Payload, RecordedFrame};
pub use quotegate_market::{AuthBy, Encoding, FeedName};
pub use replay::{Replay, ReplaySpeed};
pub use run::Feed;
pub use settings::{Calendar, Clock, Credentials, FeedSettings, MAX_CHUNK, RetryPauses, system_clock};
pub use status::{ConnectionState, FeedSnapshot, FeedStatus, RetryCause};
pub use tls::RootCerts;
