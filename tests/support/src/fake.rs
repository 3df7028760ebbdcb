//! A fake Firestore that implements one request, `BatchWrite`, and answers as a test's script says.

mod grpc;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::google::rpc;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

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
    /// Perform another act after a delay. A request is answered after the longest delay of its documents.
    Delay(Duration, Box<Act>),
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
        let server = Arc::new(Server { script, ledger, log: Mutex::default() });
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

impl Drop for FakeFirestore {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

struct Server {
    script: Box<Script>,
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
    /// Empty if there is a ledger.
    arrivals: Vec<Arrival>,
}

/// What to do with a whole request, from the acts of its documents.
enum Plan {
    Answer { after: Duration, answer: Result<proto::BatchWriteResponse, (i32, &'static str)> },
    NeverAnswer,
}

impl Server {
    fn batch_write(&self, request: &proto::BatchWriteRequest) -> Plan {
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
        if let Some(ledger) = &self.ledger
            && !acts.iter().any(|act| matches!(undelayed(act), Act::FailRequest(..) | Act::NeverAnswer))
        {
            let written = |act: &Act| matches!(undelayed(act), Act::Write | Act::LoseAnswer);
            for (write, _) in request.writes.iter().zip(&acts).filter(|(_, act)| written(act)) {
                ledger.note(path_of(write), write);
            }
        }
        plan(acts)
    }
}

fn undelayed(act: &Act) -> &Act {
    match act {
        Act::Delay(_, then) => undelayed(then),
        act => act,
    }
}

fn plan(acts: Vec<Act>) -> Plan {
    let mut after = Duration::ZERO;
    let mut failure = None;
    let mut response = proto::BatchWriteResponse::default();
    for mut act in acts {
        let mut delay = Duration::ZERO;
        while let Act::Delay(more, then) = act {
            delay += more;
            act = *then;
        }
        after = after.max(delay);
        let (code, message) = match act {
            Act::Write => (0, ""),
            Act::Fail(code, message) => (code, message),
            Act::FailRequest(code, message) => {
                failure.get_or_insert((code, message));
                continue;
            }
            Act::NeverAnswer | Act::LoseAnswer => return Plan::NeverAnswer,
            Act::Forget | Act::Delay(..) => continue,
        };
        response.write_results.push(proto::WriteResult::default());
        response.status.push(rpc::Status { code, message: message.to_owned(), details: Vec::new() });
    }
    Plan::Answer { after, answer: failure.map_or(Ok(response), Err) }
}

fn path_of(write: &proto::Write) -> String {
    let Some(proto::write::Operation::Update(document)) = &write.operation else {
        panic!("the sink writes only documents, not {write:?}")
    };
    document.name.split_once("/documents/").expect("a document's name").1.to_owned()
}
