//! Writes to Firestore with `BatchWrite`, which returns a status for each document.

mod connect;
mod encode;
mod pause_control;

pub use connect::{ConnectError, Connection, FirestoreApi, FirestoreSettings, connect, install_crypto_provider};
pub use pause_control::{PauseControl, PauseControlError};

use std::error::Error;

use firestore::gcloud_sdk::google::firestore::v1::BatchWriteRequest;
use firestore::gcloud_sdk::google::rpc;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::{Outcome, RefusedCode, RetryReason, Sink, TenantDocument, WriteFuture};

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
    async fn write_batch(&self, documents: &[TenantDocument]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.settings.request_timeout;
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut left = vec![documents];
        while let Some(part) = left.pop() {
            // All parts share the timeout of one request; those without an answer by then are retried later.
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

    /// One outcome per document, or the outcome of the whole request.
    async fn request(&self, documents: &[TenantDocument]) -> Result<Vec<Outcome>, Outcome> {
        let connection = self.connection().await.map_err(|error| Outcome::unreachable(&error.cause()))?;
        let (parent, mode) = (connection.documents_path(), self.settings.mode);
        let writes = documents.iter().map(|document| encode::write(&parent, document, mode)).collect();
        let request =
            BatchWriteRequest { database: connection.database.clone(), writes, ..BatchWriteRequest::default() };
        let answer = connection
            .client
            .get()
            .batch_write(request)
            .await
            .map_err(|status| request_outcome(&status, self.settings.address()))?;
        debug!(event_type = "firestore_write", documents = documents.len(), "a batch was answered");
        let outcome = |status: &rpc::Status| Outcome::from_code(status.code, &status.message);
        let mut outcomes: Vec<_> = answer.get_ref().status.iter().map(outcome).collect();
        // For documents without a status the outcome is unknown.
        outcomes.resize(documents.len(), Outcome::retry(RetryReason::Internal));
        Ok(outcomes)
    }
}

impl Sink for FirestoreSink {
    fn write<'a>(&'a self, documents: &'a [TenantDocument]) -> WriteFuture<'a> {
        Box::pin(self.write_batch(documents))
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
