//! What those who listen are told.

use std::collections::{BTreeMap, BTreeSet};

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::prost_types::Timestamp;
use proto::listen_request::TargetChange;
use proto::listen_response::ResponseType;
use proto::target::TargetType;
use proto::target::query_target::QueryType;
use proto::target_change::TargetChangeType;

use super::{Server, path_in};

/// One who listens to documents or to a query.
pub(super) struct Listener {
    target_id: i32,
    target: TargetType,
    /// The documents that it knows, by name, with the time of each. Without one: it has asked for the document.
    known: BTreeMap<String, Option<Timestamp>>,
    is_new: bool,
}

impl Listener {
    /// `None` if the request does not add a target.
    pub(super) fn new(request: proto::ListenRequest) -> Option<Self> {
        let Some(TargetChange::AddTarget(proto::Target { target_id, target_type: Some(target), .. })) =
            request.target_change
        else {
            return None;
        };
        let names = match &target {
            TargetType::Documents(target) => target.documents.clone(),
            TargetType::Query(_) => Vec::new(),
        };
        let known = names.into_iter().map(|name| (name, None)).collect();
        Some(Self { target_id, target, known, is_new: true })
    }

    /// What has changed since it was last asked.
    pub(super) fn news(&mut self, server: &Server) -> Vec<proto::ListenResponse> {
        let found = self.found(server);
        let names: BTreeSet<&String> = found.iter().map(|document| &document.name).collect();
        let gone: Vec<String> = self.known.keys().filter(|name| !names.contains(name)).cloned().collect();
        let mut news = Vec::new();
        for name in gone {
            self.known.remove(&name);
            let gone = proto::DocumentDelete { document: name, ..Default::default() };
            news.push(ResponseType::DocumentDelete(gone));
        }
        for document in found {
            let time = document.update_time;
            if self.known.insert(document.name.clone(), time) != Some(time) {
                let target_ids = vec![self.target_id];
                let change = proto::DocumentChange { document: Some(document), target_ids, ..Default::default() };
                news.push(ResponseType::DocumentChange(change));
            }
        }
        if std::mem::take(&mut self.is_new) {
            let mut current = proto::TargetChange { target_ids: vec![self.target_id], ..Default::default() };
            current.set_target_change_type(TargetChangeType::Current);
            news.push(ResponseType::TargetChange(current));
        }
        news.into_iter().map(|news| proto::ListenResponse { response_type: Some(news) }).collect()
    }

    fn found(&self, server: &Server) -> Vec<proto::Document> {
        match &self.target {
            TargetType::Documents(target) => {
                let database = server.database.lock();
                target.documents.iter().filter_map(|name| database.read(name, path_in(name), None)).collect()
            }
            TargetType::Query(target) => match &target.query_type {
                Some(QueryType::StructuredQuery(query)) => server.found_by(&target.parent, query),
                None => Vec::new(),
            },
        }
    }
}
