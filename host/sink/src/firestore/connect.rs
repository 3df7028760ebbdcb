use std::path::{Path, PathBuf};
use std::time::Duration;

use firestore::gcloud_sdk::error::{Error, ErrorKind};
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::gcloud_sdk::{
    GCP_DEFAULT_SCOPES, GoogleApi, GoogleAuthHeaders, GoogleAuthMiddleware, GoogleAuthMiddlewareLayer,
    GoogleEnvironment, HeaderMap, RequestTimeouts,
};
use http::Extensions;
use http::header::{AUTHORIZATION, HeaderValue};
use quotegate_io::{SECRET_LIMIT, connect_problem, read};
use serde_json::Value;

use crate::WriteMode;

/// Which database to write to, and how.
#[derive(Debug, Clone)]
pub struct FirestoreSettings {
    /// The Google Cloud project; `None` for the credentials' project.
    pub project_id: Option<String>,
    /// Usually `(default)`.
    pub database_id: String,
    /// `host:port` of an emulator, which needs no credentials.
    pub emulator_host: Option<String>,
    /// A credentials file; `None` for Application Default Credentials.
    pub credentials_file: Option<PathBuf>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// Merge or replace.
    pub mode: WriteMode,
}

/// Why there is no connection to the database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither the settings nor the credentials file name a project.
    #[error("the credentials file {0} names no Google Cloud project: set FIRESTORE_PROJECT_ID (sink.project_id)")]
    NoProjectInFile(PathBuf),
    /// Neither the settings nor the environment name a project.
    #[error("no Google Cloud project: set FIRESTORE_PROJECT_ID (sink.project_id), or use credentials that name one")]
    NoProject,
    /// No usable credentials.
    #[error(
        "no Google credentials: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a \
         key file, or run where there is a metadata server; for a dry run set DRY_RUN=1 ({0})"
    )]
    NoCredentials(String),
    /// May succeed later.
    #[error("Firestore cannot be reached: {0}")]
    Unreachable(String),
    /// The credentials file is unusable.
    #[error("the credentials file {path}: {reason}")]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A client and the database that it is for.
pub struct Connection {
    /// The client. It reconnects by itself.
    pub client: FirestoreApi,
    /// `projects/…/databases/…`
    pub database: String,
}

/// A client of Firestore's API.
pub type FirestoreApi = GoogleApi<FirestoreClient<GoogleAuthMiddleware>>;

impl FirestoreSettings {
    /// The host and the port, if it is not the usual one, of the emulator or of Firestore.
    pub(super) fn address(&self) -> &str {
        self.emulator_host.as_deref().unwrap_or("firestore.googleapis.com")
    }
}

impl ConnectError {
    /// Without what the caller says anyway.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Unreachable(cause) => cause.clone(),
            other => other.to_string(),
        }
    }
}

impl Connection {
    /// Where all documents are.
    pub fn documents_path(&self) -> String {
        format!("{}/documents", self.database)
    }
}

/// Makes ring the TLS provider of the process, for every library that is built without one of its own: reqwest, tonic and
/// Google's credentials, which panic without it. Call it before creating a client; more than once is harmless.
pub fn install_crypto_provider() {
    // Fails only if there already is a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The database, and how to get access to it. Finding both connects to nothing but the metadata server.
pub(super) struct Access {
    database: String,
    headers: GoogleAuthHeaders,
}

impl Access {
    pub(super) async fn find(settings: &FirestoreSettings) -> Result<Self, ConnectError> {
        install_crypto_provider();
        let database = format!("projects/{}/databases/{}", project(settings).await?, settings.database_id);
        Ok(Self { database, headers: headers(settings).await? })
    }
}

/// Finds the project and the credentials, and connects.
pub async fn connect(settings: &FirestoreSettings) -> Result<Connection, ConnectError> {
    let Access { database, headers } = Access::find(settings).await?;
    let scheme = if settings.emulator_host.is_some() { "http" } else { "https" };
    let url = format!("{scheme}://{}", settings.address());
    let connect_error = |error: Error| match error.kind() {
        ErrorKind::GrpcStatus(_) => ConnectError::Unreachable(cause(&error, settings.address())),
        _ => ConnectError::NoCredentials(error.to_string()),
    };
    let middleware = GoogleAuthMiddlewareLayer::new(headers, Some(database.clone())).map_err(connect_error)?;
    let client = FirestoreApi::from_function_with_middleware(FirestoreClient::new, url, middleware).await;
    let timeouts = RequestTimeouts::new().with_total(settings.request_timeout);
    Ok(Connection { client: client.map_err(connect_error)?.with_request_timeouts(timeouts), database })
}

async fn project(settings: &FirestoreSettings) -> Result<String, ConnectError> {
    if let Some(project) = &settings.project_id {
        return Ok(project.clone());
    }
    let of_file = settings.credentials_file.as_deref().map(read_credentials).transpose()?;
    if let Some(project) = of_file.and_then(|credentials| text(&credentials, "project_id")) {
        return Ok(project);
    }
    let detected = GoogleEnvironment::detect_google_project_id().await;
    detected.ok_or_else(|| match &settings.credentials_file {
        Some(path) => ConnectError::NoProjectInFile(path.clone()),
        None => ConnectError::NoProject,
    })
}

async fn headers(settings: &FirestoreSettings) -> Result<GoogleAuthHeaders, ConnectError> {
    match (&settings.emulator_host, &settings.credentials_file) {
        (Some(_), _) => Ok(Credentials::from(EmulatorOwner(EntityTag::new())).into()),
        (None, Some(path)) if !is_application_default(path) => key_file(path).await,
        _ => {
            let headers = GoogleAuthHeaders::from_adc_with_scopes(GCP_DEFAULT_SCOPES.clone()).await;
            headers.map_err(|error| ConnectError::NoCredentials(error.to_string()))
        }
    }
}

/// Why a request did not reach `address`.
pub(super) fn cause(error: &(dyn std::error::Error + 'static), address: &str) -> String {
    // The library's errors do not say what is below them.
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::GrpcStatus(below)) => connect_problem(below, address),
        _ => connect_problem(error, address),
    }
}

async fn key_file(path: &Path) -> Result<GoogleAuthHeaders, ConnectError> {
    let unusable = |reason: String| ConnectError::CredentialsFile { path: path.to_owned(), reason };
    let key = read_credentials(path)?;
    let kind = text(&key, "type").unwrap_or_default();
    if kind != "service_account" {
        return Err(unusable(format!(
            "credentials of type {kind:?} can only be used through the environment: set \
             GOOGLE_APPLICATION_CREDENTIALS={} instead of sink.credentials_file",
            path.display()
        )));
    }
    let headers = GoogleAuthHeaders::from_service_account_key(key, GCP_DEFAULT_SCOPES.clone()).await;
    headers.map_err(|error| unusable(error.to_string()))
}

/// True if the Application Default Credentials are this file.
fn is_application_default(path: &Path) -> bool {
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some_and(|default| default == path)
}

fn read_credentials(path: &Path) -> Result<Value, ConnectError> {
    let unusable = |reason: String| ConnectError::CredentialsFile { path: path.to_owned(), reason };
    let bytes = read(path, SECRET_LIMIT).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
    // Not the parser's message, which may quote the file: it is a secret.
    serde_json::from_slice(&bytes).map_err(|error| unusable(format!("it is not JSON (line {})", error.line())))
}

fn text(credentials: &Value, key: &str) -> Option<String> {
    credentials.get(key)?.as_str().map(str::to_owned)
}

/// The credentials that the Firebase tools send to an emulator. It accepts `BatchWrite` only from the owner.
#[derive(Debug)]
struct EmulatorOwner(EntityTag);

impl CredentialsProvider for EmulatorOwner {
    async fn headers(&self, extensions: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if extensions.get::<EntityTag>() == Some(&self.0) {
            return Ok(CacheableResource::NotModified);
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer owner"));
        Ok(CacheableResource::New { entity_tag: self.0.clone(), data: headers })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}
