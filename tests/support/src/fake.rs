//! A fake Firestore that implements `BatchWrite` and `BatchGetDocuments`, and what the lease needs. It stores documents, with
//! their preconditions, and fails as a test's script says. Those who listen hear of what is committed, not of batches.

mod grpc;
mod listen;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::google::rpc;
use firestore::gcloud_sdk::prost_types::Timestamp;
use parking_lot::Mutex;
use proto::batch_get_documents_response::Result as Found;
use proto::structured_query::filter::FilterType;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::database::{Database, NOT_FOUND};
use crate::ledger::Ledger;

/// What to do with a document, or with the whole request that contains it. The codes are those of google.rpc.Code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Write it.
    Write,
    /// Fail only this document.
    Fail(i32, &'static str),
    /// Leave it out of the response. Makes sense only for the last documents of a request.
    Forget,
    /// Fail the request and write nothing. The first such act in a request counts.
    FailRequest(i32, &'static str),
    /// Perform another act after a delay. A request is applied and answered after the longest delay of its documents,
    /// also if the client has given up by then.
    Delay(Duration, Box<Act>),
    /// Perform another act once [`FakeFirestore::release`] is called, like after a delay.
    Hold(Box<Act>),
    /// Keep the request open without an answer until the client gives up.
    NeverAnswer,
    /// Write it, but never answer the request.
    LoseAnswer,
}

/// A document as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The number of its request, from 0.
    pub request: usize,
    /// How often the same path has arrived before.
    pub earlier: usize,
    /// The document's path below the database: `tenants/acme/live_quotes/AAPL`.
    pub path: String,
}

type Script = dyn Fn(&Arrival) -> Act + Send + Sync;

/// The server. Dropping it ends all its connections.
#[derive(Debug)]
pub struct FakeFirestore {
    address: SocketAddr,
    server: Arc<Server>,
    accept: JoinHandle<()>,
}

impl FakeFirestore {
    /// Starts one on a free port. `script` is called once per document, in order of arrival; requests may still overlap.
    pub async fn start(script: impl Fn(&Arrival) -> Act + Send + Sync + 'static) -> Self {
        Self::serve(SocketAddr::from(([127, 0, 0, 1], 0)), Box::new(script), None).await
    }

    /// The same on this address, for long runs: writes are recorded in `ledger`, and arrivals are not kept.
    pub async fn start_on(
        address: SocketAddr,
        ledger: Arc<Ledger>,
        script: impl Fn(&Arrival) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::serve(address, Box::new(script), Some(ledger)).await
    }

    async fn serve(address: SocketAddr, script: Box<Script>, ledger: Option<Arc<Ledger>>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let database = ledger.as_ref().map_or_else(Arc::default, |ledger| ledger.database.clone());
        let server = Arc::new(Server {
            script,
            read_script: Mutex::default(),
            released: watch::Sender::new(false),
            database,
            ledger,
            log: Mutex::default(),
        });
        let served = server.clone();
        let accept = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(grpc::serve(socket, served.clone()));
                // Remove connections that have ended.
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, server, accept }
    }

    /// `127.0.0.1:port`, for `FIRESTORE_EMULATOR_HOST`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// All documents so far, in order of arrival, including those of failed and unanswered requests.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.server.log.lock().arrivals.clone()
    }
}

impl FakeFirestore {
    /// `script` is called for each request that reads, with its number, from 0. Without a script, all are answered.
    pub fn script_reads(&self, script: impl Fn(usize) -> Act + Send + Sync + 'static) {
        *self.server.read_script.lock() = Some(Arc::new(script));
    }

    /// Lets go of all requests that are held, now and from now on.
    pub fn release(&self) {
        self.server.released.send_replace(true);
    }

    /// The paths of all documents read so far, by request.
    pub fn reads(&self) -> Vec<Vec<String>> {
        self.server.log.lock().reads.clone()
    }

    /// The time in a stored document's field, in nanoseconds.
    pub fn time(&self, path: &str, field: &str) -> Option<i64> {
        self.server.database.lock().time(path, field)
    }

    /// Replaces a document with these times, as another program would.
    pub fn put(&self, path: &str, times: &[(&str, i64)]) {
        let field = |(name, time): &(&str, i64)| {
            let time = Timestamp { seconds: time / 1_000_000_000, nanos: (time % 1_000_000_000) as i32 };
            ((*name).to_owned(), proto::Value { value_type: Some(proto::value::ValueType::TimestampValue(time)) })
        };
        let mut database = self.server.database.lock();
        database.put(path, times.iter().map(field).collect());
        database.committed.send_replace(());
    }
}

impl Drop for FakeFirestore {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

type ReadScript = dyn Fn(usize) -> Act + Send + Sync;

struct Server {
    script: Box<Script>,
    read_script: Mutex<Option<Arc<ReadScript>>>,
    released: watch::Sender<bool>,
    database: Arc<Mutex<Database>>,
    ledger: Option<Arc<Ledger>>,
    log: Mutex<Log>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("log", &self.log).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Log {
    requests: usize,
    /// How often each path has arrived.
    seen: HashMap<String, usize>,
    /// Empty if there is a ledger, like `reads`.
    arrivals: Vec<Arrival>,
    read_requests: usize,
    reads: Vec<Vec<String>>,
}

/// What to do with a whole request, from the acts of its documents.
struct Plan {
    after: Duration,
    /// Wait for the test.
    held: bool,
    end: End,
}

enum End {
    /// Apply and answer it: for each document, an error, or `None` to write it. Those that are left out of the answer
    /// are not in it.
    Answer(Vec<Option<(i32, &'static str)>>),
    /// Fail it.
    Fail(i32, &'static str),
    /// Apply it as for an answer, but do not answer. Without any document, nothing is applied.
    Silence(Vec<Option<(i32, &'static str)>>),
}

impl Server {
    async fn wait(&self, after: Duration, held: bool) {
        tokio::time::sleep(after).await;
        if held {
            // The sender lives as long as this.
            let _ = self.released.subscribe().wait_for(|released| *released).await;
        }
    }

    /// Takes a request in. Nothing is written yet.
    fn receive(&self, request: &proto::BatchWriteRequest) -> Plan {
        // One request at a time, so that the script is called in the order that is recorded.
        let mut log = self.log.lock();
        let number = log.requests;
        log.requests += 1;
        let mut acts = Vec::with_capacity(request.writes.len());
        for write in &request.writes {
            let path = path_of(write);
            let seen = log.seen.entry(path.clone()).or_default();
            let arrival = Arrival { request: number, earlier: *seen, path };
            *seen += 1;
            acts.push((self.script)(&arrival));
            if self.ledger.is_none() {
                log.arrivals.push(arrival);
            }
        }
        plan(acts)
    }

    /// Writes the documents of a request that have no error of their own.
    fn apply(
        &self,
        request: &proto::BatchWriteRequest,
        errors: Vec<Option<(i32, &'static str)>>,
    ) -> proto::BatchWriteResponse {
        let mut database = self.database.lock();
        let mut response = proto::BatchWriteResponse::default();
        for (write, error) in request.writes.iter().zip(errors) {
            let path = path_of(write);
            let written = match error {
                Some(error) => Err(error),
                None => database.write(&path, write).map_err(|code| (code, "the precondition does not hold")),
            };
            if let (Ok(_), Some(ledger)) = (&written, &self.ledger) {
                ledger.note(path, write);
            }
            let (code, message) = written.err().unwrap_or_default();
            response.write_results.push(proto::WriteResult { update_time: written.ok(), ..Default::default() });
            response.status.push(rpc::Status { code, message: message.to_owned(), details: Vec::new() });
        }
        response
    }

    /// What to do with a request that reads.
    fn receive_read(&self, request: &proto::BatchGetDocumentsRequest) -> Plan {
        let script = self.read_script.lock().clone();
        let mut log = self.log.lock();
        let number = log.read_requests;
        log.read_requests += 1;
        if self.ledger.is_none() {
            log.reads.push(request.documents.iter().map(|name| path_in(name).to_owned()).collect());
        }
        drop(log);
        plan(vec![script.map_or(Act::Write, |script| script(number))])
    }

    fn read(&self, request: &proto::BatchGetDocumentsRequest) -> Vec<proto::BatchGetDocumentsResponse> {
        let database = self.database.lock();
        let one = |name: &String| {
            let found = database.read(name, path_in(name), request.mask.as_ref());
            let result = found.map_or_else(|| Found::Missing(name.clone()), Found::Found);
            let read_time = Some(database.read_time());
            proto::BatchGetDocumentsResponse { result: Some(result), read_time, ..Default::default() }
        };
        // In another order than asked for, as Firestore may do it.
        request.documents.iter().rev().map(one).collect()
    }

    /// Applies one write.
    fn commit(&self, request: &proto::CommitRequest) -> Result<proto::CommitResponse, i32> {
        let [write] = &request.writes[..] else { panic!("the host commits one write at a time, not {request:?}") };
        let mut database = self.database.lock();
        let time = database.write(&path_of(write), write)?;
        database.committed.send_replace(());
        let result = proto::WriteResult { update_time: Some(time), ..Default::default() };
        Ok(proto::CommitResponse { write_results: vec![result], commit_time: Some(time) })
    }

    fn get(&self, request: &proto::GetDocumentRequest) -> Result<proto::Document, i32> {
        let document = self.database.lock().read(&request.name, path_in(&request.name), None);
        document.ok_or(NOT_FOUND)
    }

    fn query(&self, request: &proto::RunQueryRequest) -> Vec<proto::RunQueryResponse> {
        let Some(proto::run_query_request::QueryType::StructuredQuery(query)) = &request.query_type else {
            panic!("no query: {request:?}")
        };
        let read_time = Some(self.database.lock().read_time());
        let answer = |document| proto::RunQueryResponse { document: Some(document), read_time, ..Default::default() };
        self.found_by(&request.parent, query).into_iter().map(answer).collect()
    }

    /// The documents of a collection that have the field of the query's filter, those that changed last first.
    fn found_by(&self, parent: &str, query: &proto::StructuredQuery) -> Vec<proto::Document> {
        let database = self.database.lock();
        let below = parent.split_once("/documents/").map_or("", |(_, below)| below);
        let field = query.r#where.as_ref().and_then(|filter| match filter.filter_type.as_ref()? {
            FilterType::FieldFilter(filter) => Some(&filter.field.as_ref()?.field_path),
            _ => None,
        });
        let read = |path: String| database.read(&format!("{parent}{}", &path[below.len()..]), &path, None);
        let documents = database.collection(&format!("{below}/{}", query.from[0].collection_id)).into_iter();
        let has_field = |document: &proto::Document| field.is_none_or(|field| document.fields.contains_key(field));
        documents.filter_map(read).filter(has_field).collect()
    }
}

fn plan(acts: Vec<Act>) -> Plan {
    let mut after = Duration::ZERO;
    let mut failure = None;
    let (mut held, mut silent, mut lost) = (false, false, false);
    let mut errors = Vec::new();
    for mut act in acts {
        let mut delay = Duration::ZERO;
        loop {
            act = match act {
                Act::Delay(more, then) => {
                    delay += more;
                    *then
                }
                Act::Hold(then) => {
                    held = true;
                    *then
                }
                _ => break,
            }
        }
        after = after.max(delay);
        match act {
            Act::Write => errors.push(None),
            Act::Fail(code, message) => errors.push(Some((code, message))),
            Act::FailRequest(code, message) => {
                failure.get_or_insert((code, message));
            }
            Act::NeverAnswer => lost = true,
            Act::LoseAnswer => {
                silent = true;
                errors.push(None);
            }
            Act::Forget | Act::Delay(..) | Act::Hold(_) => {}
        }
    }
    let end = match failure {
        _ if lost => End::Silence(Vec::new()),
        Some((code, message)) => End::Fail(code, message),
        None if silent => End::Silence(errors),
        None => End::Answer(errors),
    };
    Plan { after, held, end }
}

fn path_of(write: &proto::Write) -> String {
    let Some(proto::write::Operation::Update(document)) = &write.operation else {
        panic!("the sink writes only documents, not {write:?}")
    };
    path_in(&document.name).to_owned()
}

/// A document's path below the database.
fn path_in(name: &str) -> &str {
    name.split_once("/documents/").expect("a document's name").1
}
