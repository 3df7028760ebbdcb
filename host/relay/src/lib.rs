//! Quotes from one reader to many workers, over NATS core.
//!
//! ```text
//! feed ─▶ Publisher ─ outbox ─▶ PublisherTask ─ batches per bucket ─▶ NATS ─▶ Subscriber ─▶ QuoteReceiver
//!                                    └ latest table ◀── snapshot of a bucket, after a gap ──┘
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`Relay`] | the connection, kept up in the background |
//! | [`Publisher`], [`PublisherTask`] | the reader's side: never waits for the broker, conflates by symbol |
//! | [`Subscriber`] | a worker's side: drops what is old, asks for what it missed |
//! | [`RelaySnapshot`] | state and counters of both |
//! | [`WireSize`] | how many bytes quotes would take |
//!
//! Symbols are spread over [`BUCKETS`] buckets by a stable hash. Each bucket has its own subject and its own sequence
//! numbers, so a worker receives only the buckets with symbols that its tenants want.
//!
//! Knows nothing of tenants, plugins and Firestore, nor of who is the reader and why.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod bucket;
mod bucket_set;
mod clock;
mod error;
mod follower;
mod outbox;
mod publisher;
mod relay;
mod settings;
mod status;
mod subjects;
mod subscriber;
mod wire;
mod wire_size;

pub use error::RelayError;
pub use publisher::{Publisher, PublisherTask};
pub use relay::Relay;
pub use settings::{Authentication, ClientCertificate, Compression, RelaySettings};
pub use status::{ConnectionSnapshot, PublisherSnapshot, RelaySnapshot, SubscriberSnapshot};
pub use subscriber::{ReaderStatus, Subscriber};
pub use wire_size::{WireBytes, WireSize};

/// Into how many buckets symbols are spread.
pub const BUCKETS: u16 = 32;
