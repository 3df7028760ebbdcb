use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quotegate_market::Encoding;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::connection::{Client, Connection};
use crate::handle::Shared;
use crate::{Fault, SimHandle, SimSettings, http, rest};

/// A listening simulator.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    handle: SimHandle,
}

impl Simulator {
    /// Listens on `address`; port 0 picks a free port.
    pub async fn bind(address: SocketAddr, settings: SimSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, handle: SimHandle::new(settings) })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Controls the simulator while it runs.
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }

    /// Serves until `stop`, then waits for all connections to end.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let mut number = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        let (shared, stop) = (self.handle.shared.clone(), stop.clone());
                        connections.spawn(async move {
                            tokio::select! {
                                () = stop.cancelled() => {}
                                () = serve(stream, number, shared) => {}
                            }
                        });
                    }
                    // Most likely out of file descriptors: other connections may close theirs.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(mut stream: TcpStream, number: u64, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Some((request, rest)) = http::read_head(&mut stream).await else { return refuse(&shared) };
    if http::is_upgrade(&request) {
        serve_websocket(stream, &request, rest, number, shared).await;
    } else {
        shared.counters.rest_requests.fetch_add(1, Relaxed);
        let answer = rest::answer(&request, keys(request.headers()), &shared).await;
        let _ = stream.write_all(&answer.bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn serve_websocket(mut stream: TcpStream, request: &Request, rest: Vec<u8>, number: u64, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    let response = if shared.fault() == Some(Fault::Http429) {
        let mut refused = Response::new(());
        *refused.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        refused
    } else {
        let Ok(response) = create_response(request) else { return refuse(&shared) };
        response
    };
    let is_accepted = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if write_response(&mut bytes, &response).is_err() || stream.write_all(&bytes).await.is_err() || !is_accepted {
        return refuse(&shared);
    }
    let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, None).await;
    let client = describe(request);
    shared.counters.connections.fetch_add(1, Relaxed);
    info!(path = client.path, encoding = ?client.encoding, "client {number} connected");
    Connection::new(socket, client, number, shared).run().await;
    info!("client {number} disconnected");
}

fn refuse(shared: &Shared) {
    shared.counters.refused.fetch_add(1, Relaxed);
}

fn describe(request: &Request) -> Client {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Client {
        path: request.uri().path().to_owned(),
        encoding: match text("content-type") {
            Some("application/msgpack") => Encoding::MessagePack,
            _ => Encoding::Json,
        },
        keys: keys(headers),
    }
}

/// The keys from the headers, in any of the three documented forms.
fn keys(headers: &HeaderMap) -> Option<(String, String)> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let (Some(key), Some(secret)) = (text("apca-api-key-id"), text("apca-api-secret-key")) {
        return Some((key.to_owned(), secret.to_owned()));
    }
    let authorization = text("authorization")?;
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        return Some(("access_token".to_owned(), token.to_owned()));
    }
    let pair = STANDARD.decode(authorization.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(key, secret)| (key.to_owned(), secret.to_owned()))
}
