use std::sync::Arc;
use std::time::Duration;

use quotegate_sink::{ConnectError, Connection, FirestoreSettings, connect};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use super::unanswered;
use crate::StoreError;

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
pub(crate) async fn answer_within<T>(
    limit: Duration,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded(format!("no answer within {} s", limit.as_secs_f64())));
    timeout(limit, request).await.unwrap_or_else(late).map(Response::into_inner)
}
