//! Where documents go.
//!
//! | part | what it does |
//! |---|---|
//! | [`Sink`] | writes one batch, gives an [`Outcome`] for each document |
//! | [`FirestoreSink`], [`DryRunSink`] | the two there are |
//! | [`Batcher`] | makes batches of all tenants' documents, keeps a bounded number of requests in flight |
//! | [`Heartbeats`] | writes a few documents now, past the batches |
//! | [`PauseControl`] | what the document with which operators pause writing orders |
//! | [`SinkStatus`] | the numbers |
//!
//! Knows documents and tenants' names. Knows nothing of quotes, plugins or the websocket, and keeps nothing to try
//! again: that is for whoever may have something newer by then.

mod batcher;
mod error_log;
mod dry_run;
mod firestore;
mod rate_gate;
mod heartbeats;
mod outcome;
mod status;
mod write;

pub use batcher::{Batcher, BatcherEnd, BatcherSettings};
pub use dry_run::{DryRunSink, document_json, time_text};
pub use firestore::{ConnectError, PauseControl, PauseControlError, FirestoreSettings, FirestoreSink, install_crypto_provider};
pub use rate_gate::Ramp;
pub use heartbeats::{Heartbeats, Round};
pub use outcome::{Outcome, RefusedCode, RetryReason};
pub use quotegate_document::WriteMode;
pub use status::{SinkSnapshot, SinkStatus};
pub use write::{Answer, DocumentWrite, Sink, TenantDocument, WriteFuture};
