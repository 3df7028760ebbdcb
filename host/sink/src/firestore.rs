//! The sink that is Firestore: one `BatchWrite` request a batch, a status for each document.

mod connect;
mod pause_control;
mod encode;

pub use connect::{ConnectError, FirestoreSettings, install_crypto_provider};
pub use pause_control::{PauseControl, PauseControlError};

use std::time::Duration;

use firestore::errors::FirestoreError;
use firestore::gcloud_sdk::google::rpc::Status;
use firestore::{FirestoreBatchWriter, FirestoreSimpleBatchWriteOptions, FirestoreSimpleBatchWriter};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, debug_span, warn};

use crate::{Outcome, RefusedCode, RetryReason, Sink, TenantDocument, WriteFuture};

/// Writes to a Firestore database through `BatchWrite`: not atomic, each document by itself, so one bad document costs
/// only itself.
pub struct FirestoreSink {
    settings: FirestoreSettings,
    /// Empty until the database could be reached once; the client mends its connection by itself after that.
    writer: OnceCell<FirestoreSimpleBatchWriter>,
}

impl FirestoreSink {
    /// Finds project and credentials, and connects. A database that cannot be reached now is no error: every write tries
    /// again.
    pub async fn connect(settings: FirestoreSettings) -> Result<Self, ConnectError> {
        let sink = Self { settings, writer: OnceCell::new() };
        match sink.writer().await {
            Ok(_) => {}
            Err(problem @ ConnectError::Unreachable(_)) => warn!(event_type = "firestore_unreachable", "{problem}"),
            Err(problem) => return Err(problem),
        }
        Ok(sink)
    }

    async fn writer(&self) -> Result<&FirestoreSimpleBatchWriter, ConnectError> {
        self.writer
            .get_or_try_init(|| async {
                let db = connect::connect(&self.settings).await?;
                // The crate's own retries would send again what may have become old meanwhile; none at all is said
                // with zero, `None` would be for ever. The time-out of a request is set on the database.
                let options = FirestoreSimpleBatchWriteOptions::new().with_retry_max_elapsed_time(Duration::ZERO);
                Ok(FirestoreSimpleBatchWriter { db, options, batch_span: debug_span!("firestore_batch") })
            })
            .await
    }

    /// One request, as a rule. Firestore refuses a request whole when it cannot even read one of its documents (text
    /// over 1 MiB, a reserved name), and whose document it was is not said: then the halves go by themselves, down to the
    /// one that is bad, so that it costs nobody else's. Nothing of a refused request was written, so this writes no
    /// document more often than its sender was allowed to.
    async fn write_batch(&self, documents: &[TenantDocument]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.settings.request_timeout;
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut left = vec![documents];
        while let Some(part) = left.pop() {
            // All halves together have the time of one request; what has no answer by then goes again another time.
            let late = || vec![Outcome::retry(RetryReason::DeadlineExceeded); part.len()];
            let answered = timeout_at(deadline, self.request(part)).await.unwrap_or_else(|_| Ok(late()));
            match answered {
                Ok(answered) => outcomes.extend(answered),
                Err(Outcome::Refused { code: RefusedCode::InvalidArgument, .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    left.extend([second, first]);
                }
                Err(outcome) => outcomes.extend(std::iter::repeat_n(outcome, part.len())),
            }
        }
        outcomes
    }

    /// One outcome for each document, or the one of the whole request.
    async fn request(&self, documents: &[TenantDocument]) -> Result<Vec<Outcome>, Outcome> {
        let writer = self.writer().await.map_err(|_| Outcome::retry(RetryReason::Unavailable))?;
        let parent = writer.db.get_documents_path();
        let mode = self.settings.mode;
        let writes = documents.iter().map(|document| encode::write(parent, document, mode)).collect();
        let response = writer.write(writes).await.map_err(|error| outcome_of(&error))?;
        debug!(event_type = "firestore_write", documents = documents.len(), "a batch was answered");
        let of_status = |status: &Status| Outcome::from_code(status.code, &status.message);
        let mut outcomes: Vec<_> = response.statuses.iter().map(of_status).collect();
        // An answer that leaves documents out says nothing of them.
        outcomes.resize(documents.len(), Outcome::retry(RetryReason::Internal));
        Ok(outcomes)
    }
}

impl Sink for FirestoreSink {
    fn write<'a>(&'a self, documents: &'a [TenantDocument]) -> WriteFuture<'a> {
        Box::pin(self.write_batch(documents))
    }
}

/// What a failed request means for each of its documents.
fn outcome_of(error: &FirestoreError) -> Outcome {
    let refused = |code, message: &str| Outcome::Refused { code, message: own_words(message).to_owned() };
    match error {
        FirestoreError::DatabaseError(error) => outcome_of_code(&error.public.code, own_words(&error.details)),
        FirestoreError::DataNotFoundError(error) => refused(RefusedCode::NotFound, &error.data_detail_message),
        FirestoreError::InvalidParametersError(error) => refused(RefusedCode::InvalidArgument, &error.public.error),
        // Credentials that cannot be fetched now, a connection that cannot be made, and what nobody thought of: a
        // later try costs one request.
        _ => Outcome::retry(RetryReason::Unavailable),
    }
}

/// The server's words in what the crate keeps of a status: `code: '…', message: "…"`.
fn own_words(status: &str) -> &str {
    let words = status.split_once(", message: \"").and_then(|(_, rest)| rest.strip_suffix('"'));
    words.unwrap_or(status)
}

/// The crate gives codes by their name in tonic.
fn outcome_of_code(code: &str, message: &str) -> Outcome {
    let number = match code {
        "Cancelled" => 1,
        "Unknown" => 2,
        "InvalidArgument" => 3,
        "DeadlineExceeded" => 4,
        "PermissionDenied" => 7,
        "ResourceExhausted" => 8,
        "FailedPrecondition" => 9,
        "Aborted" => 10,
        "OutOfRange" => 11,
        "Unimplemented" => 12,
        "Internal" => 13,
        "DataLoss" => 15,
        "Unauthenticated" => 16,
        // Also the crate's own CONNECTION_CLOSED and CONNECTION_TIMEOUT.
        _ => 14,
    };
    Outcome::from_code(number, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firestore::gcloud_sdk::tonic;
    use tonic::Code;

    #[test]
    fn a_failed_request_means_the_same_for_its_documents_as_a_status_of_their_own() {
        let codes = [
            Code::InvalidArgument,
            Code::DeadlineExceeded,
            Code::NotFound,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::Internal,
            Code::Unavailable,
            Code::Unauthenticated,
        ];
        for code in codes {
            let of_request = outcome_of(&FirestoreError::from(tonic::Status::new(code, "no")));
            let of_document = Outcome::from_code(code as i32, "no");
            assert_eq!(of_request, of_document, "{code:?}");
        }
    }
}
