//! One request to the sink, in a task of its own. Whatever happens to it, each of its documents has a result.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use quotegate_document::FieldPath;
use tokio::time::{Instant, timeout};

use super::queue::Pending;
use crate::{
    ConditionalWrite, DocumentRead, DocumentReader, Outcome, ReadResult, RetryReason, Sink, WriteResult, order_field,
};

/// An answered request.
pub(super) struct Finished {
    pub(super) documents: Vec<Pending>,
    pub(super) results: Results,
    pub(super) took: Duration,
}

pub(super) enum Results {
    Written(Vec<WriteResult>),
    Read(Vec<ReadResult>),
}

pub(super) async fn write(sink: Arc<dyn Sink>, documents: Vec<Pending>, limit: Duration) -> Finished {
    let began = Instant::now();
    let writes: Vec<_> = documents.iter().map(conditional_write).collect();
    let results = match catch(sink.write(&writes), limit).await {
        Ok(results) => filled(results, documents.len(), WriteResult::Failed),
        Err(reason) => vec![WriteResult::Failed(Outcome::retry(reason)); documents.len()],
    };
    drop(writes);
    Finished { documents, results: Results::Written(results), took: began.elapsed() }
}

pub(super) async fn read(
    reader: Arc<dyn DocumentReader>,
    documents: Vec<Pending>,
    added: Option<FieldPath>,
    limit: Duration,
) -> Finished {
    let began = Instant::now();
    let reads: Vec<_> = documents.iter().map(|pending| document_read(pending, added.as_ref())).collect();
    let results = match catch(reader.read(&reads), limit).await {
        Ok(results) => filled(results, documents.len(), Err),
        Err(reason) => vec![Err(Outcome::retry(reason)); documents.len()],
    };
    drop(reads);
    Finished { documents, results: Results::Read(results), took: began.elapsed() }
}

fn conditional_write(pending: &Pending) -> ConditionalWrite<'_> {
    ConditionalWrite { target: &pending.write.target, precondition: pending.precondition }
}

fn document_read<'a>(pending: &'a Pending, added: Option<&FieldPath>) -> DocumentRead<'a> {
    let target = &pending.write.target;
    DocumentRead { target, order_field: order_field(&target.document, pending.write.event_time, added) }
}

/// The sink has a timeout of its own; this one is for a sink that hangs anyway.
async fn catch<T>(request: impl Future<Output = T>, limit: Duration) -> Result<T, RetryReason> {
    match timeout(limit + Duration::from_secs(1), AssertUnwindSafe(request).catch_unwind()).await {
        Ok(Ok(results)) => Ok(results),
        Ok(Err(_panic)) => Err(RetryReason::Internal),
        Err(_elapsed) => Err(RetryReason::DeadlineExceeded),
    }
}

/// One result per document, even if the sink gave fewer.
fn filled<T: Clone>(mut results: Vec<T>, documents: usize, failed: fn(Outcome) -> T) -> Vec<T> {
    results.resize(documents, failed(Outcome::retry(RetryReason::Internal)));
    results
}
