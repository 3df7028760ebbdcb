use std::sync::Arc;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::StreamExt;
use proto::precondition::ConditionType;
use proto::structured_query::CollectionSelector;
use quotegate_sink::{ConnectError, Connection, FirestoreSettings, connect};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use super::values::{Fields, timestamp};
use crate::{Expected, StoreError, Version};

/// A new connection may take longer than a request, because it also needs a token.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A database, and the connection to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    settings: FirestoreSettings,
    connection: Arc<Mutex<Option<Arc<Connection>>>>,
}

impl Database {
    pub(crate) fn new(settings: &FirestoreSettings) -> Self {
        Self { settings: settings.clone(), connection: Arc::default() }
    }

    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let connected = timeout(CONNECT_TIMEOUT, connect(&self.settings)).await.unwrap_or_else(|_| {
            Err(ConnectError::Unreachable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))
        });
        let connection = Arc::new(connected.map_err(|error| StoreError::Unanswered(error.to_string()))?);
        *held = Some(connection.clone());
        Ok(connection)
    }

    /// Reads a document.
    pub(crate) async fn get(&self, path: &str, limit: Duration) -> Result<Option<proto::Document>, StoreError> {
        let connection = self.connection().await?;
        let name = format!("{}/{path}", connection.documents_path());
        let request = proto::GetDocumentRequest { name, ..Default::default() };
        let mut client = connection.client.get();
        match answer_within(limit, client.get_document(request)).await {
            Ok(document) => Ok(Some(document)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.failed(&status).await),
        }
    }

    /// Replaces a document if it is the expected one.
    pub(crate) async fn put(
        &self,
        path: &str,
        fields: Fields,
        expected: Expected,
        limit: Duration,
    ) -> Result<Version, StoreError> {
        let connection = self.connection().await?;
        let name = format!("{}/{path}", connection.documents_path());
        let document = proto::Document { name, fields, ..Default::default() };
        let condition = match expected {
            Expected::Absent => ConditionType::Exists(false),
            Expected::Version(version) => ConditionType::UpdateTime(timestamp(version)),
        };
        let write = proto::Write {
            operation: Some(proto::write::Operation::Update(document)),
            current_document: Some(proto::Precondition { condition_type: Some(condition) }),
            ..Default::default()
        };
        let database = connection.database.clone();
        let request = proto::CommitRequest { database, writes: vec![write], ..Default::default() };
        let mut client = connection.client.get();
        match answer_within(limit, client.commit(request)).await {
            Ok(answer) => {
                let result = answer.write_results.first().and_then(|result| result.update_time);
                let time = result.or(answer.commit_time);
                let version = time.map(|time| Version { seconds: time.seconds, nanos: time.nanos });
                version.ok_or_else(|| StoreError::Unanswered("the answer has no update time".to_owned()))
            }
            Err(status) if is_conflict(&status) => Err(StoreError::Conflict),
            Err(status) => Err(self.failed(&status).await),
        }
    }

    /// All documents that a query finds.
    pub(crate) async fn list(
        &self,
        parent: &str,
        query: proto::StructuredQuery,
        limit: Duration,
    ) -> Result<Vec<proto::Document>, StoreError> {
        let connection = self.connection().await?;
        let request = proto::RunQueryRequest {
            parent: format!("{}/{parent}", connection.documents_path()),
            query_type: Some(proto::run_query_request::QueryType::StructuredQuery(query)),
            ..Default::default()
        };
        let mut client = connection.client.get();
        let read = async {
            let mut answers = client.run_query(request).await?.into_inner();
            let mut documents = Vec::new();
            while let Some(answer) = answers.next().await {
                documents.extend(answer?.document);
            }
            Ok(Response::new(documents))
        };
        match answer_within(limit, read).await {
            Ok(documents) => Ok(documents),
            Err(status) => Err(self.failed(&status).await),
        }
    }

    /// What a failed request means. If there was no answer, the connection may be dead without either side having noticed:
    /// the next request opens another one, because an owner has no time to find out.
    pub(crate) async fn failed(&self, status: &Status) -> StoreError {
        if matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable | Code::Unknown | Code::Cancelled) {
            *self.connection.lock().await = None;
        }
        unanswered(status)
    }
}

/// Not the client's own limit, which is set for whole clients and logs an error each time.
async fn answer_within<T>(
    limit: Duration,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded(format!("no answer within {} s", limit.as_secs_f64())));
    timeout(limit, request).await.unwrap_or_else(late).map(Response::into_inner)
}

pub(crate) fn all_of(collection: &str) -> proto::StructuredQuery {
    let from = vec![CollectionSelector { collection_id: collection.to_owned(), all_descendants: false }];
    proto::StructuredQuery { from, ..Default::default() }
}

/// The document is another one. ABORTED is not a conflict: it can also mean that two requests were in each other's way.
fn is_conflict(status: &Status) -> bool {
    matches!(status.code(), Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound)
}

pub(crate) fn unanswered(status: &Status) -> StoreError {
    StoreError::Unanswered(format!("{:?}: {}", status.code(), status.message()))
}
