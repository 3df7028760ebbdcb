//! Writes documents to Firestore.
//!
//! | part | what it does |
//! |---|---|
//! | [`Sink`] | writes one batch and returns a [`WriteResult`] for each document |
//! | [`FirestoreSink`], [`DryRunSink`] | the two sinks |
//! | [`Batcher`] | batches the documents of all tenants, limits the requests in flight, and returns an [`Outcome`] for each |
//! | `fence` | decides what is written where others write too: no document goes backwards |
//! | [`Heartbeats`] | writes a few documents immediately, without the batches |
//! | [`PauseControl`] | the document with which operators pause writing |
//! | [`SinkStatus`] | counters and the last error |
//!
//! Knows documents and tenant ids. Knows nothing of quotes, plugins or the websocket. It does not retry: its callers may
//! have newer documents by then.

mod batcher;
mod dry_run;
mod error_log;
mod fence;
mod firestore;
mod heartbeats;
mod outcome;
mod rate_gate;
mod status;
mod version;
mod write;

pub use batcher::{Batcher, BatcherEnd, BatcherSettings};
pub use dry_run::{DryRunSink, document_json, time_text};
pub use fence::{FenceSettings, Ownership};
pub use firestore::{
    ConnectError, Connection, FirestoreApi, FirestoreSettings, FirestoreSink, PauseControl, PauseControlError, connect,
    install_crypto_provider,
};
pub use heartbeats::{Heartbeats, Round};
pub use outcome::{Outcome, RefusedCode, RetryReason};
pub use quotegate_document::WriteMode;
pub use rate_gate::Ramp;
pub use status::{SinkSnapshot, SinkStatus};
pub use version::{
    DocumentRead, DocumentReader, Precondition, ReadFuture, ReadResult, StoredDocument, Version, order_field,
};
pub use write::{Answer, ConditionalWrite, Conflicts, DocumentWrite, Sink, TenantDocument, WriteFuture, WriteResult};
