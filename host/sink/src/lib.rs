//! Writes documents to Firestore.
//!
//! | part | what it does |
//! |---|---|
//! | [`Sink`] | writes one batch and returns an [`Outcome`] for each document |
//! | [`FirestoreSink`], [`DryRunSink`] | the two sinks |
//! | [`Batcher`] | batches the documents of all tenants and limits the requests in flight |
//! | [`Heartbeats`] | writes a few documents immediately, without the batches |
//! | [`PauseControl`] | the document with which operators pause writing |
//! | [`SinkStatus`] | counters and the last error |
//!
//! Knows documents and tenant ids. Knows nothing of quotes, plugins or the websocket. It does not retry: its callers may
//! have newer documents by then.

mod batcher;
mod dry_run;
mod error_log;
mod firestore;
mod heartbeats;
mod outcome;
mod rate_gate;
mod status;
mod write;

pub use batcher::{Batcher, BatcherEnd, BatcherSettings};
pub use dry_run::{DryRunSink, document_json, time_text};
pub use firestore::{
    ConnectError, Connection, FirestoreApi, FirestoreSettings, FirestoreSink, PauseControl, PauseControlError, connect,
    install_crypto_provider,
};
pub use heartbeats::{Heartbeats, Round};
pub use outcome::{Outcome, RefusedCode, RetryReason};
pub use quotegate_document::WriteMode;
pub use rate_gate::Ramp;
pub use status::{SinkSnapshot, SinkStatus};
pub use write::{Answer, DocumentWrite, Sink, TenantDocument, WriteFuture};
