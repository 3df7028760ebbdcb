//! The sink that is Firestore: one `BatchWrite` request a batch, a status for each document.

mod connect;
mod encode;

pub use connect::{ConnectProblem, FirestoreSettings, install_crypto_provider};

use std::time::Duration;

use firestore::errors::FirestoreError;
use firestore::{FirestoreBatchWriter, FirestoreSimpleBatchWriteOptions, FirestoreSimpleBatchWriter};
use tokio::sync::OnceCell;
use tracing::{debug, debug_span, warn};

use crate::{Outcome, RefusedCode, RetryReason, Sink, TenantDocument, Written};

/// What a write does to a document that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// Leaves the fields alone that the write does not name.
    #[default]
    Merge,
    /// Removes them.
    Replace,
}

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
    pub async fn connect(settings: FirestoreSettings) -> Result<Self, ConnectProblem> {
        let sink = Self { settings, writer: OnceCell::new() };
        match sink.writer().await {
            Ok(_) => {}
            Err(problem @ ConnectProblem::Unreachable(_)) => warn!(event_type = "firestore_unreachable", "{problem}"),
            Err(problem) => return Err(problem),
        }
        Ok(sink)
    }

    async fn writer(&self) -> Result<&FirestoreSimpleBatchWriter, ConnectProblem> {
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

    async fn write_batch(&self, documents: &[TenantDocument]) -> Vec<Outcome> {
        let Ok(writer) = self.writer().await else {
            return vec![Outcome::retry(RetryReason::Unavailable); documents.len()];
        };
        let parent = writer.db.get_documents_path();
        let mode = self.settings.mode;
        let writes = documents.iter().map(|document| encode::write(parent, document, mode)).collect();
        match writer.write(writes).await {
            Ok(response) => {
                debug!(event_type = "firestore_write", documents = documents.len(), "a batch was answered");
                response.statuses.iter().map(|status| Outcome::from_code(status.code, &status.message)).collect()
            }
            Err(error) => vec![outcome_of(&error); documents.len()],
        }
    }
}

impl Sink for FirestoreSink {
    fn write<'a>(&'a self, documents: &'a [TenantDocument]) -> Written<'a> {
        Box::pin(self.write_batch(documents))
    }
}

/// What a failed request means for each of its documents.
fn outcome_of(error: &FirestoreError) -> Outcome {
    let refused = |code, message: &str| Outcome::Refused { code, message: message.to_owned() };
    match error {
        FirestoreError::DatabaseError(error) => outcome_of_code(&error.public.code, &error.details),
        FirestoreError::DataNotFoundError(error) => refused(RefusedCode::NotFound, &error.data_detail_message),
        FirestoreError::InvalidParametersError(error) => refused(RefusedCode::InvalidArgument, &error.public.error),
        // Credentials that cannot be fetched now, a connection that cannot be made, and what nobody thought of: a
        // later try costs one request.
        _ => Outcome::retry(RetryReason::Unavailable),
    }
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
    use firestore::gcloud_sdk::tonic::{Code, Status};

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
            let of_request = outcome_of(&FirestoreError::from(Status::new(code, "no")));
            let of_document = Outcome::from_code(code as i32, "no");
            assert_eq!(kind(&of_request), kind(&of_document), "{code:?}");
        }
    }

    fn kind(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Refused { code, .. } => format!("{code:?}"),
            other => format!("{other:?}"),
        }
    }
}
