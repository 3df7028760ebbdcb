//! A minimal gRPC server for unary requests, on HTTP/2 frames. The generated code has only clients, and this server can
//! also stay silent, which a real one would not.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use firestore::gcloud_sdk::google::firestore::v1::{
    BatchGetDocumentsRequest, BatchWriteRequest, CommitRequest, GetDocumentRequest, ListenRequest, RunQueryRequest,
};
use firestore::gcloud_sdk::prost::{DecodeError, Message};
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::listen::Listener;
use super::{End, Plan, Server};

const BATCH_WRITE: &str = "/google.firestore.v1.Firestore/BatchWrite";
const BATCH_GET: &str = "/google.firestore.v1.Firestore/BatchGetDocuments";
const COMMIT: &str = "/google.firestore.v1.Firestore/Commit";
const GET: &str = "/google.firestore.v1.Firestore/GetDocument";
const LISTEN: &str = "/google.firestore.v1.Firestore/Listen";
const RUN_QUERY: &str = "/google.firestore.v1.Firestore/RunQuery";
const INVALID_ARGUMENT: i32 = 3;
const UNIMPLEMENTED: i32 = 12;
/// Before each message: one byte for compression, four for the length.
const PREFIX: usize = 5;
/// Firestore's own limit for a request.
const MAX_REQUEST: u32 = 10 << 20;

pub(super) async fn serve(socket: TcpStream, server: Arc<Server>) {
    let _ = socket.set_nodelay(true);
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(MAX_REQUEST).initial_connection_window_size(4 * MAX_REQUEST);
    let Ok(connection) = builder.handshake::<_, Bytes>(socket).await else { return };
    serve_requests(connection, &server).await;
}

async fn serve_requests(mut connection: Connection<TcpStream, Bytes>, server: &Arc<Server>) {
    // Dropped with the connection, which ends unanswered requests.
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        requests.spawn(answer(request, respond, server.clone()));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, server: Arc<Server>) {
    let method = request.uri().path().to_owned();
    if method == LISTEN {
        // It ends when the client gives up.
        let _ = listen(request.into_body(), &mut respond, &server).await;
        return;
    }
    let Ok(bytes) = body(request).await else { return };
    let message = bytes.get(PREFIX..).unwrap_or_default();
    let answered = match method.as_str() {
        BATCH_WRITE => match BatchWriteRequest::decode(message) {
            Ok(request) => write(&request, &mut respond, &server).await,
            Err(error) => invalid(&mut respond, &error),
        },
        BATCH_GET => match BatchGetDocumentsRequest::decode(message) {
            Ok(request) => read(&request, &mut respond, &server).await,
            Err(error) => invalid(&mut respond, &error),
        },
        // The lease and the reports of hosts. No script is asked.
        COMMIT => match CommitRequest::decode(message) {
            Ok(request) => reply(&mut respond, server.commit(&request)),
            Err(error) => invalid(&mut respond, &error),
        },
        GET => match GetDocumentRequest::decode(message) {
            Ok(request) => reply(&mut respond, server.get(&request)),
            Err(error) => invalid(&mut respond, &error),
        },
        RUN_QUERY => match RunQueryRequest::decode(message) {
            Ok(request) => succeed(&mut respond, &server.query(&request)),
            Err(error) => invalid(&mut respond, &error),
        },
        _ => fail(&mut respond, UNIMPLEMENTED, &format!("the fake Firestore does not support {method}")),
    };
    // The client may have given up when its answer is sent.
    drop(answered);
}

fn invalid(respond: &mut SendResponse<Bytes>, error: &DecodeError) -> Result<(), h2::Error> {
    fail(respond, INVALID_ARGUMENT, &error.to_string())
}

fn reply<M: Message>(respond: &mut SendResponse<Bytes>, answer: Result<M, i32>) -> Result<(), h2::Error> {
    match answer {
        Ok(message) => succeed(respond, &[message]),
        Err(code) => fail(respond, code, "the document is not there, or not as expected"),
    }
}

async fn write(
    request: &BatchWriteRequest,
    respond: &mut SendResponse<Bytes>,
    server: &Server,
) -> Result<(), h2::Error> {
    let Plan { after, held, end } = server.receive(request);
    server.wait(after, held).await;
    match end {
        End::Answer(errors) => succeed(respond, &[server.apply(request, errors)]),
        End::Fail(code, message) => fail(respond, code, message),
        End::Silence(errors) => {
            server.apply(request, errors);
            silence(respond).await
        }
    }
}

async fn read(
    request: &BatchGetDocumentsRequest,
    respond: &mut SendResponse<Bytes>,
    server: &Server,
) -> Result<(), h2::Error> {
    let Plan { after, held, end } = server.receive_read(request);
    server.wait(after, held).await;
    match end {
        End::Answer(_) => succeed(respond, &server.read(request)),
        End::Fail(code, message) => fail(respond, code, message),
        End::Silence(_) => silence(respond).await,
    }
}

/// Tells the client of changes until it gives up.
async fn listen(mut requests: RecvStream, respond: &mut SendResponse<Bytes>, server: &Server) -> Result<(), h2::Error> {
    // The client never ends its side, so the first part has to be the whole request, which is short.
    let Some(part) = requests.data().await else { return Ok(()) };
    let part = part?;
    let mut listener = match ListenRequest::decode(part.get(PREFIX..).unwrap_or_default()) {
        Ok(request) => match Listener::new(request) {
            Some(listener) => listener,
            None => return fail(respond, INVALID_ARGUMENT, "nothing to listen to"),
        },
        Err(error) => return invalid(respond, &error),
    };
    let mut send = respond.send_response(head(), false)?;
    let mut committed = server.database.lock().committed.subscribe();
    loop {
        committed.borrow_and_update();
        let news = listener.news(server);
        if !news.is_empty() {
            send.send_data(frames(&news), false)?;
        }
        tokio::select! {
            _ = committed.changed() => {}
            reset = std::future::poll_fn(|context| send.poll_reset(context)) => return reset.map(drop),
        }
    }
}

/// Until the client gives up.
async fn silence(respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    std::future::poll_fn(|context| respond.poll_reset(context)).await.map(drop)
}

async fn body(request: Request<RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn frames(messages: &[impl Message]) -> Bytes {
    let mut frames = BytesMut::new();
    for message in messages {
        frames.put_u8(0);
        frames.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        frames.extend_from_slice(&message.encode_to_vec());
    }
    frames.freeze()
}

fn succeed(respond: &mut SendResponse<Bytes>, messages: &[impl Message]) -> Result<(), h2::Error> {
    let mut send = respond.send_response(head(), false)?;
    send.send_data(frames(messages), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    send.send_trailers(trailers)
}

fn fail(respond: &mut SendResponse<Bytes>, code: i32, message: &str) -> Result<(), h2::Error> {
    let mut response = head();
    response.headers_mut().insert("grpc-status", HeaderValue::from(code));
    // Messages that headers do not allow are left out: gRPC percent-encodes them, and no script needs that.
    if let Ok(message) = HeaderValue::from_str(message) {
        response.headers_mut().insert("grpc-message", message);
    }
    respond.send_response(response, true).map(drop)
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
