//! Writes to Firestore with `BatchWrite`, which returns a status for each document, and reads versions for the fence.

mod connect;
mod encode;
mod pause_control;
mod read;

pub use connect::{ConnectError, Connection, FirestoreApi, FirestoreSettings, connect, install_crypto_provider};
pub use pause_control::{PauseControl, PauseControlError};

use std::error::Error;

use firestore::gcloud_sdk::google::firestore::v1::BatchWriteRequest;
use firestore::gcloud_sdk::google::rpc;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::{ConditionalWrite, Outcome, Precondition, RefusedCode, RetryReason, Sink, WriteFuture, WriteResult};

/// Writes to a Firestore database with `BatchWrite`. It is not atomic: a bad document does not affect the others.
pub struct FirestoreSink {
    settings: FirestoreSettings,
    /// Empty until the first successful connection attempt. After that, the client reconnects by itself.
    connection: OnceCell<Connection>,
}

impl FirestoreSink {
    /// Finds the project and the credentials, and connects. An unreachable database is not an error: every write tries
    /// to connect again.
    pub async fn connect(settings: FirestoreSettings) -> Result<Self, ConnectError> {
        let sink = Self { settings, connection: OnceCell::new() };
        match sink.connection().await {
            Ok(_) => {}
            Err(error @ ConnectError::Unreachable(_)) => warn!(event_type = "firestore_unreachable", "{error}"),
            Err(error) => return Err(error),
        }
        Ok(sink)
    }

    /// Finds the project and the credentials, and does not connect.
    ///
    /// # Errors
    /// Those that [`Self::connect`] would give, except for [`ConnectError::Unreachable`].
    pub async fn check(settings: &FirestoreSettings) -> Result<(), ConnectError> {
        connect::Access::find(settings).await.map(drop)
    }

    async fn connection(&self) -> Result<&Connection, ConnectError> {
        self.connection.get_or_try_init(|| connect(&self.settings)).await
    }

    /// Usually one request. If Firestore cannot parse one of the documents (text over 1 MiB, a reserved name), it refuses
    /// the whole request without naming the document. The halves are then sent separately, down to the bad document.
    /// Nothing in a refused request was written, so no document is written more often than the rate allows.
    async fn write_batch(&self, writes: &[ConditionalWrite<'_>]) -> Vec<WriteResult> {
        let deadline = Instant::now() + self.settings.request_timeout;
        let mut results = Vec::with_capacity(writes.len());
        let mut left = vec![writes];
        while let Some(part) = left.pop() {
            // All parts share the timeout of one request; those without an answer by then are retried later.
            let late = Err(Outcome::retry(RetryReason::DeadlineExceeded));
            match timeout_at(deadline, self.write_request(part)).await.unwrap_or(late) {
                Ok(answered) => results.extend(answered),
                Err(Outcome::Refused { code: RefusedCode::InvalidArgument, .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    left.extend([second, first]);
                }
                Err(outcome) => results.extend(std::iter::repeat_n(WriteResult::Failed(outcome), part.len())),
            }
        }
        results
    }

    /// One result per document, or the outcome of the whole request.
    async fn write_request(&self, writes: &[ConditionalWrite<'_>]) -> Result<Vec<WriteResult>, Outcome> {
        let connection = self.connection().await.map_err(|error| Outcome::unreachable(&error.cause()))?;
        let (parent, mode) = (connection.documents_path(), self.settings.mode);
        let request = BatchWriteRequest {
            database: connection.database.clone(),
            writes: writes.iter().map(|write| encode::write(&parent, write, mode)).collect(),
            ..BatchWriteRequest::default()
        };
        let failed = |status| self.failed(&status);
        let answer = connection.client.get().batch_write(request).await.map_err(failed)?;
        debug!(event_type = "firestore_write", documents = writes.len(), "a batch was answered");
        let answer = answer.get_ref();
        let version =
            |at: usize| answer.write_results.get(at).and_then(|one| one.update_time).and_then(encode::version);
        let result = |(at, (status, write)): (usize, (&rpc::Status, &ConditionalWrite<'_>))| match status.code.into() {
            Code::Ok => WriteResult::Written(version(at)),
            Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound
                if write.precondition != Precondition::None =>
            {
                WriteResult::Conflict
            }
            _ => WriteResult::Failed(Outcome::from_code(status.code, &status.message)),
        };
        let mut results: Vec<_> = answer.status.iter().zip(writes).enumerate().map(result).collect();
        // For documents without a status the outcome is unknown.
        results.resize(writes.len(), WriteResult::Failed(Outcome::retry(RetryReason::Internal)));
        Ok(results)
    }

    /// What a failed request means for each of its documents.
    fn failed(&self, status: &Status) -> Outcome {
        request_outcome(status, self.settings.address())
    }
}

impl Sink for FirestoreSink {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        Box::pin(self.write_batch(writes))
    }
}

/// What a failed request to `address` means for each of its documents.
fn request_outcome(status: &Status, address: &str) -> Outcome {
    match (status.code(), status.source()) {
        // A status with a source was made here and not by the server: the connection or the credentials failed.
        (Code::Unknown | Code::Unavailable, Some(source)) => Outcome::unreachable(&connect::cause(source, address)),
        (code, _) => Outcome::from_code(code.into(), status.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let of_request = request_outcome(&Status::new(code, "no"), "");
            let of_document = Outcome::from_code(code as i32, "no");
            assert_eq!(of_request, of_document, "{code:?}");
        }
    }

    #[test]
    fn a_request_that_never_reached_the_server_is_retried_as_unavailable() {
        let status = Status::from_error("no token".into());
        assert_eq!(request_outcome(&status, "host:443"), Outcome::unreachable("host:443: no token"));
    }
}
