//! Firestore's own streams of changes. Not the listener of the firestore crate, which wants a place to store its position,
//! and reconnects by its own rules: here everything is small, and a stream that has fallen silent is noticed elsewhere.

use std::collections::BTreeMap;

use firestore::gcloud_sdk::RequestTimeouts;
use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::stream::{self, BoxStream, StreamExt};
use proto::listen_response::ResponseType;
use proto::target::{DocumentsTarget, QueryTarget, TargetType};
use proto::target_change::TargetChangeType;
use tonic::Status;

use super::database::{Database, unanswered};
use crate::StoreError;

/// The documents that a query finds, by name.
pub(crate) type Documents = BTreeMap<String, proto::Document>;

type Changes<T> = BoxStream<'static, Result<T, StoreError>>;

impl Database {
    /// A document now and after each change.
    pub(crate) fn document_changes(&self, path: &str) -> Changes<Option<proto::Document>> {
        let target = |documents: String| TargetType::Documents(DocumentsTarget { documents: vec![documents] });
        let path = path.to_owned();
        let answers = self.listen(move |root| target(format!("{root}/{path}")));
        answers.filter_map(|answer| std::future::ready(answer.and_then(document_change).transpose())).boxed()
    }

    /// The answer to a query, now and after each change.
    pub(crate) fn query_changes(&self, parent: &str, query: proto::StructuredQuery) -> Changes<Documents> {
        let parent = parent.to_owned();
        let answers = self.listen(move |root| {
            TargetType::Query(QueryTarget {
                parent: format!("{root}/{parent}"),
                query_type: Some(proto::target::query_target::QueryType::StructuredQuery(query)),
            })
        });
        let mut documents = Found::default();
        let changes = answers.filter_map(move |answer| {
            std::future::ready(answer.and_then(|answer| documents.apply(answer)).transpose())
        });
        changes.boxed()
    }

    fn listen(&self, target: impl FnOnce(&str) -> TargetType + Send + 'static) -> Changes<ResponseType> {
        let opened = open(self.clone(), target);
        let answers = stream::once(opened).flat_map(|opened| match opened {
            Ok(answers) => answers,
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        });
        answers.boxed()
    }
}

async fn open(
    database: Database,
    target: impl FnOnce(&str) -> TargetType,
) -> Result<Changes<ResponseType>, StoreError> {
    let connection = database.connection().await?;
    let target_type = Some(target(&connection.documents_path()));
    let target = proto::Target { target_id: 1, target_type, ..Default::default() };
    let request = proto::ListenRequest {
        database: connection.database.clone(),
        target_change: Some(proto::listen_request::TargetChange::AddTarget(target)),
        ..Default::default()
    };
    // The stream ends when its requests do.
    let requests = stream::once(std::future::ready(request)).chain(stream::pending());
    let mut request = tonic::Request::new(requests);
    request.extensions_mut().insert(RequestTimeouts::new());
    let mut client = connection.client.get();
    let answers = client.listen(request).await;
    match answers {
        Ok(answers) => Ok(answers.into_inner().filter_map(|answer| std::future::ready(response(answer))).boxed()),
        Err(status) => Err(database.failed(&status).await),
    }
}

fn response(answer: Result<proto::ListenResponse, Status>) -> Option<Result<ResponseType, StoreError>> {
    match answer {
        Err(status) => Some(Err(unanswered(&status))),
        Ok(answer) => match answer.response_type? {
            ResponseType::TargetChange(change) if change.target_change_type() == TargetChangeType::Remove => {
                let cause = change.cause.map_or_else(|| "no reason".to_owned(), |cause| cause.message);
                Some(Err(StoreError::Unanswered(format!("listening was ended: {cause}"))))
            }
            answer => Some(Ok(answer)),
        },
    }
}

/// What an answer says about a document, if anything.
fn document_change(answer: ResponseType) -> Result<Option<Option<proto::Document>>, StoreError> {
    Ok(match answer {
        ResponseType::DocumentChange(change) => change.document.map(Some),
        ResponseType::DocumentDelete(_) | ResponseType::DocumentRemove(_) => Some(None),
        ResponseType::TargetChange(_) | ResponseType::Filter(_) => None,
    })
}

/// What a query finds, as far as answers have told.
#[derive(Default)]
struct Found {
    documents: Documents,
    /// The first answers are the documents that there are, one by one.
    is_complete: bool,
}

impl Found {
    /// All documents after the answer, if they have changed.
    fn apply(&mut self, answer: ResponseType) -> Result<Option<Documents>, StoreError> {
        match answer {
            ResponseType::DocumentChange(change) => {
                let Some(document) = change.document else { return Ok(None) };
                if change.target_ids.is_empty() {
                    self.documents.remove(&document.name);
                } else {
                    self.documents.insert(document.name.clone(), document);
                }
            }
            ResponseType::DocumentDelete(deleted) => {
                self.documents.remove(&deleted.document);
            }
            ResponseType::DocumentRemove(removed) => {
                self.documents.remove(&removed.document);
            }
            ResponseType::TargetChange(change) => match change.target_change_type() {
                TargetChangeType::Current => self.is_complete = true,
                TargetChangeType::Reset => *self = Self::default(),
                _ => return Ok(None),
            },
            ResponseType::Filter(filter) => {
                let count = usize::try_from(filter.count).unwrap_or_default();
                let is_right = !self.is_complete || count == self.documents.len();
                let error = || StoreError::Unanswered("listening has missed a change".to_owned());
                return if is_right { Ok(None) } else { Err(error()) };
            }
        }
        Ok(self.is_complete.then(|| self.documents.clone()))
    }
}
