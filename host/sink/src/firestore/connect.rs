use std::path::{Path, PathBuf};
use std::time::Duration;

use firestore::errors::FirestoreError;
use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::gcloud_sdk::{GoogleAuthHeaders, GoogleEnvironment, HeaderMap};
use firestore::{FirestoreDb, FirestoreDbOptions};
use http::Extensions;
use http::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;

use crate::WriteMode;

/// Where the database is and who we are there.
#[derive(Debug, Clone)]
pub struct FirestoreSettings {
    /// The Google Cloud project; `None`: the credentials' own.
    pub project_id: Option<String>,
    /// Usually `(default)`.
    pub database_id: String,
    /// `host:port` of an emulator, which needs no credentials.
    pub emulator_host: Option<String>,
    /// A credentials file; `None`: Application Default Credentials.
    pub credentials_file: Option<PathBuf>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// Merge or replace.
    pub mode: WriteMode,
}

/// Why there is no way to the database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither set nor in the credentials.
    #[error("no Google Cloud project: set FIRESTORE_PROJECT_ID (sink.project_id), or use credentials that name one")]
    NoProject,
    /// None of the usual places has any.
    #[error(
        "no Google credentials: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a \
         key file, or run where there is a metadata server; for a dry run set DRY_RUN=1 ({0})"
    )]
    NoCredentials(String),
    /// There is no connection now; there may be one later.
    #[error("Firestore cannot be reached: {0}")]
    Unreachable(String),
    /// It is there and cannot be used.
    #[error("the credentials file {path}: {problem}")]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        problem: String,
    },
}

/// Makes one of the TLS providers that are compiled in the one to use. Harmless to call again.
pub fn install_crypto_provider() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(super) async fn connect(settings: &FirestoreSettings) -> Result<FirestoreDb, ConnectError> {
    install_crypto_provider();
    let named = match (&settings.project_id, &settings.credentials_file) {
        (Some(project), _) => Some(project.clone()),
        (None, Some(path)) => text_of(&read_credentials(path)?, "project_id"),
        (None, None) => None,
    };
    let project = match named {
        Some(project) => project,
        None => GoogleEnvironment::detect_google_project_id().await.ok_or(ConnectError::NoProject)?,
    };
    let options = FirestoreDbOptions::new(project)
        .with_database_id(settings.database_id.clone())
        .with_request_timeout(settings.request_timeout);
    if let Some(host) = &settings.emulator_host {
        let url = if host.contains("://") { host.clone() } else { format!("http://{host}") };
        let owner = GoogleAuthHeaders::from(Credentials::from(EmulatorOwner(EntityTag::new())));
        let db = FirestoreDb::with_options_auth(options.with_firebase_api_url(url), owner).await;
        return db.map_err(problem);
    }
    match &settings.credentials_file {
        Some(path) if !is_application_default(path) => with_file(options, path.clone()).await,
        _ => FirestoreDb::with_options(options).await.map_err(problem),
    }
}

/// Building a client looks for credentials and opens the connection; nothing else in it can fail.
#[allow(clippy::needless_pass_by_value)] // what `map_err` wants
fn problem(error: FirestoreError) -> ConnectError {
    match &error {
        FirestoreError::SystemError(system) if system.public.code.starts_with("GrpcStatus") => {
            ConnectError::Unreachable(system.message.clone())
        }
        _ => ConnectError::NoCredentials(error.to_string()),
    }
}

async fn with_file(options: FirestoreDbOptions, path: PathBuf) -> Result<FirestoreDb, ConnectError> {
    let kind = text_of(&read_credentials(&path)?, "type").unwrap_or_default();
    if kind != "service_account" {
        let problem = format!(
            "it holds credentials of type {kind:?}; those are found through the environment only: set \
             GOOGLE_APPLICATION_CREDENTIALS={} instead of sink.credentials_file",
            path.display()
        );
        return Err(ConnectError::CredentialsFile { path, problem });
    }
    FirestoreDb::with_options_service_account_key_file(options, path.clone())
        .await
        .map_err(|error| ConnectError::CredentialsFile { path, problem: error.to_string() })
}

/// True when Google's libraries will find this very file by themselves.
fn is_application_default(path: &Path) -> bool {
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some_and(|default| default == path)
}

fn read_credentials(path: &Path) -> Result<Value, ConnectError> {
    let problem = |problem: String| ConnectError::CredentialsFile { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|error| problem(format!("it cannot be read: {error}")))?;
    // The parser's words could quote the file, and the file is a secret.
    serde_json::from_slice(&bytes).map_err(|error| problem(format!("it is not JSON (line {})", error.line())))
}

fn text_of(credentials: &Value, key: &str) -> Option<String> {
    credentials.get(key)?.as_str().map(str::to_owned)
}

/// What the Firebase tools send to an emulator, which lets `BatchWrite` through for the owner only.
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
